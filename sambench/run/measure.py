"""All that is wanted of a completed run's minimum, measured and written into its record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch

import sambench
from sambench.config.curvature_settings import HessianSettings, Section, merged, studies_in
from sambench.config.measurement import Measurement
from sambench.config.run_config import DEFAULTS, RunConfig
from sambench.curvature.vectors import share_memory
from sambench.data.batches import shuffled
from sambench.errors import CurvatureError
from sambench.files.definition import plain
from sambench.run.network import check_code, restore_network, restore_parts
from sambench.run.section import Journal, measure
from sambench.run.single_run import Paths
from sambench.run.studies import Minimum, OutOfTime, Progress
from sambench.store.environment import count_runs_on_device, git_state
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from sambench.training.clock import awake_time
from sambench.training.losses import CrossEntropy
from sambench.training.seeding import derive_seed

JOURNAL = "hessian-progress.json"


def measure_minimum(
    record: RunRecord,
    wanted: Measurement,
    paths: Paths,
    *,
    device: torch.device,
    on_progress: Progress = lambda what, done, most: None,
) -> RunRecord:
    """Measure what is missing of a completed run's minimum and write it into its record.

    The curvature first, then the studies of what lies around, each of which is in the record as
    soon as it is done. The images are the run's training images without augmentation, in one fixed
    random order (so that batches mix the classes), cut into batches of the training size. They are
    the same for all runs of a comparison, whatever their seed. Finished parts are kept in files of
    the run's folder until all are done, so that an interrupted measurement goes on with its next
    part, batch or row.

    When the `minutes` of the settings are over, the curvature keeps the accuracy reached so far, no
    further study begins, and a plane stops at the end of its row; the next measurement does the
    rest. No other process works on the run meanwhile. What is already measured is not measured
    again, unless `again` asks for it.

    Raises:
        UserError: If the run has no weights, its data are not prepared any more, or the Hessian
            cannot be measured.
        Claimed: If another process works on the run.
    """
    share_memory(count_runs_on_device())
    end = awake_time.begin() + 60 * (wanted.hessian.minutes or math.inf)
    store, config = Store(paths.results), record.config
    weights = store.weights_of(record)
    with store.claim(config, str(device)) as claim:
        current = store.load(config) or record
        if wanted.is_done(config, current.hessian):
            return current
        minimum = _minimum(record, wanted, paths, device, on_progress=on_progress, end=end)
        if current.hessian is None or wanted.again:
            identity = {  # all that the numbers depend on beside the data, which are checked
                "settings": plain(wanted.hessian),
                "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
            }
            journal = Journal(weights.parent / JOURNAL, identity)
            section = _curvature(config, minimum, wanted.hessian, journal)
            claim.check()
            current = current.with_sections(hessian=merged(studies_in(current.hessian), section))
            store.save(current)
            journal.remove()
            if awake_time() >= end:
                return current
        with suppress(OutOfTime):
            for section in _studies(minimum, wanted, current, store):
                claim.check()
                current = current.with_sections(hessian=merged(current.hessian, section))
                store.save(current)
    return current


def _curvature(
    config: RunConfig, minimum: Minimum, settings: HessianSettings, journal: Journal
) -> Section:
    """Measure the curvature; return the record's section, but for what is of studies."""
    penalty = _penalty(config) if settings.include_l2 else 0.0
    section = measure(
        *(*minimum.on, settings), l2=penalty, journal=journal, on_progress=minimum.on_progress
    )
    section |= {"available_samples": minimum.available, "settings": plain(settings)}
    section["code"] = " at ".join(filter(None, (sambench.__version__, git_state())))
    if settings.include_l2 and not penalty:
        section["notes"].append("include_l2: the run has no weight decay, so no penalty")
    if minimum.samples != minimum.available:
        section["notes"].append(
            f"samples: {minimum.samples} of {minimum.available} training images, in a fixed "
            "random order; eigenvalues, trace and their errors speak of these images alone, only "
            "the intervals over batches also of others"
        )
    return section


def _penalty(config: RunConfig) -> float:
    """Return lambda of the penalty lambda |w|^2 / 2 of a run's decay; uneven decay is refused."""
    if config.decayed != DEFAULTS["decayed"]:
        raise CurvatureError(
            f"include_l2 is a penalty on all weights, and run {config.name} has "
            f"decayed={config.decayed}; leave it out"
        )
    decays = (config.optimizer.get(name, 0.0) for name in ("weight_decay", "loss_decay"))
    return math.fsum(decay for decay in decays if isinstance(decay, int | float))


def _minimum(
    record: RunRecord, wanted: Measurement, paths: Paths, device: torch.device, **more: Any
) -> Minimum:
    """Return a run's network with its weights, and the images that it is measured on."""
    config, store = record.config, Store(paths.results)
    parts = restore_parts(record, paths.data, device)
    model = restore_network(record, store, len(parts.prepared.classes), device)
    seed = derive_seed(config.split_seed, "hessian")
    order = torch.cat(shuffled(len(parts.train), config.batch_size, seed))
    images = order[: wanted.hessian.samples].split(config.batch_size)
    return Minimum(
        model=model.double() if wanted.hessian.dtype == "float64" else model,
        loss=CrossEntropy.of(config, parts.train.labels, len(parts.prepared.classes)),
        batches=[parts.train.batch(indices) for indices in images],
        available=len(parts.train),
        folder=store.folder(config),
        settings=wanted.studies,
        **more,
    )


def _studies(
    minimum: Minimum, wanted: Measurement, record: RunRecord, store: Store
) -> Iterator[Section]:
    """Do the studies that a record lacks, as far as the time allows, and yield what each adds."""
    held = None if wanted.again else record.hessian
    missing, other = wanted.studies.missing(held), wanted.missing_end(record.config, held)
    yield from minimum.study(missing)
    if other is not None:
        if missing:
            minimum.check_time()
        if (there := store.load(other)) is None:
            raise CurvatureError(f"run {other.name} is not in {store.runs} any more")
        weights = store.read_weights(there)  # or it is not completed
        check_code(there)
        yield minimum.interpolation(other, weights)
