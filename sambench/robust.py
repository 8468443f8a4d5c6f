"""Tests a completed run's weights under the disturbances that it asks for, whenever it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from sambench.artifacts import load_weights
from sambench.config import RunConfig
from sambench.data.parts import load_parts
from sambench.errors import CurvatureError, StoreError
from sambench.models.model import build_model
from sambench.record import COMPLETED, RunRecord
from sambench.store import WEIGHTS, Store
from sambench.training.robustness import robust_accuracy


def with_shifts(
    record: RunRecord, config: RunConfig, store: Store, data: Path, device: torch.device
) -> RunRecord:
    """Return a record whose `final.test.robust` is what the configuration asks for.

    A record that has it, asks for none or is not completed is returned as it is. The stored final
    weights are tested: no run is trained again for this.

    Args:
        record: Of a run.
        config: Of the same run, with the disturbances that are wanted now.
        store: Where its weights lie and its record is written.
        data: Folder of the prepared datasets.
        device: Where to compute.

    Raises:
        StoreError: If the weights are gone, damaged, or of other data.
    """
    if record.status != COMPLETED or record.final is None or record.has_shifts(config.shifts):
        return record
    parts = load_parts(config, data, device)
    path = store.folder(config) / WEIGHTS
    if record.data is None or record.data["fingerprint"] != parts.prepared.fingerprint:
        raise StoreError(
            f"run {record.name} was trained on other data than {parts.prepared.folder} holds now; "
            "prepare the data as it was, or train again"
        )
    model = build_model(
        config.model,
        classes=len(parts.prepared.classes),
        image_size=config.image_size,
        pretrained=False,
    )
    try:
        load_weights(model, path)
    except CurvatureError as error:
        raise StoreError(
            f"the weights {path} are missing or do not fit their model "
            f"({' '.join(str(error.__cause__).split())[:150]}); train the run again"
        ) from error
    ids = [parts.prepared.ids[index] for index in parts.split.test]
    robust = robust_accuracy(model.to(device), parts.test, ids, config.shifts)
    final = {**record.final, "test": {**record.final["test"], "robust": robust}}
    tested = replace(record, config=config, final=final)
    store.save(tested)
    return tested
