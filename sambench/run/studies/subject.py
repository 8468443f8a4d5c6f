"""What is studied, and what every study needs: a clock, its cost, its progress."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn

from sambench.config.study_settings import Section
from sambench.curvature.batches import Batch, Loss
from sambench.curvature.surface import Cost

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network at its minimum and the data it is looked at with.

    Attributes:
        model: With the run's weights.
        loss: Mean loss of a batch.
        batches: A fixed subset of the training data.
        available: How many training images there are.
        folder: The run's, where arrays are written.
    """

    model: nn.Module
    loss: Loss
    batches: Sequence[Batch]
    available: int
    folder: Path

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(len(inputs) for inputs, _ in self.batches)

    def fingerprint(self) -> str:
        """Return a hash of weights and inputs."""
        return fingerprint((*self.model.state_dict().values(), *(x for x, _ in self.batches)))


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """Return a hash of numbers."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def seconds() -> Iterator[Callable[[], float]]:
    """Yield a clock that tells the seconds since now."""
    start = time.perf_counter()
    yield lambda: time.perf_counter() - start


def stage(on_progress: Progress, what: str) -> Callable[[int, int], None]:
    """Return what tells the progress of one stage."""
    return lambda done, most: on_progress(what, done, most)


def cost_section(cost: Cost) -> Section:
    """Return a cost as plain values."""
    return {**asdict(cost), "gradient_equivalents": cost.gradient_equivalents}


def finite(value: float) -> float | None:
    """Return the number, or None where JSON has none for it."""
    return float(value) if math.isfinite(value) else None
