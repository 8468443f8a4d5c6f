from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "fsam",
    extra_memory=2,
    reference="Li et al., 2024, Friendly Sharpness-Aware Minimization, arXiv 2403.12350",
    tuned_on={"sgd": "github.com/nblt/F-SAM, run.sh"},
)
class FSAM(Method):
    r"""SAM that climbs along the batch noise: the gradient less its running mean.

    .. math:: u = g - \sigma m, \qquad e = \rho \, \frac{u}{\|u\|}, \qquad d = g(w + e), \qquad
              m \leftarrow \lambda m + (1 - \lambda) \, g

    with :math:`\lambda` = `decay`; in the first step :math:`m = u = g`, as in the authors' code.
    """

    rho = radius(0.2, grid=(0.05, 0.1, 0.2, 0.5))
    sigma = Hyperparameter(1.0, shared=True, help="share of the mean m to remove", grid=(0.5, 1.0))
    decay = Hyperparameter(0.95, below=1.0, shared=True, help="decay lambda of the mean m")

    def direction(self, gradient: Oracle) -> Vector:
        d = gradient()  # becomes u = d - sigma m; the new m is (1 - lambda) u and a multiple of m
        mean = self.memory.get("mean")
        if mean is None:
            self.memory["mean"] = d.clone()
        else:
            d.add_(mean, -self.sigma)
            kept = self.decay + (1.0 - self.decay) * self.sigma
            if kept != 1.0:
                mean.mul_(kept)
            mean.add_(d, 1.0 - self.decay)
        return gradient(at=d, by=self.rho / (d.norm() + EPSILON))
