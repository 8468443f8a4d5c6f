"""Workers on this machine: persistent, replaced when they die, stopped with a checkpoint."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, LaunchError
from sambench.launch import pool
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.launchers import local
from sambench.launch.launchers.local import launch
from sambench.launch.manifest import Manifest
from sambench.launch.pool import Pool
from sambench.store.environment import COMMAND as TYPED
from sambench.store.tree import CLAIM, Store
from sambench.training.events import Epoch, Event, Started
from tests.forked_processes import Forked, Template
from tests.launch.conftest import TINY, ManifestMaker
from tests.patience import PATIENCE, wait_until

pytestmark = pytest.mark.slow
LONG = 1_000_000
"""Epochs of a run that is interrupted before it ends, however late that comes."""


def owner(manifest: Manifest, config: RunConfig) -> int:
    """Return the process that does a run."""
    claim = Store(manifest.results).folder(config) / CLAIM
    return int(json.loads(claim.read_text())["pid"])


def has_ended(manifest: Manifest, config: RunConfig) -> bool:
    """Whether a run was begun and is no longer running."""
    record = Store(manifest.results).load(config)
    return record is not None and record.status != "running"


def settled(manifest: Manifest, index: int) -> dict[str, object]:
    """Return what of a record does not depend on when and where it was done."""
    record = Store(manifest.results).load(manifest.configs[index])
    assert record is not None
    assert record.hessian is not None
    hessian = {k: v for k, v in record.hessian.items() if "seconds" not in k and k != "memory"}
    return {"final": record.final, "status": record.status, "hessian": hessian}


def beginnings(events: list[Event]) -> list[Event]:
    """Return what was told when runs began, by their seeds."""
    found = [event for event in events if isinstance(event, Started)]
    return [*sorted(found, key=lambda event: event.config.seed)]


@pytest.mark.not_nudged
@pytest.mark.arithmetic
def test_workers_are_kept_and_change_no_number(
    make_manifest: ManifestMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TYPED, "sambench compare what-the-user-typed")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    manifest = make_manifest(5, hessian=TINY)
    events: list[Event] = []
    pids: set[int] = set()

    def note(event: Event) -> None:
        events.append(event)
        if isinstance(event, Started):
            pids.add(owner(manifest, event.config))

    tally = launch(manifest, {"runs_per_device": "2"}, Watcher(event=note))
    assert (len(tally.records), tally.exit_code) == (5, 0)
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert sum(isinstance(event, Epoch) for event in events) == 10
    inline = replace(manifest, results=tmp_path / "inline")
    before = torch.get_num_threads()
    told: list[Event] = []
    assert launch(inline, {}, Watcher(event=told.append)).exit_code == 0
    assert beginnings(events) == beginnings(told)
    assert torch.get_num_threads() == before
    assert [settled(manifest, n) for n in range(5)] == [settled(inline, n) for n in range(5)]
    record = Store(manifest.results).load(manifest.configs[0])
    assert record is not None
    assert record.environment is not None
    assert record.environment["threads"] == 1
    assert record.environment["runs_on_device"] == 2
    alone = Store(inline.results).load(manifest.configs[0])
    assert alone is not None
    assert (alone.environment or {})["runs_on_device"] == 1
    assert record.environment["command"] == "sambench compare what-the-user-typed"


def test_the_run_of_a_killed_worker_is_interrupted_and_goes_on(
    make_manifest: ManifestMaker,
) -> None:
    manifest = make_manifest(4, epochs=3)
    victim, failures = manifest.configs[1], []

    def shoot(event: Event) -> None:
        if isinstance(event, Started) and event.config == victim:
            os.kill(owner(manifest, victim), signal.SIGKILL)

    watcher = Watcher(
        event=shoot, failed=lambda config, error: failures.append((config, str(error)))
    )
    tally = launch(manifest, {"runs_per_device": "2"}, watcher)
    assert (len(tally.records), len(tally.errors), tally.exit_code) == (3, 1, 1)
    assert [config for config, _ in failures] == [victim]
    assert "killed by signal 9 (SIGKILL" in failures[0][1]
    record = Store(manifest.results).load(victim)
    assert record is not None
    assert record.status == "interrupted"  # its surroundings failed, not the run
    assert "SIGKILL" in (record.error or "")
    assert launch(manifest, {}, Watcher()).exit_code == 0


def test_a_run_that_raises_leaves_its_worker_alive(make_manifest: ManifestMaker) -> None:
    good, bad = make_manifest(2), make_manifest(1, split="centre:nowhere")
    manifest = replace(good, configs=(*bad.configs, *good.configs))
    said: list[str] = []
    watcher = Watcher(failed=lambda config, error: said.append(str(error)))
    tally = launch(manifest, {"runs_per_device": "2"}, watcher)
    assert (len(tally.records), len(tally.errors)) == (2, 1)
    assert "nowhere" in said[0]


def test_a_run_of_another_process_is_left_to_it(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(2)
    with Store(manifest.results).claim(manifest.configs[0]):
        tally = launch(manifest, {"runs_per_device": "2"}, Watcher())
    assert (tally.elsewhere, len(tally.records)) == ([manifest.configs[0]], 1)
    assert tally.exit_code == 0


def test_a_device_that_is_not_there(make_manifest: ManifestMaker) -> None:
    with pytest.raises(LaunchError, match="device cuda:9 is not there"):
        Pool(make_manifest(2), ["cuda:9"] * 2, 1, Watcher()).run()


def test_a_worker_that_cannot_start_stops_no_other(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system has no memory left for the successor of one that was killed."""
    manifest, made = make_manifest(3), pool.Member.__init__

    def start(member: pool.Member, *given: Any) -> None:
        if hired.pop(0):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        made(member, *given)

    def shoot(event: Event) -> None:
        if isinstance(event, Started) and event.config == manifest.configs[0]:
            os.kill(owner(manifest, event.config), signal.SIGKILL)

    monkeypatch.setattr(pool.Member, "__init__", start)
    hired, said = [False, False, True], list[str]()
    tally = launch(manifest, {"workers": "2"}, Watcher(event=shoot, say=said.append))
    assert (len(tally.records), len(tally.errors), hired) == (2, 1, [])
    why = "a worker for cpu could not start: Resource temporarily unavailable"
    assert f"warning: {why}; give fewer --workers; the others go on" in said
    hired = [False, True]
    with pytest.raises(LaunchError, match=why):
        launch(manifest, {"workers": "2"}, Watcher())


