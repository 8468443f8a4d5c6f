"""All that is wanted of a completed run's minimum, measured and written into its record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.config.study_settings import INTERPOLATIONS, LANDSCAPE, merged
from sambench.curvature.memory import share_memory
from sambench.errors import CurvatureError
from sambench.run.curvature import measure_hessian, subject_of, weights_of
from sambench.run.journal import Deadline, OutOfTime
from sambench.run.single_run import Paths
from sambench.run.studies import study, study_interpolation
from sambench.store.artifacts import read_weights
from sambench.store.environment import count_runs_on_device
from sambench.store.record import RunRecord
from sambench.store.tree import WEIGHTS, Store

Progress = Callable[[str, int, int], None]


def measure_minimum(
    record: RunRecord,
    wanted: Measurement,
    paths: Paths,
    *,
    device: torch.device,
    on_progress: Progress = lambda what, done, most: None,
) -> RunRecord:
    """Measure what is missing of a completed run's minimum and write it into its record.

    The curvature first, then the studies of what lies around, on the same images. Each study is in
    the record as soon as it is done. The run is claimed meanwhile. When the minutes of the settings
    are over, the curvature is as good as it got, no further study is begun, and a plane stops at
    the end of its row; what is left is done the next time.

    Args:
        record: The run.
        wanted: What is measured of it.
        paths: Where prepared data and results lie.
        device: Where to compute.
        on_progress: Told the stage, what is done of it and the most it may take.

    Raises:
        CurvatureError: If a run has no weights, or the two are of different models.
        Claimed: If another process works on the run.
        UserError: If its data are not prepared any more.
    """
    share_memory(count_runs_on_device())
    deadline = Deadline(wanted.hessian.minutes)
    fresh = record.hessian is None or wanted.again
    if fresh:
        record = measure_hessian(
            record,
            wanted.hessian,
            paths,
            device=device,
            again=wanted.again,
            on_progress=on_progress,
        )
    with suppress(OutOfTime):
        if fresh:
            deadline.check()
        record = _study(record, wanted, paths, device, on_progress, deadline)
    return Store(paths.results).load(record.config) or record


def _study(
    record: RunRecord,
    wanted: Measurement,
    paths: Paths,
    device: torch.device,
    on_progress: Progress,
    deadline: Deadline,
) -> RunRecord:
    """Do the missing studies, as far as the time allows.

    Raises:
        OutOfTime: If it does not allow all.
    """
    held = None if wanted.again else record.hessian
    missing = wanted.studies.missing(held)
    other = wanted.other if wanted.leads_elsewhere(record.config, held) else None
    if not missing and other is None:
        return record
    store = Store(paths.results)
    subject = subject_of(record, wanted.hessian, weights_of(record, store), paths, device)
    with store.claim(record.config, str(device)) as claim:
        for section in study(subject, wanted.studies, missing, on_progress, deadline):
            claim.check()
            record = _added(store, record, section)
        if other is not None:
            if missing:
                deadline.check()
            there = _completed(store, other)
            end = read_weights(weights_of(there, store), there.sha256_of(WEIGHTS))
            found = study_interpolation(
                subject, end, other.name, other.id, wanted.studies, on_progress, deadline
            )
            claim.check()
            ways = {LANDSCAPE: {INTERPOLATIONS: {other.id: found}}}
            record = _added(store, record, ways)
    return record


def _completed(store: Store, config: RunConfig) -> RunRecord:
    """Return the record of the run at the other end.

    Raises:
        CurvatureError: If it is gone.
    """
    record = store.load(config)
    if record is None:
        raise CurvatureError(f"run {config.name} is not in {store.runs} any more")
    return record


def _added(store: Store, record: RunRecord, section: dict[str, Any]) -> RunRecord:
    """Save what was found beside what the record holds by now."""
    current = store.load(record.config) or record
    studied = current.with_sections(hessian=merged(current.hessian, section))
    store.save(studied)
    return studied
