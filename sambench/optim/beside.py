"""What a method takes off the weights past the base optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sambench.optim.vector import PerTensor, Vector


@dataclass
class Beside:
    """A multiple of a vector, subtracted from the weights times the learning rate.

    Attributes:
        vector: Owned by the step, which may change it.
        factor: Multiplies it; applied with the learning rate, so it costs no pass over memory.
    """

    vector: Vector
    factor: float | PerTensor = 1.0
