"""Extreme eigenvalues and trace of a symmetric operator, each with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from sambench.curvature.arguments import require_at_least, require_functions, require_one_of
from sambench.curvature.certificate import Goal, Which
from sambench.curvature.krylov import BLOCK_ROWS, Basis, Lanczos, RitzValues
from sambench.curvature.vectors import (
    EIGENVALUE_STREAM,
    TRACE_STREAM,
    EndedBy,
    Progress,
    Stop,
    SymmetricOperator,
    dot,
    gaussian,
    generator,
    norm,
    rademacher,
    vectors_that_fit,
)
from sambench.errors import CurvatureError

MIN_SAMPLES = 8
CONFIDENCE = 0.95
SAME = 10.0  # times the rounding of a product: two of one vector and one matrix are no further
BLOCK = 8  # probes in one pass over the data, where two vectors of each fit the memory


@dataclass(frozen=True, kw_only=True)
class DeflationBasis:
    """Orthonormal vectors Q on which a trace is known exactly."""

    vectors: Basis
    projected_trace: float
    """tr(Q'HQ)."""
    ritz: RitzValues | None = field(default=None, repr=False)
    """The eigenvalues of Q'HQ, by which another H is told; None of a basis that is empty."""

    def require_of(self, H: SymmetricOperator) -> None:
        """Refuse an H of which the largest eigenvalue known here is none, by one product."""
        if self.ritz is None:
            return
        best = int(np.abs(self.ritz.values).argmax())
        vector = self.vectors.combine(self.ritz.coefficients[:, [best]])[0]
        residual = float(self.ritz.residuals[best])
        allowed = residual + SAME * self.ritz.noise * max(self.ritz.scale, residual)
        value = float(self.ritz.values[best])
        if len(vector) != H.size or norm(H.matvec(vector).sub_(vector, alpha=value)) > allowed:
            raise CurvatureError(
                "the basis or eigenvectors given are of another H than this: call eigenvalues(H) "
                "anew for these weights, data and settings"
            )


@dataclass(frozen=True, kw_only=True)
class Eigenpairs:
    """Extreme eigenvalues found by one Lanczos run.

    Every eigenvalue has a residual r >= |Hv - theta v|: some eigenvalue of H lies within r of it.
    Intervals and bounds hold except with a chance of 1e-6 each, rounding aside.
    """

    values: Tensor
    """(k,) float64, on the CPU; the most positive ones first, or the largest in magnitude."""
    residuals: Tensor
    """(k,) float64, on the CPU."""
    intervals: Tensor
    """(k, 2) float64, on the CPU: where the i-th eigenvalue of H is; one end is the value. If a
    dominant one is not certified, it is where the outermost one on the value's side is."""
    certified: tuple[bool, ...]
    """For each whether its interval is within the tolerance: the value is what it is called."""
    vectors: Tensor | None = field(repr=False)
    """(k, size) unit vectors as rows; None if the run did not keep its basis."""
    upper_bound: float
    """No eigenvalue is larger."""
    lower_bound: float
    """No eigenvalue is smaller."""
    lowest: float
    """The most negative eigenvalue, which the run does not wait for."""
    lowest_residual: float
    lowest_certified: bool
    """Whether it and the lower bound are within the tolerance of each other."""
    matvecs: int
    """Products used."""
    ended_by: EndedBy
    basis: DeflationBasis = field(repr=False)
    """The Lanczos vectors, as long as they fit the memory, for `trace`."""

    @property
    def converged(self) -> bool:
        """Whether each value is certified."""
        return all(self.certified)


@dataclass(frozen=True, kw_only=True)
class TraceEstimate:
    """A stochastic estimate of tr(H)."""

    estimate: float
    """The mean of the samples."""
    stderr: float
    """Their standard error."""
    interval: tuple[float, float]
    """Student-t 95 % confidence interval."""
    samples: Tensor = field(repr=False)
    """(s,) float64, on the CPU: independent and unbiased estimates of tr(H)."""
    matvecs: int
    """Products used; those of the basis and that which checks it are not counted."""
    converged: bool
    """Half the interval is at most the tolerance times |estimate|."""
    ended_by: EndedBy


@torch.inference_mode(False)
@torch.no_grad()
def eigenvalues(
    H: SymmetricOperator,
    k: int = 1,
    tol: float = 1e-2,
    max_matvecs: int = 200,
    seed: int = 0,
    *,
    which: Which = "top",
    max_basis: int | None = None,
    out_of_time: Stop = lambda: False,
    on_progress: Progress = lambda done, most: None,
) -> Eigenpairs:
    r"""Return the top eigenvalues of H, or the dominant one, by Lanczos from random starts.

    A small residual proves that there is an eigenvalue, not that it is the largest, so each value
    comes with an interval. The i-th Ritz value is a lower bound of the i-th eigenvalue (Cauchy).
    The upper bound is `certificate.upper_bound`, which holds except with a chance of 1e-6 over the
    start.

    One start proves that nothing is above the first eigenvalue; of a multiple one it sees a single
    vector. For k > 1 the run therefore goes on, once the k residuals are small, from another random
    start in the complement of the basis Q. With the bound U of the part C of H in there and the
    coupling S between both,

    .. math:: \lambda_i(H) \le \lambda_i \begin{pmatrix} T & S^T \\ S & U \end{pmatrix}
              \quad\text{or } U \text{ if that is larger},

    since C is at most U times the identity. What the first start missed appears in the second.

    The k largest, each counted as often as it occurs, are "top"; "dominant" is the one of largest
    magnitude, certified if the bounds of both ends settle its sign too. `tol` is the largest width
    of an interval, and the largest residual, relative to the value: a value that is zero compared
    with the norm of H is not certified. At most `max_basis` Lanczos vectors are kept, by default
    what fits into memory: a longer run with k = 1 goes on without them, and returns no vector; with
    k > 1 it ends there. After each step `on_progress` gets the number of products, and
    `out_of_time` is asked whether to stop.

    Raises:
        CurvatureError: If a product is not finite, or H is not symmetric.
        ValueError: If several dominant eigenvalues are asked for, `which` is neither choice, or a
            number is too small.
    """
    require_one_of(Which, which=which)
    require_at_least(0, tol=tol)
    require_at_least(1, k=k, max_matvecs=max_matvecs)
    require_at_least(min(k, H.size), max_basis=max_basis)
    require_functions(out_of_time=out_of_time, on_progress=on_progress)
    if which == "dominant" and k > 1:
        raise ValueError(f"k={k}: of the dominant eigenvalue there is one; use which='top'")
    before, goal = H.matvecs, Goal(min(k, H.size), tol, which, H.size)
    source, most = generator(H.device, seed, EIGENVALUE_STREAM), max(goal.k, max_matvecs)
    run = Lanczos(H, gaussian(H, source), BLOCK_ROWS if max_basis is None else max_basis)
    ended_by: EndedBy | None = None
    while ended_by is None:
        run.step()
        if max_basis is None and len(run.alphas) == 1:  # the graphs are in memory by now
            run.basis.limit = max(goal.k + 1, min(most, vectors_that_fit(H)))
        on_progress(len(run.alphas), max_matvecs)
        ritz, enough = run.ritz(), len(run.alphas) >= goal.k
        restarts = goal.needs_another_start(run, ritz)
        full = len(run.basis) == run.basis.limit < most
        if goal.is_reached(run, ritz):
            ended_by = "tolerance"
        elif out_of_time() and enough:
            ended_by = "minutes"
        elif full and enough and (restarts or goal.k > 1):
            ended_by = "memory"
        elif len(run.alphas) == most:
            ended_by = "max_matvecs"
        elif restarts:
            run.restart(gaussian(H, source))
    bounds, chosen, lowest = goal.bounds(run, ritz), goal.choose(ritz), float(ritz.values[0])
    highs, low = bounds
    certified = tuple(goal.certified(ritz, bounds))
    return Eigenpairs(
        values=torch.from_numpy(ritz.values[chosen].copy()),
        residuals=torch.from_numpy(ritz.residuals[chosen].copy()),
        intervals=torch.from_numpy(goal.intervals(ritz, bounds)),
        certified=certified,
        vectors=run.basis.combine(ritz.coefficients[:, chosen]) if run.complete else None,
        upper_bound=float(highs[0]),
        lower_bound=low,
        lowest=lowest,
        lowest_residual=float(ritz.residuals[0]),
        lowest_certified=goal.narrow(lowest, lowest - low, ritz.rounding),
        matvecs=H.matvecs - before,
        ended_by="rounding" if ended_by == "tolerance" and not all(certified) else ended_by,
        basis=DeflationBasis(
            vectors=run.basis,
            projected_trace=run.projected_trace(),
            ritz=ritz if run.complete else run.ritz(len(run.basis)),
        ),
    )


@torch.inference_mode(False)
@torch.no_grad()
def trace(
    H: SymmetricOperator,
    tol: float = 0.05,
    seed: int = 0,
    *,
    basis: DeflationBasis | None = None,
    max_matvecs: int = 200,
    block: int | None = None,
    out_of_time: Stop = lambda: False,
    on_progress: Progress = lambda done, most: None,
) -> TraceEstimate:
    r"""Estimate tr(H) by Hutchinson's method on the complement of a known basis.

    With Q orthonormal and :math:`P = I - QQ^T`, cyclicity and :math:`P^2 = P` give

    .. math:: \operatorname{tr} H = \operatorname{tr}(QQ^T H) + \operatorname{tr}(P H)
              = \operatorname{tr}(Q^T H Q) + \operatorname{tr}(P H P).

    The first term is exact: the sum of the Lanczos alphas. The second is the mean of
    :math:`(Pz)^T H (Pz)` over random signs z, independent of Q, since
    :math:`E[z^T A z] = \operatorname{tr} A`; the variance :math:`2 (\|A\|_F^2 - \sum_i a_{ii}^2)`
    of :math:`A = PHP` lacks the outliers that Q holds (Hutchinson, 1990; Meyer et al., "Hutch++",
    2021; here the samples stay independent and identical, so their standard error is honest). H
    may be indefinite. Stops when the Student-t 95 % half-width is at most `tol` times |estimate|;
    a trace near zero has no relative accuracy and spends the budget.

    The probes are independent of an eigenvalue run with the same seed, whose `Eigenpairs.basis` may
    be given; without a basis this is plain Hutchinson. One more product, which is not counted in
    the result, checks that a basis is of this H. A `block` of probes shares one pass over the data,
    by default eight, or as many as fit into memory with their products; the samples are the same.
    After each block `on_progress` is called, and `out_of_time` is asked whether to stop.

    Raises:
        CurvatureError: If the basis is of another H.
        ValueError: If `max_matvecs` is below 8, as no error bar can be trusted then, `block` below
            1 or `tol` negative.
    """
    require_at_least(0, tol=tol)
    require_at_least(1, block=block)
    require_at_least(MIN_SAMPLES, max_matvecs=max_matvecs)
    require_functions(out_of_time=out_of_time, on_progress=on_progress)
    exact = 0.0
    if basis is not None:
        if not isinstance(basis, DeflationBasis):
            raise ValueError(f"basis is of {type(basis).__name__}: give eigenvalues(H).basis")
        basis.require_of(H)
        exact = basis.projected_trace
    samples: list[float] = []
    fitting = max(1, min(BLOCK, vectors_that_fit(H) // 2))
    rows = block or 1 << (fitting.bit_length() - 1)  # divides eight: where it ends is the same
    source = generator(H.device, seed, TRACE_STREAM)
    for start in range(0, max_matvecs, rows):
        probes = torch.empty(min(rows, max_matvecs - start), H.size, dtype=H.dtype, device=H.device)
        for probe in probes:  # one after the other, so that a seed's probes do not depend on block
            probe.copy_(rademacher(H, source, 1)[0])
            if basis is not None:
                basis.vectors.project_out(probe)
        products = H.matmat(probes.T).T
        samples += [exact + dot(z, Hz) for z, Hz in zip(probes, products, strict=True)]
        on_progress(len(samples), max_matvecs)
        if len(samples) < MIN_SAMPLES or len(samples) % MIN_SAMPLES:
            continue
        found = _summarise(samples, tol)
        if found.converged:
            break
        if out_of_time():
            return replace(found, ended_by="minutes")
    return _summarise(samples, tol)


def _summarise(samples: list[float], tol: float) -> TraceEstimate:
    count = len(samples)
    values = torch.tensor(samples, dtype=torch.float64)
    estimate = float(values.mean())
    scale = 2.0 ** (math.frexp(max(map(abs, samples)))[1] - 1)  # squares may leave the range
    stderr = scale * float((values / scale).std(correction=1)) / math.sqrt(count)
    half = stderr * float(stdtrit(count - 1, 0.5 * (1 + CONFIDENCE)))
    return TraceEstimate(
        estimate=estimate,
        stderr=stderr,
        interval=(estimate - half, estimate + half),
        samples=values,
        matvecs=count,
        converged=half <= tol * abs(estimate),
        ended_by="tolerance" if half <= tol * abs(estimate) else "max_matvecs",
    )
