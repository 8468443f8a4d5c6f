"""The surroundings of a completed run's minimum: studied, and written into its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sambench.artifacts import read_weights
from sambench.minimum.hessian import measure_hessian, subject_of, weights_of
from sambench.minimum.settings import HessianSettings
from sambench.minimum.studies import (
    INTERPOLATIONS,
    LANDSCAPE,
    Studies,
    holds_interpolation,
    merged,
    study,
    study_interpolation,
)
from sambench.record import RunRecord
from sambench.run import Paths
from sambench.store import Store


def study_curvature(
    record: RunRecord,
    wanted: Studies,
    settings: HessianSettings,
    paths: Paths,
    *,
    device: torch.device,
    other: RunRecord | None = None,
    again: bool = False,
    on_progress: Callable[[str, int, int], None] = lambda what, done, most: None,
) -> RunRecord:
    """Do the missing studies of a completed run's minimum and write them into its record.

    On the same images as `measure_hessian`, which comes first where it is missing. Arrays go into
    the run's folder; each study is in the record as soon as it is done, and a plane that was
    interrupted goes on with its next row. The run is claimed meanwhile.

    Args:
        record: The run.
        wanted: Which studies.
        settings: How many images.
        paths: Where prepared data and results lie.
        device: Where to compute.
        other: A run of the same model, to look at the loss between the two.
        again: Also studies that the record holds already.
        on_progress: Told the stage, what is done of it and the most it may take.

    Raises:
        CurvatureError: If a run has no weights, or the two are of different models.
        Claimed: If another process works on the run.
        UserError: If its data are not prepared any more.
    """
    missing = wanted.missing(None if again else record.hessian)
    if other is not None and (other.id == record.id or not (again or _lacks_way(record, other))):
        other = None
    if not missing and other is None:
        return record
    if record.hessian is None:
        record = measure_hessian(record, settings, paths, device=device, on_progress=on_progress)
    store = Store(paths.results)
    subject = subject_of(record, settings, weights_of(record, store), paths, device)
    with store.claim(record.config, str(device)) as claim:
        for section in study(subject, wanted, missing, on_progress):
            claim.check()
            record = _added(store, record, section)
        if other is not None:
            end = read_weights(weights_of(other, store))
            found = study_interpolation(subject, end, other.name, other.id, wanted, on_progress)
            claim.check()
            ways = {LANDSCAPE: {INTERPOLATIONS: {other.id: found}}}
            record = _added(store, record, ways)
    return record


def is_studied(record: RunRecord, wanted: Studies, other: RunRecord | None) -> bool:
    """Whether a run's record holds the studies, and the way to the other run."""
    return not wanted.missing(record.hessian) and not _lacks_way(record, other)


def _lacks_way(record: RunRecord, other: RunRecord | None) -> bool:
    if other is None or other.id == record.id:
        return False
    return not holds_interpolation(record.hessian, other.id)


def _added(store: Store, record: RunRecord, section: dict[str, Any]) -> RunRecord:
    """Save what was found beside what the record holds by now."""
    current = store.load(record.config) or record
    studied = current.with_hessian(merged(current.hessian, section))
    store.save(studied)
    return studied
