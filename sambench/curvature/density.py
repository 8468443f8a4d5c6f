"""The spectral density of a symmetric operator, by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from sambench.curvature.arguments import (
    require_at_least,
    require_functions,
    require_one_of,
    require_positive,
)
from sambench.curvature.krylov import BLOCK_ROWS, Floats, Lanczos, RitzValues
from sambench.curvature.vectors import (
    Progress,
    SymmetricOperator,
    gaussian,
    generator,
    rademacher,
    vectors_that_fit,
)

Start = Literal["sphere", "rademacher"]
DENSITY_STREAM = 2
DECADES = 3.0  # of |eigenvalue| below the largest that the logarithmic part of the axis shows
MARGIN = 4.0  # kernel widths that the grid reaches beyond the outermost nodes
RESOLVED = 1e-2  # residual over |value| of a Ritz value that is called an eigenvalue


@dataclass(frozen=True, kw_only=True)
class SpectralDensity:
    r"""The distribution of the eigenvalues of H, as :math:`\frac1N \sum_i \delta(\lambda_i)`.

    Every quantity is a mean over independent probes, and its error the standard error over them.
    """

    size: int
    """N, the number of eigenvalues."""
    nodes: tuple[Floats, ...] = field(repr=False)
    """For each probe the quadrature nodes, ascending: Ritz values."""
    weights: tuple[Floats, ...] = field(repr=False)
    """For each probe their weights; they sum to one."""
    grid: Floats = field(repr=False)
    """(g,) eigenvalues, evenly spaced in asinh(eigenvalue / scale)."""
    density: Floats = field(repr=False)
    """(g,) smoothed density per unit of eigenvalue; integrates to one."""
    density_stderr: Floats = field(repr=False)
    """(g,)"""
    scale: float
    """Where the axis turns from linear to logarithmic, and the threshold of `zero_mass`."""
    width: float
    """Standard deviation of the kernel, in units of asinh(eigenvalue / scale)."""
    mean: float
    """First moment, tr(H)/N."""
    mean_stderr: float
    second: float
    """Second moment, |H|_F^2/N."""
    second_stderr: float
    zero_mass: float
    """Share of eigenvalues of magnitude at most `scale`, to within the weight of a node."""
    zero_mass_stderr: float
    negative_mass: float
    """Share of eigenvalues below -`scale`."""
    negative_mass_stderr: float
    resolved: Floats = field(repr=False)
    """Single eigenvalues beyond `scale` that one probe found to 1 %, ascending."""
    resolved_residuals: Floats = field(repr=False)
    """|Hv - theta v| of each."""
    start: Start
    steps: int
    """Lanczos steps of the longest probe."""
    reorthogonalised: bool
    """Whether every basis fitted the memory; otherwise converged nodes have copies."""
    matvecs: int

    @property
    def trace(self) -> float:
        """Hutchinson's estimate of tr(H)."""
        return self.size * self.mean

    @property
    def trace_stderr(self) -> float:
        """Its standard error."""
        return self.size * self.mean_stderr


