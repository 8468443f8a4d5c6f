"""The Hessians of single batches: an eigenvalue or the trace of each, and their distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtrit
from torch import Tensor, nn

from sambench.curvature.arguments import require_at_least, require_functions, require_one_of
from sambench.curvature.certificate import Which
from sambench.curvature.lanczos import CONFIDENCE, eigenvalues, trace
from sambench.curvature.landscape import filter_normalised
from sambench.curvature.operator import HessianOperator
from sambench.curvature.vectors import EndedBy, Progress, Stop

Definition = Literal["dominant", "top", "topk", "trace"]
DEFINITIONS: Mapping[Definition, str] = {
    "dominant": "batch-dominant-eigenvalue",
    "top": "batch-top-eigenvalue",
    "topk": "batch-top-5-eigenvalues",
    "trace": "batch-trace",
}
"""What each is called in a record."""

TOP_K = 5
LEAST_FOR_MEDIAN = 6  # batches: the range of five covers the median 93.75 % of the time
LEAST_FOR_MEAN = 8  # batches: of fewer, skewed, no interval covers 95 %
OTHER_END = 0.2  # of a dominant eigenvalue: from here on its sign may flip in another batch
Interval = tuple[float, float]
Displacement = Callable[[int], tuple[Mapping[str, Tensor], float]]


@dataclass(frozen=True)
class BatchValues:
    """What was found of one batch, in plain numbers that can be stored."""

    values: tuple[float, ...]
    residuals: tuple[float, ...]
    """Of eigenvalues |Hv - theta v|, of traces the standard error."""
    matvecs: int
    converged: bool
    """Whether each value is certified, or a trace's interval within the tolerance."""
    one_sign: bool = True
    """Whether a dominant eigenvalue is positive and the other end under a fifth of it."""
    ended_by: EndedBy = "max_matvecs"
    """Why the work on it ended, that on the first value that did not converge."""


@dataclass(frozen=True, kw_only=True)
class BatchSpectrum:
    """Distribution over batches of numbers that belong to each batch's Hessian."""

    definition: str
    """Which numbers of which matrix."""
    batches: tuple[BatchValues, ...] = field(repr=False)
    """In the order of the batches; fewer than `num_batches` if the time ran out."""
    batch_sizes: tuple[int, ...] = field(repr=False)
    """Samples of each measured batch."""
    num_batches: int
    """How many there were to measure."""
    median: float
    median_interval: tuple[float, float] | None
    """95 % confidence interval over batches; None where too few batches give none that covers."""
    mean: float
    mean_interval: tuple[float, float] | None
    """Likewise, and None where a dominant eigenvalue may have the other sign in another batch."""
    std: float
    """Sample standard deviation (ddof 1); NaN for a single value."""
    min: float
    max: float
    fraction_negative: float
    matvecs: int
    """Products with a single batch's Hessian."""
    all_converged: bool
    one_sign: bool
    """Whether each dominant eigenvalue is positive and the other end under a fifth of it."""
    ended_by: EndedBy

    @property
    def values(self) -> tuple[float, ...]:
        """All values, batch after batch."""
        return tuple(value for batch in self.batches for value in batch.values)

    @property
    def residuals(self) -> tuple[float, ...]:
        """Their residuals."""
        return tuple(residual for batch in self.batches for residual in batch.residuals)


