"""`sambench.load_runs`: stored runs as a DataFrame."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from msgspec.structs import replace

import sambench
from sambench.errors import StoreError
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

PUBLISHED = Path(__file__).parents[2] / "results/published/breast-ultrasound"


@pytest.fixture
def store(tmp_path: Path, make_record: RecordMaker) -> Store:
    store = Store(tmp_path)
    for optimizer in ("adam", "sam"):
        for seed in range(2):
            store.save(replace(make_record(optimizer, seed=seed), suite="ours"))
    store.save(replace(make_record("gcsam"), suite="others"))
    store.save(replace(make_record("gcsam", seed=1000), suite="ours (search)"))  # a trial
    return store


def test_a_row_a_run_with_settings_and_metrics(store: Store) -> None:
    frame = sambench.load_runs("ours", results=store.root)
    assert sorted(zip(frame["optimizer.name"], frame["seed"], strict=True)) == [
        *(("adam", 0), ("adam", 1), ("sam", 0), ("sam", 1)),
    ]
    records = {record.id: record for record in store.records()[0]}
    for row in frame.itertuples():
        test = records[row.id].final["test"]  # type: ignore[index]
        assert row.accuracy == pytest.approx(100 * test["accuracy"], rel=1e-12)  # percent
    assert pd.api.types.is_float_dtype(frame["accuracy"])
    assert len(sambench.load_runs(results=str(store.root))) == 5
    assert {"stop.rule", "optimizer.rho"} <= {*frame.columns}
    assert not {"stop", "optimizer"} & {*frame.columns}


def test_runs_of_other_images_or_code_are_of_another_part(store: Store) -> None:
    """A mean over optimizers took runs together that a report keeps in tables of their own."""
    for record in store.records()[0]:
        if record.config.seed == 1:
            store.save(replace(record, numerics=2))
    frame = sambench.load_runs("ours", results=store.root)
    assert dict(zip(frame["seed"], frame["part"], strict=True)) == {0: 1, 1: 2}


def test_unknown_and_damaged_runs_are_said(store: Store) -> None:
    with pytest.raises(StoreError, match="no run 'nobody'"):
        sambench.load_runs("nobody", results=store.root)
    with pytest.raises(StoreError, match="no runs in elsewhere/runs"):
        sambench.load_runs(results="elsewhere")
    first = store.find(["ours"])[0]
    assert [*sambench.load_runs(store.folder(first.config), results=store.root)["id"]] == [first.id]
    store.predictions(first.config).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"predictions\.npz is damaged"):
        assert len(sambench.load_runs(results=store.root)) == 5
    (store.folder(first.config) / "run.json").write_text("{")
    with pytest.warns(UserWarning, match=first.name):
        assert len(sambench.load_runs(results=store.root)) == 4


def test_it_has_what_a_report_writes(store: Store) -> None:
    """The published study's runs and the `runs.csv` of its report hold the same numbers."""
    frame = sambench.load_runs("breast-ultrasound", results=PUBLISHED)
    with (PUBLISHED / "reports/breast-ultrasound/runs.csv").open() as file:
        written = {row["id"]: row for row in csv.DictReader(file)}
    assert {*frame["id"]} == {*written}
    for name in ("accuracy", "auroc", "sensitivity_at_90", "calibration_slope", "top"):
        for id, value in zip(frame["id"], frame[name], strict=True):
            text = written[id][name]
            assert (pd.isna(value) and not text) or value == pytest.approx(float(text), rel=1e-12)
