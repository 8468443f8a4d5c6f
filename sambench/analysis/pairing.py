"""Which run of one side belongs to which run of the other, and which runs have no counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sambench.analysis.frame import NAME, STATUS, column
from sambench.record import COMPLETED


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two sides of a comparison, run by run.

    Attributes:
        baseline: Completed runs that have a counterpart, a row each.
        candidate: Their counterparts, in the same order.
        unpaired: A line for each run left over: its name and why.
    """

    baseline: pd.DataFrame
    candidate: pd.DataFrame
    unpaired: tuple[str, ...]


def pair(baseline: pd.DataFrame, candidate: pd.DataFrame, on: Sequence[str]) -> Pairing:
    """Pair completed runs that agree in some settings.

    Runs that are not completed, have no counterpart, or share their settings with another run of
    their side are left over; no pair is made up.

    Args:
        baseline: Frame of one side.
        candidate: Frame of the other.
        on: Columns that must agree; a column that a frame lacks counts as missing everywhere.
    """
    left, left_over = _by_key(baseline, on)
    right, right_over = _by_key(candidate, on)
    shared = [key for key in left if key in right]
    alone = [
        f"{name}: no counterpart"
        for runs, found, others in ((baseline, left, right), (candidate, right, left))
        for name in _names(runs, [row for key, row in found.items() if key not in others])
    ]
    return Pairing(
        baseline=baseline.iloc[[left[key] for key in shared]],
        candidate=candidate.iloc[[right[key] for key in shared]],
        unpaired=(*left_over, *right_over, *alone),
    )


def _by_key(runs: pd.DataFrame, on: Sequence[str]) -> tuple[dict[tuple[Any, ...], int], list[str]]:
    """Return the row of each key in order of keys, and a line for each run that cannot be used."""
    statuses, names = column(runs, STATUS), column(runs, NAME)
    keys = list(zip(*(column(runs, name) for name in on), strict=True))
    rows: dict[tuple[Any, ...], list[int]] = {}
    over: list[str] = []
    for row, status in enumerate(statuses):
        if status == COMPLETED:
            rows.setdefault(keys[row], []).append(row)
        else:
            over.append(f"{names[row]}: {status}")
    for several in [found for found in rows.values() if len(found) > 1]:
        over += [f"{names[row]}: one of {len(several)} runs alike" for row in several]
    single = {key: found[0] for key, found in rows.items() if len(found) == 1}
    return dict(sorted(single.items(), key=lambda item: _sortable(item[0]))), over


def _sortable(key: tuple[Any, ...]) -> list[tuple[bool, bool, Any]]:
    return [
        (value is not None, isinstance(value, str | tuple), 0 if value is None else value)
        if isinstance(value, int | float | None)
        else (True, True, str(value))
        for value in key
    ]


def _names(runs: pd.DataFrame, rows: Sequence[int]) -> list[str]:
    names = column(runs, NAME)
    return [str(names[row]) for row in rows]