@torch.inference_mode(False)
@torch.no_grad()
def density(
    H: SymmetricOperator,
    probes: int = 5,
    steps: int = 80,
    seed: int = 0,
    *,
    start: Start = "sphere",
    grid_points: int = 1024,
    width: float = 0.2,
    max_basis: int | None = None,
    on_progress: Progress = lambda done, most: None,
) -> SpectralDensity:
    r"""Estimate the density of the eigenvalues of H with a standard error at every point.

    For a start v, uniform on the sphere or of random signs over :math:`\sqrt N`, m Lanczos steps
    give a tridiagonal :math:`T = U \Theta U^T` whose Gauss quadrature

    .. math:: v^T f(H) v \approx \sum_i \tau_i f(\theta_i), \qquad \tau_i = U_{1i}^2,

    is exact for polynomials up to degree 2m - 1; its mean over starts is :math:`\frac1N
    \operatorname{tr} f(H)` (Golub & Welsch, 1969; Lin, Saad & Yang, "Approximating spectral
    densities of large matrices", 2016; Ghorbani, Krishnan & Xiao, 2019). The basis is fully
    reorthogonalised and T solved in float64 by a symmetric solver.

    A network's bulk and outliers differ by orders of magnitude, so nodes are smoothed by a Gaussian
    in :math:`t = \operatorname{asinh}(\lambda / s)` with s a thousandth of the largest magnitude:
    its width is :math:`h \sqrt{\lambda^2 + s^2}`, always relative to the spectrum's range, so a
    flat minimum is resolved as well as a sharp one. The density is per unit of eigenvalue.

    Each of the `probes` (five or more for a useful error band) takes `steps` Lanczos steps; its
    start is independent of eigenvalue and trace runs with the same seed. The grid has `grid_points`
    points, and h is `width`. At most `max_basis` Lanczos vectors are kept in memory, by default
    what fits. After each step `on_progress` gets the number of products.

    Raises:
        ValueError: If `probes` or `steps` is below 2, or another argument is none of its choices.
        CurvatureError: If a product is not finite.
    """
    require_one_of(Start, start=start)
    require_positive(width=width)
    require_at_least(2, probes=probes, steps=steps, grid_points=grid_points)
    require_at_least(1, max_basis=max_basis)
    require_functions(on_progress=on_progress)
    products_before = H.matvecs
    source = generator(H.device, seed, DENSITY_STREAM)
    room = BLOCK_ROWS if max_basis is None else max_basis
    steps = min(steps, H.size)
    found, complete = list[RitzValues](), True
    for probe in range(probes):
        drawn = gaussian(H, source) if start == "sphere" else rademacher(H, source, 1)[0]
        run = Lanczos(H, drawn, max(2, min(steps, room)))
        for step in range(steps):
            run.step()
            if max_basis is None and probe == step == 0:  # the graphs are in memory by now
                room = vectors_that_fit(H)
                run.basis.limit = max(2, min(steps, room))
            on_progress(probe * steps + step + 1, probes * steps)
            if run.exhausted:  # the quadrature is exact for this start
                break
        found.append(run.ritz())
        complete = complete and run.complete
    nodes = tuple(ritz.values for ritz in found)
    weights = tuple(ritz.coefficients[0] ** 2 for ritz in found)
    scale = max(ritz.scale for ritz in found) * 10**-DECADES or 1.0  # H = 0 has no scale
    ends = np.arcsinh(np.array([min(n[0] for n in nodes), max(n[-1] for n in nodes)]) / scale)
    low, high = min(ends[0], 0.0) - MARGIN * width, max(ends[1], 0.0) + MARGIN * width
    grid = np.asarray(scale * np.sinh(np.linspace(low, high, grid_points)))
    smooth = [_smooth(grid, n, w, scale, width) for n, w in zip(nodes, weights, strict=True)]
    smoothed, smoothed_stderr = _over_probes(np.stack(smooth))

    functions: dict[str, Callable[[Floats], Floats]] = {
        "mean": lambda n: n,
        "second": np.square,
        "zero_mass": lambda n: (np.abs(n) <= scale).astype(float),
        "negative_mass": lambda n: (n < -scale).astype(float),
    }
    moments: dict[str, float] = {}
    for name, function in functions.items():
        values = [float(w @ function(n)) for n, w in zip(nodes, weights, strict=True)]
        mean, stderr = _over_probes(np.asarray(values))
        moments |= {name: float(mean), f"{name}_stderr": float(stderr)}
    resolved, residuals = _resolved(found, scale)
    return SpectralDensity(
        size=H.size,
        nodes=nodes,
        weights=weights,
        grid=grid,
        density=smoothed,
        density_stderr=smoothed_stderr,
        scale=scale,
        width=width,
        **moments,
        resolved=resolved,
        resolved_residuals=residuals,
        start=start,
        steps=max(len(n) for n in nodes),
        reorthogonalised=complete,
        matvecs=H.matvecs - products_before,
    )


def _over_probes(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard error over the first axis."""
    return values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))


def _smooth(grid: Floats, nodes: Floats, weights: Floats, scale: float, width: float) -> Floats:
    """Return the nodes' Gaussian mixture in asinh(x / scale), as a density in x."""
    t = np.arcsinh(grid / scale)
    z = (t[:, None] - np.arcsinh(nodes / scale)) / width
    per_t = np.exp(-0.5 * z * z) @ weights / (width * math.sqrt(2 * math.pi))
    return np.asarray(per_t / np.hypot(grid, scale))


def _resolved(found: Sequence[RitzValues], scale: float) -> tuple[Floats, Floats]:
    """Return the eigenvalues, and their residuals, of the probe that pinned down most of them."""
    kept = [
        (np.abs(ritz.values) > scale) & (ritz.residuals <= RESOLVED * np.abs(ritz.values))
        for ritz in found
    ]
    best = int(np.argmax([mask.sum() for mask in kept]))
    return found[best].values[kept[best]], found[best].residuals[kept[best]]
