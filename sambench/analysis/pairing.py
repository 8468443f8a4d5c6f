"""Which run of one side belongs to which run of the other, and which runs have no counterpart."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sambench.analysis.frame import (
    COLLAPSED,
    FOLD,
    NAME,
    SPLIT_SEED,
    STATUS,
    TEST,
    TRAIN,
    Columns,
)
from sambench.analysis.inference import Part
from sambench.store.record import COMPLETED


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

    @functools.cached_property
    def names(self) -> list[tuple[str, str]]:
        """The two runs of each pair."""
        return self.both(NAME)

    @functools.cached_property
    def collapsed(self) -> list[tuple[Any, Any]]:
        """Which of the two runs of each pair predict one class for every image."""
        return self.both(COLLAPSED)

    def both(self, name: str) -> list[tuple[Any, Any]]:
        """Return a column's two values for each pair."""
        return list(zip(self.baseline[name], self.candidate[name], strict=True))

    def parts(self, used: Sequence[int]) -> tuple[list[Part], float]:
        """Return the test part of each pair used, and n_test / n_train.

        The sizes are in the records; where they are not, k folds have 1 / (k - 1).
        """
        runs = self.baseline if len(used) == len(self.baseline) else self.baseline.rows(used)
        parts = list(zip(runs[SPLIT_SEED], runs[FOLD], strict=True))
        sizes = zip(runs[TEST], runs[TRAIN], strict=True)
        known = [float(test) / float(train) for test, train in sizes if test and train]
        folds = len({fold for _, fold in parts})
        return parts, math.fsum(known) / len(known) if known else 1 / max(folds - 1, 1)


def pair(baseline: Columns, candidate: Columns, on: Sequence[str]) -> Pairing:
    """Pair completed runs that agree in some settings.

    Runs that are not completed, have no counterpart, or share their settings with another run of
    their side are left over; no pair is made up.

    Args:
        baseline: Runs of one side.
        candidate: Runs of the other.
        on: Columns that must agree; a column that a side lacks counts as missing everywhere.
    """
    left, left_over = _by_key(baseline, on)
    right, right_over = _by_key(candidate, on)
    shared = [key for key in left if key in right]
    alone = [
        f"{name}: no counterpart"
        for runs, found, others in ((baseline, left, right), (candidate, right, left))
        for name in [runs[NAME][row] for key, row in found.items() if key not in others]
    ]
    return Pairing(
        baseline=baseline.rows([left[key] for key in shared]),
        candidate=candidate.rows([right[key] for key in shared]),
        unpaired=(*left_over, *right_over, *alone),
    )


def _by_key(runs: Columns, on: Sequence[str]) -> tuple[dict[tuple[Any, ...], int], list[str]]:
    """Return the row of each key in order of keys, and a line for each run that cannot be used."""
    statuses, names = runs[STATUS], runs[NAME]
    keys = list(zip(*(runs[name] for name in on), strict=True))
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
