"""The curvature of a completed run, written into its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from sambench.artifacts import load_weights
from sambench.config import HessianSettings
from sambench.curvature.measure import measure
from sambench.data.batches import shuffled
from sambench.data.parts import load_parts
from sambench.errors import CurvatureError
from sambench.record import COMPLETED, RunRecord
from sambench.run import Paths, build_network
from sambench.store import WEIGHTS, Store
from sambench.training.seeding import derive_seed


def measure_hessian(
    record: RunRecord,
    settings: HessianSettings,
    paths: Paths,
    *,
    device: torch.device,
    on_progress: Callable[[str, int, int], None] = lambda what, done, most: None,
) -> RunRecord:
    """Measure the curvature of a completed run's weights and write it into its record.

    A run that another process has measured since the record was read is not measured again.

    The images are the run's training images, unaugmented, in one fixed random order (training
    batches are mixed; the order of the files is by class), cut into batches of the training size.
    They are the same for all runs of a comparison, whatever their seed.

    Raises:
        Claimed: If another process is at this run.
        CurvatureError: If the run has no weights or the Hessian cannot be measured.
        UserError: If its data are not prepared any more.
    """
    config = record.config
    store = Store(paths.results)
    if record.status != COMPLETED or not (store.folder(config) / WEIGHTS).exists():
        raise CurvatureError(
            f"run {config.name} is {record.status} and has no weights; complete it first"
        )
    with store.claim(config, str(device)) as claim:
        stored = store.load(config) or record
        if stored.hessian is not None and record.hessian is None:
            return stored
        section = _curvature(record, settings, paths, device, on_progress)
        claim.check()
        measured = record.with_hessian(section)
        store.save(measured)
        return measured


def _curvature(
    record: RunRecord,
    settings: HessianSettings,
    paths: Paths,
    device: torch.device,
    on_progress: Callable[[str, int, int], None],
) -> Mapping[str, Any]:
    config = record.config
    parts = load_parts(config, paths.data, device)
    if record.data and record.data["fingerprint"] != parts.prepared.fingerprint:
        raise CurvatureError(
            f"run {config.name} was trained on other data than {parts.prepared.folder} holds now; "
            "prepare the data as it was, or train again"
        )
    model = build_network(config, len(parts.prepared.classes), device)
    load_weights(Store(paths.results).folder(config), model)
    chosen = shuffled(
        len(parts.train), config.batch_size, derive_seed(config.split_seed, "hessian")
    )
    images = torch.cat(chosen)[: settings.samples]
    return measure(
        model,
        functional.cross_entropy,
        [parts.train.batch(indices) for indices in images.split(config.batch_size)],
        tol=settings.tol,
        trace_tol=settings.trace_tol,
        max_matvecs=settings.max_matvecs,
        seed=settings.seed,
        on_progress=on_progress,
    )
