"""Lines and planes of a run's loss, and the way to another run, into folder and record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from sambench import curvature
from sambench.config.study_settings import Section, Studies
from sambench.curvature import Landscape
from sambench.curvature.vectors import Progress as CountProgress
from sambench.files.arrays import PartialRows, write_arrays
from sambench.run.journal import Deadline
from sambench.run.studies.subject import (
    Progress,
    Subject,
    cost_section,
    fingerprint,
    finite,
    seconds,
    stage,
)


def study_picture(
    subject: Subject, settings: Studies, name: str, on_progress: Progress, deadline: Deadline
) -> Section:
    """Compute the line, the plane or the plane of eigenvectors.

    Returns:
        The entry of the record's `hessian.landscape`.

    Raises:
        CurvatureError: If the model cannot be evaluated, or has no two eigenvectors.
        StoreError: If the run's folder cannot be written.
        OutOfTime: If the deadline is over; finished rows are kept.
    """
    file = f"landscape-{name}.npz"
    with seconds() as clock, _partial(subject, file, settings, name, deadline) as rows:
        on_point = stage(on_progress, f"landscape, {name}")
        found = _draw(subject, settings, name, rows, on_point)
        axes = dict(zip("xy", found.coordinates, strict=False))
        arrays = {**axes, "loss": found.loss, "accuracy": found.accuracy}
        write_arrays(subject.folder / file, found.kind, arrays)
    return {
        "file": file,
        "kind": found.kind,
        "samples": subject.samples,
        "batch_norm": found.batch_norm,
        "seed": settings.seed,
        "points": len(found.coordinates[0]),
        "extent": float(found.coordinates[0][-1]),
        "loss": finite(found.center_loss),
        "highest_loss": float(found.loss[np.isfinite(found.loss)].max(initial=0.0)),
        "overflowed": int(np.isinf(found.loss).sum()),
        "step_lengths": list(found.lengths),
        "eigenvalues": list(found.eigenvalues) or None,
        "converged": found.eigenvalues_converged,
        **cost_section(found.cost),
        "seconds": clock(),
    }


def _draw(
    subject: Subject, settings: Studies, name: str, rows: PartialRows, on_point: CountProgress
) -> Landscape:
    args = (subject.model, subject.loss, subject.batches)
    how: Any = {
        "points": 2 * settings.points - 1 if name == "line" else settings.points,
        "seed": settings.seed,
        "batch_norm": settings.batch_norm,
        "rows": rows,
        "on_progress": on_point,
    }
    if name == "line":
        return curvature.random_line(*args, **how)
    if name == "plane":
        return curvature.random_plane(*args, **how)
    return curvature.eigenvector_plane(*args, **how)


def study_interpolation(
    subject: Subject,
    other: Mapping[str, Tensor],
    name: str,
    id: str,
    settings: Studies,
    on_progress: Progress,
    deadline: Deadline,
) -> Section:
    """Look at the segment from the subject's weights to another run's.

    Args:
        subject: The run at a = 0.
        other: The state at a = 1.
        name: Of that run.
        id: Of that run; names the file.
        settings: How many points.
        on_progress: Told the stage, what is done of it and the most it may take.
        deadline: After which no further point is looked at.

    Returns:
        The entry of the record's `hessian.landscape.interpolations`.

    Raises:
        CurvatureError: If the other run is of another model.
        StoreError: If the run's folder cannot be written.
        OutOfTime: If the deadline is over; finished rows are kept.
    """
    file = f"interpolation-{id}.npz"
    end = fingerprint(other.values())
    with seconds() as clock, _partial(subject, file, settings, end, deadline) as rows:
        found = curvature.interpolation(
            subject.model,
            other,
            subject.loss,
            subject.batches,
            points=settings.points + 4,
            rows=rows,
            on_progress=stage(on_progress, f"interpolation to {name}"),
        )
        arrays = ("alphas", "loss", "accuracy", "kept_loss", "kept_accuracy")
        write_arrays(
            subject.folder / file, "interpolation", {key: getattr(found, key) for key in arrays}
        )
    return {
        "file": file,
        "with": name,
        "points": len(found.alphas),
        "samples": subject.samples,
        "batch_norm": "recalibrate" if found.has_statistics else "none",
        "distance": found.distance,
        "barrier": finite(found.barrier),
        "loss": [finite(found.loss[0]), finite(found.loss[-1])],
        "kept_loss": [finite(found.kept_loss[0]), finite(found.kept_loss[-1])],
        **cost_section(found.cost),
        "seconds": clock(),
    }


@contextmanager
def _partial(
    subject: Subject, file: str, settings: Studies, what: str, deadline: Deadline
) -> Iterator[PartialRows]:
    """Keep finished rows beside `file`, for as long as it is not written itself."""
    settled = [settings.points, settings.seed, settings.batch_norm]
    grid = json.dumps([what, subject.fingerprint(), *settled])
    path = subject.folder / file.replace(".npz", ".partial.npz")
    rows = PartialRows(path, grid, on_kept=deadline.check)
    yield rows
    rows.discard()
