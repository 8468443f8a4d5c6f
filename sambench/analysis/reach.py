"""What a suite can show at most, told before it runs: the smallest p that its pairs allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sambench.analysis.comparison import ALPHA, LEAST_PAIRS
from sambench.analysis.groups import Group, Line, groups
from sambench.analysis.paired import EXACT_PAIRS, FLIPS
from sambench.analysis.panels import titles
from sambench.config.run_config import RunConfig
from sambench.store.record import RUNNING, RunRecord


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How small p can get under one setting.

    Attributes:
        title: The setting.
        baseline: What the others are compared with.
        pairs: Most pairs of runs that an optimizer has with the baseline.
        family: Number of optimizers compared, over which Holm corrects.
        parts: Number of different test parts (folds) among the pairs.
    """

    title: str
    baseline: str
    pairs: int
    family: int
    parts: int

    @property
    def smallest_p(self) -> float:
        """The least p after Holm; 0 for the t test over several test parts, which has no bound."""
        return min(1.0, self.family * smallest(self.pairs)) if self.parts == 1 else 0.0

    @property
    def possible(self) -> bool:
        """Whether any difference can come out as shown."""
        return self.pairs >= LEAST_PAIRS and self.smallest_p < ALPHA

    @property
    def needed(self) -> int:
        """The least number of pairs with which one can."""
        return pairs_needed(self.family, self.parts)


def smallest(pairs: int) -> float:
    """Return the least p of the sign-flip test of so many pairs: 2 of 2^n flips, or 1 draw."""
    return 2.0 ** (1 - pairs) if pairs <= EXACT_PAIRS else 1 / (1 + FLIPS)


def pairs_needed(family: int, parts: int = 1) -> int:
    """Return the least number of pairs with which a difference can come out as shown.

    The least n with family * 2^(1 - n) < 0.05, and no less than six; six over several test parts,
    whose t test has no bound.

    Args:
        family: Number of optimizers compared, over which Holm corrects.
        parts: Number of different test parts among the pairs.
    """
    pairs = LEAST_PAIRS
    if parts > 1:
        return pairs
    while family * smallest(pairs) >= ALPHA and pairs <= EXACT_PAIRS:
        pairs += 1
    return pairs


def reach(configs: Iterable[RunConfig], baseline: str | None) -> tuple[Reach, ...]:
    """Return what the runs can show at most, for each setting that has the baseline and others.

    Args:
        configs: The runs, done or not.
        baseline: Name of the optimizer that the others are compared with.
    """
    planned = groups((RunRecord(config=c, status=RUNNING) for c in configs), baseline)
    return tuple(
        _reach(group, title)
        for group, title in zip(planned, titles(planned), strict=True)
        if len(group.lines) > 1 and group.lines[0].optimizer["name"] == baseline
    )


def _reach(group: Group, title: str) -> Reach:
    first, *others = group.lines
    shared = [_repeats(first) & _repeats(line) for line in others]
    most = max(shared, key=len)
    return Reach(
        title=title,
        baseline=first.label,
        pairs=len(most),
        family=len(others),
        parts=len({repeat[:2] for repeat in most}),
    )


def _repeats(line: Line) -> set[tuple[int, int | None, int]]:
    configs = [record.config for record in line.records]
    return {(config.split_seed, config.fold, config.seed) for config in configs}
