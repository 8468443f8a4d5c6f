"""The unit of work, as a process of its own."""

from __future__ import annotations

import errno
import gc
import re
import subprocess
import sys
import traceback
import warnings
import weakref
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import torch
from msgspec import msgpack
from msgspec.structs import replace
from torch import nn

from sambench.errors import (
    DO_AGAIN,
    CurvatureError,
    DamagedError,
    DataError,
    LaunchError,
    UnpreparedError,
    is_of_surroundings,
)
from sambench.launch import pool, unit
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.launchers import local
from sambench.launch.launchers.local import launch, run_all
from sambench.launch.launchers.ray import STOP_FILE, do_unit
from sambench.launch.unit import attempt, conclude, mark_ended
from sambench.plugin import load_plugin
from sambench.run import single_run
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from sambench.training.step import Step
from tests.forked_processes import Template
from tests.launch.conftest import TINY, ManifestMaker

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


MODULE = "sambench.launch.job"


def test_a_unit_does_its_run_once(make_manifest: ManifestMaker, template: Template) -> None:
    """Its process is started as Slurm does, the second one is forked."""
    manifest = make_manifest(2, hessian=TINY)
    path, store = manifest.write(), Store(manifest.results)
    command = [sys.executable, "-m", MODULE, str(path), "1"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stdout) == (0, "")
    record = store.load(manifest.configs[1])
    assert record is not None
    assert (record.status, record.suite) == ("completed", "study")
    assert record.hessian is not None
    assert store.load(manifest.configs[0]) is None
    assert template.run("-m", MODULE, path, 1).returncode == 0
    assert store.load(manifest.configs[1]) == record


@pytest.mark.parametrize(("index", "said"), [(7, "units 0 to 0, not 7"), ("x", "usage")])
def test_a_unit_that_is_not_there(
    make_manifest: ManifestMaker, template: Template, index: int, said: str
) -> None:
    done = template.run("-m", MODULE, make_manifest().write(), index)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_record_tells_why_a_unit_failed(
    make_manifest: ManifestMaker, template: Template
) -> None:
    manifest = make_manifest(split="centre:nowhere")
    assert template.run("-m", MODULE, manifest.write(), 0).returncode == 1
    record = Store(manifest.results).load(manifest.configs[0])
    assert record is not None
    assert record.status == "failed"
    assert "nowhere" in (record.error or "")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), ValueError("broken")])
