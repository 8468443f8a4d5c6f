from collections.abc import Iterator, Mapping
from typing import Any

from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Tensor, Vector, optimizer


@optimizer(
    "gsam",
    extra_memory=2,
    reference="Zhuang et al., 2022, Surrogate Gap Guided SAM, arXiv 2203.08065",
    tuned_on={"sgd": "table 4 of the paper, ResNet-50"},
)
class GSAM(Method):
    r"""SAM that also narrows the gap between the perturbed and the clean loss.

    .. math:: e = \rho_t \, \frac{g}{\|g\|}, \qquad g_a = g(w + e), \qquad
              d = g_a - \alpha \Big( g - \frac{\langle g, g_a \rangle}{\|g_a\|^2} \, g_a \Big)

    .. math:: \rho_t = \rho_{\min} + (\rho_{\max} - \rho_{\min}) \,
              \frac{\eta_t - \eta_{\min}}{\eta_{\max} - \eta_{\min}}

    The bracket is the part of the clean gradient that is orthogonal to :math:`g_a`. The radius
    follows the learning rate :math:`\eta_t` from `rho_max` at `lr_max` down to `rho_min` at
    `lr_min` and is clamped to that range. Unless given, `lr_max` is the rate that the optimizer was
    made with, so the radius is `rho_max` where the rate is constant; under OneCycleLR it is the
    schedule's. CyclicLR starts at its lowest rate: give `lr_max` there.
    """

    rho_max = Hyperparameter(
        0.04, help="radius at the highest learning rate", grid=(0.04, 0.1, 0.2, 0.6)
    )
    rho_min = Hyperparameter(0.02, help="radius at the lowest learning rate")
    alpha = Hyperparameter(0.01, help="weight of the orthogonal part", grid=(0.005, 0.01, 0.1, 0.4))
    lr_min = Hyperparameter(0.0, shared=True, help="learning rate at which the radius is rho_min")
    lr_max = Hyperparameter(
        0.0, shared=True, later=True, help="learning rate at which it is rho_max; 0 for the first"
    )

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer)
        self.first = float(optimizer.param_groups[0]["lr"])

    @classmethod
    def remarks(cls, settings: Mapping[str, Any], *, rate_varies: bool) -> Iterator[str]:
        """Say where the radius does not fall with the rate."""
        low, high = settings["rho_min"], settings["rho_max"]
        if rate_varies and low > high:
            yield f"gsam rho_min={low:g} is above rho_max={high:g}: the radius grows as lr falls"
        top = settings.get("lr_max") or settings["lr"]
        if rate_varies and settings["lr_min"] >= top:
            yield (
                f"gsam lr_min={settings['lr_min']:g} is not below the highest rate, {top:g}: the "
                "radius is rho_max all along"
            )
        names = ("rho_min", "lr_min", "lr_max")
        given = [n for n in names if settings.get(n, 0.0) not in (0.0, getattr(cls, n).default)]
        if given and not rate_varies:
            yield (
                f"gsam {', '.join(given)}: at a constant learning rate the radius is one for the "
                "whole run; it falls with the rate, as under schedule=cosine"
            )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        norm = g.norm()
        g_a = gradient(at=g, by=self.rho() / (norm + EPSILON), keep=True)
        return g_a.mul_(g.projection(g_a, norm) * self.alpha + 1.0).add_(g, -self.alpha)

    def rho(self) -> float | Tensor:
        """Return the radius at the first group's learning rate; on the device where that is."""
        group = self.optimizer.param_groups[0]
        rate: float | Tensor = group["lr"]
        highest = self.lr_max or float(group.get("max_lr", group.get("initial_lr", self.first)))
        span = highest - self.lr_min
        if span <= 0:
            return self.rho_max
        share = (rate - self.lr_min) / span
        inside = min(max(share, 0.0), 1.0) if isinstance(share, float) else share.clamp(0.0, 1.0)
        return self.rho_min + (self.rho_max - self.rho_min) * inside
