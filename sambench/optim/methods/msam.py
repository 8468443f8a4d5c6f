from sambench.errors import ConfigError
from sambench.optim.method import EPSILON, Method, Optimizer, Oracle, Vector, optimizer, radius


@optimizer(
    "msam",
    gradient_evaluations=1,
    reference="Becker et al., 2024, Momentum-SAM, arXiv 2401.12033",
    tuned_on={"sgd": "github.com/MarlonBecker/MSAM", "adamw": "there too"},
)
class MSAM(Method):
    r"""SAM at one pass a step: the perturbation is the base optimizer's momentum.

    .. math:: e = -\rho \, \frac{v}{\|v\|}, \qquad d = g(w + e)

    with v the base optimizer's momentum buffer or exp_avg before the step, as in the authors' code;
    :math:`e = 0` in the first step. Batch statistics and the step's loss are those of the only
    pass, at :math:`w + e`; weight decay is that of the base, at w.
    """

    rho = radius(
        3.0,
        "length of the perturbation, L2 over all weights",
        (0.03, 0.3, 3.0, 10.0),
        where={("base", "adam"): 0.03},  # where 3 and 0.3 collapse
    )

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        group = optimizer.param_groups[0]
        if not group.get("momentum") and "betas" not in group:
            raise ConfigError("msam needs a base optimizer with momentum; set momentum=0.9 or so")

    def direction(self, gradient: Oracle) -> Vector:
        v = self.optimizer.momentum()
        if v is None:
            return gradient()
        return gradient(at=v, by=-self.rho / (v.norm() + EPSILON), keep=True)
