"""Losses on a line or a plane of weights, row by row, so that long work can be resumed."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from sambench.curvature.krylov import Floats
from sambench.curvature.objective import BatchNorm
from sambench.curvature.surface import Cost, LossSurface
from sambench.curvature.vectors import Progress, norm

Rows = MutableMapping[int, Floats]
"""Finished rows of a grid by their number: what is in it already is not computed again."""


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
    """Of the rows computed now; those that were there already are free."""

    @property
    def center_loss(self) -> float:
        """The loss of the weights themselves."""
        return float(self.loss[tuple(length // 2 for length in self.loss.shape)])


@dataclass(frozen=True)
class Grid:
    """The points of a line or a plane; a row is one value of the last coordinate."""

    surface: LossSurface
    axes: tuple[Tensor, ...]
    coordinates: tuple[Floats, ...]  # (x,) or (x, y)
    eigenvalues: tuple[float, ...] = ()
    converged: bool | None = None

    def landscape(self, kind: str, rows: Rows | None, on_progress: Progress | None) -> Landscape:
        """Evaluate the rows that are missing and put all together."""
        *along, last = self.coordinates
        values = finish(
            len(last),
            lambda row: self._row(along, float(last[row])),
            rows,
            _in_points(on_progress, len(along[0]) if along else 1),
        )
        return Landscape(
            kind=kind,
            coordinates=self.coordinates,
            loss=values[..., 0],
            accuracy=values[..., 1],
            lengths=tuple(norm(axis) for axis in self.axes),
            eigenvalues=self.eigenvalues,
            eigenvalues_converged=self.converged,
            batch_norm=self.surface.batch_norm,
            num_samples=self.surface.num_samples,
            cost=self.surface.cost,
        )

    def _row(self, along: Sequence[Floats], last: float) -> Floats:
        """Return loss and accuracy of one point of a line, (2,), or a row of a plane, (x, 2)."""
        if not along:
            return self._point(last)
        return np.stack([self._point(float(x), last) for x in along[0]])

    def _point(self, *steps: float) -> Floats:
        weights = self.surface.center.clone()
        for axis, step in zip(self.axes, steps, strict=True):
            weights.add_(axis, alpha=step)
        point = self.surface.at(weights)
        return np.array([point.loss, point.accuracy])


def finish(
    count: int,
    evaluate: Callable[[int], Floats],
    rows: Rows | None,
    on_progress: Progress | None,
) -> Floats:
    """Compute the rows that are missing and return all, stacked."""
    kept: Rows = {} if rows is None else rows
    for index in range(count):
        if index not in kept:
            kept[index] = evaluate(index)
        if on_progress is not None:
            on_progress(index + 1, count)
    return np.stack([kept[index] for index in range(count)])


def _in_points(on_progress: Progress | None, points: int) -> Progress | None:
    """Return what counts the points of finished rows."""
    if on_progress is None:
        return None
    return lambda done, most: on_progress(points * done, points * most)


def axis(points: int, extent: float) -> Floats:
    """Return evenly spaced coordinates from -extent to extent with an exact zero in the middle.

    Raises:
        ValueError: If `points` is even or below 3, or `extent` not positive.
    """
    if points < 3 or points % 2 == 0 or not extent > 0:
        raise ValueError(
            f"points={points}, extent={extent}: an axis takes an odd number of points from 3 on, "
            "so that the weights themselves are one, and a positive extent"
        )
    half = np.arange(1, points // 2 + 1) * (extent / (points // 2))
    return np.concatenate([-half[::-1], [0.0], half])
