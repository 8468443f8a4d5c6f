from collections.abc import Iterator, Mapping
from typing import Any

from sambench.errors import ConfigError
from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "sam-on",
    reference="Mueller et al., 2023, Normalization Layers Are All That SAM Needs, arXiv 2306.04226",
    tuned_on={"sgd": "github.com/mueller-mp/SAM-ON, the adaptive form"},
)
class SAMON(Method):
    r"""SAM that perturbs the parameters of normalisation layers only.

    .. math:: e = \rho \, \frac{g_n}{\|g_n\|} \text{ on them and } 0 \text{ elsewhere}, \qquad
              d = g(w + e)

    with :math:`g_n` their part of g. The layers are known by their type, not by their name.
    With `adaptive`, ASAM-ON, the ball scales with the weights, :math:`T = |w| + \eta`:

    .. math:: e = \rho \, \frac{T^2 g_n}{\|T g_n\|}
    """

    rho = radius(
        0.5,
        "radius of the ball, L2 norm over their weights",
        (0.1, 0.5, 1.0, 5.0, 10.0),
        where={("adaptive", True): 10.0},
    )
    adaptive = Hyperparameter(False, shared=True, later=True, help="scale the ball as ASAM does")
    eta = Hyperparameter(0.01, shared=True, later=True, help="added to |w| if adaptive")

    @classmethod
    def remarks(cls, settings: Mapping[str, Any], *, rate_varies: bool) -> Iterator[str]:
        """Say where eta has nothing to be added to."""
        if "eta" in settings and not settings.get("adaptive"):
            yield "sam-on eta does nothing without adaptive=true"

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        elsewhere = [not role.normalization for role in gradient.roles]
        if all(elsewhere):
            raise ConfigError("sam-on: the model has no normalisation layer; use sam")
        g.zero_where_(elsewhere)
        scale = gradient.weights.abs().shift_(self.eta) if self.adaptive else None
        if scale is not None:
            g.mul_(scale)
        return gradient(at=g, times=scale, by=self.rho / (g.norm() + EPSILON))
