from sambench.optim.method import Method, Oracle, Vector, optimizer, radius


@optimizer(
    "usam", reference="Dai et al., 2023, The Crucial Role of Normalization in SAM, arXiv 2305.15287"
)
class USAM(Method):
    r"""SAM without its normalisation: the perturbation shrinks with the gradient.

    .. math:: e = \rho \, g, \qquad d = g(w + e)

    So it depends on the scale of the loss: where a step has n closures with 1/n of the loss each,
    `rho` must be n times as large.
    """

    rho = radius(0.05, "factor of the gradient; not a radius", (0.01, 0.05, 0.1, 0.5))

    def direction(self, gradient: Oracle) -> Vector:
        return gradient(at=gradient(), by=self.rho)
