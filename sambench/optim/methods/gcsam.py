from sambench.optim.method import EPSILON, Hyperparameter, Method, Oracle, Vector, optimizer, radius


@optimizer(
    "gcsam",
    reference="Hassan et al., 2025, GCSAM, doi 10.1109/ACCESS.2025.3624332",
    tuned_on={"adam": "github.com/Mohamed-Hassan22/GCSAM"},
)
class GCSAM(Method):
    r"""SAM whose ascent follows the centralized gradient.

    .. math:: e = \rho \, \frac{GC(g)}{N}, \qquad d = g(w + e)

    GC subtracts from each tensor of two or more dimensions its mean over all dimensions but the
    first (Yong et al., 2020, arXiv 2004.01461). :math:`N = \|g\|` in the authors' code
    (`norm="raw"`, so :math:`\|e\| \le \rho`), :math:`N = \|GC(g)\|` in the paper
    (`norm="centered"`).
    """

    rho = radius(0.05)
    norm = Hyperparameter(
        "raw", choices=("raw", "centered"), help="|g| as in the code, or |GC(g)| as in the paper"
    )
    center_descent = Hyperparameter(False, help="centralize the gradient at w + e too")
    conv_only = Hyperparameter(False, help="centralize tensors of more than three dimensions only")

    def direction(self, gradient: Oracle) -> Vector:
        g = gradient()
        raw_norm = g.norm()
        self.centralize(g)
        norm = raw_norm if self.norm == "raw" else g.norm()
        g_a = gradient(at=g, by=self.rho / (norm + EPSILON))
        if self.center_descent:
            self.centralize(g_a)
        return g_a

    def centralize(self, vector: Vector) -> None:
        """Subtract from each tensor its mean over all dimensions but the first, in place."""
        for tensor in vector.tensors:
            if tensor.dim() > (3 if self.conv_only else 1):
                tensor.sub_(tensor.mean(dim=tuple(range(1, tensor.dim())), keepdim=True))
