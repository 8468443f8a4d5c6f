from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "asam",
    extra_memory=2,
    reference="Kwon et al., 2021, ASAM, arXiv 2102.11600",
    tuned_on={"sgd": "github.com/SamsungLabs/ASAM"},
)
class ASAM(Method):
    r"""SAM in a ball that scales with the weights, so that rescaling layers changes little.

    .. math:: e = \rho \, \frac{T^2 g}{\|T g\|}, \qquad d = g(w + e)

    With `scope="weights"`, as in the authors' code, T is :math:`|w| + \eta` on what has `weight` in
    its name, and 1 on biases, tokens and everything else; with `scope="all"`, as in the widespread
    port, T is :math:`|w| + \eta` on every tensor. The radii of the two, by default 0.5 and 2.0, are
    not interchangeable. Only "all" with :math:`\eta = 0` is exactly invariant.
    """

    rho = radius(0.5, "radius |e / T|", (0.1, 0.2, 0.5, 1.0, 2.0), where={("scope", "all"): 2.0})
    eta = Hyperparameter(0.01, where={("scope", "all"): 0.0}, shared=True, help="added to |w|")
    scope = Hyperparameter(
        "weights", choices=("weights", "all"), help="tensors whose ball scales with them"
    )

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        scale = gradient.weights  # up to a sign, since T is only ever squared or in a norm
        if self.scope == "weights" or self.eta != 0.0:
            scale = scale.abs().shift_(self.eta)
        if self.scope == "weights":
            others = [not role.weight for role in gradient.roles]
            scale.zero_where_(others).part(others).shift_(1.0)
        norm = g.mul_(scale).norm()
        return gradient(at=g, times=scale, by=self.rho / (norm + EPSILON))
