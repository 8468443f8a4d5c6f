"""Curvature of a trained network, and the shape of its loss further away.

    vectors                           inner products, random draws, how many vectors may be kept
    evaluation, graph                 how a network is run and on what, and differentiated twice
        ↑
    objective -> checks               the mean loss as a function of the weights; what is refused
        ↑
    operator                          a model and its data as a symmetric linear operator
        ↑
    krylov -> certificate -> lanczos  extreme eigenvalues, each with an interval that is certified,
                                      and the trace on the complement of the Lanczos basis
    batch_spectrum                    the dominant eigenvalue of every batch, and their distribution
    density                           all eigenvalues, by stochastic Lanczos quadrature

    objective, checks -> surface      the loss and its gradient at any weights
        ↑
    sharpness                         its rise: one step, worst case, average case
    landscape -> interpolation        its values on lines and planes, and between two networks

Eigenvalues, trace and density need only a `SymmetricOperator`; `HessianOperator` is one. The
package stands alone.
"""

from sambench.curvature.batch_spectrum import BatchSpectrum, batch_spectrum
from sambench.curvature.density import SpectralDensity, density
from sambench.curvature.interpolation import Interpolation, interpolation
from sambench.curvature.lanczos import DeflationBasis, Eigenpairs, TraceEstimate, eigenvalues, trace
from sambench.curvature.landscape import (
    Landscape,
    eigenvector_plane,
    filter_normalised,
    random_landscape,
)
from sambench.curvature.operator import HessianOperator
from sambench.curvature.sharpness import (
    Sharpness,
    average_sharpness,
    step_sharpness,
    worst_case_sharpness,
)
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
    "random_landscape",
    "step_sharpness",
    "trace",
    "worst_case_sharpness",
]
