"""The JSON Schema of records: records of real runs keep to it, altered ones do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from docs.generator.json_schema import record_schema
from sambench.config.curvature_settings import HessianSettings, Studies
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.files.description import described
from sambench.run.measure import measure_minimum
from sambench.run.single_run import Paths, run_one
from sambench.store.record import RunRecord
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
SCHEMA = record_schema()
CHOICES = {field.name: field.choices for field in described(RunRecord)}
PLAIN = HessianSettings(samples=16, max_matvecs=8, tol=0.5, trace_tol=1.0)
WHOLE = HessianSettings(
    samples=16, max_matvecs=8, tol=0.5, trace_tol=1.0, perturbations=1, adaptive=True,
    per_layer=True, include_l2=True,
)  # fmt: skip
EVERYTHING = Studies(density=True, sharpness=True, landscape=True, probes=2, steps=4, points=3)

Plain = dict[str, Any]


def complaints(record: Plain) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(record)]


def config_of(**settings: Any) -> RunConfig:
    given = {"epochs": 1, "batch_size": 8, "optimizer": "sam", "lr": 1e-3, **settings}
    return RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", **given}
    )


@pytest.fixture(scope="module")
def stored(
    phantom_data: Path, tmp_path_factory: pytest.TempPathFactory, rough_studies: None
) -> dict[str, Plain]:
    """Records as they lie on the disk: of a plain run, and of one with all that can be asked."""
    paths = Paths(data=phantom_data, results=tmp_path_factory.mktemp("schema"))
    plain = run_one(config_of(optimizer="adam"), paths, device=CPU)
    measure_minimum(plain, Measurement(hessian=PLAIN), paths, device=CPU)
    full = config_of(shifts="ultrasound", selection="best-validation", stop="patience=3")
    wanted = Measurement(hessian=WHOLE, studies=EVERYTHING, other=plain.config)
    measure_minimum(run_one(full, paths, device=CPU), wanted, paths, device=CPU)
    files = Store(paths.results).folder
    return {
        "plain": json.loads((files(plain.config) / "run.json").read_text()),
        "full": json.loads((files(full) / "run.json").read_text()),
    }


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("which", ["plain", "full"])
def test_records_of_real_runs_keep_to_it(stored: dict[str, Plain], which: str) -> None:
    assert complaints(stored[which]) == []


def test_the_full_record_has_every_field_that_may_be_missing(stored: dict[str, Plain]) -> None:
    """So that no field of the schema stands there untried."""
    hessian = stored["full"]["hessian"]
    assert set(hessian) == set(SCHEMA["$defs"]["Hessian"]["properties"])
    assert set(hessian["landscape"]) == set(SCHEMA["$defs"]["Landscape"]["properties"])
    assert "engine" in stored["full"]["environment"]
    assert "robust" in stored["full"]["final"]["test"]


@pytest.mark.parametrize("status", [s for s in CHOICES["status"] if s != "completed"])
def test_records_of_runs_that_are_not_completed(make_record: RecordMaker, status: str) -> None:
    record = {**make_record(status=status, error="why").to_dict(), "environment": None}
    assert complaints({**record, "data": None}) == []


def test_a_run_of_several_replicas(stored: dict[str, Plain]) -> None:
    config = {**stored["plain"]["config"], "replicas": 2}
    together = {"perturbation": "per-replica", "batch_norm": "synchronized"}
    assert complaints({**stored["plain"], "config": {**config, **together}}) == []


def put(*path: str, value: Any) -> Callable[[Plain], None]:
    def change(record: Plain) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


def take(*path: str) -> Callable[[Plain], None]:
    def change(record: Plain) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (take("cost"), "$: 'cost' is a required property"),
        (put("cost", value=None), "$.cost: None is not of type 'object'"),
        (put("schema_version", value=2), "$.schema_version: 1 was expected"),
        (put("id", value="748B2F"), "$.id: '748B2F' does not match"),
        (put("status", value="done"), "$.status: 'done' is not one of"),
        (put("remark", value="x"), "$: Additional properties are not allowed ('remark' was"),
        (put("config", "split_sede", value=1), "$.config: Additional properties are not allowed"),
        (put("config", "epochs", value=1.5), "$.config.epochs: 1.5 is not of type 'integer'"),
        (put("config", "precision", value="fp8"), "$.config.precision: 'fp8' is not one of"),
        (put("config", "stop", "rule", value="never"), "$.config.stop.rule: 'never' is not one of"),
        (take("config", "optimizer", "base"), "$.config.optimizer: 'base' is a required property"),
        (take("final", "test", "accuracy"), "$.final: "),
        (put("cost", "steps", value="many"), "$.cost: "),
        (put("hessian", "top", "ended_by", value="luck"), "$.hessian: "),
        (put("hessian", "trace", "interval", value=3.0), "$.hessian: "),
    ],
)
def test_an_altered_record_is_refused(
    stored: dict[str, Plain], change: Callable[[Plain], None], said: str
) -> None:
    record = copy.deepcopy(stored["plain"])
    change(record)
    assert [complaint for complaint in complaints(record) if complaint.startswith(said)]
