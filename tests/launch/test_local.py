"""Runs on this machine: how many workers with how many threads, and when their time is over."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from sambench.errors import ConfigError
from sambench.files.claim import Owner
from sambench.launch.launcher import Watcher, launchers, read_number
from sambench.launch.launchers import local
from sambench.launch.launchers.local import (
    ALL,
    MEMORY_SHARE,
    Minutes,
    form_crew,
    launch,
)
from sambench.launch.launchers.ray import _resources
from sambench.launch.manifest import Manifest
from sambench.run.estimates import estimate_memory
from sambench.store.record import INTERRUPTED
from sambench.store.tree import CLAIM, Store
from sambench.training.events import Event, Started, Tick
from tests.launch.conftest import ManifestMaker


def owners(manifest: Manifest) -> set[int]:
    """Return the processes that do a run of the manifest now."""
    store = Store(manifest.results)
    found = (Owner.read(store.folder(config) / CLAIM) for config in manifest.configs)
    return {owner.pid for owner, _ in filter(None, found)}


def test_two_runs_are_on_one_device_at_once(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(3, epochs=1_000_000)
    begun: list[str] = []
    claims: list[set[int]] = []

    def note(event: Event) -> None:
        if isinstance(event, Started):
            assert event.device == "cpu"
            begun.append(event.config.name)
        if isinstance(event, Tick) and len(begun) == 2 and not claims:
            claims.append(owners(manifest))
            os.kill(os.getpid(), signal.SIGINT)

    assert launch(manifest, {"workers": "2"}, Watcher(event=note)).interrupted
    assert len(claims[0]) == 2
    assert os.getpid() not in claims[0]
    assert sorted(begun) == sorted(config.name for config in manifest.configs[:2])


GB = 1_000_000_000
CPU = ("cpu",)
CUDA = ("cuda:0", "cuda:1")


@pytest.mark.parametrize(
    ("cores", "runs", "devices", "asked", "expected", "threads"),
    [
        (4, 9, CPU, {}, 4, 1),
        (4, 2, CPU, {}, 2, 1),
        (4, 1, CPU, {}, 1, 1),
        (1, 9, CPU, {}, 1, 1),
        (8, 9, CPU, {"threads": "4"}, 2, 4),
        (8, 9, CPU, {"threads": "16"}, 1, 16),
        (8, 9, CPU, {"threads": ALL}, 1, None),
        (8, 9, CPU, {"workers": "3"}, 3, 1),
        (2, 9, CPU, {"workers": "3", "threads": "2"}, 3, 2),
        (8, 9, CPU, {"runs_per_device": "2"}, 2, 1),
        (8, 9, ("cpu", "cpu"), {}, 2, 1),
        (8, 1, CUDA[:1], {}, 1, None),
        (8, 9, CUDA[:1], {}, 1, None),
        (8, 9, CUDA, {}, 2, 4),
        (8, 9, CUDA, {"runs_per_device": "2"}, 4, 2),
        (8, 3, CUDA, {"runs_per_device": "2"}, 3, 2),
        (8, 9, CUDA, {"workers": "3", "threads": "1"}, 3, 1),
        (8, 9, ("cpu", "cuda:0"), {}, 2, 4),
    ],
)
def test_how_many_workers_with_how_many_threads(
    make_manifest: ManifestMaker,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    runs: int,
    devices: tuple[str, ...],
    asked: dict[str, str],
    expected: int,
    threads: int | None,
) -> None:
    monkeypatch.setattr(local, "cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = form_crew(make_manifest(runs), devices, asked)
    assert (len(found.devices), found.threads) == (expected, threads)
    assert {*found.devices} <= {*devices}


def test_the_threads_of_the_environment_are_taken_and_leave_fewer_workers(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    found = form_crew(make_manifest(9), CPU, {})
    assert (len(found.devices), found.threads) == (2, 4)
    assert form_crew(make_manifest(9), CPU, {"threads": "1"}).threads == 1


def test_memory_leaves_fewer_workers_and_the_reason_is_said(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "cores", lambda: 16)
    manifest = make_manifest(16)
    (need,) = estimate_memory(manifest.configs, manifest.data).values()
    for free, expected in ((100 * GB, 16), (int(3.5 * need / MEMORY_SHARE), 3), (1, 1)):
        monkeypatch.setattr(local, "free_memory", lambda free=free: free)
        found = form_crew(manifest, CPU, {})
        assert len(found.devices) == expected
        assert (f"not 16: small-cnn takes about {need / 1e9:.1f} GB" in found.note) == (
            free < 100 * GB
        )
    assert "--threads 16 uses all 16 cores" in found.note
    assert len(form_crew(manifest, CPU, {"workers": "7"}).devices) == 7  # the user knows better


def test_idle_cores_are_said(make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "free_memory", lambda: 100 * GB)
    crew_of_two = form_crew(make_manifest(2), CPU, {})
    assert crew_of_two.note.startswith(", 1 thread each (2 runs; --threads 4 uses")
    assert form_crew(make_manifest(8), CPU, {}).note == ", 1 thread each"


@pytest.mark.parametrize(
    ("launcher", "options", "said"),
    [
        ("slurm", {"workers": "2"}, "workers is no option of the slurm launcher"),
        ("ray", {"workers": "2"}, "launcher ray has no option 'workers'"),
        ("local", {"runs_per_device": "auto"}, "allowed: a whole number >= 1"),
        ("local", {"threads": "most"}, "allowed: a whole number >= 1"),
        ("local", {"workers": "2", "runs_per_device": "2"}, "contradict each other"),
    ],
)
def test_what_cannot_be_packed(
    make_manifest: ManifestMaker, launcher: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        launchers.get(launcher).start(make_manifest(2), options, Watcher())


class RayWithTwoGpus:
    """Answers what the launcher asks a cluster."""

    def cluster_resources(self) -> dict[str, float]:
        return {"GPU": 2.0, "CPU": 8.0}


def test_ray_gives_each_run_its_share_of_a_gpu() -> None:
    ray = RayWithTwoGpus()
    assert _resources(ray, {"runs_per_device": "4"}, None) == (0.25, 1)
    assert _resources(ray, {}, None) == (1.0, 1)
    assert _resources(ray, {"num_gpus": "0.5", "num_cpus": "2"}, None) == (0.5, 2)
    both = {"runs_per_device": "2", "num_gpus": "1"}
    with pytest.raises(ConfigError, match="contradict each other"):
        _resources(ray, both, None)
    for name, text in (
        *(("runs_per_device", "auto"), ("num_gpus", "-1"), ("num_gpus", "nan")),
        *(("num_cpus", "0"), ("num_cpus", "-1"), ("num_cpus", "1.5")),
    ):
        with pytest.raises(ConfigError, match=f"{name}='{text}' is not allowed; allowed: a "):
            _resources(ray, {name: text}, None)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_time_that_is_over_stops_the_runs_as_ctrl_c_does(
    make_manifest: ManifestMaker, workers: str
) -> None:
    """Of runs that would take hours: those at hand are saved, the others are not begun."""
    manifest = make_manifest(3, epochs=1_000_000)
    minutes = "0.005" if workers == "1" else "0.1"  # workers start first
    tally = launch(manifest, {"minutes": minutes, "runs_per_device": workers}, Watcher())
    assert (tally.interrupted, tally.exit_code) == (True, 130)
    records, _ = Store(manifest.results).records()
    assert {record.status for record in records} <= {INTERRUPTED}
    assert len(records) <= int(workers)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "1e12", "soon"])
def test_minutes_that_are_none(make_manifest: ManifestMaker, minutes: str) -> None:
    with pytest.raises(ConfigError, match=f"minutes='{minutes}' .* allowed: a number above 0"):
        launch(make_manifest(), {"minutes": minutes}, Watcher())


def test_no_limit_unless_there_is_one() -> None:
    assert read_number({}, "minutes", Minutes) is None
    assert read_number({"minutes": "1.5"}, "minutes", Minutes) == 1.5
