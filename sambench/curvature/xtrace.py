"""XTrace: a trace estimate in which every probe serves the basis and the remainder alike."""

from __future__ import annotations

import torch
from torch import Tensor

from sambench.curvature.vectors import TRACE_STREAM, SymmetricOperator, gaussian, generator

RANK_LOSS = 1e3  # times the unit round-off: what a column may lose and still count as independent

WIDENING = 1.5  # of the error of independent samples: measured, covers 90 % and more at 95 %


class XTrace:
    r"""Estimates the trace of a symmetric matrix by probes that are exchangeable.

    Epperly, Tropp & Webber, "XTrace: making the most of every sample in stochastic trace
    estimation", 2024. With m probes :math:`\omega_i`, :math:`Y = H\Omega = QR` and :math:`P_i` the
    projector on all columns of Y but the i-th, sample i is

    .. math:: t_i = \operatorname{tr}(P_i H) + \frac{n - m + 1}{\|(I - P_i) \omega_i\|^2}
              \omega_i^T (I - P_i) H (I - P_i) \omega_i ,

    the paper's normalised form, for probes of uniform direction. Leaving a column out removes from
    the range of Q one direction :math:`Q s_i`, :math:`s_i` the normalised i-th column of
    :math:`R^{-T}`, so all of it follows from small matrices: with :math:`W = Q^T \Omega`,
    :math:`G = Q^T H Q` and :math:`x_i = (I - s_i s_i^T) w_i`,

    .. math:: \operatorname{tr}(P_i H) = \operatorname{tr} G - s_i^T G s_i, \qquad
              \omega_i^T (I - P_i) H (I - P_i) \omega_i
              = w_i^T r_i - 2 x_i^T r_i + x_i^T G x_i .

    Every t_i is unbiased; they are not independent, and the standard error of their mean is too
    small, as the authors say: `trace` widens it by `WIDENING`. Probes are added as needed: Q grows
    by columns, and no product is lost. 2m products and 2m stored vectors.

    Args:
        H: The operator.
        seed: Of the probes.
    """

    def __init__(self, H: SymmetricOperator, seed: int) -> None:
        self._H = H
        self._source = generator(H.device, seed, TRACE_STREAM)
        self._probes = torch.empty(0, H.size, dtype=H.dtype, device=H.device)  # rows
        self._basis = self._probes.clone()
        self._R = self._G = self._W = torch.empty(0, 0, dtype=torch.float64)
        self.matvecs = 0
        self.complete = False
        """Whether the basis holds the whole range of H, so that the trace is known exactly."""

    @property
    def pairs(self) -> int:
        """The number of probes, each of two products."""
        return len(self._probes)

    def extend(self, count: int) -> None:
        """Add probes, at the price of two products each."""
        probes = torch.stack([gaussian(self._H, self._source) for _ in range(count)])
        images = self._H.matmat(probes.T).T.contiguous()
        old = self._basis
        before, remainder = self._project(images)
        # in float64: the diagonal of R tells what a column adds to the range
        q, corner = torch.linalg.qr(remainder.double().T)
        scale = images.double().norm(dim=1).max().cpu()
        rounding = RANK_LOSS * torch.finfo(self._H.dtype).eps * float(scale)
        new = q.T.to(remainder).contiguous()
        self.complete = bool((corner.diagonal().abs() <= rounding).any()) or float(scale) == 0
        products = self._H.matmat(new.T).T.contiguous()
        self.matvecs += 2 * count
        self._R = _grown(self._R, before, corner.cpu())
        across = _gram(old, products)
        self._G = _grown(self._G, across, _gram(new, products))
        self._G[len(old) :, : len(old)] = across.T
        self._W = _grown(self._W, _gram(old, probes), _gram(new, probes))
        self._W[len(old) :, : len(old)] = _gram(new, self._probes)
        self._probes = torch.cat([self._probes, probes])
        self._basis = torch.cat([old, new])

    def exact(self) -> float:
        """Return tr(Q'HQ): the trace itself once `complete`."""
        return float(self._G.trace())

    def samples(self) -> list[float]:
        """Return t_i for each probe; where `complete`, the exact trace for each."""
        if self.complete:
            return [self.exact()] * self.pairs
        R, W, G = self._R, self._W, 0.5 * (self._G + self._G.T)
        S = torch.linalg.solve_triangular(R, torch.eye(len(R)).double(), upper=True).T
        S = S / S.norm(dim=0)
        X = W - S * (S * W).sum(0)
        within = G.trace() - (S * (G @ S)).sum(0)
        rest = (W * R).sum(0) - 2 * (X * R).sum(0) + (X * (G @ X)).sum(0)
        lengths = self._probes.double().square().sum(1).cpu() - X.square().sum(0)
        factor = (self._H.size - self.pairs + 1) / lengths
        return list(map(float, within + factor * rest))

    def _project(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coefficients of `images` in the basis, and what is outside of it."""
        total = torch.zeros(len(self._basis), len(images), dtype=torch.float64)
        remainder = images
        for _ in range(2):  # twice is enough
            inside = self._basis @ remainder.T
            remainder = remainder - inside.T @ self._basis
            total += inside.double().cpu()
        return total, remainder


def _gram(left: Tensor, right: Tensor) -> Tensor:
    """Return the inner products of rows, in float64 on the CPU."""
    return (left.double() @ right.double().T).cpu()


def _grown(corner: Tensor, above: Tensor, new: Tensor) -> Tensor:
    """Return [[corner, above], [0, new]]."""
    below = torch.zeros(len(new), len(corner), dtype=torch.float64)
    return torch.cat([torch.cat([corner, above], 1), torch.cat([below, new], 1)])
