"""The spectral density of a run's Hessian, into its folder and its record."""

from __future__ import annotations

import numpy as np

from sambench import curvature
from sambench.config.study_settings import Section, Studies
from sambench.files.arrays import write_arrays
from sambench.run.studies.subject import Progress, Subject, seconds, stage

FILE = "density.npz"


def study_density(subject: Subject, settings: Studies, on_progress: Progress) -> Section:
    """Return the record's `hessian.density`.

    Raises:
        CurvatureError: If the model cannot be studied.
        StoreError: If the run's folder cannot be written.
    """
    with (
        seconds() as clock,
        curvature.HessianOperator(
            subject.model,
            subject.loss,
            subject.batches,
            batch_norm=settings.batch_norm,
        ) as H,
    ):
        found = curvature.density(
            H,
            settings.probes,
            settings.steps,
            settings.seed,
            on_progress=stage(on_progress, "density"),
        )
    probe = np.repeat(np.arange(len(found.nodes)), [len(nodes) for nodes in found.nodes])
    arrays = {
        "probe": probe,
        "nodes": np.concatenate(found.nodes),
        "weights": np.concatenate(found.weights),
        "resolved": found.resolved,
        "resolved_residuals": found.resolved_residuals,
        "grid": found.grid,
        "density": found.density,
        "density_stderr": found.density_stderr,
        "scale": found.scale,
    }
    write_arrays(subject.folder / FILE, "spectral density", arrays)
    return {
        "file": FILE,
        "samples": subject.samples,
        "batch_norm": settings.batch_norm,
        "probes": len(found.nodes),
        "steps": found.steps,
        "start": found.start,
        "seed": settings.seed,
        "reorthogonalised": found.reorthogonalised,
        "parameters": found.size,
        "trace": {"value": found.trace, "stderr": found.trace_stderr},
        "mean_square": {"value": found.second, "stderr": found.second_stderr},
        "threshold": found.scale,
        "zero_mass": {"value": found.zero_mass, "stderr": found.zero_mass_stderr},
        "negative_mass": {"value": found.negative_mass, "stderr": found.negative_mass_stderr},
        "resolved": len(found.resolved),
        "kernel_width": found.width,
        "matvecs": found.matvecs,
        "seconds": clock(),
    }
