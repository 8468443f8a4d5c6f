"""The trace of a symmetric operator, estimated with an error bar."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from scipy.special import stdtrit
from torch import Tensor

from sambench.curvature.memory import vectors_that_fit
from sambench.curvature.result import DeflationBasis, TraceEstimate
from sambench.curvature.vectors import (
    TRACE_STREAM,
    Progress,
    Stop,
    SymmetricOperator,
    dot,
    generator,
    never,
    rademacher,
)

MIN_SAMPLES = 8
CONFIDENCE = 0.95
BLOCK = 8  # probes in one pass over the data, where two vectors of each fit the memory


@torch.no_grad()
def trace(
    H: SymmetricOperator,
    tol: float = 0.05,
    seed: int = 0,
    *,
    basis: DeflationBasis | None = None,
    max_matvecs: int = 200,
    block: int | None = None,
    out_of_time: Stop = never,
    on_progress: Progress | None = None,
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

    Args:
        H: The operator.
        tol: Relative half-width of the interval.
        seed: Of the probes; independent of an eigenvalue run with the same seed.
        basis: `Eigenpairs.basis` of a run on the same H; without it, plain Hutchinson.
        max_matvecs: Most products to spend, at least 8.
        block: Probes in one pass over the data, by default eight, or as many as fit the memory with
            their products; the samples are the same.
        out_of_time: Asked after each block; when true the samples drawn so far, at least 8, are
            the estimate.
        on_progress: Called after each block with the products made and `max_matvecs`.

    Raises:
        ValueError: If `max_matvecs` is below 8: no error bar can be trusted.
    """
    if max_matvecs < MIN_SAMPLES:
        raise ValueError(f"max_matvecs={max_matvecs}: a trace takes at least {MIN_SAMPLES} samples")
    exact = 0.0 if basis is None else basis.projected_trace
    samples: list[float] = []
    fitting = max(1, min(BLOCK, vectors_that_fit(H) // 2))
    rows = block or 1 << (fitting.bit_length() - 1)  # divides eight: where it ends is the same
    for probes in _probe_blocks(H, seed, basis, rows, max_matvecs):
        products = H.matmat(probes.T).T
        samples += [exact + dot(z, Hz) for z, Hz in zip(probes, products, strict=True)]
        if on_progress is not None:
            on_progress(len(samples), max_matvecs)
        if len(samples) < MIN_SAMPLES or len(samples) % MIN_SAMPLES:
            continue
        found = _summarise(samples, tol)
        if found.converged:
            break
        if out_of_time():
            return replace(found, ended_by="minutes")
    return _summarise(samples, tol)


def _probe_blocks(
    H: SymmetricOperator, seed: int, basis: DeflationBasis | None, block: int, budget: int
) -> Iterator[Tensor]:
    """Yield independent probes as rows, a block at a time, until the budget is spent."""
    source = generator(H.device, seed, TRACE_STREAM)
    for start in range(0, budget, block):
        probes = torch.empty(min(block, budget - start), H.size, dtype=H.dtype, device=H.device)
        for probe in probes:  # one after the other, so that a seed's probes do not depend on block
            probe.copy_(rademacher(H, source, 1)[0])
            if basis is not None:
                basis.vectors.project_out(probe)
        yield probes


def _summarise(samples: list[float], tol: float) -> TraceEstimate:
    count = len(samples)
    values = torch.tensor(samples, dtype=torch.float64)
    estimate = float(values.mean())
    stderr = float(values.std(correction=1)) / math.sqrt(count)
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
