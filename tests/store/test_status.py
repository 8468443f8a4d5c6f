"""The standing of runs, told from files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import asdict, replace

from sambench.config.measurement import Measurement
from sambench.files.atomic import write_text
from sambench.files.checksums import sealed
from sambench.files.owner import STALE_SECONDS, Owner
from sambench.store import status
from sambench.store.record import RunRecord
from sambench.store.status import REPEATABLE, Survey, counts, pending
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
    path.write_text(json.dumps({**asdict(owner)}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


@pytest.mark.parametrize(
    ("recorded", "curvature", "retry", "expected"),
    [
        (None, False, (), ("missing", "run")),
        ("completed", False, (), ("completed", "skip")),
        ("completed", True, (), ("completed", "measure curvature")),
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


def test_what_is_to_be_measured_is_told_of_runs_that_are_not_done_too(
    store: Store, make_record: RecordMaker
) -> None:
    """So that the time of a trial, which measures nothing, is not that of a final run."""
    stale = replace(make_record(seed=1, hessian=measured()), numerics=1)
    done = make_record(seed=2, hessian=measured())
    for record in (stale, done):
        store.save(record)
    configs = [make_record(seed=0).config, stale.config, done.config]
    wanted = Survey(store=store, curvature=Measurement(), retry=("stale",)).of(configs)
    assert [found.left for found in wanted] == [("hessian",), ("hessian",), ()]
    assert [found.left for found in Survey(store=store).of(configs)] == [(), (), ()]


def test_a_measured_run_is_skipped(store: Store, make_record: RecordMaker) -> None:
    record = make_record(hessian=measured())
    store.save(record)
    assert standing(store, record, curvature=Measurement()) == ("completed", "skip")


@pytest.mark.parametrize("recorded", ["interrupted", "running", "failed"])
def test_a_run_with_a_checkpoint_is_resumed(
    store: Store, make_record: RecordMaker, recorded: str
) -> None:
    record = make_record(status=recorded)
    store.save(record)
    (store.folder(record.config) / "checkpoint.pt").touch()
    assert standing(store, record, retry=("failed",))[1] == "resume"


@pytest.mark.parametrize(
    ("recorded", "retry", "expected"),
    [
        ("interrupted", (), ("stale", "skip")),
        ("running", (), ("stale", "skip")),
        ("interrupted", ("interrupted",), ("stale", "skip")),
        ("interrupted", ("stale",), ("stale", "run again")),
        ("failed", (), ("failed", "skip")),
        ("failed", ("failed",), ("stale", "run again")),
    ],
)
def test_what_was_begun_otherwise_is_not_resumed(
    store: Store,
    make_record: RecordMaker,
    recorded: str,
    retry: tuple[str, ...],
    expected: tuple[str, str],
) -> None:
    """What failed is asked for because something was put right, and begins anew."""
    record = replace(make_record(status=recorded), numerics=status.NUMERICS - 1)
    store.save(record)
    assert standing(store, record, retry=retry)[1] in ("run again", "skip")
    (store.folder(record.config) / "checkpoint.pt").touch()
    assert standing(store, record, retry=retry) == expected


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
    assert standing(store, record) == ("completed", "skip")


def test_a_run_on_data_that_changed_is_stale(store: Store, make_record: RecordMaker) -> None:
    record = make_record()
    store.save(record)
    assert standing(store, record, fingerprint=lambda name, size: "f") == ("completed", "skip")
    assert standing(store, record, fingerprint=lambda name, size: None) == ("completed", "skip")
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


@pytest.mark.parametrize(
    ("newer", "note"),
    [
        (1, "the code gives other numbers now"),
        (-1, "a newer sambench did it, with other numbers: upgrade this one"),
    ],
)
def test_a_run_by_code_with_other_numbers_is_stale(
    store: Store, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch, newer: int, note: str
) -> None:
    record = make_record()
    store.save(record)
    monkeypatch.setattr(status, "NUMERICS", status.NUMERICS + newer)
    found = Survey(store=store).of([record.config])[0]
    assert (found.state, found.note) == ("stale", note)


def test_the_order_is_kept_and_counted(store: Store, make_record: RecordMaker) -> None:
    done, failed, absent = make_record("adam"), make_record("sam", status="failed"), "gcsam"
    store.save(done)
    store.save(failed)
    configs = [make_record(absent).config, done.config, failed.config]
    found = Survey(store=store, retry=("failed",)).of(configs)
    assert [s.config for s in found] == configs
    assert counts(found) == {"missing": 1, "failed": 1, "completed": 1}
    assert list(counts(found)) == ["missing", "failed", "completed"]
    assert [s.config for s in pending(found)] == [configs[0], configs[2]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema_version": 0}, "has schema version 0, not 1"),
        ({"id": "0000000000"}, "says id '0000000000' but its configuration has"),
        ({"final": None}, "it is completed but has no final"),
        ({"suite": "another"}, "it was altered: its checksum does not fit"),
    ],
)
def test_a_damaged_record_is_a_state_and_stops_no_other(
    store: Store, make_record: RecordMaker, change: Mapping[str, object], why: str
) -> None:
    record, other = make_record(), make_record("sam")
    store.save(record)
    store.save(other)
    path = store.folder(record.config) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}, indent=2) + "\n")
    found = Survey(store=store).of([record.config, other.config])
    assert [(s.state, s.action) for s in found] == [("damaged", "skip"), ("completed", "skip")]
    assert why in found[0].note
    assert "\n" not in found[0].note
    assert standing(store, record, retry=("damaged",)) == ("damaged", "run again")
    path.write_text("{")
    assert standing(store, record) == ("damaged", "skip")


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"status": "paused"}])
def test_a_run_of_a_newer_version_is_never_done_again(
    store: Store, make_record: RecordMaker, change: Mapping[str, object]
) -> None:
    record = make_record()
    path = store.folder(record.config) / "run.json"
    write_text(path, sealed(json.dumps({**record.to_dict(), **change}, indent=2) + "\n"))
    for retry in ((), REPEATABLE):
        assert standing(store, record, retry=retry) == ("newer", "skip")


def test_files_beside_a_record_are_checked_where_damage_is_to_be_repaired(
    store: Store, make_record: RecordMaker
) -> None:
    """Reading the weights of thousands of runs is no part of a plan; where they are used, it is.

    Weights are large and may be deleted where nothing is left to measure; anything else that is
    gone is damage too.
    """
    record = make_record()
    folder = store.folder(record.config)
    history = store.save_history(record.config, [{"epoch": 1}])
    bound = {"history.jsonl": history, "model.safetensors": "not kept"}
    store.save(replace(record, artifacts=bound))
    retry = ("damaged",)
    assert standing(store, record, retry=retry) == ("completed", "skip")
    assert standing(store, record, retry=retry, curvature=Measurement()) == ("damaged", "run again")
    (folder / "history.jsonl").write_text('{"epoch": 2}\n')
    assert standing(store, record) == ("completed", "skip")
    found = Survey(store=store, retry=retry).of([record.config])[0]
    assert (found.state, found.action) == ("damaged", "run again")
    assert found.note.startswith(f"{folder / 'history.jsonl'} is not the file that its run wrote")
    (folder / "history.jsonl").unlink()
    found = Survey(store=store, retry=retry).of([record.config])[0]
    assert (found.state, found.action) == ("damaged", "run again")
    assert found.note == f"{folder / 'history.jsonl'} cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("error", "note"),
    [
        ("Traceback\n  here\nValueError:   no\n", "ValueError: no"),
        ("its worker was killed", "its worker was killed"),
        (None, ""),
    ],
)
def test_the_reason_is_told_in_one_line(
    store: Store, make_record: RecordMaker, error: str | None, note: str
) -> None:
    for ended in ("failed", "diverged", "interrupted"):
        record = make_record(status=ended, error=error)
        store.save(record)
        assert Survey(store=store).of([record.config])[0].note == note


def test_a_claim_that_tells_nothing_is_said_so(store: Store, make_record: RecordMaker) -> None:
    record = make_record(status="running")
    store.save(record)
    claim = store.folder(record.config) / "claim.json"
    claim.write_text("{")
    found = Survey(store=store).of([record.config])[0]
    assert (found.state, found.action) == ("running", "wait")
    assert found.note == (
        f"{claim} cannot be read as a claim of this version of sambench; remove it if nobody is at "
        "it"
    )


def test_a_plan_of_runs_that_have_a_claim_writes_nothing(
    store: Store, make_record: RecordMaker
) -> None:
    record = make_record(status="running")
    put_claim(store, record, replace(Owner.this_process("cpu"), machine="another"))
    before = sorted(path.name for path in store.root.rglob("*"))
    standing(store, record)
    assert sorted(path.name for path in store.root.rglob("*")) == before


def test_the_code_of_a_run_is_its_version_and_its_commit_where_there_was_one(
    store: Store, make_record: RecordMaker
) -> None:
    made = make_record()
    for git, code in (("abc", "0.1 at abc"), (None, "0.1")):
        here = {**(made.environment or {}), "sambench": "0.1", "git": git}
        store.save(made.with_sections(environment=here))
        assert Survey(store=store).of([made.config])[0].code == code
    assert Survey(store=store).of([make_record(seed=1).config])[0].code == ""
