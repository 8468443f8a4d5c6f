"""Long measurements: what is finished is kept, and when to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sambench.files.atomic import write_json

VERSION = 2  # 1 held values that a small residual was enough for


class Journal(dict[str, Any]):
    """Plain values that are written to a file at every `update`, and all that they depend on.

    A file of another such identity, of another version or that cannot be read is what a different
    measurement has left: it is not used.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        super().__init__()
        self._path = path
        self._identity = json.loads(json.dumps(identity))
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["version"] == VERSION and stored["identity"] == self._identity:
                super().update(stored["entries"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def update(self, *given: Any, **entries: Any) -> None:
        """Take entries that belong together in one write, so that no kill comes between them."""
        super().update(*given, **entries)
        kept = {"version": VERSION, "identity": self._identity, "entries": dict(self)}
        write_json(self._path, kept)

    def remove(self) -> None:
        """Delete the file: the measurement is complete."""
        self._path.unlink(missing_ok=True)


class OutOfTime(Exception):
    """The minutes are over; what is finished is kept."""


class Deadline:
    """The end of some minutes from now on; of None there is none."""

    def __init__(self, minutes: float | None = None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def check(self) -> None:
        """Raise an OutOfTime if the minutes are over."""
        if self._end is not None and time.monotonic() >= self._end:
            raise OutOfTime
