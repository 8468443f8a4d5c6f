"""Maximising a function over a ball by projected gradient ascent with step control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from sambench.curvature.vectors import norm

Norm = Literal[2, "inf"]
ValueAndGradient = Callable[[Tensor], tuple[float, Tensor]]

MOMENTUM = 0.75
ENOUGH = 0.75  # of the steps between two looks must have gone up for the step to stay as it is
FIRST_LOOK, SHORTER, SHORTEST = 0.22, 0.03, 0.06  # shares of all steps


def maximise(
    function: ValueAndGradient,
    start: Tensor,
    radius: float,
    p: Norm,
    steps: int,
    random_direction: Callable[[], Tensor],
) -> tuple[float, Tensor]:
    r"""Return the largest value seen within :math:`|u|_p \le \rho`, and where.

    Auto-PGD (Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", 2020): normalised ascent steps with momentum, from a step of
    twice the radius, halved, going back to the best point, whenever progress stalls between looks
    that come ever more often. What it returns is a lower bound of the maximum.

    Args:
        function: Value and gradient.
        start: First point, inside the ball.
        radius: The ball's.
        p: Which norm.
        steps: Ascent steps; each is one value and gradient, and the start one more.
        random_direction: Asked where the gradient vanishes, as at a minimum.
    """
    value, gradient = function(start)
    best_value, best, best_gradient = value, start, gradient
    point = before = start
    step, looks, climbed = 2.0 * radius, _looks(steps), 0
    last_look, halved, best_at_look = 0, True, value
    for number in range(1, steps + 1):
        ascended = project(point + step * _direction(gradient, p, random_direction), radius, p)
        share = MOMENTUM if number > 1 else 1.0
        moved = point + share * (ascended - point) + (1 - share) * (point - before)
        before, point = point, project(moved, radius, p)
        previous, (value, gradient) = value, function(point)
        climbed += value > previous
        if value > best_value:
            best_value, best, best_gradient = value, point, gradient
        if number in looks:
            stalled = climbed < ENOUGH * (number - last_look)
            stuck = not halved and best_value == best_at_look
            halved = stalled or stuck
            if halved:
                step /= 2
                point, before, value, gradient = best, best, best_value, best_gradient
            last_look, climbed, best_at_look = number, 0, best_value
    return best_value, best


def project(vector: Tensor, radius: float, p: Norm) -> Tensor:
    """Return the nearest point of the ball."""
    if p == "inf":
        return vector.clamp(-radius, radius)
    length = norm(vector)
    return vector * (radius / length) if length > radius else vector


def _direction(gradient: Tensor, p: Norm, random_direction: Callable[[], Tensor]) -> Tensor:
    """Return the steepest ascent of unit p-norm."""
    if not bool(gradient.any()):
        gradient = random_direction()
    return gradient.sign() if p == "inf" else gradient / norm(gradient)


def _looks(steps: int) -> set[int]:
    looks, share, gap = set[int](), FIRST_LOOK, FIRST_LOOK
    while share <= 1:
        looks.add(max(1, round(share * steps)))
        gap = max(gap - SHORTER, SHORTEST)
        share += gap
    return looks


def random_in_ball(like: Tensor, radius: float, p: Norm, source: torch.Generator) -> Tensor:
    """Draw a point of the ball: uniform in the cube, or uniform on the sphere."""
    if p == "inf":
        return (
            torch.rand(like.shape, generator=source, device=like.device, dtype=like.dtype).mul_(
                2 * radius
            )
            - radius
        )
    drawn = torch.randn(like.shape, generator=source, device=like.device, dtype=like.dtype)
    return drawn * (radius / norm(drawn))
