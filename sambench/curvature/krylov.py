"""The Lanczos recurrence: an orthonormal basis in which H is tridiagonal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from sambench.curvature.vectors import SymmetricOperator, dot, norm
from sambench.errors import CurvatureError

BLOCK_ROWS = 8
BREAKDOWN = 10.0  # times the rounding of the largest entry: nothing but rounding is left
Floats = NDArray[np.float64]


class Basis:
    """Orthonormal vectors in blocks of rows, so that growing copies nothing.

    Args:
        limit: The most vectors it will take.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._blocks: list[Tensor] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, vector: Tensor) -> None:
        """Add a unit vector that is orthogonal to those here."""
        row = self._count % BLOCK_ROWS
        if row == 0:
            rows = min(BLOCK_ROWS, self.limit - self._count)
            self._blocks.append(vector.new_empty(rows, len(vector)))
        self._blocks[-1][row] = vector
        self._count += 1

    def project_out(self, vector: Tensor) -> Tensor:
        """Remove from `vector`, in place, what lies in the basis, and return it.

        Two passes leave it orthogonal to rounding error whatever the first one cancelled (Giraud,
        Langou & Rozloznik, "The loss of orthogonality in the Gram-Schmidt process", 2005).
        """
        for _ in range(2):
            for block in self._filled():
                vector.addmv_(block.T, block.mv(vector), alpha=-1)
        return vector

    def combine(self, coefficients: Floats) -> Tensor:
        """Return unit vectors as rows from their coefficients, of shape (len(self), k)."""
        blocks = self._filled()
        weights = torch.from_numpy(coefficients.copy()).to(blocks[0])
        parts = torch.split(weights, [len(block) for block in blocks])
        rows = sum((part.T @ block for part, block in zip(parts, blocks, strict=True)), start=0.0)
        assert isinstance(rows, Tensor)
        return rows.div_(torch.tensor([norm(row) for row in rows]).to(rows).unsqueeze(-1))

    def _filled(self) -> list[Tensor]:
        starts = range(0, self._count, BLOCK_ROWS)
        pairs = zip(starts, self._blocks, strict=True)
        return [block[: self._count - start] for start, block in pairs]


@dataclass(frozen=True)
class RitzValues:
    """Eigenvalues of the tridiagonal matrix: approximations to those of H."""

    values: Floats  # (m,) ascending
    coefficients: Floats  # (m, m), column i belongs to values[i]
    residuals: Floats  # (m,)

    @cached_property
    def scale(self) -> float:
        """The largest magnitude: what H's norm is estimated by."""
        return float(np.abs(self.values).max())


class Lanczos:
    r"""Lanczos' recurrence :math:`H Q_m = Q_m T_m + \beta_m q_{m+1} e_m^T`.

    Reorthogonalised twice against the whole basis while that has room (Parlett, "The Symmetric
    Eigenvalue Problem", 1998, ch. 13). Beyond it the plain three-term recurrence goes on: extreme
    values stay right, but copies of converged ones appear and there are no eigenvectors.

    Args:
        H: The operator.
        start: First direction, not zero.
        max_basis: The most vectors kept.
    """

    def __init__(self, H: SymmetricOperator, start: Tensor, max_basis: int) -> None:
        self._H = H
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.basis = Basis(max_basis)
        self._epsilon = torch.finfo(H.dtype).eps
        self._previous: Tensor | None = None
        self._spare: Tensor | None = None
        self._current = start / norm(start)

    @property
    def complete(self) -> bool:
        """Whether the basis holds every Lanczos vector so far."""
        return len(self.basis) == len(self.alphas)

    @property
    def exhausted(self) -> bool:
        """Whether the start's Krylov space is invariant: nothing is left to be found in it."""
        return bool(self.betas) and self.betas[-1] == 0.0

    def step(self) -> None:
        """Extend the tridiagonal matrix by one row, at the price of one product.

        Raises:
            CurvatureError: If the product is not finite.
        """
        if self.complete and len(self.basis) < self.basis.limit:
            self.basis.append(self._current)
        remainder = self._H.matvec(self._current, self._spare)
        alpha = dot(self._current, remainder)
        remainder.sub_(self._current, alpha=alpha)
        if self._previous is not None:
            remainder.sub_(self._previous, alpha=self.betas[-1])
        beta = norm(self.basis.project_out(remainder))
        if not math.isfinite(alpha + beta):
            raise CurvatureError("a Hessian-vector product is not finite: the loss overflows")
        self.alphas.append(alpha)
        self._advance(remainder, beta)

    def restart(self, direction: Tensor) -> None:
        """Go on, after exhaustion, in the complement of the basis."""
        self._previous = self._spare = None
        self.basis.project_out(direction)
        self._current = direction / norm(direction)

    def ritz(self) -> RitzValues:
        """Return the eigenvalues of the tridiagonal matrix and their residuals."""
        values, coefficients = eigh_tridiagonal(self.alphas, self.betas[:-1])
        return RitzValues(values, coefficients, np.abs(self.betas[-1] * coefficients[-1]))

    def projected_trace(self) -> float:
        """Return tr(Q'HQ) over the vectors of the basis."""
        return math.fsum(self.alphas[: len(self.basis)])

    def _advance(self, remainder: Tensor, beta: float) -> None:
        entries = (abs(entry) for entry in (*self.alphas, *self.betas))
        rounding = BREAKDOWN * self._epsilon * max(entries)
        spanned = self.complete and len(self.basis) == self._H.size
        if beta <= rounding or spanned:
            self.betas.append(0.0)
            return
        self.betas.append(beta)
        self._spare = self._previous  # its memory, for the next product
        self._previous, self._current = self._current, remainder.div_(beta)
