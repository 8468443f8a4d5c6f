from sambench.optim.method import Method, optimizer


@optimizer(
    "adamw",
    gradient_evaluations=1,
    extra_memory=0,
    base="adamw",
    reference="Loshchilov & Hutter, 2019, arXiv 1711.05101",
)
class AdamW(Method):
    r"""Adam with decoupled weight decay.

    .. math:: w \leftarrow (1 - \eta \lambda) \, w - \eta \,
              \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with Adam's running means m and v of :math:`d = g(w)` and :math:`d^2`: the decay :math:`\lambda`
    is no part of the gradient, so it is not scaled by it.
    """
