"""Sentences that the captions of several figures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sambench.analysis.means import CellMean


def number_of_runs(counts: Iterable[int]) -> str:
    """Return "10 runs", or "3 to 10 runs" where optimizers have different numbers."""
    found = sorted(set(counts))
    if found in ([], [1]):
        return "one run"
    return f"{found[0]} to {found[-1]} runs" if len(found) > 1 else f"{found[0]} runs"


def intervals(cells: Sequence[CellMean]) -> str:
    """Say what the bars are, or that there are none."""
    methods = dict.fromkeys(cell.interval.method for cell in cells if cell.interval)
    counts = number_of_runs(len(cell.values) for cell in cells)
    if not methods:
        return f"{counts} of each optimizer, so no interval"
    return f"mean and 95 % interval ({', '.join(methods)}) over {counts} of each optimizer"


def signed(value: float) -> str:
    """Return two decimals with a typographic sign."""
    return f"{value:+.2f}".replace("-", "−")
