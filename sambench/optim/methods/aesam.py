from math import inf, sqrt

from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "aesam",
    gradient_evaluations=1.5,
    reference="Jiang et al., 2023, An Adaptive Policy to Employ SAM, arXiv 2304.14647",
    adaptive=True,
)
class AESAM(Method):
    r"""SAM only where the gradient is large compared with its recent past.

    .. math:: d = \begin{cases}
              g(w + \rho \, g / \|g\|) & \text{if } \|g\|^2 \ge \mu + c_t \sigma \\
              g & \text{otherwise} \end{cases}

    with running mean :math:`\mu` and variance :math:`\sigma^2` of :math:`\|g\|^2`. The threshold
    :math:`c_t` changes linearly from `first` to `last` over `steps` steps; where that is 0, over
    the steps that the training loop announces (`optimizer.total_steps = ...`), or else over 10,000.
    `sambench` announces the steps of all epochs, or of a budget of passes those that it lasts for
    at the pace so far; a run that another stop rule ends sooner does not reach `last`. A step takes
    one or two passes; it waits for the device to decide which.
    """

    USUAL = 10_000

    rho = radius(0.05)
    decay = Hyperparameter(0.9, below=1.0, shared=True, help="decay of both running means")
    first = Hyperparameter(1.0, minimum=-inf, shared=True, help="threshold c at first, in sigmas")
    last = Hyperparameter(-1.0, minimum=-inf, shared=True, help="threshold c at the end")
    steps = Hyperparameter(
        0.0, whole=True, shared=True, help="steps from first to last; 0 for all of the run"
    )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        norm = g.norm()
        if not self.worth_it(float(norm) ** 2):
            return g
        return gradient(at=g, by=self.rho / (norm + EPSILON))

    def worth_it(self, squared_norm: float) -> bool:
        """Update mean and variance of |g|^2, and compare with them."""
        step = self.next_step()
        mean = self.counters.get("mean", squared_norm)
        variance = self.counters.get("variance", 0.0)
        mean = self.decay * mean + (1 - self.decay) * squared_norm
        variance = self.decay * variance + (1 - self.decay) * (squared_norm - mean) ** 2
        self.counters.update(mean=mean, variance=variance)
        steps = self.steps or self.optimizer.total_steps or self.USUAL
        threshold = self.first + (self.last - self.first) * min(step / steps, 1.0)
        return squared_norm >= mean + threshold * sqrt(variance)
