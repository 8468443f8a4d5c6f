"""What our runs say of the papers' claims: held, not held, undecided, with the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sambench.analysis.claims import CLAIMS, MARGIN, NOT_BETTER, Cell, Claim, Expectation
from sambench.analysis.comparison import (
    BETTER,
    LEAST_PAIRS,
    WORSE,
    Comparison,
    compare,
    with_holm,
)
from sambench.analysis.frame import MODEL, OPTIMIZER, column
from sambench.analysis.metrics import find_metric
from sambench.analysis.published import family, published_frame

HELD, NOT_HELD, UNDECIDED = "held", "not held", "undecided"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What our runs say of one inequality.

    Attributes:
        expectation: The inequality.
        standing: "held", "not held" or "undecided".
        comparison: Our runs, p corrected over the claim.
        printed: The paper's own difference, on the printed scale; None where it has none.
    """

    expectation: Expectation
    standing: str
    comparison: Comparison
    printed: float | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What our runs say of a claim: held if all its inequalities hold, not held if one fails."""

    claim: Claim
    evidence: tuple[Evidence, ...]

    @property
    def standing(self) -> str:
        """One of "held", "not held" and "undecided"."""
        standings = {found.standing for found in self.evidence}
        if NOT_HELD in standings:
            return NOT_HELD
        return HELD if standings == {HELD} else UNDECIDED


def examine(runs: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> tuple[Finding, ...]:
    """Say of each claim what the runs show.

    An inequality is held where its own test shows it (a claim asks for all, so no correction is
    due) and not held where the opposite shows after Holm's correction over the claim.

    Args:
        runs: Frame of one data set and protocol; models may differ. Where several runs fit a cell
            and a seed, none is chosen, and the inequality stays undecided.
        claims: Which.
    """
    printed = published_frame()
    return tuple(Finding(claim=claim, evidence=_examine(claim, runs, printed)) for claim in claims)


def _examine(claim: Claim, runs: pd.DataFrame, printed: pd.DataFrame) -> tuple[Evidence, ...]:
    alone = [_compare(expectation, runs) for expectation in claim.expectations]
    return tuple(
        Evidence(
            expectation=expectation,
            standing=_standing(expectation, one, corrected),
            comparison=corrected,
            printed=_printed(expectation, printed),
        )
        for expectation, one, corrected in zip(
            claim.expectations, alone, with_holm(alone), strict=True
        )
    )


def _compare(expectation: Expectation, runs: pd.DataFrame) -> Comparison:
    before, after = expectation.baseline, expectation.candidate
    same = before.model == after.model
    (found,) = compare(
        _of(runs, before),
        _of(runs, after),
        [find_metric(expectation.metric)],
        names=(before.optimizer, after.optimizer) if same else (before.model, after.model),
        setting=after.model if same else after.optimizer,
    )
    return found


def _of(runs: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Return the runs of a cell, by the papers' names."""
    both = zip(column(runs, MODEL), column(runs, OPTIMIZER), strict=True)
    return runs.iloc[
        [
            row
            for row, (model, optimizer) in enumerate(both)
            if family(str(model)) == cell.model and optimizer == cell.optimizer
        ]
    ]


def _standing(expectation: Expectation, alone: Comparison, corrected: Comparison) -> str:
    if alone.n < LEAST_PAIRS:
        return UNDECIDED
    wanted = expectation.expected
    if wanted == NOT_BETTER and (alone.verdict == WORSE or _negligible(alone)):
        return HELD
    opposite = {BETTER: WORSE, WORSE: BETTER, NOT_BETTER: BETTER}[wanted]
    if corrected.verdict == opposite or _falls_short(expectation, alone):
        return NOT_HELD
    return HELD if alone.verdict == wanted else UNDECIDED


def _falls_short(expectation: Expectation, found: Comparison) -> bool:
    """Whether a factor is asked for that the means do not have."""
    before, after = found.baseline_summary, found.candidate_summary
    if expectation.factor is None or before is None or after is None:
        return False
    return before.mean < expectation.factor * after.mean


def _negligible(found: Comparison) -> bool:
    """Whether the whole interval lies below an improvement of `MARGIN`."""
    if found.interval is None:
        return False
    gain = found.interval.high if found.metric.higher_is_better else -found.interval.low
    return gain < MARGIN


def _printed(expectation: Expectation, printed: pd.DataFrame) -> float | None:
    metric = find_metric(expectation.metric)
    sides = [
        column(_of(printed, cell), metric.column)
        for cell in (expectation.candidate, expectation.baseline)
    ]
    if not all(len(side) == 1 and side[0] is not None for side in sides):
        return None
    return metric.scale * float(sides[0][0] - sides[1][0])
