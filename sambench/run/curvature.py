"""The minimum that a completed run has found: measured, and written into its record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sambench.config.curvature_settings import HessianSettings
from sambench.config.study_settings import studies_in
from sambench.curvature.measure import Plan, measure
from sambench.data.batches import shuffled
from sambench.errors import CurvatureError
from sambench.run.journal import Journal
from sambench.run.restore import restore
from sambench.run.single_run import Paths
from sambench.run.studies import Subject
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import WEIGHTS, Store
from sambench.training.losses import CrossEntropy
from sambench.training.seeding import derive_seed

JOURNAL = "hessian-progress.json"


def measure_hessian(
    record: RunRecord,
    settings: HessianSettings,
    paths: Paths,
    *,
    device: torch.device,
    again: bool = False,
    on_progress: Callable[[str, int, int], None] = lambda what, done, most: None,
) -> RunRecord:
    """Measure the curvature of a completed run's weights and write it into its record.

    The images are the run's training images, unaugmented, in one fixed random order (training
    batches are mixed; the order of the files is by class), cut into batches of the training size.
    They are the same for all runs of a comparison, whatever their seed. The run is claimed
    meanwhile. What is finished is kept in a file of the run's folder until all is, so that a
    measurement that was interrupted goes on with its next stage or batch.

    Args:
        record: The run.
        settings: What is measured.
        paths: Where prepared data and results lie.
        device: Where to compute.
        again: Measure also where another process has measured the run by now.
        on_progress: Told the stage, what is done of it and the most it may take.

    Raises:
        CurvatureError: If the run has no weights or the Hessian cannot be measured.
        Claimed: If another process works on the run.
        UserError: If its data are not prepared any more.
    """
    store, config = Store(paths.results), record.config
    weights = weights_of(record, store)
    with store.claim(config, str(device)) as claim:
        current = store.load(config) or record
        if current.hessian is not None and record.hessian is None and not again:
            return current
        subject = subject_of(record, settings, weights, paths, device)
        journal = Journal(weights.parent / JOURNAL, _identity(settings, weights))
        section = measure(
            subject.model,
            subject.loss,
            subject.batches,
            _plan(record, settings),
            journal=journal,
            on_progress=on_progress,
        )
        section |= {"available_samples": subject.available, "settings": settings.to_dict()}
        section["notes"] = [*section["notes"], *_about_samples(section)]
        measured = current.with_sections(hessian={**section, **studies_in(current.hessian)})
        claim.check()
        store.save(measured)
        journal.remove()
    return measured


def _about_samples(section: dict[str, Any]) -> list[str]:
    """Return what measuring on a part of the training images does to the errors."""
    used, available = section["samples"], section["available_samples"]
    if used == available:
        return []
    return [
        f"samples: {used} of {available} training images, in a fixed random order; eigenvalues and "
        "trace are exact to their errors for these, and only the intervals over batches cover "
        "which images they are"
    ]


def _plan(record: RunRecord, settings: HessianSettings) -> Plan:
    """Return what the measurement takes of the settings, with the run's own weight decay."""
    given = settings.to_dict()
    for about_the_run in ("samples", "dtype"):
        del given[about_the_run]
    decay = record.config.optimizer.get("weight_decay", 0.0)
    penalty = float(decay) if isinstance(decay, int | float) else 0.0
    return Plan(**given, l2=penalty) if given.pop("include_l2") else Plan(**given)


def _identity(settings: HessianSettings, weights: Path) -> dict[str, Any]:
    """Return all that the numbers depend on beside the data, whose fingerprint is checked."""
    return {
        "settings": settings.to_dict(),
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }


def weights_of(record: RunRecord, store: Store) -> Path:
    """Return the file of a completed run's weights.

    Raises:
        CurvatureError: If the run has none.
    """
    weights = store.folder(record.config) / WEIGHTS
    if record.status != COMPLETED or not weights.exists():
        raise CurvatureError(
            f"run {record.name} is {record.status} and has no weights; complete it first"
        )
    return weights


def subject_of(
    record: RunRecord,
    settings: HessianSettings,
    weights: Path,
    paths: Paths,
    device: torch.device,
) -> Subject:
    """Return a run's network with its weights, and the images that its curvature is measured on.

    Raises:
        CurvatureError: If the weights do not fit.
        UserError: If its data are not prepared any more, or differ.
    """
    config = record.config
    model, parts = restore(record, weights, paths.data, device)
    chosen = shuffled(
        len(parts.train), config.batch_size, derive_seed(config.split_seed, "hessian")
    )
    images = torch.cat(chosen)[: settings.samples]
    return Subject(
        model=model.double() if settings.dtype == "float64" else model,
        loss=CrossEntropy.of(config, parts.train.labels, len(parts.prepared.classes)),
        batches=[parts.train.batch(indices) for indices in images.split(config.batch_size)],
        available=len(parts.train),
        folder=weights.parent,
    )
