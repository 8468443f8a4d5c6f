import random
from operator import methodcaller

from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "esam",
    gradient_evaluations=11 / 6,
    reference="Du et al., 2022, Efficient Sharpness-aware Minimization, arXiv 2110.03141",
    tuned_on={"sgd": "github.com/dydjw9/Efficient_SAM, run.sh"},
    adaptive=True,
)
class ESAM(Method):
    r"""SAM that perturbs some tensors and, where it can, learns from some samples.

    .. math:: e = \frac{\rho}{s} \, \frac{m \odot g}{\|g\|}, \qquad d = g_{hard}(w + e)

    where m keeps each tensor with probability s = `share`, so that :math:`E[e]` is SAM's, and
    :math:`g_{hard}` is the gradient over the share `samples` of the mini-batch whose loss e raises
    most. Finding them takes a forward pass over all, a third of a pass, so that a step with the
    default share of a half costs 1 + 1/3 + 1/2 passes. A closure that cannot tell its samples apart
    runs them all.
    """

    rho = radius(0.05)
    share = Hyperparameter(
        0.6, minimum=0.05, maximum=1.0, shared=True, help="probability that a tensor is perturbed"
    )
    samples = Hyperparameter(
        0.5, minimum=0.05, maximum=1.0, shared=True, help="share of the samples in the second pass"
    )
    seed = Hyperparameter(0.0, whole=True, shared=True, help="of the subsets, not that of the run")

    def direction(self, gradient: Oracle) -> Vector:
        step = self.next_step()
        g = gradient()
        norm = g.norm()
        draw = random.Random(f"{self.seed}:{step}")
        g.zero_where_([draw.random() >= self.share for _ in range(len(g))])
        by = self.rho / self.share / (norm + EPSILON)
        if self.samples == 1.0:
            return gradient(at=g, by=by)
        hardest = methodcaller("hardest", self.samples, gradient.draw_again)
        return gradient(at=g, by=by, samples=hardest)
