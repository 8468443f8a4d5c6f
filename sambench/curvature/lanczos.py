"""Extreme eigenvalues of a symmetric operator, with residuals and a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sambench.curvature.certificate import upper_bound
from sambench.curvature.krylov import Floats, Lanczos, RitzValues
from sambench.curvature.memory import spare_bytes
from sambench.curvature.result import DeflationBasis, Eigenpairs
from sambench.curvature.vectors import (
    EIGENVALUE_STREAM,
    EndedBy,
    Progress,
    Stop,
    SymmetricOperator,
    gaussian,
    generator,
    never,
    norm,
)

Which = Literal["top", "dominant"]
FAILURE_PROBABILITY = 1e-3  # of each bound: 99.9 % confidence
ROUNDING = 100.0  # times the unit round-off: a residual below it says nothing


@torch.no_grad()
def eigenvalues(
    H: SymmetricOperator,
    k: int = 1,
    tol: float = 1e-2,
    max_matvecs: int = 200,
    seed: int = 0,
    *,
    which: Which = "top",
    certify: bool = True,
    max_basis: int | None = None,
    out_of_time: Stop = never,
    on_progress: Progress | None = None,
) -> Eigenpairs:
    """Return the top eigenvalues of H, by Lanczos from a random start.

    The run ends when each residual is at most `tol` times its eigenvalue and, if `certify`, the
    99.9 % bound leaves no more than `tol` above the top one: small residuals alone prove that there
    is an eigenvalue, not that it is the largest. An eigenvalue below `tol` times the norm of H is
    resolved to `tol` squared of that norm, since one of zero has no relative accuracy. A multiple
    eigenvalue is found once. The error of a value is about residual² / gap, far below `tol`.

    Args:
        H: The operator.
        k: How many eigenvalues.
        tol: Relative tolerance of residuals and bound.
        max_matvecs: Most products to spend; the result then says `converged=False`.
        seed: Of the random start.
        which: "top" for the most positive eigenvalues, "dominant" for the largest in magnitude,
            whose sign is settled by telling both ends of the spectrum apart.
        certify: Wait for the bound, and confirm each residual by a product of its own (k in all).
        max_basis: Most Lanczos vectors kept in memory, by default what fits. A longer run with k=1
            goes on without them, and returns no vector; with k > 1 it ends there.
        out_of_time: Asked after each step; when true the run ends with what it has.
        on_progress: Called after each step with the products made and `max_matvecs`.

    Returns:
        The eigenpairs; its basis serves `trace`.

    Raises:
        CurvatureError: If a product is not finite.
    """
    k = min(k, H.size)
    products_before = H.matvecs
    rounding = ROUNDING * torch.finfo(H.dtype).eps
    rule = _StopRule(k, tol, which, certify, max_matvecs, H.size, rounding)
    run, ended_by = _run(H, rule, seed, max_basis, out_of_time, on_progress)
    ritz = run.ritz()
    chosen = rule.choose(ritz)
    vectors = run.basis.combine(ritz.coefficients[:, chosen]) if run.complete else None
    residuals = ritz.residuals[chosen]
    if certify and vectors is not None:
        residuals = np.maximum(residuals, _true_residuals(H, ritz.values[chosen], vectors))
    lower, upper = rule.bounds(run, ritz)
    dominant = int(np.abs(ritz.values).argmax())
    return Eigenpairs(
        values=torch.from_numpy(ritz.values[chosen].copy()),
        residuals=torch.from_numpy(residuals.copy()),
        vectors=vectors,
        upper_bound=upper,
        lower_bound=lower,
        lowest=float(ritz.values[0]),
        lowest_residual=float(ritz.residuals[0]),
        lowest_converged=bool(ritz.residuals[0] <= rule.tolerances(ritz, ritz.values[:1])[0]),
        dominant=float(ritz.values[dominant]),
        dominant_residual=float(ritz.residuals[dominant]),
        matvecs=H.matvecs - products_before,
        converged=rule.accepts(ritz, residuals) and rule.satisfied(run, ritz),
        ended_by=ended_by,
        basis=DeflationBasis(vectors=run.basis, projected_trace=run.projected_trace()),
    )


def _run(
    H: SymmetricOperator,
    rule: _StopRule,
    seed: int,
    max_basis: int | None,
    out_of_time: Stop,
    on_progress: Progress | None,
) -> tuple[Lanczos, EndedBy]:
    """Take Lanczos steps until the rule is satisfied or something runs out, and say which."""
    source = generator(H.device, seed, EIGENVALUE_STREAM)
    room = spare_bytes(H.device) // (H.size * H.dtype.itemsize) if max_basis is None else max_basis
    run = Lanczos(H, gaussian(H, source), max(rule.k, min(rule.max_steps, H.size, room)))
    for _ in range(rule.max_steps):
        run.step()
        if on_progress is not None:
            on_progress(len(run.alphas), rule.max_matvecs)
        if rule.satisfied(run, run.ritz()):
            return run, "tolerance"
        if out_of_time() and len(run.alphas) >= rule.k:
            return run, "minutes"
        if run.exhausted:
            run.restart(gaussian(H, source))
        if rule.k > 1 and len(run.basis) == run.basis.limit < rule.max_steps:
            return run, "memory"
    return run, "max_matvecs"


def _true_residuals(H: SymmetricOperator, values: Floats, vectors: Tensor) -> list[float]:
    """Return |Hv - theta v| from fresh products."""
    products = H.matmat(vectors.T).T
    pairs = zip(values, vectors, products, strict=True)
    return [norm(product - float(value) * vector) for value, vector, product in pairs]


@dataclass(frozen=True)
class _StopRule:
    """When a run has found what was asked for."""

    k: int
    tol: float
    which: Which
    certify: bool
    max_matvecs: int
    size: int
    rounding: float

    @property
    def max_steps(self) -> int:
        """The most Lanczos steps, which leave the products that confirm the residuals."""
        return max(self.k, self.max_matvecs - self.k * self.certify)

    def choose(self, ritz: RitzValues) -> NDArray[np.intp]:
        """Return the positions of the wanted Ritz values, best first."""
        order = ritz.values if self.which == "top" else np.abs(ritz.values)
        return np.argsort(-order, kind="stable")[: self.k]

    def satisfied(self, run: Lanczos, ritz: RitzValues) -> bool:
        """Whether the run may end."""
        if len(ritz.values) < self.k:
            return False
        if run.exhausted:
            return True
        chosen = self.choose(ritz)
        if not self.accepts(ritz, ritz.residuals[chosen]):
            return False
        if self.which == "dominant" and not self._sign_is_settled(ritz):
            return False
        return not self.certify or self._certified(run, ritz)

    def accepts(self, ritz: RitzValues, residuals: Floats) -> bool:
        """Whether these residuals of the chosen values are small enough."""
        return bool(np.all(residuals <= self.tolerances(ritz, ritz.values[self.choose(ritz)])))

    def tolerances(self, ritz: RitzValues, values: Floats) -> Floats:
        """Return what the residuals of these eigenvalues may be."""
        magnitudes = np.maximum(np.abs(values), self.tol * ritz.scale)
        return np.maximum(self.tol * magnitudes, self.rounding * ritz.scale)

    def bounds(self, run: Lanczos, ritz: RitzValues) -> tuple[float, float]:
        """Return the certified lower and upper bounds of the spectrum."""
        smallest, largest = float(ritz.values[0]), float(ritz.values[-1])
        mirrored = [-alpha for alpha in run.alphas]
        lower = upper_bound(mirrored, run.betas, -smallest, self.size, FAILURE_PROBABILITY)
        return -lower, upper_bound(run.alphas, run.betas, largest, self.size, FAILURE_PROBABILITY)

    def _sign_is_settled(self, ritz: RitzValues) -> bool:
        """Whether both ends differ in magnitude by more than their residuals, or are exact ties."""
        (weak, weak_error), (strong, strong_error) = sorted(
            (abs(float(ritz.values[end])), float(ritz.residuals[end])) for end in (0, -1)
        )
        exact = weak_error + strong_error <= self.rounding * ritz.scale
        return exact or strong - strong_error > weak + weak_error

    def _certified(self, run: Lanczos, ritz: RitzValues) -> bool:
        lower, upper = self.bounds(run, ritz)
        chosen = ritz.values[self.choose(ritz)[:1]]
        first, tolerance = float(chosen[0]), self.tolerances(ritz, chosen)[0]
        if self.which == "top":
            return bool(upper - first <= tolerance)
        return bool(max(upper, -lower) - abs(first) <= tolerance)
