"""The unit of work, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sambench.launch.unit import STOP_FILE, conclude, mark_failed, perform_alone
from sambench.launch.watcher import Tally, Watcher
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from tests.launch.conftest import TINY, ManifestMaker


def unit(path: Path, index: int | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sambench.launch.job", str(path), str(index)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_unit_does_its_run_once(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(2, hessian=TINY)
    path, store = manifest.write(), Store(manifest.results)
    first = unit(path, 1)
    assert (first.returncode, first.stdout) == (0, "")
    record = store.load(manifest.configs[1])
    assert record is not None
    assert (record.status, record.suite) == ("completed", "study")
    assert record.hessian is not None
    assert store.load(manifest.configs[0]) is None
    assert unit(path, 1).returncode == 0
    assert store.load(manifest.configs[1]) == record


@pytest.mark.parametrize(("index", "said"), [(7, "units 0 to 0, not 7"), ("x", "usage")])
def test_a_unit_that_is_not_there(make_manifest: ManifestMaker, index: int, said: str) -> None:
    done = unit(make_manifest().write(), index)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_record_tells_why_a_unit_failed(make_manifest: ManifestMaker, tmp_path: Path) -> None:
    manifest = make_manifest(split="centre:nowhere")
    assert perform_alone(manifest.write(), 0, lambda: False) == 1
    record = Store(manifest.results).load(manifest.configs[0])
    assert record is not None
    assert record.status == "failed"
    assert "nowhere" in (record.error or "")


def test_a_stop_file_stops_before_the_first_step(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest()
    path = manifest.write()
    path.with_name(STOP_FILE).touch()
    assert perform_alone(path, 0, lambda: False) == 130
    assert Store(manifest.results).load(manifest.configs[0]) is None


def test_a_death_is_told_by_the_record_unless_that_knows_better(
    make_manifest: ManifestMaker,
) -> None:
    manifest = make_manifest()
    config, store = manifest.configs[0], Store(manifest.results)
    for status, after in [
        ("running", "failed"),
        ("completed", "completed"),
        ("diverged", "diverged"),
    ]:
        store.save(RunRecord(config=config, status=status))
        assert mark_failed(store, config, "killed")
        record = store.load(config)
        assert record is not None
        assert record.status == after
        assert record.error == ("killed" if after == "failed" else None)


def test_a_run_held_by_a_living_process_is_not_marked(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest()
    config, store = manifest.configs[0], Store(manifest.results)
    store.save(RunRecord(config=config, status="running"))
    with store.claim(config):
        assert not mark_failed(store, config, "killed")
    record = store.load(config)
    assert record is not None
    assert record.status == "running"


def test_how_a_run_ended_is_read_from_its_files(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(5, hessian=TINY)
    store = Store(manifest.results)
    for config, status, error in zip(
        manifest.configs,
        ["completed", "failed", "interrupted", "running"],
        [None, "Traceback\n  here\nValueError: no", None, None],
        strict=False,
    ):
        store.save(RunRecord(config=config, status=status, error=error))
    said: list[str] = []
    tally = Tally()
    watcher = Watcher(
        finished=lambda record: said.append(record.status),
        failed=lambda config, error: said.append(str(error)),
    )
    for index in range(5):
        conclude(manifest, index, watcher, tally, "gone")
    assert said == [
        "its minimum was not measured: gone",
        "ValueError: no",
        "interrupted",
        "gone",
        "gone",
    ]
    assert (len(tally.errors), len(tally.records), tally.exit_code) == (4, 1, 1)
    records = [store.load(config) for config in manifest.configs]
    assert [record and record.status for record in records[3:]] == ["failed", "failed"]
