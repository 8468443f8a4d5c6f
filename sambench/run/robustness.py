"""Tests a completed run's weights under the disturbances that it asks for, whenever it does."""

from __future__ import annotations

from pathlib import Path

import torch
from msgspec.structs import replace

from sambench.config.run_config import RunConfig
from sambench.run.restore import restore
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import WEIGHTS, Store
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
        DataError: If the run was trained on other data than are prepared now.
        CurvatureError: If the weights are gone or damaged.
        StoreError: If the record cannot be written.
    """
    if record.status != COMPLETED or record.final is None or record.has_shifts(config.shifts):
        return record
    model, parts = restore(record, store.folder(config) / WEIGHTS, data, device)
    ids = [parts.prepared.ids[index] for index in parts.split.test]
    robust = robust_accuracy(model, parts.test, ids, config.shifts)
    final = {**record.final, "test": {**record.final["test"], "robust": robust}}
    tested = replace(record, config=config).with_sections(final=final)
    store.save(tested)
    return tested
