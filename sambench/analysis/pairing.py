"""Which run of one side belongs to which run of the other, and which runs have no counterpart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sambench.analysis.frame import FOLD, NAME, SPLIT_SEED, STATUS, TEST, TRAIN, Columns, column
from sambench.analysis.inference import Part
from sambench.record import COMPLETED


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two sides of a comparison, run by run.

    Attributes:
        baseline: Columns of the completed runs that have a counterpart.
        candidate: Columns of their counterparts, in the same order.
        unpaired: A line for each run left over: its name and why.
    """

    baseline: Columns
    candidate: Columns
    unpaired: tuple[str, ...]

    def both(self, name: str) -> list[tuple[Any, Any]]:
        """Return a column's two values for each pair."""
        return list(zip(self.baseline[name], self.candidate[name], strict=True))

    def parts(self, used: Sequence[int]) -> tuple[list[Part], float]:
        """Return the test part of each pair used, and n_test / n_train.

        The sizes are in the records; where they are not, k folds have 1 / (k - 1).
        """
        runs = self.baseline
        parts = [(runs[SPLIT_SEED][place], runs[FOLD][place]) for place in used]
        sizes = [(runs[TEST][place], runs[TRAIN][place]) for place in used]
        known = [float(test) / float(train) for test, train in sizes if test and train]
        folds = len({fold for _, fold in parts})
        return parts, math.fsum(known) / len(known) if known else 1 / max(folds - 1, 1)


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
        baseline=Columns(baseline.iloc[[left[key] for key in shared]]),
        candidate=Columns(candidate.iloc[[right[key] for key in shared]]),
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
