from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "xsam",
    gradient_evaluations=2.21,
    extra_memory=3,
    reference="Chen & Zhou, 2026, Revisiting Sharpness-Aware Minimization, arXiv 2603.10048",
    tuned_on={"sgd": "github.com/Cccjl219/XSAM, train.py"},
)
class XSAM(Method):
    r"""SAM that looks for the highest loss around w, in the plane of its two gradients.

    .. math:: v_0 = \frac{g}{\|g\|}, \qquad g_a = g(w + \rho v_0), \qquad
              v_1 = \frac{g_a}{\|g_a\|}, \qquad
              v(\alpha) = \frac{\sin((1 - \alpha) \psi)}{\sin \psi} \, v_0
              + \frac{\sin(\alpha \psi)}{\sin \psi} \, v_1

    .. math:: d = \|g_a\| \, v(\alpha^*), \qquad
              \alpha^* = \arg\max_{\alpha \in \{0, 0.1, \dots, 2\}} L(w + \rho_{\max} v(\alpha))

    with :math:`\psi` the angle between :math:`v_0` and :math:`v_1`; both have half the weight where
    its sine is below 1e-8. This is the authors' code with one step of ascent. The search takes 21
    passes, waiting for the device for the loss of each; the authors search once an epoch.
    """

    rho = radius(0.15, grid=(0.05, 0.1, 0.15, 0.3))
    rho_max = radius(0.3, "distance from w at which losses are compared", (0.1, 0.2, 0.3, 0.6))
    every = Hyperparameter(
        100.0, minimum=1.0, whole=True, shared=True, help="steps from search to search"
    )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        norm = g.norm()
        g_a = gradient(at=g, by=self.rho / (norm + EPSILON), keep=True)
        inner, square = g.products(g_a, norm)
        length = square.sqrt()
        angle = (inner / (norm * length + EPSILON)).clamp(-1.0, 1.0).arccos()

        def v(alpha: float) -> Vector:
            shares = [((1.0 - alpha) * angle).sin(), (alpha * angle).sin()]
            a, b = ((s / angle.sin()).where(angle.sin() >= 1e-8, 0.5) for s in shares)
            return (g * (a / (norm + EPSILON))).add_(g_a, b / (length + EPSILON))

        def loss(alpha: float) -> float:
            gradient(at=v(alpha), by=self.rho_max)
            return float(gradient.losses[-1])

        if self.next_step() % self.every == 0:
            self.counters["alpha"] = max((i / 10 for i in range(21)), key=loss)
        return v(self.counters["alpha"]).mul_(length)
