from sambench.optim.method import EPSILON, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "stablesam",
    reference="Tan et al., 2024, Stabilizing Sharpness-Aware Minimization, arXiv 2401.07250",
)
class StableSAM(Method):
    r"""SAM whose direction keeps the length of the clean gradient.

    .. math:: e = \rho \, \frac{g}{\|g\|}, \qquad g_a = g(w + e), \qquad
              d = \frac{\|g\|}{\|g_a\|} \, g_a

    The authors' code has :math:`e = \rho g`, as `usam`; this is the paper's.
    """

    rho = radius(0.05)

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        norm = g.norm()
        g_a = gradient(at=g, by=self.rho / (norm + EPSILON))
        return g_a.mul_(norm / (g_a.norm() + EPSILON))
