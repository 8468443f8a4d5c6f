"""Timing of steps on a GPU: interleaved rounds, by the device's own clock, medians."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

Take = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Of one variant: the median over rounds, and their middle half."""

    ms: float
    low: float
    high: float
    rounds: int
    peak_bytes: int | None = None

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain values, rounded."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items()}


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def stretch_ms(take: Take, number: int, device: torch.device) -> float:
    """Time some steps in a row; return milliseconds a step, by the device's clock."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(number):
            take()
        return 1e3 * (time.perf_counter() - start) / number
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(number):
        take()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / number


def measure(
    makers: Mapping[str, Callable[[], Take | None]], device: torch.device, seconds: float
) -> tuple[dict[str, Timing], dict[str, Take], dict[str, str]]:
    """Time variants in rounds, in a new random order each round, for so many seconds.

    Returns:
        The timings, the variants that could be made, and why others could not.
    """
    made: dict[str, Take] = {}
    peaks: dict[str, int | None] = {}
    failed: dict[str, str] = {}
    for name, make in makers.items():
        try:
            take, peak = _made(make, device)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if take is not None:
            made[name], peaks[name] = take, peak
    each = {
        name: max(1, round(25 / max(stretch_ms(t, 3, device), 0.1))) for name, t in made.items()
    }
    found: dict[str, list[float]] = {name: [] for name in made}
    until = time.monotonic() + seconds
    order = list(made)
    while made and (time.monotonic() < until or len(found[order[0]]) < 3):
        random.shuffle(order)
        for name in order:
            found[name].append(stretch_ms(made[name], each[name], device))
    timings = {
        name: replace(_summary(times), peak_bytes=peaks[name]) for name, times in found.items()
    }
    return timings, made, failed


def _made(make: Callable[[], Take | None], device: torch.device) -> tuple[Take | None, int | None]:
    """Make a variant and take some steps; return it with the most memory it had beyond before."""
    on_gpu = device.type == "cuda"
    before = 0
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    take = make()
    if take is not None:
        for _ in range(3):
            take()
    synchronize(device)
    return take, torch.cuda.max_memory_allocated(device) - before if on_gpu else None


def _summary(times: list[float]) -> Timing:
    low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return Timing(middle, low, high, len(times))
