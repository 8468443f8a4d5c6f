"""Records that are there twice are counted once; what a record says was checked as it was read."""

from __future__ import annotations

from collections.abc import Iterable

from sambench.store.record import RunRecord


def sound(records: Iterable[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Return the records that can be counted, and a message for each that is left out.

    Args:
        records: Any runs, as read from the store.
    """
    kept: dict[str, RunRecord] = {}
    messages = []
    for record in records:
        if record.id in kept:
            messages.append(f"run {record.name} lies in two folders and is counted once")
        else:
            kept[record.id] = record
    return list(kept.values()), messages
