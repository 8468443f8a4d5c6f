"""Manifests of small runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sambench.config.curvature_settings import HessianSettings
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.launch.manifest import Manifest

ManifestMaker = Callable[..., Manifest]
TINY = HessianSettings(samples=24, max_matvecs=8, tol=0.5, trace_tol=1.0)


@pytest.fixture
def make_manifest(phantom_data: Path, tmp_path: Path) -> ManifestMaker:
    """Make a manifest of runs that differ by seed alone."""

    def make(runs: int = 1, *, hessian: HessianSettings | None = None, **settings: Any) -> Manifest:
        given = {
            **{"dataset": "phantom", "image_size": 32, "model": "small-cnn", "batch_size": 8},
            **{"epochs": 2, "optimizer": "sam", "lr": 1e-3},
            **settings,
        }
        return Manifest(
            configs=tuple(RunConfig.from_dict({**given, "seed": n}) for n in range(runs)),
            data=phantom_data,
            results=tmp_path / "results",
            suite="study",
            curvature=None if hessian is None else Measurement(hessian=hessian),
            device="cpu",
        )

    return make
