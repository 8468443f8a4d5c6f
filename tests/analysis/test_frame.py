from __future__ import annotations

from typing import TYPE_CHECKING

from sambench.analysis.frame import column, flatten, frame

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def test_a_row_for_each_run_and_a_column_for_each_field(make_record: RecordMaker) -> None:
    records = [
        make_record("adam", seed=3, accuracy=0.8, hessian={"top": {"value": 7.0}}),
        make_record({"name": "sam", "rho": 0.1}, status="failed", error="broken"),
    ]
    found = frame(records)
    assert found.index.tolist() == [record.id for record in records]
    assert found["name"].tolist() == [record.name for record in records]
    assert found["status"].tolist() == ["completed", "failed"]
    assert found["config.seed"].tolist() == [3, 0]
    assert column(found, "config.optimizer.rho") == [None, 0.1]
    assert column(found, "config.optimizer.betas") == [(0.9, 0.999)] * 2
    assert column(found, "final.test.accuracy") == [0.8, None]
    assert column(found, "hessian.top.value") == [7.0, None]
    assert column(found, "error") == [None, "broken"]
    assert column(found, "config.stop.rule") == ["epochs", "epochs"]


def test_no_runs() -> None:
    assert len(frame([])) == 0
    assert column(frame([]), "status") == []


def test_a_column_that_is_not_there(make_record: RecordMaker) -> None:
    assert column(frame([make_record()]), "final.test.luck") == [None]


def test_flattening() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, [2]], "e": None}) == {
        "a.b": 1,
        "d": (1, [2]),
        "e": None,
    }
