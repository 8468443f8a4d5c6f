"""What the estimators return: numbers together with their uncertainty and their cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sambench.curvature.vectors import EndedBy

if TYPE_CHECKING:
    from sambench.curvature.krylov import Basis


@dataclass(frozen=True, kw_only=True)
class DeflationBasis:
    """Orthonormal vectors Q on which a trace is known exactly."""

    vectors: Basis
    projected_trace: float
    """tr(Q'HQ)."""


@dataclass(frozen=True, kw_only=True)
class Eigenpairs:
    """Extreme eigenvalues found by one Lanczos run.

    Every eigenvalue has a residual r = |Hv - theta v|: some eigenvalue of H lies within r of it.
    Intervals and bounds hold but for a chance of 1e-6 each, rounding aside.
    """

    values: Tensor
    """(k,) float64, on the CPU; the most positive ones first, or the largest in magnitude."""
    residuals: Tensor
    """(k,) float64, on the CPU."""
    intervals: Tensor
    """(k, 2) float64, on the CPU: where the i-th eigenvalue of H is; one end is the value."""
    certified: tuple[bool, ...]
    """For each whether its interval is within the tolerance: the value is what it is called."""
    vectors: Tensor | None = field(repr=False)
    """(k, size) unit vectors as rows; None if the run did not keep its basis."""
    upper_bound: float
    """No eigenvalue is larger."""
    lower_bound: float
    """No eigenvalue is smaller."""
    lowest: float
    """The most negative eigenvalue, which the run does not wait for."""
    lowest_residual: float
    lowest_certified: bool
    """Whether it and the lower bound are within the tolerance of each other."""
    matvecs: int
    """Products used."""
    ended_by: EndedBy
    basis: DeflationBasis = field(repr=False)
    """The Lanczos vectors, as long as they fit the memory, for `trace`."""

    @property
    def converged(self) -> bool:
        """Whether each value is certified."""
        return all(self.certified)


@dataclass(frozen=True, kw_only=True)
class TraceEstimate:
    """A stochastic estimate of tr(H)."""

    estimate: float
    """The mean of the samples."""
    stderr: float
    """Their standard error."""
    interval: tuple[float, float]
    """Student-t 95 % confidence interval."""
    samples: Tensor = field(repr=False)
    """(s,) float64, on the CPU: independent and unbiased estimates of tr(H)."""
    matvecs: int
    """Products used; those of the basis are not counted again."""
    converged: bool
    """Half the interval is at most the tolerance times |estimate|."""
    ended_by: EndedBy


@dataclass(frozen=True, kw_only=True)
class BatchValues:
    """What was found of one batch, in plain numbers that can be stored."""

    values: tuple[float, ...]
    residuals: tuple[float, ...]
    """Of eigenvalues |Hv - theta v|, of traces the standard error, else zero."""
    matvecs: int
    converged: bool
    """Whether each value is certified, or a trace's interval within the tolerance."""

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> BatchValues:
        """Read what `dataclasses.asdict` has made, JSON's lists included."""
        return cls(
            values=tuple(stored["values"]),
            residuals=tuple(stored["residuals"]),
            matvecs=stored["matvecs"],
            converged=stored["converged"],
        )


@dataclass(frozen=True, kw_only=True)
class BatchSpectrum:
    """Distribution over batches of numbers that belong to each batch's Hessian."""

    definition: str
    """Which numbers of which matrix."""
    batches: tuple[BatchValues, ...] = field(repr=False)
    """In the order of the batches; fewer than `num_batches` if the time ran out."""
    batch_sizes: tuple[int, ...] = field(repr=False)
    """Samples of each measured batch."""
    num_batches: int
    """How many there were to measure."""
    median: float
    median_interval: tuple[float, float] | None
    """95 % confidence interval over batches; None where too few batches give none that covers."""
    mean: float
    mean_interval: tuple[float, float] | None
    """Likewise."""
    std: float
    """Sample standard deviation (ddof 1); NaN for a single value."""
    min: float
    max: float
    fraction_negative: float
    matvecs: int
    """Products with a single batch's Hessian."""
    all_converged: bool
    ended_by: EndedBy

    @property
    def values(self) -> tuple[float, ...]:
        """All values, batch after batch."""
        return tuple(value for batch in self.batches for value in batch.values)

    @property
    def residuals(self) -> tuple[float, ...]:
        """Their residuals."""
        return tuple(residual for batch in self.batches for residual in batch.residuals)
