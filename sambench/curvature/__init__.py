"""Curvature of a trained network, and the shape of its loss further away.

    evaluation, batches, derivatives  how a network is run, on what, and what it cannot contain
    vectors -> memory                 inner products and random draws; free bytes
        ↑
    objective -> graph, checks        the mean loss as a function of the weights; what is refused
        ↑
    operator                          a model and its data as a symmetric linear operator
        ↑
    krylov, certificate -> lanczos    extreme eigenvalues, each with an interval that is certified
    trace                             Hutchinson's estimator on the complement of a Lanczos basis
    batch_spectrum                    the dominant eigenvalue of every batch, and their distribution
    density                           all eigenvalues, by stochastic Lanczos quadrature
    result                            what the first three return: numbers with their uncertainty

    objective, checks -> surface      the loss and its gradient at any weights
        ↑
    ascent -> sharpness               its rise: one step, worst case, average case
    directions -> grid -> landscape   its values on lines and planes through the weights
    grid -> interpolation             its values between two networks

The first half needs only a `SymmetricOperator`; `HessianOperator` is one. The package stands alone.
"""

from __future__ import annotations

from sambench.curvature.batch_spectrum import batch_spectrum
from sambench.curvature.density import SpectralDensity, density
from sambench.curvature.directions import filter_normalised
from sambench.curvature.grid import Landscape
from sambench.curvature.interpolation import Interpolation, interpolation
from sambench.curvature.lanczos import eigenvalues
from sambench.curvature.landscape import eigenvector_plane, random_line, random_plane
from sambench.curvature.operator import HessianOperator
from sambench.curvature.result import BatchSpectrum, DeflationBasis, Eigenpairs, TraceEstimate
from sambench.curvature.sharpness import (
    Sharpness,
    average_sharpness,
    step_sharpness,
    worst_case_sharpness,
)
from sambench.curvature.trace import trace
from sambench.curvature.vectors import SymmetricOperator

__all__ = [
    "BatchSpectrum",
    "DeflationBasis",
    "Eigenpairs",
    "HessianOperator",
    "Interpolation",
    "Landscape",
    "Sharpness",
    "SpectralDensity",
    "SymmetricOperator",
    "TraceEstimate",
    "average_sharpness",
    "batch_spectrum",
    "density",
    "eigenvalues",
    "eigenvector_plane",
    "filter_normalised",
    "interpolation",
    "random_line",
    "random_plane",
    "step_sharpness",
    "trace",
    "worst_case_sharpness",
]
