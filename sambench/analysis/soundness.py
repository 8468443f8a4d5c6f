"""Records that can be read but not believed: altered by hand, incomplete, or there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sambench.analysis.metrics import METRICS, value_at
from sambench.record import COMPLETED, RunRecord

REQUIRED = ("final.test.accuracy", "cost.train_seconds", "cost.gradient_evaluations")
FRACTIONS = tuple(m.column for m in METRICS if m.column.startswith("final.test") and m.scale == 100)
COUNTS = ("data.train", "data.test", "hessian.samples")


def sound(records: Iterable[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Return the records that can be counted, and a message for each that is left out.

    Args:
        records: Any runs, as read from the store.
    """
    kept: dict[str, RunRecord] = {}
    messages = []
    for record in records:
        why = _wrong(record)
        if why:
            messages.append(f"run {record.name} is left out: {why}; run it again")
        elif record.id in kept:
            messages.append(f"run {record.name} lies in two folders and is counted once")
        else:
            kept[record.id] = record
    return list(kept.values()), messages


def _wrong(record: RunRecord) -> str:
    """Say what is wrong with a record; nothing if nothing is."""
    done = record.status == COMPLETED
    for path in REQUIRED:
        if done and value_at(record, path) is None:
            return f"it is completed but has no {path}"
    for path in (*(metric.column for metric in METRICS), *COUNTS):
        found = value_at(record, path)
        if not _numbers(_each(found)):
            return f"its {path} is {found!r}, no number"
        if path in FRACTIONS and any(value < 0 or value > 1 for value in _each(found)):
            return f"its {path} is {found!r}, no fraction"
    return ""


def _numbers(values: Sequence[object]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _each(found: object) -> Sequence[Any]:
    """Return one value or several as several, and none for nothing."""
    if isinstance(found, list | tuple):
        return found
    return [] if found is None else [found]
