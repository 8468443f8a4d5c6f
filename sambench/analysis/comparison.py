"""Each optimizer against the baseline by one metric: the statement that all views are made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sambench.analysis.inference import ALPHA, Design
from sambench.analysis.metrics import Metric

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What the runs say of a candidate against a baseline by one metric.

    p and the interval are simultaneous, corrected over a family. Effects are on the printed scale:
    candidate minus baseline, or for a ratio their quotient.
    """

    setting: str  # title of the group; of a pooled statement, how many settings it is over
    metric: Metric
    baseline: str
    candidate: str
    design: Design
    family: int = 1  # number of comparisons that p and interval are corrected over
    names: tuple[str, ...] = ()  # of the units that both sides have
    differences: tuple[float, ...] = field(default=(), repr=False)  # of these units
    wins: float = 0.0  # pairs of runs of which the candidate is the better one, ties half
    pairs: int = 0
    estimate: float | None = None  # mean, geometric of ratios; None without a unit
    low: float | None = None  # of the 95 % interval; None for one unit, as `high` and `sd`
    high: float | None = None
    p: float | None = None
    """Two-sided, lost units at what they count as (see `counted`); None where nothing was tested:
    units are too few, or nothing varies."""
    p_equivalent: float | None = None  # of a difference beyond the metric's margin; likewise
    effect: float | None = None  # Cohen's dz: mean over SD of the units, of logarithms for ratios
    sd: float | None = None  # of the units' differences, of logarithms for ratios
    least_sd: float = 0.0  # what a smaller SD counts as in errors, since test images are whole
    lost: tuple[int, int] = (0, 0)  # units that a side lost: baseline, candidate
    counted: bool = True
    """Whether p counts lost units as a classifier that always names the largest class; else they
    have no such value, as in curvature and time, and p is of the units that both sides have."""
    turned: bool = False  # with the lost units counted the difference has the other sign
    spoiled: bool = False
    """Whether the better side has runs of its own that cannot be counted and speak against it: they
    diverged, collapsed, or are at no minimum."""
    fixed: bool = False  # the same in every unit, as a count of steps: nothing to test
    settings: int = 1  # number of settings pooled
    images: tuple[float, float] | None = None  # so over other seeds and other test images

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.differences)

    @property
    def with_lost(self) -> bool:
        """Whether p counts lost units, which neither the estimate nor the interval does."""
        return self.counted and any(self.lost)

    @property
    def neutral(self) -> float:
        """What no difference is: 0, or 1 of a ratio."""
        return 1.0 if self.metric.ratio else 0.0

    @property
    def enough(self) -> bool:
        """Whether so many units can show a difference."""
        return self.n >= self.design.least_units

    @property
    def gains(self) -> bool:
        """Whether the estimate lies on the better side."""
        gap = (self.estimate or self.neutral) - self.neutral
        return gap > 0 if self.metric.higher_is_better else gap < 0

    @property
    def verdict(self) -> str:
        """One of "better", "worse", "equivalent" and "undecided".

        A side that lost units is called better only if that holds with these counted too, and
        where they cannot be counted only if they failed through no fault of the optimizer.
        """
        if not self.enough or self.p is None or self.estimate is None:
            return UNDECIDED
        if self.p < ALPHA and self.estimate != self.neutral:
            if self.turned or self.spoiled:
                return UNDECIDED
            return BETTER if self.gains else WORSE
        sure = self.p_equivalent is not None and self.p_equivalent < ALPHA
        return EQUIVALENT if sure and not any(self.lost) else UNDECIDED

    @property
    def barred(self) -> bool:
        """Whether lost units alone keep it from being called equivalent."""
        return any(self.lost) and replace(self, lost=(0, 0)).verdict == EQUIVALENT

    @property
    def shown(self) -> bool:
        """Whether a difference is shown."""
        return self.verdict in (BETTER, WORSE)
