"""What a long measurement has finished so far, in a file, so that it goes on where it was cut."""

from __future__ import annotations

import json
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
