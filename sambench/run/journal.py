"""Long measurements: what is finished is kept, and when to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from sambench.files.atomic import write_json

VERSION = 2  # 1 held values that a small residual was enough for


class Journal(MutableMapping[str, Any]):
    """A mapping of plain values that is written to its file at every change.

    Args:
        path: The file; made with the first entry.
        identity: All that the entries depend on. A file of another identity, of another version or
            that cannot be read is what a different measurement has left: it is not used.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path = path
        self._identity = json.loads(json.dumps(identity))
        self._entries: dict[str, Any] = {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["version"] == VERSION and stored["identity"] == self._identity:
                self._entries = dict(stored["entries"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *given: Any, **entries: Any) -> None:
        """Take entries that belong together in one write, so that no kill comes between them."""
        self._entries.update(*given, **entries)
        self._write()

    def __delitem__(self, key: str) -> None:
        del self._entries[key]
        self._write()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def remove(self) -> None:
        """Delete the file: the measurement is complete."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        kept = {"version": VERSION, "identity": self._identity, "entries": self._entries}
        write_json(self._path, kept)


class OutOfTime(Exception):
    """The minutes are over; what is finished is kept."""


class Deadline:
    """The end of some minutes from now on.

    Args:
        minutes: How many; None for as long as it takes.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def check(self) -> None:
        """Stop here if the minutes are over.

        Raises:
            OutOfTime: If they are.
        """
        if self._end is not None and time.monotonic() >= self._end:
            raise OutOfTime
