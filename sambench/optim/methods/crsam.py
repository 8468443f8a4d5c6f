from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "crsam",
    gradient_evaluations=3,
    extra_memory=2,
    reference="Wu et al., 2024, CR-SAM: Curvature Regularized SAM, arXiv 2312.13555",
    tuned_on={"sgd": "github.com/TrustAIoT/CR-SAM"},
)
class CRSAM(Method):
    r"""SAM with a penalty on the curvature along the gradient, by finite differences.

    .. math:: e = \rho \, \frac{g}{\|g\|}, \qquad g_a = g(w + e), \qquad g_b = g(w - e)

    In the authors' code (`form="code"`) the direction is

    .. math:: d = g_a + \gamma \, (g_a + g_b - 2 g) + \beta \, (g_a - g_b) .

    In the paper (`form="log"`) the penalty is the logarithm of the trace and that of the slope,
    read off :math:`L_a + L_b - 2 L` and :math:`L_a - L_b`, so each bracket is divided by its own
    difference of losses, here clamped at 1e-6:

    .. math:: d = g_a + \gamma \, \frac{g_a + g_b - 2 g}{L_a + L_b - 2 L}
              + \beta \, \frac{g_a - g_b}{L_a - L_b} .

    The paper's :math:`\alpha` is `gamma`. The two forms' coefficients are not interchangeable.
    The curvature is that of one direction, not a trace.
    """

    FLOOR = 1e-6

    rho = radius(0.1, grid=(0.05, 0.1, 0.2))
    gamma = Hyperparameter(
        0.1, help="weight of the curvature (the paper's alpha)", grid=(0.01, 0.1, 0.5)
    )
    beta = Hyperparameter(0.01, help="weight of the slope", grid=(0.01, 0.1))
    form = Hyperparameter("code", choices=("code", "log"), help="linear as the code or logarithmic")

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        step = self.rho / (g.norm() + EPSILON)
        best = gradient(at=g * -step)  # before the worst, which may take g's memory
        if self.form == "code":
            rest = best.mul_(self.gamma - self.beta).add_(g, -2.0 * self.gamma)
            return rest.add_(gradient(at=g, by=step), 1.0 + self.gamma + self.beta)
        worst = gradient(at=g * step)
        clean_loss, best_loss, worst_loss = gradient.losses
        curvature = self.gamma / (worst_loss + best_loss - 2 * clean_loss).clamp(min=self.FLOOR)
        slope = self.beta / (worst_loss - best_loss).clamp(min=self.FLOOR)
        worst.mul_(1.0 + curvature + slope)
        return worst.add_(best, curvature - slope).add_(g, -2.0 * curvature)