def test_a_run_that_failed_leaves_its_memory_to_the_next(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its error is kept to the end of the launch, and that of the last one with where it was."""
    networks: list[weakref.ref[nn.Module]] = []
    before: list[nn.Module | None] = []
    build = single_run.build_network

    def built(*given: Any) -> nn.Module:
        gc.collect()
        before.extend(network() for network in networks)
        networks.append(weakref.ref(made := build(*given)))
        return made

    def fail(step: Step, *given: Any) -> None:
        raise type(error)(*error.args)

    monkeypatch.setattr(single_run, "build_network", built)
    monkeypatch.setattr(Step, "forward", fail)
    told: list[str] = []
    watcher = Watcher(failed=lambda config, why: told.extend(traceback.format_exception(why)))
    tally = run_all(make_manifest(2), "cpu", watcher)
    assert len(tally.errors) == 2
    assert "".join(told).count("raise type(error)") == 2
    assert before == [None]
    assert tally.errors[-1].__traceback__ is not None


@pytest.fixture
def lost_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have runs end with an error that a GPU does not recover from; their numbers are noted."""
    begun: list[int] = []
    gpu = torch.device("cuda:0")

    def fail(manifest: Any, index: int, *rest: Any, **named: Any) -> Exception:
        begun.append(index)
        return RuntimeError("CUDA error: an illegal memory access")

    def lost(device: torch.device) -> None:
        raise RuntimeError("CUDA error: an illegal memory access\nCompile with TORCH_USE_CUDA_DSA")

    for module in (local, pool):
        monkeypatch.setattr(module, "attempt", fail)
        monkeypatch.setattr(module, "choose_device", lambda name: (gpu, "as asked"))
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    return begun


LOST = re.escape("cuda:0 is lost to this process (CUDA error: an illegal memory access); the same")


def test_a_lost_gpu_fails_no_other_run(make_manifest: ManifestMaker, lost_gpu: list[int]) -> None:
    with pytest.raises(LaunchError, match=LOST):
        run_all(make_manifest(3), "cuda:0", Watcher())
    assert lost_gpu == [0]


def test_a_worker_whose_gpu_is_lost_makes_way_for_another(
    make_manifest: ManifestMaker, lost_gpu: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pool sees it end with the run at hand, which alone has failed, and hires one anew."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    ours, theirs = Pipe()
    for order in ([make_manifest(2).encoded(), "cuda:0", None], [0, 1], [1, 1]):
        ours.send_bytes(msgpack.encode(order))
    with pytest.raises(LaunchError, match=LOST):
        pool.Worker(theirs).work()
    ours.send_bytes(msgpack.encode(None))
    assert lost_gpu == [0]
    assert msgpack.decode(ours.recv_bytes()) == ["ready"]
    assert not ours.poll()


def test_a_stop_file_stops_before_the_first_step(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest()
    path = manifest.write()
    path.with_name(STOP_FILE).touch()
    do_unit(str(path), 0, 1)
    assert Store(manifest.results).load(manifest.configs[0]) is None
    path.with_name(STOP_FILE).unlink()
    do_unit(str(path), 0, 1)
    assert Store(manifest.results).completed(manifest.configs[0]) is not None


def test_a_death_is_told_by_the_record_unless_that_knows_better(
    make_manifest: ManifestMaker, make_record: RecordMaker
) -> None:
    manifest = make_manifest()
    store = Store(manifest.results)
    for status, after in [
        ("running", "failed"),
        ("interrupted", "failed"),
        ("completed", "completed"),
        ("diverged", "diverged"),
    ]:
        record = make_record(status=status)
        store.save(record)
        mark_ended(store, record.config, "killed", "failed")
        found = store.load(record.config)
        assert found is not None
        assert found.status == after
        assert found.error == ("killed" if after == "failed" else None)


def test_a_damaged_record_is_left_as_evidence(
    make_manifest: ManifestMaker, make_record: RecordMaker
) -> None:
    record, store = make_record(status="running"), Store(make_manifest().results)
    store.save(record)
    path = store.folder(record.config) / "run.json"
    path.write_text("{")
    mark_ended(store, record.config, "killed", "failed")
    assert path.read_text() == "{"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "interrupted"),
        (DamagedError("run.json is damaged"), "interrupted"),
        (UnpreparedError("images.npy is damaged"), "interrupted"),
        (DataError("split 'centre:nowhere' leaves no test image"), "failed"),
        (ZeroDivisionError("division by zero"), "failed"),
        (MemoryError(), "failed"),
    ],
)
def test_only_a_fault_of_the_run_makes_it_failed(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(unit, "_perform", fail)
    manifest = make_manifest()
    attempt(manifest, 0, torch.device("cpu"), Watcher(), lambda: False)
    record = Store(manifest.results).load(manifest.configs[0])
    assert record is not None
    assert record.status == status
    assert str(error) in (record.error or "")


def test_a_fault_of_the_surroundings_below_another_error() -> None:
    try:
        try:
            raise OSError(errno.EIO, "Input/output error")
        except OSError as cause:
            raise CurvatureError("the weights cannot be read") from cause
    except CurvatureError as error:
        assert is_of_surroundings(error)
    assert not is_of_surroundings(CurvatureError("the Hessian is not symmetric"))


def test_a_run_held_by_a_living_process_is_not_marked(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest()
    config, store = manifest.configs[0], Store(manifest.results)
    store.save(RunRecord(config=config, status="running"))
    tally, away = Tally(), Tally()
    with store.claim(config):
        mark_ended(store, config, "killed", "failed")
        conclude(manifest, 0, Watcher(), tally, "its node is lost")
        conclude(manifest, 0, Watcher(), away, "ended", ended_well=True)
    assert [str(error) for error in tally.errors] == ["its node is lost"]
    assert (away.elsewhere, away.errors) == ([config], [])
    record = store.load(config)
    assert record is not None
    assert record.status == "running"


def test_how_a_run_ended_is_read_from_its_files(
    make_manifest: ManifestMaker, make_record: RecordMaker
) -> None:
    manifest = make_manifest(5, hessian=TINY)
    store = Store(manifest.results)
    for config, status, error in zip(
        manifest.configs,
        ["completed", "failed", "interrupted", "running"],
        [None, "Traceback\n  here\nValueError: no", None, None],
        strict=False,
    ):
        done = make_record(status=status, error=error)
        store.save(replace(done, config=config))
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
    ends = [record and (record.status, record.error) for record in records[3:]]
    assert ends == [("interrupted", "gone"), ("interrupted", "gone")]


def test_a_run_whose_record_was_damaged_stops_no_other(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(2)
    store, said = Store(manifest.results), []
    path = store.folder(manifest.configs[0]) / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    watcher = Watcher(failed=lambda config, error: said.append(str(error)))
    tally = run_all(manifest, "cpu", watcher)
    assert [record.name for record in tally.records] == [manifest.configs[1].name]
    assert tally.exit_code == 1
    assert said == [f"{path} is not a run record; {DO_AGAIN}"]
    again = Tally()
    conclude(manifest, 0, watcher, again, "gone")
    assert said[1] == said[0]
    assert path.read_text() == "{"


@pytest.mark.usefixtures("plugins_forgotten")
def test_jobs_and_workers_know_plugins_before_they_read_what_to_do(
    make_manifest: ManifestMaker, template: Template
) -> None:
    load_plugin(Path(__file__).parents[2] / "examples" / "my_optimizer.py")
    manifest = make_manifest(3, optimizer="half-sam")
    assert template.run("-m", MODULE, manifest.write(), 0).returncode == 0
    tally = launch(manifest, {"workers": "2"}, Watcher())
    assert (len(tally.records), tally.exit_code) == (3, 0)