@pytest.mark.parametrize("number", [signal.SIGXCPU, signal.SIGUSR1])
def test_a_queue_that_ends_a_worker_is_no_fault_of_its_run(
    make_manifest: ManifestMaker, number: int
) -> None:
    manifest = make_manifest(2)

    def shoot(event: Event) -> None:
        if isinstance(event, Started) and event.config == manifest.configs[0]:
            os.kill(owner(manifest, event.config), number)

    launch(manifest, {"workers": "2"}, Watcher(event=shoot))
    record = Store(manifest.results).load(manifest.configs[0])
    assert record is not None
    assert record.status == "interrupted"


COMMAND = (
    "import sys\n"
    "from pathlib import Path\n"
    "from sambench.launch.launchers.local import launch\n"
    "from sambench.launch.manifest import Manifest\n"
    "from sambench.launch.launcher import Tally, Watcher\n"
    "told = Watcher(event=lambda event: print(type(event).__name__, flush=True))\n"
    "sys.exit(launch(Manifest.read(Path(sys.argv[1])), {'runs_per_device': '2'}, told).exit_code)\n"
)


def started(manifest: Manifest, template: Template) -> Forked:
    """Start a pool in a process of its own and wait until both its workers train."""
    process = template.start("-c", COMMAND, manifest.write())
    assert process.stdout is not None
    kinds: list[str] = []
    while kinds.count("Started") < 2 or kinds[-1] != "Tick":
        kinds.append(process.stdout.readline().strip())
        assert kinds[-1], "the pool ended early"
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process


