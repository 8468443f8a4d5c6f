from sambench.optim.method import Method, optimizer


@optimizer(
    "adam",
    gradient_evaluations=1,
    extra_memory=0,
    base="adam",
    reference="Kingma & Ba, 2015, arXiv 1412.6980",
)
class Adam(Method):
    r"""Adam, the baseline without any perturbation.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) \, d, \qquad
              v \leftarrow \beta_2 v + (1 - \beta_2) \, d^2, \qquad
              w \leftarrow w - \eta \,
              \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`d = g(w) + \lambda w`, learning rate :math:`\eta`, `betas` :math:`\beta_1, \beta_2`,
    `eps` :math:`\epsilon` and weight decay :math:`\lambda`, in step t.
    """
