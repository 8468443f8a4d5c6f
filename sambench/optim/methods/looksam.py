from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "looksam",
    gradient_evaluations=1.2,
    extra_memory=3,
    reference="Liu et al., 2022, Towards Efficient and Scalable SAM, arXiv 2203.02714",
)
class LookSAM(Method):
    r"""SAM in every k-th step only; the steps between reuse its sharpness at one pass each.

    In every k-th step, and the first, the part of :math:`g_a` that is orthogonal to g is kept:

    .. math:: e = \rho \, \frac{g}{\|g\|}, \qquad d = g_a = g(w + e), \qquad
              g_v = g_a - \frac{\langle g, g_a \rangle}{\|g\|^2} \, g

    In the others it is added at the length of the gradient:

    .. math:: d = g + \alpha \, \frac{\|g\|}{\|g_v\|} \, g_v

    Norms and projection are over the whole vector.
    """

    rho = radius(0.1, grid=(0.05, 0.1, 0.2))
    alpha = Hyperparameter(0.7, help="weight of the reused sharpness", grid=(0.2, 0.5, 0.7, 1.0))
    k = Hyperparameter(
        5.0, minimum=1.0, whole=True, shared=True, help="steps from one SAM step to the next"
    )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        if self.next_step() % self.k:
            kept = self.memory["sharpness"]
            return g.add_(kept, self.alpha * g.norm() / (kept.norm() + EPSILON))
        g_a = gradient(at=g, by=self.rho / (g.norm() + EPSILON), keep=True)
        self.memory["sharpness"] = g.times_plus_(-g_a.projection(g), g_a)
        return g_a
