"""Curvature without studies, for tests."""

from __future__ import annotations

import torch

from sambench.config.curvature_settings import HessianSettings
from sambench.config.measurement import Measurement
from sambench.run.measure import measure_minimum
from sambench.run.single_run import Paths
from sambench.run.studies import Progress
from sambench.store.record import RunRecord


def measure_hessian(
    record: RunRecord,
    settings: HessianSettings,
    paths: Paths,
    *,
    device: torch.device,
    again: bool = False,
    on_progress: Progress = lambda what, done, most: None,
) -> RunRecord:
    """Measure curvature where it is not measured yet, or `again`."""
    wanted = Measurement(hessian=settings, again=again)
    return measure_minimum(record, wanted, paths, device=device, on_progress=on_progress)
