"""Rises of the loss around a run's weights, into its folder and its record."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from sambench import curvature
from sambench.config.study_settings import Section, Studies
from sambench.files.arrays import write_arrays
from sambench.run.studies.subject import Progress, Subject, cost_section, seconds, stage

FILE = "sharpness.npz"


def study_sharpness(subject: Subject, settings: Studies, on_progress: Progress) -> Section:
    """Return the record's `hessian.sharpness`.

    Raises:
        CurvatureError: If the model cannot be studied.
        StoreError: If the run's folder cannot be written.
    """
    seed = settings.seed
    # draws of its own for each run: those of one seed err the same way in all runs
    drawn = int(hashlib.sha256(f"{seed} {subject.folder.name}".encode()).hexdigest()[:8], 16)
    args = (subject.model, subject.loss, subject.batches)
    modes: Any = {"batch_norm": settings.batch_norm}
    with seconds() as clock:
        worst: Any = {**modes, "seed": seed, "on_progress": stage(on_progress, "worst case")}
        average: Any = {**modes, "seed": drawn, "on_progress": stage(on_progress, "average case")}
        rho, noise = settings.relative_rho, settings.relative_noise
        measures = [
            curvature.step_sharpness(*args, settings.rho, **modes),
            curvature.worst_case_sharpness(*args, settings.rho, **worst),
            curvature.worst_case_sharpness(*args, rho, ball="adaptive-l2", **worst),
            curvature.average_sharpness(*args, settings.noise, **average),
            curvature.average_sharpness(*args, noise, adaptive=True, **average),
        ]
    samples = {measure.definition: np.array(measure.samples) for measure in measures}
    write_arrays(subject.folder / FILE, "sharpness", samples)
    return {
        "file": FILE,
        "samples": subject.samples,
        "batch_norm": settings.batch_norm,
        "seed": seed,
        "m": max(measures[1].batch_sizes),
        "measures": {
            measure.definition: {
                "value": measure.value,
                "stderr": measure.stderr,
                "lower_bound": measure.is_lower_bound,
                "rho": measure.rho,
                "loss": measure.loss,
                **cost_section(measure.cost),
            }
            for measure in measures
        },
        "seconds": clock(),
    }
