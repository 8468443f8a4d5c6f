"""The answer of a study: which optimizer, by how much, at what cost, how sure, and how flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sambench.analysis.comparison import ALPHA, BETTER, LEAST_PAIRS, WORSE, Comparison
from sambench.analysis.groups import Line
from sambench.analysis.metrics import collapsed, find_metric
from sambench.analysis.panels import Panel
from sambench.analysis.reach import pairs_needed
from sambench.analysis.statistics import Summary

SHOWN = "shown"
"""At least one optimizer is more accurate than the baseline."""
NOT_SHOWN = "not shown"
"""Enough pairs, and none is."""
OUT_OF_REACH = "out of reach"
"""So few pairs, or so many optimizers, that no p can be small enough."""
NO_PAIR = "no pair"
"""No run of another optimizer has a counterpart of the baseline."""
NO_BASELINE = "no baseline"
ALONE = "alone"
"""No other optimizer than the baseline."""
ALL_COLLAPSED = "all collapsed"
NO_RUN = "no run"

FLATNESS = ("top", "trace")
"""What flatness is judged by: the first of these that was measured."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the runs of a panel say, optimizers ordered by accuracy gained on the baseline.

    Attributes:
        panel: The runs.
        standing: One of this module's constants.
        accuracy: Of the optimizer that is named: the most accurate of those shown to be better, or
            else the one with the largest mean difference; None without a pair.
        gradient_evaluations: Its cost beside the baseline's: ratio of the means over the pairs.
        train_seconds: Likewise.
        flatness: Its top eigenvalue (or trace) against the baseline's; None where not measured.
        better: Labels of all that are shown to be more accurate.
        worse: Labels of all that are shown to be less accurate.
        flatter: Labels of all that are shown to be flatter by the same measure as `flatness`.
        needed: Pairs with which p < 0.05 would be possible.
        highest: Without a baseline: the line of the highest mean accuracy, and it.
        collapsed: Number of completed runs that predict one class.
    """

    panel: Panel
    standing: str
    accuracy: Comparison | None = None
    gradient_evaluations: float | None = None
    train_seconds: float | None = None
    flatness: Comparison | None = None
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    flatter: tuple[str, ...] = ()
    needed: int = LEAST_PAIRS
    highest: tuple[str, Summary] | None = None
    collapsed: int = 0

    @property
    def optimizer(self) -> str | None:
        """The optimizer that the answer is about."""
        return None if self.accuracy is None else self.accuracy.candidate


def answers(panels: Sequence[Panel], baseline: str | None) -> tuple[Answer, ...]:
    """Return what the runs of each panel say.

    Args:
        panels: Made with the same baseline.
        baseline: Name of the optimizer that the others are compared with.
    """
    return tuple(_answer(panel, baseline) for panel in panels)


def _answer(panel: Panel, baseline: str | None) -> Answer:
    lines = panel.group.lines
    done = [record for line in lines for record in line.completed]
    flat = sum(map(collapsed, done))
    highest = _highest(lines)
    ranked = sorted(
        (found for found in panel.by("accuracy") if found.difference is not None),
        key=lambda found: -(found.difference or 0.0),
    )
    standing = _standing(panel, ranked, baseline, flat == len(done))
    if not ranked or standing == ALL_COLLAPSED:
        return Answer(panel=panel, standing=standing, highest=highest, collapsed=flat)
    better = [found for found in ranked if found.verdict == BETTER]
    named = (better or ranked)[0]
    measure = next((name for name in FLATNESS if any(c.n for c in panel.by(name))), None)
    by_measure = panel.by(measure) if measure else ()
    return Answer(
        panel=panel,
        standing=standing,
        accuracy=named,
        gradient_evaluations=_ratio(panel.comparison(named.candidate, "gradient_evaluations")),
        train_seconds=_ratio(panel.comparison(named.candidate, "train_seconds")),
        flatness=next((c for c in by_measure if c.candidate == named.candidate and c.n), None),
        better=tuple(found.candidate for found in better),
        worse=tuple(found.candidate for found in ranked if found.verdict == WORSE),
        flatter=tuple(found.candidate for found in by_measure if found.verdict == BETTER),
        needed=pairs_needed(len(ranked), named.partitions),
        highest=highest,
        collapsed=flat,
    )


def _standing(
    panel: Panel, ranked: Sequence[Comparison], baseline: str | None, all_collapsed: bool
) -> str:
    lines = panel.group.lines
    if not any(line.completed for line in lines):
        return NO_RUN
    if all_collapsed:
        return ALL_COLLAPSED
    if not ranked:
        first = lines[0]
        if first.optimizer["name"] != baseline or not first.completed:
            return NO_BASELINE
        return NO_PAIR if len(lines) > 1 else ALONE
    if any(found.verdict == BETTER for found in ranked):
        return SHOWN
    return NOT_SHOWN if any(_within_reach(found, len(ranked)) for found in ranked) else OUT_OF_REACH


def _within_reach(found: Comparison, family: int) -> bool:
    """Whether so many pairs could have shown a difference."""
    return found.n >= LEAST_PAIRS and family * (found.smallest_p or 0.0) < ALPHA


def _ratio(found: Comparison | None) -> float | None:
    """Return the candidate's mean over the baseline's."""
    if found is None or found.baseline_summary is None or found.candidate_summary is None:
        return None
    before = found.baseline_summary.mean
    return found.candidate_summary.mean / before if before else None


def _highest(lines: Sequence[Line]) -> tuple[str, Summary] | None:
    """Return the label and accuracy of the line with the highest mean."""
    metric = find_metric("accuracy")
    found = [
        (line.label, summary)
        for line in lines
        if (summary := Summary.of([v for r in line.completed if (v := metric.of(r)) is not None]))
    ]
    return max(found, key=lambda item: item[1].mean, default=None)
