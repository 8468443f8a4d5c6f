from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sambench.config.run_config import AFTERWARDS, BEFORE, EXECUTION, RunConfig
from sambench.errors import DO_AGAIN, StoreError
from sambench.files.description import described
from sambench.store.record import RunRecord
from tests.conftest import measured

CHOICES = {field.name: field.choices for field in described(RunRecord)}

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

PUBLISHED = sorted(Path(__file__).parents[2].glob("results/published/*/runs/*/run.json"))[::9]


@pytest.fixture
def plain(make_record: RecordMaker) -> dict[str, Any]:
    """A record as plain values."""
    return make_record("sam", seed=2, hessian=measured({"median": 1.5})).to_dict()


def parse(plain: object) -> RunRecord:
    return RunRecord.parse(json.dumps(plain), "run.json")


def refused(text: str) -> str:
    with pytest.raises(StoreError) as caught:
        RunRecord.parse(text, "run.json")
    return str(caught.value)


@pytest.mark.parametrize("status", CHOICES["status"])
def test_round_trip(make_record: RecordMaker, status: str) -> None:
    record = make_record({"name": "gcsam", "rho": 0.1}, status=status, stop="patience=3")
    assert parse(record.to_dict()) == record


def test_what_outsiders_read(plain: dict[str, Any]) -> None:
    assert list(plain) == [
        "schema_version",
        "id",
        "name",
        "config",
        "status",
        "error",
        "suite",
        "environment",
        "data",
        "final",
        "cost",
        "sharpness",
        "hessian",
        "numerics",
        "artifacts",
    ]
    assert plain["schema_version"] == 1
    assert plain["name"] == f"phantom-small-cnn-sam-s2-{plain['id']}"
    assert plain["config"]["optimizer"]["rho"] == 0.05
    assert plain["hessian"] == measured({"median": 1.5})


def test_curvature_is_added_to_a_copy(make_record: RecordMaker) -> None:
    record = make_record()
    after = record.with_sections(hessian=measured({"median": 2.0}))
    assert record.hessian is None
    assert after.hessian is not None
    assert after.hessian.median == after.hessian["median"] == 2.0
    assert "mean" not in after.hessian
    assert after.final == record.final


def test_fields_that_a_later_version_added_are_passed_over(plain: dict[str, Any]) -> None:
    assert parse({**plain, "notes": "new"}) == parse(plain)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (2, "run.json has schema version 2, not 1; upgrade sambench"),
        (0, "run.json has schema version 0, not 1; run it again with this sambench"),
        ("1", "run.json has schema version '1', not 1; run it again with this sambench"),
    ],
)
def test_another_schema(plain: dict[str, Any], version: object, message: str) -> None:
    assert refused(json.dumps({**plain, "schema_version": version})) == message


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', "3", "null", "{}", '{"id": 3}'])
def test_something_else(text: str) -> None:
    assert refused(text) == f"run.json is not a run record; {DO_AGAIN}"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(plain: dict[str, Any], share: float) -> None:
    text = json.dumps(plain)
    assert refused(text[: int(share * len(text))]) == f"run.json is not a run record; {DO_AGAIN}"


def test_a_configuration_changed_by_hand(plain: dict[str, Any]) -> None:
    plain["config"]["seed"] = 3
    message = refused(json.dumps(plain))
    assert message.startswith(f"run.json says id '{plain['id']}' but its configuration has ")
    assert message.endswith(f": it was altered; {DO_AGAIN}")


def test_an_id_changed_by_hand(plain: dict[str, Any]) -> None:
    right = plain["id"]
    assert refused(json.dumps({**plain, "id": "0123456789"})) == (
        f"run.json says id '0123456789' but its configuration has {right}: it was altered; "
        f"{DO_AGAIN}"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": {"dataset": "phantom"}}, "config needs 'image_size'"),
        ({"config": "sam"}, "config='sam' is not allowed; allowed: a mapping"),
        ({"final": 3}, "final=3 is not allowed; allowed: a mapping"),
        ({"final": None}, "it is completed but has no final"),
        ({"cost": None}, "it is completed but has no cost"),
        ({"hessian": ["x"]}, "hessian=['x'] is not allowed"),
        ({"hessian": {}}, "hessian needs 'definition'"),
        ({"suite": 5}, "suite=5 is not allowed; allowed: text"),
        ({"numerics": -1}, "numerics=-1 is not allowed; allowed: a whole number >= 0"),
        ({"status": "done"}, "status='done' is not allowed; allowed: completed, running"),
    ],
)
def test_a_damaged_part(plain: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    message = refused(json.dumps({**plain, **changes}))
    assert message.startswith(f"run.json is damaged ({reason}")
    assert message.endswith(f"); {DO_AGAIN}")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("final.test", "x", "is not allowed; allowed: a mapping"),
        ("final.test.accuracy", "0.9", "is not allowed; allowed: a number in [0, 1]"),
        ("final.test.accuracy", 91.7, "is not allowed; allowed: a number in [0, 1]"),
        ("final.test.accuracy", True, "is not allowed; allowed: a number in [0, 1]"),
        ("final.test.accuracy", None, ""),
        ("final.test.auroc", -0.1, "is not allowed; allowed: a number in [0, 1]"),
        ("final.test.robust", {"gain": [0.5, "x"]}, "final.test.robust.gain.1='x' is not"),
        ("data.test", "8", "is not allowed; allowed: a whole number >= 0"),
        ("cost.train_seconds", {}, "is not allowed; allowed: a number >= 0"),
        ("cost.train_seconds", -1.0, "is not allowed; allowed: a number >= 0"),
        ("hessian.samples", "many", "is not allowed; allowed: a whole number >= 0"),
        ("final.generalization_gap", 1e308, "is not allowed; allowed: a number in [-1, 1]"),
        ("hessian.top.value", [], "is not allowed; allowed: a number"),
        ("hessian.top.ended_by", "luck", "is not allowed; allowed: tolerance, max_matvecs"),
        ("config.sede", 3, "unknown key 'sede' in config: did you mean 'seed'"),
    ],
)
def test_what_cannot_be_believed_is_named_with_its_path(
    plain: dict[str, Any], path: str, value: object, reason: str
) -> None:
    *parents, key = path.split(".")
    section = plain
    for parent in parents:
        section = section[parent]
    section[key] = value
    message = refused(json.dumps(plain))
    said = reason if reason.startswith(("unknown", "final")) else f"{path}={value!r} {reason}"
    if value is None:
        said = f"{path.rpartition('.')[0]} needs '{key}'"
    assert message.startswith(f"run.json is damaged ({said}")
    assert message.endswith(f"; {DO_AGAIN}")


