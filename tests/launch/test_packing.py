"""Several runs on one device: really at once, and on a GPU as many as its memory holds."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import pytest

from sambench.errors import ConfigError
from sambench.files.owner import Owner
from sambench.launch.launcher import launchers
from sambench.launch.launchers.local import launch
from sambench.launch.launchers.ray import _resources
from sambench.launch.manifest import Manifest
from sambench.launch.packing import CONTEXT_BYTES, MARGIN, SHARE, Packing, Room, runs_that_fit
from sambench.launch.pool import Pool
from sambench.launch.watcher import Watcher
from sambench.store.record import RunRecord
from sambench.store.tree import CLAIM, Store
from sambench.training.events import Event, Started, Tick
from tests.launch.conftest import ManifestMaker

GB = 1024**3


def owners(manifest: Manifest) -> set[int]:
    """Return the processes that do a run of the manifest now."""
    store = Store(manifest.results)
    found = (Owner.read(store.folder(config) / CLAIM) for config in manifest.configs)
    return {owner.pid for owner, _ in filter(None, found)}


def test_two_runs_are_on_one_device_at_once(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(3, epochs=3000)
    begun: list[str] = []
    claims: list[set[int]] = []

    def note(event: Event) -> None:
        if isinstance(event, Started):
            assert event.device == "cpu"
            begun.append(event.config.name)
        if isinstance(event, Tick) and len(begun) == 2 and not claims:
            claims.append(owners(manifest))
            os.kill(os.getpid(), signal.SIGINT)

    assert launch(manifest, {"runs_per_device": "2"}, Watcher(event=note)).interrupted
    assert len(claims[0]) == 2
    assert os.getpid() not in claims[0]
    assert sorted(begun) == sorted(config.name for config in manifest.configs[:2])


@pytest.mark.parametrize(
    ("free", "utilisation", "peak", "cores", "expected"),
    [
        (140 * GB, None, 2 * GB, 16, 16),  # memory for 35: the cores decide
        (24 * GB, None, 2 * GB, 16, 6),  # 21.6 GB in parts of 3.6
        (24 * GB, 0.5, 2 * GB, 16, 3),  # others have half of the time
        (24 * GB, 1.0, 2 * GB, 16, 1),
        (4 * GB, None, 8 * GB, 16, 1),  # never none: the run itself says what is wrong
        (24 * GB, 0.0, 2 * GB, 2, 2),
    ],
)
def test_how_many_runs_fit(
    free: int, utilisation: float | None, peak: int, cores: int, expected: int
) -> None:
    number = runs_that_fit(Room(free=free, utilisation=utilisation), peak, cores)
    assert number == expected
    if number > 1:
        assert number * (MARGIN * peak + CONTEXT_BYTES) <= SHARE * free


def finished(manifest: Manifest, index: int, peak: int, gpu: str | None = "H") -> None:
    record = RunRecord(
        config=manifest.configs[index],
        status="completed",
        environment={"gpu": gpu},
        final={"test": {"accuracy": 0.5}},
        cost={"train_seconds": 1.0, "gradient_evaluations": 4, "peak_memory_bytes": peak},
    )
    Store(manifest.results).save(record)


def test_what_a_run_takes_is_learned_from_finished_ones(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    small, large = make_manifest(2), make_manifest(2, batch_size=16)
    manifest = replace(small, configs=(*small.configs, *large.configs))
    packing, room = Packing(manifest, 1), Room(free=24 * GB, utilisation=0.0)
    assert packing.runs_on("cuda:0", None) == 1
    assert packing.runs_on("cuda:0", room) is None
    finished(manifest, 0, 1 * GB)
    finished(manifest, 2, 2 * GB, gpu=None)  # on a CPU: another memory
    assert packing.runs_on("cuda:0", room) is None  # nothing is known of the larger batch
    finished(manifest, 3, 2 * GB)
    assert packing.runs_on("cuda:0", room) == 6
    busy_by_us = Room(free=24 * GB, utilisation=1.0)
    assert packing.runs_on("cuda:0", busy_by_us) == 6
    assert Packing(manifest, 4).runs_on("cuda:0", room) == 4  # a share of the cores


class AfterTheFirst(Packing):
    """Knows that two fit once a run is over."""

    def runs_on(self, device: str, room: Room | None) -> int | None:
        return 2 if Store(self._manifest.results).records()[0] else None


def test_more_workers_come_once_it_is_known_how_many_fit(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(6, epochs=1)
    said: list[str] = []
    tally = Pool(manifest, ["cpu"], Watcher(say=said.append), AfterTheFirst(manifest, 1)).run()
    assert (tally.exit_code, len(tally.records)) == (0, 6)
    assert said[0].startswith("1 worker on cpu")
    assert said[1].startswith("packing: 2 workers on cpu")
    assert len(said) == 2


@pytest.mark.parametrize(
    ("launcher", "options", "said"),
    [
        ("slurm", {"runs_per_device": "2"}, "gives each run a device of its own"),
        ("local", {"runs_per_device": "many"}, "a whole number >= 1, or auto"),
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
    for wrong in ({"runs_per_device": "auto"}, {"runs_per_device": "2", "num_gpus": "1"}):
        with pytest.raises(ConfigError, match="not allowed with the ray launcher"):
            _resources(ray, wrong, None)
