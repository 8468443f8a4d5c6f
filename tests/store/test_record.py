from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sambench.errors import StoreError
from sambench.store.record import STATUSES, RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

REMEDY = "move it away and run it again"


@pytest.fixture
def plain(make_record: RecordMaker) -> dict[str, Any]:
    """A record as plain values."""
    return make_record("sam", seed=2, hessian={"median": 1.5}).to_dict()


def parse(plain: object) -> RunRecord:
    return RunRecord.parse(json.dumps(plain), "run.json")


def refused(text: str) -> str:
    with pytest.raises(StoreError) as caught:
        RunRecord.parse(text, "run.json")
    return str(caught.value)


@pytest.mark.parametrize("status", STATUSES)
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
    assert plain["hessian"] == {"median": 1.5}


def test_curvature_is_added_to_a_copy(make_record: RecordMaker) -> None:
    record = make_record()
    measured = record.with_hessian({"median": 2.0})
    assert (record.hessian, measured.hessian) == (None, {"median": 2.0})
    assert measured.final == record.final


def test_fields_that_a_later_version_added_are_passed_over(plain: dict[str, Any]) -> None:
    assert parse({**plain, "notes": "new"}) == parse(plain)


def test_a_record_from_before_numerics_were_counted_has_the_first(plain: dict[str, Any]) -> None:
    del plain["numerics"]
    assert parse(plain).numerics == 1


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (2, "run.json has schema version 2, not 1; upgrade sambench"),
        (0, "run.json has schema version 0, not 1; run it again with this sambench"),
        ("1", "run.json has schema version 1, not 1; run it again with this sambench"),
    ],
)
def test_another_schema(plain: dict[str, Any], version: object, message: str) -> None:
    assert refused(json.dumps({**plain, "schema_version": version})) == message


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', "3", "null", "{}", '{"id": 3}'])
def test_something_else(text: str) -> None:
    assert refused(text) == f"run.json is not a run record; {REMEDY}"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(plain: dict[str, Any], share: float) -> None:
    text = json.dumps(plain)
    assert refused(text[: int(share * len(text))]) == f"run.json is not a run record; {REMEDY}"


def test_a_configuration_changed_by_hand(plain: dict[str, Any]) -> None:
    plain["config"]["seed"] = 3
    message = refused(json.dumps(plain))
    assert message.startswith(f"run.json says id {plain['id']} but its configuration has ")
    assert message.endswith(f": it was altered; {REMEDY}")


def test_an_id_changed_by_hand(plain: dict[str, Any]) -> None:
    right = plain["id"]
    assert refused(json.dumps({**plain, "id": "0123456789"})) == (
        f"run.json says id 0123456789 but its configuration has {right}: it was altered; {REMEDY}"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": {"dataset": "phantom"}}, "a run needs 'image_size'"),
        ({"config": "sam"}, "dictionary update sequence"),
        ({"config": 3}, "'int' object is not iterable"),
        ({"final": 3}, "'final' is no object"),
        ({"hessian": ["x"]}, "'hessian' is no object"),
    ],
)
def test_a_damaged_part(plain: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    message = refused(json.dumps({**plain, **changes}))
    assert message.startswith(f"run.json is damaged ({reason}")
    assert message.endswith(f"); {REMEDY}")


@pytest.mark.parametrize("key", ["config", "status"])
def test_a_missing_part(plain: dict[str, Any], key: str) -> None:
    del plain[key]
    message = refused(json.dumps(plain))
    assert message.startswith("run.json is damaged (")
    assert f"'{key}'" in message


def test_an_unknown_status(plain: dict[str, Any]) -> None:
    assert refused(json.dumps({**plain, "status": "done"})) == (
        f"run.json has status 'done'; {REMEDY}"
    )


def test_an_optimizer_that_is_not_installed_here(plain: dict[str, Any]) -> None:
    plain["config"]["optimizer"]["name"] = "sammy"
    message = refused(json.dumps(plain))
    assert message.startswith(
        "run.json is of a name that is not known here (unknown optimizer 'sammy'"
    )
