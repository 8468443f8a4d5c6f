"""Maximising a function over a ball by projected gradient ascent with step control."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sambench.curvature.vectors import gaussian, norm

MOMENTUM = 0.75
ENOUGH = 0.75  # of the steps between two looks must have gone up for the step to stay as it is
FIRST_LOOK, SHORTER, SHORTEST = 0.22, 0.03, 0.06  # shares of all steps


@dataclass(frozen=True)
class Ball:
    r"""The points u with :math:`|u|_p \le \rho`."""

    radius: float
    p: Literal[2, "inf"]
    like: Tensor
    """A tensor of their kind."""
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
            stuck = not halved and best_value == best_at_look
            halved = stalled or stuck
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
