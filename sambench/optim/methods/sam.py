from sambench.optim.method import EPSILON, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "sam",
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
