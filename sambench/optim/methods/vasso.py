from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "vasso",
    extra_memory=2,
    reference="Li & Giannakis, 2023, Enhancing Sharpness-Aware Optimization, NeurIPS",
    tuned_on={"sgd": "github.com/BingcongLi/VaSSO, train.sh"},
)
class VaSSO(Method):
    r"""SAM whose ascent follows a running mean of gradients, which suppresses its noise.

    .. math:: m \leftarrow (1 - \theta) \, m + \theta g, \qquad e = \rho \, \frac{m}{\|m\|}, \qquad
              d = g(w + e)

    with :math:`m = g` in the first step.
    """

    rho = radius(0.2, grid=(0.05, 0.1, 0.2, 0.5))
    theta = Hyperparameter(
        0.9,
        maximum=1.0,
        shared=True,
        help="weight of the newest gradient; 1 gives SAM",
        grid=(0.2, 0.4, 0.9),
    )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        mean = self.memory.get("mean")
        if mean is None:
            mean = self.memory["mean"] = g.clone()
        else:
            mean.toward_(g, self.theta)
        del g
        return gradient(at=mean, by=self.rho / (mean.norm() + EPSILON), keep=True)
