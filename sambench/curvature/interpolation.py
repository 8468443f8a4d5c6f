"""The loss between the weights of two networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from sambench.curvature.arguments import require_at_least, require_functions
from sambench.curvature.evaluation import Batch, Loss, tracking_layers, unwrapped
from sambench.curvature.krylov import Floats
from sambench.curvature.landscape import Rows, finish
from sambench.curvature.surface import Cost, LossSurface
from sambench.curvature.vectors import Progress, flattened, norm
from sambench.errors import CurvatureError


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Loss and accuracy on the segment between two sets of weights."""

    alphas: Floats = field(repr=False)
    """(n,) from 0, the model, to 1, the other."""
    loss: Floats = field(repr=False)
    """(n,) with batch statistics recomputed at every point."""
    accuracy: Floats = field(repr=False)
    kept_loss: Floats = field(repr=False)
    """(n,) in eval mode, the running statistics interpolated like the weights."""
    kept_accuracy: Floats = field(repr=False)
    has_statistics: bool
    """Whether there is batch normalisation; without it both losses are the same."""
    distance: float
    """Euclidean, between the trainable weights of the two."""
    num_samples: int
    cost: Cost

    @property
    def barrier(self) -> float:
        r"""The highest rise of the loss above the straight line between its ends.

        :math:`\max_\alpha L(\alpha) - (1 - \alpha) L(0) - \alpha L(1)`, with recomputed statistics
        (Frankle et al., "Linear mode connectivity and the lottery ticket hypothesis", 2020).
        """
        chord = (1 - self.alphas) * self.loss[0] + self.alphas * self.loss[-1]
        return float(np.max(self.loss - chord))


def interpolation(
    model: nn.Module,
    other: Mapping[str, Tensor] | nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    points: int = 25,
    rows: Rows | None = None,
    on_progress: Progress = lambda done, most: None,
) -> Interpolation:
    r"""Return the loss on the way from a model to another state of it, L((1 - a) w + a w').

    Between two networks the statistics that batch normalisation remembers fit neither, so they are
    recomputed on the data at every point; the loss with the remembered ones interpolated is beside
    it, and equals the networks' own at the ends.

    The other state, at a = 1, is a network of the same architecture, or its `state_dict()`;
    `points`, two or more, is the number of values of a. Other arguments are those of
    `random_landscape`.
    """
    require_functions(on_progress=on_progress)
    require_at_least(2, points=points)
    surface = LossSurface(model, loss, batches)
    other = unwrapped(other).state_dict() if isinstance(other, nn.Module) else other
    if not isinstance(other, Mapping):
        raise CurvatureError(
            f"the other weights are a {type(other).__name__}: give a network, or its state_dict()"
        )
    other = {name.removeprefix("_orig_mod."): tensor for name, tensor in other.items()}  # compiled
    every = {n: p.detach() for n, p in surface.model.named_parameters()} | surface.buffers
    fixed = {name: held for name, held in every.items() if name not in surface.parameters}
    given = {name: tuple(tensor.shape) for name, tensor in (surface.buffers | other).items()}
    for name, held in every.items():
        if given.get(name) != (shape := tuple(held.shape)):
            raise CurvatureError(
                f"the other weights are of another model: {name} is {given.get(name, 'missing')}, "
                f"here {shape}; interpolate between two runs of one model"
            )
    if wrong := [name for name in every if not other.get(name, every[name]).isfinite().all()]:
        said = f"the other weights are not finite ({wrong[0]}): they have diverged"
        raise CurvatureError(f"{said}; interpolate to a run that has not")
    end = flattened(other[name].to(surface.center) for name in surface.parameters)
    has_statistics = bool(tracking_layers(model))

    def evaluate(index: int) -> Floats:
        alpha = float(alphas[index])
        weights = torch.lerp(surface.center, end, alpha)
        surface.buffers = {n: _mixed(b, other.get(n, b).to(b), alpha) for n, b in fixed.items()}
        kept = surface.at(weights)
        again = surface.at(weights, surface.recalibrated(weights)) if has_statistics else kept
        return np.array([*again, *kept])

    alphas = np.linspace(0, 1, points)
    finished = finish(points, evaluate, rows, on_progress)
    return Interpolation(
        alphas=alphas,
        loss=finished[:, 0],
        accuracy=finished[:, 1],
        kept_loss=finished[:, 2],
        kept_accuracy=finished[:, 3],
        has_statistics=has_statistics,
        distance=norm(end - surface.center),
        num_samples=surface.num_samples,
        cost=Cost(forward_passes=float(points * (3 if has_statistics else 1)), gradients=0.0),
    )


def _mixed(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    if start.is_floating_point():
        return torch.lerp(start, end, alpha)
    return start if alpha < 0.5 else end
