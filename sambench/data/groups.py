"""Which images belong together, because they share a file, a patient, or whatever is named."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


def connected(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """Return for each item the first item that it is connected with, directly or through others.

    Args:
        keys: What each item has; items that share one are connected.

    >>> connected([["a"], ["b"], ["a", "b"], ["c"]])
    [0, 0, 0, 3]
    """
    first = list(range(len(keys)))

    def root(item: int) -> int:
        while first[item] != item:
            first[item] = first[first[item]]
            item = first[item]
        return item

    owner: dict[Hashable, int] = {}
    for item, own in enumerate(keys):
        for key in own:
            one, other = sorted((root(item), root(owner.setdefault(key, item))))
            first[other] = one
    return [root(item) for item in range(len(keys))]
