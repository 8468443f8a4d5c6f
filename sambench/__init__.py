"""Benchmark sharpness-aware optimizers: accuracy, cost and curvature, with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sambench.report.frame import load_runs
    from sambench.run.trained import load_run

__version__ = "0.1.0"
__all__ = ["__version__", "load_run", "load_runs"]


def __getattr__(name: str) -> Any:
    if name == "load_run":
        from sambench.run.trained import load_run

        return load_run
    if name == "load_runs":
        from sambench.report.frame import load_runs

        return load_runs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
