"""SAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sambench.optim.hyperparameter import Hyperparameter
from sambench.optim.method import EPSILON, Method, Oracle, optimizer

if TYPE_CHECKING:
    from sambench.optim.vector import Vector


@optimizer(
    "sam",
    gradient_evaluations=2,
    extra_memory=1,
    reference="Foret et al., 2021, Sharpness-Aware Minimization, arXiv 2010.01412",
)
class SAM(Method):
    r"""Sharpness-aware minimization: the gradient at the worst point of a ball around w.

    .. math:: e = \rho \, \frac{g}{\|g\|}, \qquad d = g(w + e)

    with :math:`g = g(w)`; the norm is one L2 norm over all trainable tensors.
    """

    rho = Hyperparameter(
        0.05,
        minimum=0.0,
        help="radius of the ball, L2 norm over all weights",
        grid=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    )

    def direction(self, gradient: Oracle) -> Vector:
        """Return g(w + e)."""
        g = gradient()
        return gradient(at=g, by=self.rho / (g.norm() + EPSILON))