def batch_spectrum(
    H: HessianOperator,
    tol: float = 1e-2,
    seed: int = 0,
    *,
    definition: Definition = "dominant",
    perturbations: int = 0,
    displacement: Displacement | None = None,
    max_matvecs: int = 100,
    num_batches: int | None = None,
    done: Sequence[BatchValues] = (),
    on_batch: Callable[[BatchValues], None] = lambda found: None,
    out_of_time: Stop = lambda: False,
    on_progress: Progress = lambda done, most: None,
) -> BatchSpectrum:
    """Return the distribution over batches of what `definition` names.

    For every batch, in one fixed pass, of the Hessian of that batch's mean loss:

    - "dominant": the eigenvalue of largest magnitude, sign kept. This is the "Hessian max
      eigenvalue spectrum" of Park & Kim ("How Do Vision Transformers Work?", 2022);
    - "top": the most positive eigenvalue; "topk": the five most positive ones;
    - "trace": its trace.

    The statistics give each batch the same weight, an incomplete last one too. By Jensen's
    inequality the mean over batches of the largest eigenvalue is at least the largest one of the
    whole data; a dominant one may be negative. Each eigenvalue, and the sign of a dominant one, is
    certified or said not to be (see `eigenvalues`). Intervals of `mean` and `median` cover the
    choice of the batches; none was found that does so for a standard deviation.

    With `perturbations` each batch is measured that often, at weights moved by `displacement` (see
    `weight_noise`). Each batch has starts and probes of its own; `max_matvecs` holds for each. Only
    the first `num_batches` are measured, and not those that are `done` by an earlier, interrupted
    call, whose results went to `on_batch` one by one. After each batch `on_progress` is called, and
    `out_of_time` is asked whether the batches so far are the result.

    Raises:
        CurvatureError: If a loss or a product is not finite.
        ValueError: If there is no such definition, a number is too small, or `displacement` is
            missing.
    """
    require_one_of(Definition, definition=definition)
    require_at_least(0, perturbations=perturbations)
    require_at_least(1, num_batches=num_batches)
    require_functions(on_batch=on_batch, out_of_time=out_of_time, on_progress=on_progress)
    if perturbations and displacement is None:
        raise ValueError("perturbations need a displacement")
    moving, times = (displacement, perturbations) if perturbations else (None, 1)
    count = min(H.num_batches, num_batches or H.num_batches)
    found = list(done[:count])
    while len(found) < count and not (found and out_of_time()):
        index, parts = len(found), []
        for which in range(index * times, (index + 1) * times):
            with nullcontext(H) if moving is None else H.displaced(*moving(which)) as there:
                parts.append(_measure(there, index, definition, tol, seed + which, max_matvecs))
        values, residuals, matvecs, converged, one_sign, _ = zip(*map(astuple, parts), strict=True)
        sums = (sum(values, ()), sum(residuals, ()), sum(matvecs))
        found.append(BatchValues(*sums, all(converged), all(one_sign), _why(parts)))
        on_batch(found[-1])
        on_progress(len(found), count)
    array = np.asarray([batch.values for batch in found])
    signed = all(batch.one_sign for batch in found)
    return BatchSpectrum(
        definition=DEFINITIONS[definition] + ("-under-weight-noise" if perturbations else ""),
        batches=tuple(found),
        batch_sizes=H.batch_sizes[: len(found)],
        num_batches=count,
        median=float(np.median(array)),
        median_interval=median_interval(array[:, 0]) if array.shape[1] == 1 else None,
        mean=float(array.mean()),
        mean_interval=mean_interval(array.mean(1)) if signed else None,
        std=float(array.std(ddof=1)) if array.size > 1 else float("nan"),
        min=float(array.min()),
        max=float(array.max()),
        fraction_negative=float((array < 0).mean()),
        matvecs=sum(batch.matvecs for batch in found),
        all_converged=all(batch.converged for batch in found),
        one_sign=signed,
        ended_by="minutes" if len(found) < count else _why(found),
    )


def _why(found: Sequence[BatchValues]) -> EndedBy:
    """Return why the work on the first that did not converge ended."""
    return next((batch.ended_by for batch in found if not batch.converged), "tolerance")


