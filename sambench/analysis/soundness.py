"""Records that can be read but not believed: altered by hand, incomplete, or there twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sambench.analysis.metrics import METRICS, value_at
from sambench.store.record import RunRecord, fault_in

FRACTIONS = {m.column for m in METRICS if m.column.startswith("final.test") and m.scale == 100}
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
    if why := fault_in(record.status, record.final, record.cost):
        return why
    for parent, keys in _BY_PARENT.items():
        section = value_at(record, parent)
        if section is None:
            continue
        if not isinstance(section, dict):
            return f"its {parent} is {section!r}, no object"
        if why := _wrong_in(section, parent, keys):
            return why
    return ""


def _wrong_in(section: Mapping[str, Any], parent: str, keys: Sequence[str]) -> str:
    for key in keys:
        found = section.get(key)
        if found is None or (type(found) is float and 0.0 <= found <= 1.0):
            continue
        each = found if isinstance(found, list | tuple) else (found,)
        path = f"{parent}.{key}"
        if not all(type(value) in (int, float) for value in each):
            return f"its {path} is {found!r}, no number"
        if path in FRACTIONS and any(value < 0 or value > 1 for value in each):
            return f"its {path} is {found!r}, no fraction"
    return ""


def _by_parent(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the keys of each section that numbers stand under."""
    found: dict[str, list[str]] = {}
    for path in paths:
        parent, _, key = path.rpartition(".")
        found.setdefault(parent, []).append(key)
    return {parent: tuple(keys) for parent, keys in found.items()}


_BY_PARENT = _by_parent((*(metric.column for metric in METRICS), *COUNTS))
