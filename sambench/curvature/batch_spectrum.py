"""What the Hessians of single batches have in common: one or some numbers of each, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sambench.curvature.lanczos import eigenvalues
from sambench.curvature.operator import HessianOperator
from sambench.curvature.result import BatchSpectrum, BatchValues
from sambench.curvature.trace import trace
from sambench.curvature.vectors import EndedBy, Progress, Stop, dot, gaussian, generator, never

Definition = Literal["dominant", "top", "topk", "trace", "rayleigh", "vhv"]
DEFINITIONS: Mapping[Definition, str] = {
    "dominant": "batch-dominant-eigenvalue",
    "top": "batch-top-eigenvalue",
    "topk": "batch-top-5-eigenvalues",
    "trace": "batch-trace",
    "rayleigh": "batch-rayleigh-quotient",
    "vhv": "batch-quadratic-form",
}
"""What each is called in a record."""

TOP_K = 5
RESAMPLES = 2000
DRAW_STREAM = 2
Statistic = Callable[..., NDArray[np.float64]]
Displacement = Callable[[int], tuple[Mapping[str, Tensor], float]]


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
    out_of_time: Stop = never,
    on_progress: Progress | None = None,
) -> BatchSpectrum:
    """Return the distribution over batches of what `definition` names.

    For every batch, in one fixed pass, of the Hessian of that batch's mean loss:

    - "dominant": the eigenvalue of largest magnitude, sign kept. This is the "Hessian max
      eigenvalue spectrum" of Park & Kim ("How Do Vision Transformers Work?", 2022);
    - "top": the most positive eigenvalue; "topk": the five most positive ones;
    - "trace": its trace;
    - "rayleigh": v'Hv / v'v for `max_matvecs` Gaussian v, which has mean trace / n;
    - "vhv": v'Hv for the same v: Hutchinson's samples.

    An incomplete last batch is one of them. The statistics give each batch the same weight. By
    Jensen's inequality the mean over batches of the largest eigenvalue is at least the largest one
    of the whole data; a dominant one may be negative. Intervals are bootstrapped over batches, and
    so cover the choice of batches, also where a batch has several values.

    Args:
        H: The operator over all batches, cut as in training.
        tol: Relative tolerance of each eigenvalue's residual, or of a trace's interval.
        seed: Of starts and draws, different ones for each batch, and of the bootstrap.
        definition: Which numbers.
        perturbations: Measure each batch that often at displaced weights, instead of once at the
            weights themselves.
        displacement: Returns direction and step of the i-th displacement (see `weight_noise`); a
            new one for each measurement. Goes with `perturbations`.
        max_matvecs: Most products for one batch, or for one displacement of it.
        num_batches: Measure the first ones only.
        done: The first batches' results of an earlier, interrupted call; they are not repeated.
        on_batch: Called with each new batch's result, to be kept for `done`.
        out_of_time: Asked after each batch; when true the batches so far are the result.
        on_progress: Called after each batch with the batches done and their number.

    Raises:
        CurvatureError: If a loss or a product is not finite.
        ValueError: If there is no such definition, or `displacement` is missing.
    """
    if definition not in DEFINITIONS:
        raise ValueError(f"definition={definition!r}: one of {', '.join(get_args(Definition))}")
    if perturbations and displacement is None:
        raise ValueError("perturbations need a displacement")
    count = min(H.num_batches, num_batches or H.num_batches)
    found = list(done[:count])
    ended_by: EndedBy = "tolerance"
    for index in range(len(found), count):
        if found and out_of_time():
            ended_by = "minutes"
            break
        if displacement is None or not perturbations:
            new = _measure(H, index, definition, tol, seed + index, max_matvecs)
        else:
            new = _displaced(
                H, index, definition, tol, seed, max_matvecs, perturbations, displacement
            )
        found.append(new)
        on_batch(new)
        if on_progress is not None:
            on_progress(index + 1, count)
    name = DEFINITIONS[definition] + ("-under-weight-noise" if perturbations else "")
    return _summarise(found, H.batch_sizes[: len(found)], count, name, ended_by, seed)


def _displaced(
    H: HessianOperator,
    index: int,
    definition: Definition,
    tol: float,
    seed: int,
    max_matvecs: int,
    perturbations: int,
    displacement: Displacement,
) -> BatchValues:
    """Measure one batch at several displaced weights."""
    found = []
    for which in range(index * perturbations, (index + 1) * perturbations):
        direction, step = displacement(which)
        with H.displaced(direction, step) as moved:
            found.append(_measure(moved, index, definition, tol, seed + which, max_matvecs))
    return BatchValues(
        values=tuple(value for part in found for value in part.values),
        residuals=tuple(residual for part in found for residual in part.residuals),
        matvecs=sum(part.matvecs for part in found),
        converged=all(part.converged for part in found),
    )


def _measure(
    H: HessianOperator, index: int, definition: Definition, tol: float, seed: int, max_matvecs: int
) -> BatchValues:
    """Measure one batch; its graph and the Lanczos vectors are let go."""
    with H.batch(index) as batch:
        if definition in ("dominant", "top", "topk"):
            return _eigenvalues(batch, definition, tol, seed, max_matvecs)
        if definition == "trace":
            total = trace(batch, tol, seed, max_matvecs=max_matvecs)
            return BatchValues(
                values=(total.estimate,),
                residuals=(total.stderr,),
                matvecs=total.matvecs,
                converged=total.converged,
            )
        return _quadratic_forms(batch, definition, seed, max_matvecs)


def _eigenvalues(
    batch: HessianOperator, definition: Definition, tol: float, seed: int, max_matvecs: int
) -> BatchValues:
    k = TOP_K if definition == "topk" else 1
    which: Literal["dominant", "top"] = "dominant" if definition == "dominant" else "top"
    pairs = eigenvalues(batch, k, tol, max_matvecs, seed, which=which, certify=False)
    return BatchValues(
        values=tuple(pairs.values.tolist()),
        residuals=tuple(pairs.residuals.tolist()),
        matvecs=pairs.matvecs,
        converged=pairs.converged,
    )


def _quadratic_forms(
    batch: HessianOperator, definition: Definition, seed: int, count: int
) -> BatchValues:
    """Draw v'Hv, or v'Hv / v'v, one vector at a time so that memory does not depend on `count`."""
    source = generator(batch.device, seed, DRAW_STREAM)
    values, product = [], torch.empty(batch.size, device=batch.device, dtype=batch.dtype)
    for _ in range(count):
        v = gaussian(batch, source)
        value = dot(v, batch.matvec(v, product))
        values.append(value / dot(v, v) if definition == "rayleigh" else value)
    return BatchValues(
        values=tuple(values), residuals=(0.0,) * count, matvecs=count, converged=True
    )