def _measure(
    H: HessianOperator, index: int, definition: Definition, tol: float, seed: int, max_matvecs: int
) -> BatchValues:
    """Measure one batch; its graph and the Lanczos vectors are let go."""
    with H.batch(index) as batch:
        if definition == "trace":
            total = trace(batch, tol, seed, max_matvecs=max_matvecs)
            numbers = ((total.estimate,), (total.stderr,), total.matvecs, total.converged)
            return BatchValues(*numbers, ended_by=total.ended_by)
        k = TOP_K if definition == "topk" else 1
        which: Which = "dominant" if definition == "dominant" else "top"
        found = eigenvalues(batch, k, tol, max_matvecs, seed, which=which)
    values, residuals = tuple(found.values.tolist()), tuple(found.residuals.tolist())
    one_sign = which == "top" or -found.lowest < OTHER_END * values[0]
    return BatchValues(values, residuals, found.matvecs, found.converged, one_sign, found.ended_by)


def mean_interval(values: NDArray[np.float64]) -> Interval | None:
    r"""Return a 95 % interval of the mean of what the values are drawn from; None for under eight.

    Student's t, on the logarithms y where all are positive: of a log-normal the mean is
    :math:`\exp(\mu + \sigma^2 / 2)`, and :math:`\bar y + s^2/2` has the standard error
    :math:`\sqrt{s^2/n + s^4/(2(n-1))}` (Cox, in Zhou & Gao, 1997); likewise where all are negative.
    If that interval does not hold the mean of the values, they are not log-normal, and it is
    Student's t of the values. Of values far from log-normal, such as uniform ones from zero on, it
    covers 80 to 98 %. If a few in a hundred batches have the other sign, a sample without them
    gives too narrow an interval, so `batch_spectrum` asks for none unless the other end of each
    spectrum is far smaller (`OTHER_END`).
    """
    n = len(values)
    if n < LEAST_FOR_MEAN:
        return None
    quantile = float(stdtrit(n - 1, 0.5 * (1 + CONFIDENCE)))
    mean = float(values.mean())
    sign = 1.0 if (values > 0).all() else -1.0 if (values < 0).all() else 0.0
    if sign:
        y = np.log(np.abs(values))
        variance = float(y.var(ddof=1))
        center = float(y.mean()) + variance / 2
        half = math.sqrt(variance / n + variance**2 / (2 * (n - 1))) * quantile
        low, high = sorted(sign * math.exp(end) for end in (center - half, center + half))
        if low <= mean <= high:
            return low, high
    half = math.sqrt(float(values.var(ddof=1)) / n) * quantile
    return mean - half, mean + half


def median_interval(values: NDArray[np.float64]) -> Interval | None:
    """Return a 95 % interval of the median of what the values are drawn from; None for under six.

    Between order statistics, whose coverage depends on no distribution, interpolated to 95 %
    (Hettmansperger & Sheather, "Confidence intervals based on interpolated order statistics",
    1986).
    """
    n, ordered = len(values), np.sort(values)
    if n < LEAST_FOR_MEDIAN:
        return None
    depth = np.arange(1, n // 2 + 1)
    coverage = 1 - 2 * bdtr(depth - 1, n, 0.5)
    k = int(depth[coverage >= CONFIDENCE][-1])
    wide, narrow = float(coverage[k - 1]), float(coverage[k])
    share = (wide - CONFIDENCE) / (wide - narrow)
    inward = (n - k) * share / (k + (n - 2 * k) * share)
    low = (1 - inward) * ordered[k - 1] + inward * ordered[k]
    high = (1 - inward) * ordered[n - k] + inward * ordered[n - k - 1]
    return float(low), float(high)


def weight_noise(model: nn.Module, sigma: float, seed: int) -> Displacement:
    r"""Return displacements by Gaussian noise of which each filter has `sigma` times its own norm.

    Filter-normalised as in `filter_normalised`, so that the noise is relative to the weights: a
    filter j moves by :math:`\sigma \|w_j\| \, d_j / \|d_j\|`, biases and scales stay. The network
    must not change between the call and the use of the displacements.
    """
    return lambda which: (filter_normalised(model, seed, which), sigma)
