from operator import methodcaller

from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "focal-sam",
    gradient_evaluations=3,
    extra_memory=2,
    reference="Li et al., 2025, Focal-SAM for Long-Tailed Classification, arXiv 2505.01660",
    tuned_on={"sgd": "github.com/scongl/Focal-SAM, cifar_train_sam.py"},
)
class FocalSAM(Method):
    r"""SAM whose sharpness counts rare classes most, for imbalanced data.

    .. math:: L_c(w) = \frac{1}{n} \sum_i c_i \, \ell_i(w), \qquad
              c_i = \lambda \, (1 - \pi_i)^\gamma, \qquad
              e = \rho \, \frac{\nabla L_c(w)}{\|\nabla L_c(w)\|}

    .. math:: d = g - \nabla L_c(w) + \nabla L_c(w + e)

    with :math:`\ell_i` a sample's loss and :math:`\pi_i` its class's share of the training data;
    in the authors' code `sharpness` is :math:`\lambda`, `flat_gamma` :math:`\gamma`. Only a
    `SampleClosure` knows the shares; with a plain closure this is SAM, and a warning says so.
    """

    rho = radius(0.2, grid=(0.05, 0.1, 0.2, 0.3))
    lam = Hyperparameter(0.5, shared=True, help="weight of the sharpness", grid=(0.5, 0.7, 0.8))
    gamma = Hyperparameter(1.0, shared=True, help="exponent of 1 - share", grid=(1.0, 1.5, 3.0))

    def direction(self, gradient: Oracle) -> Vector:
        weighted = methodcaller("weighted", lambda pi: self.lam * (1.0 - pi) ** self.gamma)
        g = gradient()
        g_c = gradient(samples=weighted)
        g.add_(g_c, -1.0)
        return g.add_(gradient(at=g_c, by=self.rho / (g_c.norm() + EPSILON), samples=weighted))
