"""Collects what is wrong with somebody's files, so that all of it is said at once."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.errors import DataError

LONGEST = 20


def some(names: Sequence[str], limit: int = LONGEST) -> str:
    """Join names with commas; after `limit` of them say how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    'a, b ... and 1 more'
    """
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} ... and {len(names) - limit} more"


class Problems(dict[tuple[str, str], list[str]]):
    """Problems of several kinds, each with one remedy and the things that it was found at."""

    def add(self, kind: str, thing: str, remedy: str) -> None:
        """Note one thing, e.g. "benign(3)" of the kind "ids without an image file in img"."""
        self.setdefault((kind, remedy), []).append(thing)

    def check(self) -> None:
        """Stop if there is any problem.

        Raises:
            DataError: One line for each kind of problem, with up to twenty of its things.
        """
        lines = [f"{kind}: {some(things)}; {fix}" for (kind, fix), things in self.items()]
        if lines:
            raise DataError("\n".join(lines))
