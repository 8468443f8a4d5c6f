"""ASAM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, optimizer

if TYPE_CHECKING:
    from sambench.optim.vector import Vector


@optimizer(
    "asam",
    gradient_evaluations=2,
    extra_memory=1,
    reference="Kwon et al., 2021, ASAM, arXiv 2102.11600",
)
class ASAM(Method):
    r"""SAM in a ball that scales with the weights, so that rescaling layers changes little.

    .. math:: e = \rho \, \frac{T^2 g}{\|T g\|}, \qquad d = g(w + e)

    With `scope="weights"`, the authors' code, T is :math:`|w| + \eta` on weights (told by their
    role in a module) and 1 on biases, tokens and embeddings; with `scope="all"`, the widespread
    port, T is :math:`|w| + \eta` on every tensor. The two radii are not interchangeable: 0.5 and
    2.0 by default. Invariance under rescaling is exact only for "all" with :math:`\eta = 0`.
    """

    rho = Hyperparameter(
        0.5,
        minimum=0.0,
        help="radius |e / T|; 2.0 by default for scope=all",
        grid=(0.1, 0.2, 0.5, 1.0, 2.0),
    )
    eta = Hyperparameter(
        0.01, minimum=0.0, shared=True, help="added to |w|; 0 by default for scope=all"
    )
    scope = Hyperparameter(
        "weights", choices=("weights", "all"), help="tensors whose ball scales with them"
    )

    @classmethod
    def defaults(cls, given: Mapping[str, object]) -> Mapping[str, float | str | bool]:
        """Return the port's radius and eta where every tensor is scaled."""
        return {"rho": 2.0, "eta": 0.0} if given.get("scope") == "all" else {}

    def direction(self, gradient: Oracle) -> Vector:
        """Return g(w + e)."""
        g = gradient()
        everything = self.scope == "all"
        scaled = [everything or role.weight for role in gradient.roles]
        scale = gradient.weights.part(scaled).abs().shift_(self.eta)
        g.part(scaled).mul_(scale)
        g.mul_(self.rho / (g.norm() + EPSILON)).part(scaled).mul_(scale)
        del scale
        return gradient(at=g)
