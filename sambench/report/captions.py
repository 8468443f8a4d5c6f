"""What stands above a figure of one run, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sambench.store.record import RunRecord

Section = Mapping[str, Any]


def title(record: RunRecord) -> str:
    """Name data, model, optimizer and seed."""
    optimizer = record.config.optimizer
    rho = f" (rho={optimizer['rho']:g})" if "rho" in optimizer else ""
    config = record.config
    return f"{config.dataset}, {config.model}, {optimizer['name']}{rho}, seed {config.seed}"


def subtitle(section: Section, what: str) -> str:
    """Say what is shown, on how many images, and how batch normalisation was evaluated."""
    modes = {"eval": "BatchNorm eval", "recalibrate": "BatchNorm recalibrated"}
    mode = modes.get(section["batch_norm"], section["batch_norm"])
    return f"{what}; {section['samples']} training images, {mode}"


def significant(value: float) -> str:
    """Return three significant digits as mathematical text."""
    if 1e-2 <= abs(value) < 1e4:
        return f"{float(f'{value:.3g}'):g}"
    return _scientific(value)


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
