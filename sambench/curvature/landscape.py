"""Pictures of the loss around a network's weights: on a line or a plane, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd

from sambench.curvature.arguments import require_functions, require_one_of
from sambench.curvature.evaluation import Batch, Loss, tracking_layers, unwrapped
from sambench.curvature.krylov import Floats
from sambench.curvature.lanczos import Eigenpairs, eigenvalues
from sambench.curvature.objective import BatchNorm
from sambench.curvature.operator import HessianOperator
from sambench.curvature.surface import Cost, LossSurface
from sambench.curvature.vectors import Progress, flattened, generator, norm
from sambench.errors import CurvatureError

Dimensions = Literal[1, 2]
DIRECTION_STREAM = 100  # and up: one for each direction
NORMALIZATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
Rows = MutableMapping[int, Floats]
"""Finished rows of a grid by their number, so that long work can be resumed."""


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """Mean loss and accuracy on a line or a plane through the weights."""

    kind: str
    """Which directions."""
    coordinates: tuple[Floats, ...] = field(repr=False)
    """Of each axis, ascending, with the weights themselves at zero."""
    loss: Floats = field(repr=False)
    """(x,) on a line; (y, x) on a plane. Infinite where the arithmetic overflows."""
    accuracy: Floats = field(repr=False)
    """Likewise; NaN where the targets are no classes."""
    lengths: tuple[float, ...]
    """Euclidean length of a step of one along each axis."""
    eigenvalues: tuple[float, ...]
    """Of the axes, where they are eigenvectors."""
    eigenvalues_converged: bool | None
    """Whether they met their tolerance; None where the axes are no eigenvectors."""
    batch_norm: BatchNorm
    num_samples: int
    cost: Cost
    """Of all rows, those that were there already too."""

    @property
    def center_loss(self) -> float:
        """The loss of the weights themselves."""
        return float(self.loss[tuple(length // 2 for length in self.loss.shape)])


def random_landscape(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    dimensions: Dimensions = 1,
    *,
    points: int = 21,
    extent: float = 1.0,
    seed: int = 0,
    batch_norm: BatchNorm = "eval",
    rows: Rows | None = None,
    on_progress: Progress = lambda done, most: None,
) -> Landscape:
    """Return the loss along random directions: on a line L(w + x d), or a plane L(w + x d + y e).

    The directions are `filter_normalised`'s: the same draws for every network of one architecture,
    the line's that of the first axis of the plane of the same seed.

    Model, loss and batches, a fixed subset that is the same for all that is compared, are evaluated
    as by `step_sharpness`; "recalibrate" measures statistics at every point, for one more pass. An
    axis has an odd number of `points` from -extent to extent, with the weights themselves in the
    middle. Each row of a plane, or point of a line, is reported as progress and kept in `rows`, by
    number: those that are there already are not computed again.

    Raises:
        ValueError: If `points` is even or below 3, or `dimensions` neither 1 nor 2.
        CurvatureError: If the model cannot be evaluated, or has no filters.
    """
    require_one_of(Dimensions, dimensions=dimensions)
    require_functions(on_progress=on_progress)
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    drawn = (filter_normalised(model, seed, which) for which in range(dimensions))
    axes, x = tuple(flattened(d.values()) for d in drawn), _axis(points, extent)
    kind = f"filter-normalised-{'line' if dimensions == 1 else 'plane'}"
    return _landscape(surface, kind, axes, x, rows, on_progress)


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
    on_progress: Progress = lambda done, most: None,
) -> Landscape:
    r"""Return the loss on the plane of the two sharpest directions.

    The axes are the eigenvectors of the two largest eigenvalues of the Hessian in steps of
    :math:`1 / \sqrt{|\lambda|}`: were the loss quadratic with its minimum here, it would rise by
    :math:`(x^2 + y^2) / 2`, so a circle is what second order predicts. It shows the sharpest plane,
    not a typical one. An eigenvector's sign is set by its largest entry.

    Arguments are those of `random_landscape`, and `eigenpairs`: `eigenvalues(H, 2)` of the same
    model and data, if known; otherwise they are computed with this seed, `tol` and `max_matvecs`.

    Raises:
        ValueError: If `points` is even or below 3.
        CurvatureError: If there are no two eigenvectors, or one of eigenvalue zero, or those given
            are of another model or other data.
    """
    require_functions(on_progress=on_progress)
    x, batches = _axis(points, extent), tuple(batches)
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    with HessianOperator(model, loss, batches, batch_norm=batch_norm) as H:
        if eigenpairs is None:
            eigenpairs = eigenvalues(H, 2, tol, max_matvecs, seed)
        else:
            eigenpairs.basis.require_of(H)
    if eigenpairs.vectors is None or len(eigenpairs.values) < 2:
        raise CurvatureError("a plane takes two eigenvectors: compute them with eigenvalues(H, 2)")
    values = tuple(float(value) for value in eigenpairs.values[:2])
    if 0.0 in values:
        raise CurvatureError(f"eigenvalues {values}: along a flat direction there is no unit step")
    axes = tuple(
        vector * (vector[vector.abs().argmax()].sign() / abs(value) ** 0.5)
        for vector, value in zip(eigenpairs.vectors, values, strict=False)
    )
    return _landscape(surface, "eigenvector-plane", axes, x, rows, on_progress, eigenpairs)


def _landscape(
    surface: LossSurface,
    kind: str,
    axes: tuple[Tensor, ...],
    coordinates: Floats,
    rows: Rows | None,
    on_progress: Progress,
    eigenpairs: Eigenpairs | None = None,
) -> Landscape:
    """Look at the points of a line or a plane; a row is one value of the last coordinate."""

    def at(*steps: float) -> Floats:
        weights = surface.center.clone()
        for axis, step in zip(axes, steps, strict=True):
            weights.add_(axis, alpha=step)
        return np.array(surface.at(weights))

    def row(index: int) -> Floats:  # (2,) of a line, (x, 2) of a plane
        last = float(coordinates[index])
        return at(last) if is_line else np.stack([at(float(x), last) for x in coordinates])

    count, is_line = len(coordinates), len(axes) == 1
    values = finish(count, row, rows, on_progress, 1 if is_line else count)
    anew = surface.batch_norm == "recalibrate" and bool(tracking_layers(surface.model))
    return Landscape(
        kind=kind,
        coordinates=(coordinates,) * len(axes),
        loss=values[..., 0],
        accuracy=values[..., 1],
        lengths=tuple(norm(axis) for axis in axes),
        eigenvalues=() if eigenpairs is None else tuple(eigenpairs.values[:2].tolist()),
        eigenvalues_converged=None if eigenpairs is None else eigenpairs.converged,
        batch_norm=surface.batch_norm,
        num_samples=surface.num_samples,
        cost=Cost(forward_passes=float(values[..., 0].size * (1 + anew)), gradients=0.0),
    )


def finish(
    count: int,
    evaluate: Callable[[int], Floats],
    rows: Rows | None,
    on_progress: Progress,
    points: int = 1,
) -> Floats:
    """Compute the rows that are missing, each of so many points, and return all, stacked."""
    kept: Rows = {} if rows is None else rows
    for index in range(count):
        if index not in kept:
            kept[index] = evaluate(index)
        on_progress(points * (index + 1), points * count)
    return np.stack([kept[index] for index in range(count)])


def _axis(points: int, extent: float) -> Floats:
    """Return evenly spaced coordinates from -extent to extent with an exact zero in the middle."""
    if points < 3 or points % 2 == 0 or not extent > 0:
        raise ValueError(
            f"points={points}, extent={extent}: an axis takes an odd number of points from 3 on, "
            "so that the weights themselves are one, and a positive extent"
        )
    half = np.arange(1, points // 2 + 1) * (extent / (points // 2))
    return np.concatenate([-half[::-1], [0.0], half])


def filter_normalised(model: nn.Module, seed: int, which: int = 0) -> dict[str, Tensor]:
    r"""Return, by parameter name, a random direction whose filters have the norms of the network's.

    :math:`d_{i,j} \leftarrow \frac{d_{i,j}}{\|d_{i,j}\|} \|w_{i,j}\|` for filter j of layer i
    (Li et al., "Visualizing the loss landscape of neural nets", 2018), so that a step of one is as
    large as the weights, whatever the scale at which normalisation has left them. A filter is what
    makes one output: a slice along the first dimension, or of a transposed convolution the slice
    along its output channels.

    A parameter is a filter's if the module that owns it calls it a weight (its own attribute:
    `weight`, `in_proj_weight`, `weight_ih_l0`), it has two dimensions or more, and the module is no
    normalisation. All others are zero in the direction: biases, scales, tokens and position tables
    are added to a signal, or scale it as a whole, and their norm is no natural unit.

    Drawn on the CPU in float32, in the order of `model.named_parameters()`: a seed gives the same
    draw on any device, in any precision and for any weights of the same architecture. Directions of
    one seed that differ in `which` are independent.
    """
    source = generator(torch.device("cpu"), seed, DIRECTION_STREAM + which)
    model = unwrapped(model)
    direction = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            drawn = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
            drawn = drawn.normal_(generator=source).to(parameter)
            owner, _, attribute = name.rpartition(".")
            module = model.get_submodule(owner)
            parametrized = isinstance(module, nn.utils.parametrize.ParametrizationList)
            named = "weight" in attribute or parametrized
            is_filter = named and parameter.dim() > 1 and not isinstance(module, NORMALIZATIONS)
            direction[name] = _rescale(drawn, parameter, module) if is_filter else drawn.zero_()
    if not any(part.any() for part in direction.values()):
        raise CurvatureError(
            'random directions move filters, and the model has none: name matrices "weight_1" ...'
        )
    return direction


def _rescale(drawn: Tensor, weight: Tensor, module: nn.Module) -> Tensor:
    """Give each filter of `drawn` the norm of the same filter of `weight`."""
    if isinstance(module, _ConvTransposeNd):  # (inputs, outputs / groups, kernel)
        groups = (module.groups, -1)
        grouped: Tensor = drawn.unflatten(0, groups)
        factors = _ratio(weight.unflatten(0, groups), grouped, (1, *range(3, grouped.dim())))
        return (grouped * factors).flatten(0, 1)
    return drawn * _ratio(weight, drawn, tuple(range(1, drawn.dim())))


def _ratio(weight: Tensor, drawn: Tensor, within: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(weight.detach(), dim=within, keepdim=True)
    return length.div_(torch.linalg.vector_norm(drawn, dim=within, keepdim=True))
