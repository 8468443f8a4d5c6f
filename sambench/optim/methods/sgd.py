from sambench.optim.method import Method, optimizer


@optimizer(
    "sgd", gradient_evaluations=1, extra_memory=0, base="sgd", reference="Robbins & Monro, 1951"
)
class SGD(Method):
    r"""Stochastic gradient descent, with momentum where set.

    .. math:: v \leftarrow \mu v + (1 - \tau) \, d, \qquad w \leftarrow w - \eta \, v,
              \qquad d = g(w) + \lambda w

    with momentum :math:`\mu`, dampening :math:`\tau`, learning rate :math:`\eta` and weight decay
    :math:`\lambda`; :math:`v = d` in the first step.
    """
