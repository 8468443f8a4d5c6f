"""Pictures of the loss around a network's weights."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from sambench.curvature.batches import Batch, Loss
from sambench.curvature.directions import filter_normalised
from sambench.curvature.grid import Grid, Landscape, Rows, axis
from sambench.curvature.lanczos import eigenvalues
from sambench.curvature.objective import BatchNorm
from sambench.curvature.operator import HessianOperator
from sambench.curvature.result import Eigenpairs
from sambench.curvature.surface import LossSurface
from sambench.curvature.vectors import Progress
from sambench.errors import CurvatureError


def random_line(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    points: int = 41,
    extent: float = 1.0,
    seed: int = 0,
    batch_norm: BatchNorm = "eval",
    rows: Rows | None = None,
    on_progress: Progress | None = None,
) -> Landscape:
    """Return the loss along a filter-normalised random direction, L(w + x d).

    The direction is `filter_normalised`'s: the same draw for every network of one architecture,
    and the first axis of the plane of the same seed.

    Args:
        model: The network, in any mode; evaluated in eval mode and left as it is.
        loss: Mean loss of a batch, from float64 outputs and targets.
        batches: Pairs (inputs, targets): a fixed subset, the same for all that is compared.
        points: Values of x, an odd number, so that the weights themselves are one of them.
        extent: x runs from -extent to extent.
        seed: Of the direction.
        batch_norm: "eval" keeps the running statistics, "recalibrate" recomputes them at every
            point, for one more pass each, "train" takes those of each batch.
        rows: Where finished points are kept, by number; those in it are not computed again.
        on_progress: Called after each point with the points done and their number.

    Raises:
        ValueError: If `points` is even or below 3.
        CurvatureError: If the model cannot be evaluated.
    """
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    axes = (surface.flatten(filter_normalised(model, seed)),)
    grid = Grid(surface, axes, (axis(points, extent),))
    return grid.landscape("filter-normalised-line", rows, on_progress)


def random_plane(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    points: int = 21,
    extent: float = 1.0,
    seed: int = 0,
    batch_norm: BatchNorm = "eval",
    rows: Rows | None = None,
    on_progress: Progress | None = None,
) -> Landscape:
    """Return the loss on a plane of two filter-normalised random directions, L(w + x d + y e).

    Arguments, errors and rules are those of `random_line`; a grid has points x points of them.
    """
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    axes = tuple(surface.flatten(filter_normalised(model, seed, which)) for which in (0, 1))
    x = axis(points, extent)
    grid = Grid(surface, axes, (x, x))
    return grid.landscape("filter-normalised-plane", rows, on_progress)


def eigenvector_plane(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    points: int = 21,
    extent: float = 3.0,
    seed: int = 0,
    eigenpairs: Eigenpairs | None = None,
    tol: float = 1e-2,
    max_matvecs: int = 200,
    batch_norm: BatchNorm = "eval",
    rows: Rows | None = None,
    on_progress: Progress | None = None,
) -> Landscape:
    r"""Return the loss on the plane of the two sharpest directions.

    The axes are the eigenvectors of the two largest eigenvalues of the Hessian in steps of
    :math:`1 / \sqrt{|\lambda|}`: were the loss quadratic with its minimum here, it would rise by
    :math:`(x^2 + y^2) / 2` whatever the network, so a circle is what second order predicts. It
    shows the sharpest plane, not a typical one. An eigenvector's sign is set by its largest entry.

    Args:
        model: The network, in any mode; evaluated in eval mode and left as it is.
        loss: Mean loss of a batch, from float64 outputs and targets.
        batches: Pairs (inputs, targets).
        points: Values on each axis, an odd number.
        extent: Both axes run from -extent to extent.
        seed: Of the Lanczos start.
        eigenpairs: The two, if they are known: `eigenvalues(H, 2)` of the same model and data.
        tol: Of their residuals otherwise.
        max_matvecs: Most products to find them.
        batch_norm: Of losses and Hessian, as in `random_line`.
        rows: Where finished rows are kept, by number.
        on_progress: Called after each point with the points done and their number.

    Raises:
        ValueError: If `points` is even or below 3.
        CurvatureError: If there are no two eigenvectors, or one of eigenvalue zero.
    """
    x, batches = axis(points, extent), tuple(batches)
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    if eigenpairs is None:
        with HessianOperator(model, loss, batches, batch_norm=batch_norm) as H:
            eigenpairs = eigenvalues(H, 2, tol, max_matvecs, seed)
    if eigenpairs.vectors is None or len(eigenpairs.values) < 2:
        raise CurvatureError("a plane takes two eigenvectors: compute them with eigenvalues(H, 2)")
    values = tuple(float(value) for value in eigenpairs.values[:2])
    if 0.0 in values:
        raise CurvatureError(f"eigenvalues {values}: along a flat direction there is no unit step")
    axes = tuple(
        vector * (vector[vector.abs().argmax()].sign() / abs(value) ** 0.5)
        for vector, value in zip(eigenpairs.vectors, values, strict=False)
    )
    grid = Grid(surface, axes, (x, x), values, eigenpairs.converged)
    return grid.landscape("eigenvector-plane", rows, on_progress)
