from sambench.optim.hyperparameter import EPSILON, radius
from sambench.optim.method import Method, Oracle, Vector, optimizer


@optimizer(
    "sam",
    gradient_evaluations=2,
    extra_memory=1,
    reference="Foret et al., 2021, Sharpness-Aware Minimization, arXiv 2010.01412",
    tuned_on={"sgd": "github.com/google-research/sam"},
)
class SAM(Method):
    r"""Sharpness-aware minimization: the gradient at the worst point of a ball around w.

    .. math:: e = \rho \, \frac{g}{\|g\|}, \qquad d = g(w + e)

    with :math:`g = g(w)`; the norm is one L2 norm over all trainable tensors.
    """

    rho = radius(0.05)

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        return gradient(at=g, by=self.rho / (g.norm() + EPSILON))
