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

from sambench.curvature.evaluation import exact_arithmetic
from sambench.curvature.vectors import SymmetricOperator, dot, norm, rounding_of
from sambench.errors import CurvatureError

BLOCK_ROWS = 8
CANCELLED = 0.1  # of a vector's length: a pass that removed more is followed by a second one
BREAKDOWN = 10.0  # times the rounding of the largest entry: nothing but rounding is left
Floats = NDArray[np.float64]


class Basis:
    """Orthonormal vectors in blocks of rows, at most `limit`, so that growing copies nothing."""

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

        Two passes leave it orthogonal to rounding error (Giraud, Langou & Rozloznik, "The loss of
        orthogonality in the Gram-Schmidt process", 2005).
        """
        for _ in range(2):
            self.subtract_from(vector)
        return vector

    def subtract_from(self, vector: Tensor) -> Floats:
        """Make one pass of that, and return the components removed, of shape (len(self),)."""
        removed = []
        with exact_arithmetic(vector.device):
            for block in self._filled():
                removed.append(block.mv(vector))
                vector.addmv_(block.T, removed[-1], alpha=-1)
        return torch.cat(removed).double().cpu().numpy() if removed else np.empty(0)

    def combine(self, coefficients: Floats) -> Tensor:
        """Return unit vectors as rows from their coefficients, of shape (len(self), k)."""
        blocks = self._filled()
        weights = torch.from_numpy(coefficients.copy()).to(blocks[0])
        pairs = zip(weights.split([len(block) for block in blocks]), blocks, strict=True)
        with exact_arithmetic(weights.device):
            rows = sum((part.T @ block for part, block in pairs), start=0.0)
        assert isinstance(rows, Tensor)
        return rows.div_(torch.tensor([norm(row) for row in rows]).to(rows).unsqueeze(-1))

    def _filled(self) -> list[Tensor]:
        return [block[: self._count - i * BLOCK_ROWS] for i, block in enumerate(self._blocks)]


@dataclass(frozen=True)
class RitzValues:
    """Eigenvalues of the tridiagonal matrix: approximations to those of H."""

    values: Floats  # (m,) ascending
    coefficients: Floats  # (m, m), column i belongs to values[i]
    residuals: Floats  # (m,)
    noise: float  # of the products, beside the norm

    @property
    def rounding(self) -> float:
        """How far rounding takes a value: an interval is never narrower."""
        return self.noise * self.scale

    @cached_property
    def scale(self) -> float:
        """The largest magnitude: what H's norm is estimated by."""
        return float(np.abs(self.values).max())


class Lanczos:
    r"""Lanczos' recurrence :math:`H Q_m = Q_m T_m + \beta_m q_{m+1} e_m^T`, with restarts.

    Reorthogonalised against the whole basis while that has room, twice where the first pass takes
    much away (Parlett, "The Symmetric Eigenvalue Problem", 1998, ch. 13). Beyond it the plain
    three-term recurrence goes on: extreme values stay right, but copies of converged ones appear
    and there are no eigenvectors.

    A recurrence sees one vector of each eigenspace. After `restart` it goes on, from another random
    vector, with the part of H in the complement of all vectors so far: the basis then consists of
    segments, each of them tridiagonal, and the only entries of :math:`T = Q^T H Q` between segments
    are in the last row of each earlier one. Without a restart an exhausted run goes on with the
    rounding that is left over, a direction as good as random.

    The start is of any length, not zero; the basis takes at most `limit` vectors.
    """

    def __init__(self, H: SymmetricOperator, start: Tensor, limit: int) -> None:
        self._H = H
        self.basis = Basis(limit)
        self.alphas: list[float] = []  # diagonal of T, all segments after each other
        self.betas: list[float] = []
        """Length of what each product left over: the entry of T beside the diagonal, but for the
        last one of a segment."""
        self.ends: list[int] = []  # rows of T in which the finished segments end
        self.exhausted = False
        """Whether nothing but rounding was left over: the segment's space is invariant."""
        self._links: list[tuple[int, int, float]] = []
        self._current = start / norm(start)
        self._previous: Tensor | None = None
        self._spare: Tensor | None = None
        self._epsilon = torch.finfo(H.dtype).eps
        self._noise = rounding_of(H)
        # where second derivatives were found right it is rounding, as of p (1 - p) for p near 1
        right = getattr(H, "derivative_error", None) is not None
        self._most_noise = math.inf if right else max(math.sqrt(self._epsilon), self._noise)

    @property
    def complete(self) -> bool:
        """Whether the basis holds every vector so far."""
        return len(self.basis) == len(self.alphas)

    @property
    def spans_everything(self) -> bool:
        """Whether the basis is one of the whole space, so that T has all eigenvalues."""
        return self.complete and len(self.basis) == self._H.size

    def step(self) -> None:
        """Extend T by one row, at the price of one product, which must be finite and symmetric."""
        if self.complete and len(self.basis) < self.basis.limit:
            self.basis.append(self._current)
        remainder = self._H.matvec(self._current, self._spare)
        alpha = dot(self._current, remainder)
        remainder.sub_(self._current, alpha=alpha)
        if self._previous is not None:
            remainder.sub_(self._previous, alpha=self.betas[-1])
        removed = self.basis.subtract_from(remainder)
        beta = norm(remainder)
        if math.hypot(*removed) > CANCELLED * beta:
            self.basis.subtract_from(remainder)
            beta = norm(remainder)
        if not math.isfinite(alpha + beta):
            raise CurvatureError("a Hessian-vector product is not finite: the loss overflows")
        self.alphas.append(alpha)
        self._take_links(removed)
        entries = (abs(entry) for entry in (*self.alphas, *self.betas))
        rounding = BREAKDOWN * self._epsilon * max(entries)
        self.exhausted = beta <= rounding or self.spans_everything
        self.betas.append(0.0 if self.spans_everything else max(beta, rounding))
        if beta:
            self._spare = self._previous  # its memory, for the next product
            self._previous, self._current = self._current, remainder.div_(beta)

    def restart(self, direction: Tensor) -> None:
        """Go on in the complement of the basis, from a random direction of it."""
        self.ends.append(len(self.alphas) - 1)
        self._previous = self._spare = None
        self.exhausted = False
        self.basis.project_out(direction)
        self._current = direction / norm(direction)

    def ritz(self, rows: int | None = None) -> RitzValues:
        """Return the eigenvalues of T, or of its first rows, and bounds of their residuals."""
        rows = len(self.alphas) if rows is None else rows
        ends = [end for end in self.ends if end < rows - 1]
        if ends:
            values, coefficients = np.linalg.eigh(self.projection(rows))
        else:
            values, coefficients = eigh_tridiagonal(self.alphas[:rows], self.betas[: rows - 1])
        loose = [*ends, rows - 1]
        left = np.abs(np.asarray(self.betas)[loose, None] * coefficients[loose]).sum(0)
        return RitzValues(values, coefficients, left * (not self.spans_everything), self._noise)

    def projection(self, rows: int) -> Floats:
        """Return the first rows and columns of T."""
        inner = np.asarray(self.betas[: rows - 1])
        inner[[end for end in self.ends if end < rows - 1]] = 0.0
        T = np.diag(self.alphas[:rows]) + np.diag(inner, 1) + np.diag(inner, -1)
        for row, column, value in self._links:
            if column < rows:
                T[row, column] = T[column, row] = value
        return T

    def projected_trace(self) -> float:
        """Return tr(Q'HQ) over the vectors of the basis."""
        return math.fsum(self.alphas[: len(self.basis)])

    def _take_links(self, removed: Floats) -> None:
        """Enter what couples the new vector to the ends of earlier segments; refuse asymmetry."""
        row = len(self.alphas) - 1
        removed = removed.copy()
        for end in self.ends:
            self._links.append((end, row, float(removed[end])))
            removed[end] = 0.0
        scale = max(abs(entry) for entry in (*self.alphas, *self.betas))
        # without room for the whole basis its last vector is coupled to one that is not there
        off = float(np.abs(removed[: row if self.complete else -1]).max(initial=0.0))
        self._noise = max(self._noise, off / scale if scale else 0.0)
        if self._noise > self._most_noise:
            raise CurvatureError(
                f"the products with the Hessian are not symmetric: v'Hu and u'Hv differ by "
                f"{100 * off / scale:.2g} % of its norm, so an operation of the model or loss has "
                "a wrong second derivative; torch.autograd.gradgradcheck finds which"
            )