@pytest.mark.parametrize("name", ["/../../x", "../x", "a/b", "", "x\n", "/dev/zero"])
def test_a_name_that_becomes_part_of_a_files_leads_nowhere_else(
    plain: dict[str, Any], name: str
) -> None:
    """`hessian` draws `interpolation-<id>.png` in the run's folder, whoever wrote the record."""
    ends = {"loss": [0.1, 0.1], "kept_loss": [0.1, 0.1], "barrier": None, "distance": 1.0}
    counts = dict.fromkeys(("points", "samples", "forward_passes", "gradients"), 3)
    way = {**ends, **counts, "gradient_equivalents": 3, "file": "a.npz", "with": "x"}
    way |= {"batch_norm": "none", "seconds": 1.0}
    landscape = plain["hessian"]["landscape"] = {"interpolations": {"1a2b3c4d5e": way}}
    plain["artifacts"] = {"history.jsonl": "0"}
    assert parse(plain).hessian["landscape"]["interpolations"]
    assert "artifacts=" in refused(json.dumps({**plain, "artifacts": {name: "0"}}))
    landscape["interpolations"] = {name: way}
    assert "interpolations=" in refused(json.dumps(plain))


def test_a_key_nearly_right_is_offered(plain: dict[str, Any]) -> None:
    plain["cost"]["step"] = plain["cost"].pop("steps")
    assert "(cost needs 'steps': did you mean 'step'?)" in refused(json.dumps(plain))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_in_json(plain: dict[str, Any], number: str) -> None:
    plain["final"]["test"]["accuracy"] = 0.1234
    assert "damaged" in refused(json.dumps(plain).replace("0.1234", number)).replace(
        "is not a run record", "damaged"
    )


@pytest.mark.parametrize("where", ["suite", "error", "cost"])
def test_what_is_nested_deep(plain: dict[str, Any], where: str) -> None:
    text = json.dumps({**plain, where: "DEEP"}).replace('"DEEP"', "[" * 100_000 + "]" * 100_000)
    assert "damaged" in refused(text).replace("is not a run record", "damaged")


@pytest.mark.parametrize("key", ["config", "status"])
def test_a_missing_part(plain: dict[str, Any], key: str) -> None:
    del plain[key]
    message = refused(json.dumps(plain))
    assert message.startswith("run.json is damaged (")
    assert f"'{key}'" in message


def test_an_optimizer_that_is_not_installed_here(plain: dict[str, Any]) -> None:
    """Its settings are complete as they were stored, and the id holds them."""
    plain["config"]["optimizer"]["name"] = "sammy"
    assert "it was altered" in refused(json.dumps(plain))
    canonical = dict(plain["config"])
    for name in (*EXECUTION, *AFTERWARDS, *BEFORE):
        del canonical[name]
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    plain["id"] = hashlib.sha256(text.encode()).hexdigest()[:10]
    record = RunRecord.parse(json.dumps(plain), "run.json")
    assert record.to_dict()["config"]["optimizer"] == plain["config"]["optimizer"]
    del plain["config"]["optimizer"]["base"]
    assert refused(json.dumps(plain)).startswith("run.json is damaged (")


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_runs_keep_their_ids_and_their_text(path: Path) -> None:
    """The id follows from the settings alone, defaults that came later left out."""
    given = json.loads(path.read_text(encoding="utf-8"))
    settings = {k: v for k, v in given["config"].items() if k not in ("capture", "kernels")}
    assert RunConfig.from_dict(settings).id == given["id"], (
        "a new field of RunConfig must be named in LATER, so that stored runs keep their ids"
    )
    assert path.parent.name.endswith(given["id"])
    record = RunRecord.parse(path.read_bytes(), str(path))
    assert (record.id, record.name) == (given["id"], given["name"])
    written = {key: value for key, value in given.items() if key != "sha256"}  # the seal
    assert record.to_dict() == {"artifacts": None, **written}


def test_there_are_twenty_published_runs_among_them() -> None:
    assert len(PUBLISHED) >= 20
