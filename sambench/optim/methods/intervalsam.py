from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "interval-sam",
    gradient_evaluations=1.1,
    reference="MosaicML Composer, 2022, SAM algorithm with interval",
)
class IntervalSAM(Method):
    r"""SAM in every k-th step, with k times the radius; plain gradients in between.

    .. math:: d = g(w + k \rho \, g / \|g\|) \text{ in the first and every k-th step,}
              \qquad d = g \text{ in others}
    """

    rho = radius(0.05, "radius per step; the SAM step takes k times it", (0.01, 0.02, 0.05, 0.1))
    k = Hyperparameter(
        10.0, minimum=1.0, whole=True, shared=True, help="steps from one SAM step to the next"
    )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        if self.next_step() % self.k:
            return g
        return gradient(at=g, by=self.k * self.rho / (g.norm() + EPSILON))
