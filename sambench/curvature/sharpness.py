"""How much the loss rises around a network's weights: one step, worst case, average case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from sambench.curvature.arguments import require_functions, require_one_of, require_positive
from sambench.curvature.evaluation import Batch, Loss
from sambench.curvature.objective import BatchNorm
from sambench.curvature.surface import Cost, LossSurface
from sambench.curvature.vectors import Progress, gaussian, generator, norm

BallName = Literal["l2", "adaptive-l2", "adaptive-linf"]
ASCENT_STREAM, NOISE_STREAM = 3, 4


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """A rise of the mean loss above that of the weights themselves."""

    definition: str
    """What was perturbed, how, and within which ball."""
    value: float
    stderr: float | None
    """Standard error of the value: over draws (average case) or over batches (worst case)."""
    is_lower_bound: bool
    """The maximum may be larger: an ascent proves no maximum."""
    rho: float
    """Radius of the ball, or standard deviation of the noise."""
    loss: float
    """At the weights themselves."""
    samples: tuple[float, ...] = field(repr=False)
    """What `value` is the mean of: one rise per batch (worst case) or per draw (average case)."""
    batch_sizes: tuple[int, ...] = field(repr=False)
    cost: Cost


def step_sharpness(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    rho: float = 0.05,
    *,
    adaptive: bool = False,
    batch_norm: BatchNorm = "eval",
) -> Sharpness:
    r"""Return :math:`L(w + \rho g / |g|) - L(w)`, the rise that SAM descends.

    To first order it is :math:`\rho |g|` (Foret et al., "Sharpness-aware minimization", 2021), the
    worst case within the ball of that radius; where the gradient vanishes, as at a minimum, it
    says little. With `adaptive` ASAM's step :math:`\rho\, T^2 g / |T g|`, :math:`T =
    \operatorname{diag}|w|` (Kwon et al., 2021).

    Model, loss, batches and `batch_norm` are those of `HessianOperator`; g and L are means over all
    samples.

    Raises:
        ValueError: If `rho` is not positive.
        CurvatureError: If a loss is not finite.
    """
    require_positive(rho=rho)
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    clean, gradient = surface.value_and_gradient(surface.center)
    scale = surface.center.abs() if adaptive else torch.ones_like(gradient)
    scaled = scale * gradient
    length = norm(scaled)
    step = scale * scaled * (rho / length) if length > 0 else torch.zeros_like(scaled)
    rise = surface.loss(surface.center + step) - clean
    return _sharpness(surface, "asam-step" if adaptive else "sam-step", rho, clean, [rise])


def worst_case_sharpness(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    rho: float = 0.05,
    *,
    ball: BallName = "l2",
    m: int | None = None,
    steps: int = 20,
    restarts: int = 1,
    seed: int = 0,
    normalise_logits: bool = False,
    batch_norm: BatchNorm = "eval",
    on_progress: Progress = lambda done, most: None,
) -> Sharpness:
    r"""Return m-sharpness, the mean over batches of the largest rise within a ball.

    .. math:: \sum_b \frac{n_b}{N} \max_{\|\delta / c\|_p \le \rho} L_b(w + \delta) - L_b(w)

    with c = 1 for "l2" and the elementwise c = \|w\| for "adaptive-l2" and "adaptive-linf"
    (Foret et al., 2021; Kwon et al., 2021; Andriushchenko et al., "A modern look at the
    relationship between sharpness and generalization", 2023). The maximum is sought by
    `sharpness.maximise`, from the weights themselves and then from random points of the ball, and
    the best value seen, the weights' own included, is kept: a lower bound, never negative. In an
    adaptive ball a weight of zero cannot move.

    With `m` the data are cut into new batches of m samples; by default the batches stay as they
    are. Each of the `restarts` searches, the first from the weights themselves, takes `steps`
    steps. With `normalise_logits` each sample's outputs are divided by their standard deviation
    over classes, which takes the scale of the outputs out of the measure (and changes the clean
    loss). Progress counts batches; other arguments are those of `step_sharpness`.

    Raises:
        ValueError: If a number is not positive or the ball is unknown.
        CurvatureError: If a loss is not finite.
    """
    require_one_of(BallName, ball=ball)
    require_positive(rho=rho, steps=steps, restarts=restarts, m=m)
    require_functions(on_progress=on_progress)
    chosen = on_normalised_logits(loss) if normalise_logits else loss
    data = batches if m is None else recut(batches, m)
    surface = LossSurface(model, chosen, data, batch_norm=batch_norm)
    scale = torch.ones_like(surface.center) if ball == "l2" else surface.center.abs()
    losses, rises = list[float](), list[float]()
    for index in range(len(surface.batch_sizes)):

        def function(point: Tensor, index: int = index) -> tuple[float, Tensor]:
            value, gradient = surface.value_and_gradient(surface.center + scale * point, index)
            return value, scale * gradient

        source = generator(surface.device, seed + index, ASCENT_STREAM)
        within = Ball(rho, "inf" if ball == "adaptive-linf" else 2, scale, source)
        clean = surface.loss(surface.center, index)
        tops = [clean]
        for attempt in range(restarts):
            start = within.random() if attempt else torch.zeros_like(scale)
            tops.append(maximise(function, start, within, steps))
        losses.append(clean)
        rises.append(max(tops) - clean)
        on_progress(index + 1, len(surface.batch_sizes))
    name = f"worst-case-{ball}" + ("-normalised-logits" if normalise_logits else "")
    clean = _weighted(losses, surface.batch_sizes)[0]
    return _sharpness(surface, name, rho, clean, rises, sizes=surface.batch_sizes)


def average_sharpness(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    rho: float = 0.01,
    *,
    adaptive: bool = False,
    pairs: int = 20,
    seed: int = 0,
    batch_norm: BatchNorm = "eval",
    on_progress: Progress = lambda done, most: None,
) -> Sharpness:
    r"""Return :math:`E[L(w + \delta) - L(w)]` for Gaussian noise on the weights.

    :math:`\delta \sim N(0, \rho^2 D^2)` with D the identity, or :math:`\operatorname{diag}|w|` if
    `adaptive`. Noise is drawn in pairs :math:`\pm\delta`, in whose mean the odd orders cancel, and
    is the same for all batches. To second order the result is :math:`\frac{\rho^2}{2}
    \operatorname{tr}(DHD)`, an estimate of the trace that needs no derivative. Here rho is the
    standard deviation of *each* weight: the length of the noise is about
    :math:`\rho \sqrt N`.

    Each of the `pairs` takes two passes over the data, and is reported as progress. Other arguments
    are those of `step_sharpness`.

    Raises:
        ValueError: If `rho` is not positive or `pairs` below 2.
        CurvatureError: If a loss is not finite.
    """
    require_positive(rho=rho)
    require_functions(on_progress=on_progress)
    if pairs < 2:
        raise ValueError(f"pairs={pairs}: a standard error needs at least 2")
    surface = LossSurface(model, loss, batches, batch_norm=batch_norm)
    source = generator(surface.device, seed, NOISE_STREAM)
    center = surface.center
    clean, rises = surface.loss(center), list[float]()
    for number in range(pairs):
        noise = gaussian(center, source)
        noise *= rho * center.abs() if adaptive else rho
        rises.append(0.5 * (surface.loss(center + noise) + surface.loss(center - noise)) - clean)
        on_progress(number + 1, pairs)
    name = "average-case-adaptive" if adaptive else "average-case"
    return _sharpness(surface, name, rho, clean, rises)


def on_normalised_logits(loss: Loss) -> Loss:
    """Return the loss of outputs divided by their standard deviation over classes, per sample."""

    def normalised(outputs: Tensor, targets: Tensor) -> Tensor:
        deviation = outputs.std(1, correction=0, keepdim=True)
        return loss(outputs / deviation.clamp_min(torch.finfo(outputs.dtype).tiny), targets)

    return normalised


def recut(batches: Iterable[Batch], size: int) -> list[Batch]:
    """Return the same samples in the same order, in batches of `size`; the last may be smaller."""
    inputs, targets = zip(*batches, strict=True)
    return list(zip(torch.cat(inputs).split(size), torch.cat(targets).split(size), strict=True))


def _sharpness(
    surface: LossSurface,
    definition: str,
    rho: float,
    loss: float,
    rises: Sequence[float],
    *,
    sizes: Sequence[int] | None = None,
) -> Sharpness:
    """Return the mean of the rises: of ascents weighted by the sizes of their batches."""
    value, stderr = _weighted(rises, sizes or [1] * len(rises))
    return Sharpness(
        definition=definition,
        value=value,
        stderr=stderr,
        is_lower_bound=sizes is not None,
        rho=rho,
        loss=loss,
        samples=tuple(rises),
        batch_sizes=surface.batch_sizes,
        cost=surface.cost,
    )


def _weighted(values: Sequence[float], sizes: Sequence[int]) -> tuple[float, float | None]:
    """Return the mean weighted by sizes and its standard error; None for a single value."""
    total = sum(sizes)
    mean = math.fsum(n * x for n, x in zip(sizes, values, strict=True)) / total
    if len(values) < 2:
        return mean, None
    squares = math.fsum((n * (x - mean)) ** 2 for n, x in zip(sizes, values, strict=True))
    return mean, math.sqrt(squares * len(values) / (len(values) - 1)) / total


MOMENTUM = 0.75
ENOUGH = 0.75  # of the steps between two looks must have gone up for the step to stay as it is
FIRST_LOOK, SHORTER, SHORTEST = 0.22, 0.03, 0.06  # shares of all steps


@dataclass(frozen=True)
class Ball:
    r"""The points u with :math:`|u|_p \le \rho`."""

    radius: float
    p: Literal[2, "inf"]
    like: Tensor  # a tensor of their kind
    source: torch.Generator

    def project(self, vector: Tensor) -> Tensor:
        """Return the nearest point of the ball."""
        if self.p == "inf":
            return vector.clamp(-self.radius, self.radius)
        length = norm(vector)
        return vector * (self.radius / length) if length > self.radius else vector

    def random(self) -> Tensor:
        """Draw a point of the ball: uniform in the cube, or uniform on the sphere."""
        if self.p == "inf":
            drawn = torch.zeros_like(self.like).uniform_(generator=self.source)
            return drawn.mul_(2 * self.radius) - self.radius
        drawn = gaussian(self.like, self.source)
        return drawn * (self.radius / norm(drawn))

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the steepest ascent of unit p-norm; a random one where the gradient vanishes."""
        if not bool(gradient.any()):
            gradient = self.random()
        return gradient.sign() if self.p == "inf" else gradient / norm(gradient)


def maximise(
    function: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, ball: Ball, steps: int
) -> float:
    """Return the largest value seen within the ball, from a start in it.

    Auto-PGD (Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", 2020): normalised ascent steps with momentum, from a step of
    twice the radius, halved, going back to the best point, whenever progress stalls between looks
    that come ever more often. What it returns is a lower bound of the maximum. The function returns
    value and gradient; it is called once for the start and once for each step.
    """
    value, gradient = function(start)
    best_value, best, best_gradient = value, start, gradient
    point = before = start
    step, looks, climbed = 2.0 * ball.radius, _looks(steps), 0
    last_look, halved, best_at_look = 0, True, value
    for number in range(1, steps + 1):
        ascended = ball.project(point + step * ball.steepest(gradient))
        share = MOMENTUM if number > 1 else 1.0
        moved = point + share * (ascended - point) + (1 - share) * (point - before)
        before, point = point, ball.project(moved)
        previous, (value, gradient) = value, function(point)
        climbed += value > previous
        if value > best_value:
            best_value, best, best_gradient = value, point, gradient
        if number in looks:
            stalled = climbed < ENOUGH * (number - last_look)
            halved = stalled or (not halved and best_value == best_at_look)
            if halved:
                step /= 2
                point, before, value, gradient = best, best, best_value, best_gradient
            last_look, climbed, best_at_look = number, 0, best_value
    return best_value


def _looks(steps: int) -> set[int]:
    looks, share, gap = set[int](), FIRST_LOOK, FIRST_LOOK
    while share <= 1:
        looks.add(max(1, round(share * steps)))
        gap = max(gap - SHORTER, SHORTEST)
        share += gap
    return looks