def _summarise(
    found: Sequence[BatchValues],
    batch_sizes: tuple[int, ...],
    num_batches: int,
    definition: str,
    ended_by: EndedBy,
    seed: int,
) -> BatchSpectrum:
    array = np.asarray([batch.values for batch in found])
    converged = all(batch.converged for batch in found)
    if ended_by == "tolerance" and not converged:
        ended_by = "max_matvecs"
    return BatchSpectrum(
        definition=definition,
        batches=tuple(found),
        batch_sizes=batch_sizes,
        num_batches=num_batches,
        median=float(np.median(array)),
        median_interval=_bootstrap(array, np.median, seed),
        mean=float(array.mean()),
        mean_interval=_bootstrap(array, np.mean, seed),
        std=float(array.std(ddof=1)) if array.size > 1 else float("nan"),
        min=float(array.min()),
        max=float(array.max()),
        fraction_negative=float((array < 0).mean()),
        matvecs=sum(batch.matvecs for batch in found),
        all_converged=converged,
        ended_by=ended_by,
    )


def _bootstrap(values: NDArray[np.float64], statistic: Statistic, seed: int) -> tuple[float, float]:
    """Return the percentile bootstrap 95 % interval of a statistic; batches are drawn whole."""
    source, batches = np.random.default_rng(seed), len(values)
    rows = [source.choice(batches, batches) for _ in range(RESAMPLES)]
    low, high = np.percentile([statistic(values[row]) for row in rows], [2.5, 97.5])
    return float(low), float(high)