def test_one_interrupt_saves_all_and_the_next_launch_goes_on(
    make_manifest: ManifestMaker, template: Template
) -> None:
    manifest = make_manifest(3, epochs=LONG)
    process = started(manifest, template)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    store = Store(manifest.results)
    for config in manifest.configs[:2]:
        record = store.load(config)
        assert record is not None
        assert record.status == "interrupted"
        assert (store.folder(config) / "checkpoint.pt").exists()
    assert store.load(manifest.configs[2]) is None
    resumed: list[int | None] = []

    def note(event: Event) -> None:
        if isinstance(event, Started):
            resumed.append(event.resumed_at)
            os.kill(os.getpid(), signal.SIGINT)

    assert launch(manifest, {}, Watcher(event=note)).interrupted
    assert resumed[0] is not None


def test_workers_of_a_killed_pool_save_and_end(
    make_manifest: ManifestMaker, template: Template
) -> None:
    manifest = make_manifest(2, epochs=LONG)
    process = started(manifest, template)
    process.kill()
    process.wait()
    store = Store(manifest.results)
    for config in manifest.configs:
        wait_until("the worker stops", partial(has_ended, manifest, config))
        record = store.load(config)
        assert record is not None
        assert record.status == "interrupted"
        assert (store.folder(config) / "checkpoint.pt").exists()


def test_a_job_with_runs_side_by_side_saves_them_all(
    make_manifest: ManifestMaker, template: Template
) -> None:
    """Slurm sends the signal to all of its processes."""
    manifest = make_manifest(2, epochs=LONG)
    store = Store(manifest.results)
    process = template.start("-m", "sambench.launch.job", manifest.write(), "0-1", "2")
    for config in manifest.configs:
        wait_until("the run trains", store.history(config).exists)
    workers = [owner(manifest, config) for config in manifest.configs]
    assert process.pid not in workers
    for number in (*workers, process.pid):
        os.kill(number, signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == 130
    for config in manifest.configs:
        record = store.load(config)
        assert record is not None
        assert (record.environment or {})["runs_on_device"] == 2
        assert (record.error or "").startswith("stopped in epoch")
        assert (store.folder(config) / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("options", "device", "expected"),
    [
        ({}, None, None),
        ({"runs_per_device": "3"}, "cpu", ["cpu"] * 3),
        ({"workers": "3"}, "cpu", ["cpu"] * 3),
        ({"threads": "all"}, "cpu", None),
        ({"devices": "cuda:0, cuda:1"}, None, ["cuda:0", "cuda:1"]),
        (
            {"devices": "cpu,cuda:0", "runs_per_device": "2"},
            None,
            ["cpu", "cuda:0", "cpu", "cuda:0"],
        ),
        ({"devices": "cuda:0"}, None, None),
        ({"devices": "cuda, cuda:0,"}, None, ["cuda:0", "cuda:0"]),  # so two runs are on it
    ],
)
def test_who_does_the_runs(
    make_manifest: ManifestMaker,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    device: str | None,
    expected: list[str] | None,
) -> None:
    """Workers for these devices, or None for in-line."""
    crews: list[list[str] | None] = []

    class Workers:
        def __init__(self, manifest: Manifest, devices: list[str], *rest: object) -> None:
            crews.append([*devices])

        def run(self) -> Tally:
            return Tally()

    def inline(manifest: Manifest, device: str | None, *rest: object) -> Tally:
        crews.append(None)
        return Tally()

    monkeypatch.setattr(pool, "Pool", Workers)
    monkeypatch.setattr(local, "run_all", inline)
    launch(replace(make_manifest(5), device=device), options, Watcher())
    assert crews == [expected]


@pytest.mark.parametrize(
    ("options", "device"),
    [({"runs_per_device": "0"}, None), ({"devices": "cuda:0"}, "cpu"), ({"devices": "x"}, "cpu")],
)
def test_devices_that_make_no_sense(
    make_manifest: ManifestMaker, options: dict[str, str], device: str | None
) -> None:
    with pytest.raises(ConfigError):
        launch(replace(make_manifest(2), device=device), options, Watcher())
