"""Literal weight noise: random displacements that are small beside every filter."""

from __future__ import annotations

from torch import nn

from sambench.curvature.batch_spectrum import Displacement
from sambench.curvature.directions import filter_normalised


def weight_noise(model: nn.Module, sigma: float, seed: int) -> Displacement:
    r"""Return displacements by Gaussian noise of which each filter has `sigma` times its own norm.

    Filter-normalised as in `filter_normalised`, so that the noise is relative to the weights: a
    filter j moves by :math:`\sigma \|w_j\| \, d_j / \|d_j\|`, biases and scales stay.

    Args:
        model: The network; unchanged between the call and the use of the displacements.
        sigma: Length of the noise beside each filter.
        seed: Of the draws; those of one seed are independent of each other.
    """
    return lambda which: (filter_normalised(model, seed, which), sigma)
