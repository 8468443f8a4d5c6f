"""The standing of runs, told from files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sambench.config.measurement import Measurement
from sambench.errors import StoreError
from sambench.files.claim import STALE_SECONDS, Owner
from sambench.store import status
from sambench.store.record import RunRecord
from sambench.store.status import Survey, counts, pending
from sambench.store.tree import Store
from tests.conftest import measured

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def standing(store: Store, record: RunRecord, **options: Any) -> tuple[str, str]:
    found = Survey(store=store, **options).of([record.config])[0]
    return found.state, found.action


def put_claim(store: Store, record: RunRecord, owner: Owner, age: float = 0.0) -> None:
    path = store.folder(record.config) / "claim.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 2, **asdict(owner)}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("recorded", "curvature", "retry", "expected"),
    [
        (None, False, (), ("missing", "run")),
        ("completed", False, (), ("done", "skip")),
        ("completed", True, (), ("done", "measure curvature")),
        ("failed", False, (), ("failed", "skip")),
        ("failed", False, ("failed",), ("failed", "run again")),
        ("diverged", True, ("failed",), ("diverged", "skip")),
        ("diverged", True, ("failed", "diverged"), ("diverged", "run again")),
        ("interrupted", False, (), ("interrupted", "run again")),
        ("running", False, (), ("interrupted", "run again")),
    ],
)
def test_what_a_launch_would_do(
    store: Store,
    make_record: RecordMaker,
    recorded: str | None,
    curvature: bool,
    retry: tuple[str, ...],
    expected: tuple[str, str],
) -> None:
    record = make_record() if recorded is None else make_record(status=recorded)
    if recorded is not None:
        store.save(record)
    assert (
        standing(store, record, curvature=Measurement() if curvature else None, retry=retry)
        == expected
    )


def test_a_measured_run_is_skipped(store: Store, make_record: RecordMaker) -> None:
    record = make_record(hessian=measured())
    store.save(record)
    assert standing(store, record, curvature=Measurement()) == ("done", "skip")


@pytest.mark.parametrize("recorded", ["interrupted", "running", "failed"])
def test_a_run_with_a_checkpoint_is_resumed(
    store: Store, make_record: RecordMaker, recorded: str
) -> None:
    record = make_record(status=recorded)
    store.save(record)
    (store.folder(record.config) / "checkpoint.pt").touch()
    assert standing(store, record, retry=("failed",))[1] == "resume"


@pytest.mark.parametrize("recorded", [None, "running", "interrupted", "failed", "completed"])
def test_a_claimed_run_is_running_and_says_where(
    store: Store, make_record: RecordMaker, recorded: str | None
) -> None:
    record = make_record(status=recorded or "running")
    if recorded is not None:
        store.save(record)
    put_claim(store, record, Owner.this_process("cuda:2"))
    found = Survey(store=store, curvature=Measurement()).of([record.config])[0]
    assert (found.state, found.action) == ("running", "wait")
    assert found.note.endswith(f"process {os.getpid()} on cuda:2")


def test_a_claim_of_another_machine_is_judged_by_its_heartbeat(
    store: Store, make_record: RecordMaker
) -> None:
    record = make_record(status="running")
    store.save(record)
    other = replace(Owner.this_process("cpu"), machine="another")
    put_claim(store, record, other, STALE_SECONDS - 60)
    assert standing(store, record) == ("running", "wait")
    put_claim(store, record, other, STALE_SECONDS + 60)
    assert standing(store, record) == ("interrupted", "run again")


def test_a_claim_that_a_finished_run_left_does_not_matter(
    store: Store, make_record: RecordMaker
) -> None:
    record = make_record()
    store.save(record)
    put_claim(store, record, Owner.this_process("cpu"))
    assert standing(store, record) == ("done", "skip")


def test_a_run_on_data_that_changed_is_stale(store: Store, make_record: RecordMaker) -> None:
    record = make_record()
    store.save(record)
    assert standing(store, record, fingerprint=lambda name, size: "f") == ("done", "skip")
    assert standing(store, record, fingerprint=lambda name, size: None) == ("done", "skip")
    asked: list[tuple[str, int]] = []

    def changed(name: str, size: int) -> str:
        asked.append((name, size))
        return "g"

    found = Survey(store=store, fingerprint=changed).of([record.config, record.config])
    assert {(s.state, s.action, s.note) for s in found} == {
        ("stale", "skip", "the data were prepared anew and differ")
    }
    assert asked == [("phantom", 32)]
    assert standing(store, record, fingerprint=changed, retry=("stale",)) == ("stale", "run again")


def test_a_run_by_code_with_other_numbers_is_stale(
    store: Store, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record()
    store.save(record)
    monkeypatch.setattr(status, "NUMERICS", status.NUMERICS + 1)
    found = Survey(store=store).of([record.config])[0]
    assert (found.state, found.note) == ("stale", "the code gives other numbers now")


def test_the_order_is_kept_and_counted(store: Store, make_record: RecordMaker) -> None:
    done, failed, absent = make_record("adam"), make_record("sam", status="failed"), "gcsam"
    store.save(done)
    store.save(failed)
    configs = [make_record(absent).config, done.config, failed.config]
    found = Survey(store=store, retry=("failed",)).of(configs)
    assert [s.config for s in found] == configs
    assert counts(found) == {"missing": 1, "failed": 1, "done": 1}
    assert list(counts(found)) == ["missing", "failed", "done"]
    assert [s.config for s in pending(found)] == [configs[0], configs[2]]


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"id": "0000000000"}])
def test_a_damaged_record_stops_a_launch(
    store: Store, make_record: RecordMaker, change: Mapping[str, object]
) -> None:
    record = make_record()
    store.save(record)
    path = store.folder(record.config) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=r"run\.json (has schema version 2|says id '0000000000')"):
        Survey(store=store).of([record.config])
    path.write_text("{")
    with pytest.raises(StoreError, match="is not a run record"):
        Survey(store=store).of([record.config])


def test_a_plan_of_runs_that_have_a_claim_writes_nothing(
    store: Store, make_record: RecordMaker
) -> None:
    record = make_record(status="running")
    put_claim(store, record, replace(Owner.this_process("cpu"), machine="another"))
    before = sorted(path.name for path in store.root.rglob("*"))
    standing(store, record)
    assert sorted(path.name for path in store.root.rglob("*")) == before
