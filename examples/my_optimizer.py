"""An optimizer of one's own: SAM that descends along the mean of the clean and perturbed gradient.

sambench check examples/my_optimizer.py
sambench train --plugin examples/my_optimizer.py --opt half-sam --dataset phantom
"""

from sambench.optim.hyperparameter import EPSILON, Hyperparameter
from sambench.optim.method import Method, optimizer


@optimizer("half-sam", gradient_evaluations=2, extra_memory=2, reference="an example")
class HalfSAM(Method):
    """Half gradient descent, half SAM: e = rho g / |g|, direction (g + g(w + e)) / 2."""

    rho = Hyperparameter(0.05, help="radius of the ball, L2 norm over all weights")

    def direction(self, gradient):
        """Return (g + g(w + e)) / 2."""
        g = gradient()
        g_a = gradient(at=g, by=self.rho / (g.norm() + EPSILON), keep=True)  # g is used again
        return g.add_(g_a).mul_(0.5)
