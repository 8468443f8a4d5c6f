import warnings

from sambench.errors import SambenchWarning
from sambench.optim.hyperparameter import EPSILON, Hyperparameter, radius
from sambench.optim.method import Method, Optimizer, Oracle, Vector, optimizer


@optimizer(
    "wsam",
    extra_memory=2,
    reference="Yue et al., 2023, Sharpness-Aware Minimization Revisited, arXiv 2305.15817",
    tuned_on={"sgd": "github.com/intelligent-machine-learning/atorch"},
)
class WSAM(Method):
    r"""SAM whose sharpness is a weighted part of the loss.

    .. math:: L + \frac{\gamma}{1 - \gamma} \, (L_{SAM} - L), \qquad
              e = \rho \, \frac{g}{\|g\|}, \qquad g_a = g(w + e), \qquad
              a = \frac{\gamma}{1 - \gamma}

    Coupled, the direction is :math:`d = a \, g_a + (1 - a) \, g`, to first order SAM of radius
    :math:`a \rho`: nine times :math:`\rho` at :math:`\gamma = 0.9`. Decoupled (the authors'
    default) the base optimizer sees :math:`d = g` alone, and then w loses
    :math:`\eta \, a \, (g_a - g)`, :math:`\eta` the learning rate, which neither Adam's
    preconditioning nor momentum touches: on Adam that term is small.
    """

    rho = radius(0.05, grid=(0.02, 0.05, 0.1, 0.2))
    gamma = Hyperparameter(0.9, below=1.0, help="weight of sharpness", grid=(0.5, 0.8, 0.9, 0.95))
    decouple = Hyperparameter(True, help="apply the sharpness term beside the base optimizer")

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        if self.decouple and "betas" in optimizer.param_groups[0]:
            warnings.warn(
                "wsam decoupled on an Adam: the sharpness term is not preconditioned, so it is "
                "small beside Adam's step; decouple=False gives it its weight",
                SambenchWarning,
                stacklevel=4,
            )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        g_a = gradient(at=g, by=self.rho / (g.norm() + EPSILON), keep=True)
        weight = self.gamma / (1.0 - self.gamma)
        if not self.decouple:
            return g.toward_(g_a, weight)
        self.beside = g_a.add_(g, -1.0), weight
        return g
