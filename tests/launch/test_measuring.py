"""Minima of completed runs as units of work: measured once, by several workers, cut and resumed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace as changed
from safetensors.torch import save_file

from sambench.config.curvature_settings import Studies
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import DeviceError
from sambench.files.arrays import read_arrays
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.launchers.local import launch
from sambench.launch.manifest import Manifest
from sambench.launch.unit import conclude
from sambench.run.measure import JOURNAL
from sambench.run.single_run import Paths, run_one
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from tests.conftest import RecordMaker, measured
from tests.forked_processes import Template
from tests.launch.conftest import TINY, ManifestMaker
from tests.launch.test_pool import owner
from tests.patience import PATIENCE
from tests.run.curvature_alone import measure_hessian

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("rough_studies")]
CPU = torch.device("cpu")


@pytest.fixture
def trained(make_manifest: ManifestMaker) -> Callable[..., Manifest]:
    """Return a maker of completed runs and of what is wanted of their minima."""

    def make(runs: int, **wanted: Any) -> Manifest:
        manifest = make_manifest(runs, epochs=1)
        for config in manifest.configs:
            run_one(config, paths_of(manifest), device=CPU)
        return replace(manifest, curvature=Measurement(**{"hessian": TINY, **wanted}))

    return make


def paths_of(manifest: Manifest) -> Paths:
    return Paths(data=manifest.data, results=manifest.results)


def stored(manifest: Manifest, index: int) -> RunRecord:
    record = Store(manifest.results).load(manifest.configs[index])
    assert record is not None
    return record


def hessian_of(record: RunRecord) -> dict[str, Any]:
    """Return what of a measurement does not depend on when it was done."""
    return {k: v for k, v in (record.hessian or {}).items() if k not in ("seconds", "memory")}


def test_two_workers_measure_each_run_once(trained: Callable[..., Manifest]) -> None:
    manifest = replace(trained(3), device=None)
    weights = Store(manifest.results).folder(manifest.configs[1]) / "model.safetensors"
    kept = weights.read_bytes()
    save_file({"0.weight": torch.zeros(1)}, weights)
    before = [stored(manifest, n) for n in range(3)]
    began: list[str] = []
    failed: list[tuple[RunConfig, str]] = []
    stages: set[str] = set()
    watcher = Watcher(
        measuring=lambda config: began.append(config.name),
        curvature=lambda what, done, most: stages.add(what),
        failed=lambda config, error: failed.append((config, str(error))),
    )
    tally = launch(manifest, {"devices": "cpu,cpu"}, watcher)
    assert (tally.exit_code, len(tally.records)) == (1, 2)
    assert sorted(began) == sorted(config.name for config in manifest.configs)
    assert {"top eigenvalue", "trace", "batches"} <= stages
    assert [config for config, _ in failed] == [manifest.configs[1]]
    assert "model.safetensors is not the file that its run wrote" in failed[0][1]
    assert stored(manifest, 1) == before[1]  # completed, though it cannot be measured
    weights.write_bytes(kept)
    assert launch(manifest, {"devices": "cpu,cpu"}, Watcher()).exit_code == 0
    alone = measure_hessian(before[0], TINY, paths_of(manifest), device=CPU, again=True)
    again = [stored(manifest, n) for n in range(3)]
    assert hessian_of(again[0]) == hessian_of(alone)
    assert [changed(r, hessian=None) for r in again] == before  # nothing was trained again


def test_a_killed_worker_costs_one_measurement_and_the_next_launch_goes_on(
    trained: Callable[..., Manifest],
) -> None:
    manifest = trained(3)
    victim = manifest.configs[0]
    folder = Store(manifest.results).folder(victim)
    failed: list[str] = []
    killed: list[int] = []

    def shoot(what: str, done: int, most: int) -> None:
        if not killed and (folder / JOURNAL).exists():
            killed.append(owner(manifest, victim))
            os.kill(killed[0], signal.SIGKILL)

    slow = replace(manifest, curvature=Measurement(hessian=changed(TINY, perturbations=10)))
    tally = launch(
        slow,
        {"runs_per_device": "2"},
        Watcher(curvature=shoot, failed=lambda config, error: failed.append(str(error))),
    )
    assert (len(killed), len(tally.records), tally.exit_code) == (1, 2, 1)
    assert "killed by signal 9 (SIGKILL" in failed[0]
    assert stored(manifest, 0).status == "completed"
    assert (folder / JOURNAL).exists()
    stages: set[str] = set()
    assert launch(slow, {}, Watcher(curvature=lambda what, *_: stages.add(what))).exit_code == 0
    assert stages == {"batches"}  # eigenvalues and trace were in the journal
    assert not (folder / JOURNAL).exists()


def test_measuring_again_is_known_to_fail(trained: Callable[..., Manifest]) -> None:
    """The record holds the first measurement: only the worker knows of the second."""
    manifest = trained(2)
    assert launch(manifest, {}, Watcher()).exit_code == 0
    anew = replace(manifest, curvature=Measurement(hessian=changed(TINY, seed=1), again=True))
    weights = Store(manifest.results).folder(manifest.configs[0]) / "model.safetensors"
    weights.write_bytes(b"x")
    tally = launch(anew, {"runs_per_device": "2"}, Watcher())
    assert [len(tally.records), len(tally.errors), tally.exit_code] == [1, 1, 1]
    seeds = [hessian_of(stored(manifest, n))["seed"] for n in range(2)]
    assert seeds == [TINY.seed, 1]


def test_a_run_that_a_living_process_holds_is_left_to_it(trained: Callable[..., Manifest]) -> None:
    manifest = trained(1)
    with Store(manifest.results).claim(manifest.configs[0]):
        tally = launch(manifest, {}, Watcher())
    assert (tally.elsewhere, tally.records, tally.exit_code) == ([manifest.configs[0]], [], 0)


def test_a_device_that_is_not_there_is_refused_at_once(trained: Callable[..., Manifest]) -> None:
    with pytest.raises(DeviceError, match="cuda:99 is not there"):
        launch(replace(trained(1), device="cuda:99"), {}, Watcher())


def test_what_the_minutes_leave_is_told_and_done_the_next_time(
    trained: Callable[..., Manifest],
) -> None:
    studies = Studies(density=True, landscape=True, probes=2, steps=4, points=3)
    brief = changed(TINY, minutes=1e-9)
    manifest = trained(2, hessian=brief, studies=studies)
    said: list[str] = []
    tally = launch(manifest, {"runs_per_device": "2"}, Watcher(say=said.append))
    assert tally.exit_code == 0
    left = "left to measure: density, line, plane, eigenvectors; the same command goes on"
    assert sum(line.endswith(left) for line in said) == 2
    for _ in range(3):  # every launch takes the next step, however short the time
        said.clear()
        assert launch(manifest, {}, Watcher(say=said.append)).exit_code == 0
    (line, *_) = (line for line in said if manifest.configs[0].name in line)
    assert "1e-09 minutes are over; left to measure: line, plane" in line
    partial = Store(manifest.results).folder(manifest.configs[0]) / "landscape-line.partial.npz"
    assert len(read_arrays(partial, "partial grid")["index"]) == 2
    whole = replace(manifest, curvature=Measurement(hessian=TINY, studies=studies))
    done: list[tuple[str, int]] = []
    watcher = Watcher(curvature=lambda what, n, most: done.append((what, n)))
    assert launch(whole, {}, watcher).exit_code == 0
    wanted = whole.curvature
    assert wanted is not None
    for index in range(2):
        assert wanted.is_done(manifest.configs[index], stored(manifest, index).hessian)
    line_section = (stored(manifest, 0).hessian or {})["landscape"]["line"]
    assert line_section["forward_passes"] == 5  # those of the points that were kept are among them


COMMAND = (
    "import sys\n"
    "from pathlib import Path\n"
    "from sambench.launch.launchers.local import launch\n"
    "from sambench.launch.manifest import Manifest\n"
    "from sambench.launch.launcher import Watcher\n"
    "told = Watcher(curvature=lambda what, *_: print(what, flush=True))\n"
    "options = {'runs_per_device': sys.argv[2]}\n"
    "sys.exit(launch(Manifest.read(Path(sys.argv[1])), options, told).exit_code)\n"
)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_interrupt_keeps_what_is_finished(
    trained: Callable[..., Manifest], workers: str, template: Template
) -> None:
    manifest = trained(2, hessian=changed(TINY, perturbations=20))
    process = template.start("-c", COMMAND, manifest.write(), workers)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "batches":
        assert process.poll() is None
    threading.Thread(target=process.stdout.read, daemon=True).start()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    folders = [Store(manifest.results).folder(config) for config in manifest.configs]
    assert any((folder / JOURNAL).exists() for folder in folders)
    assert all(stored(manifest, n).status == "completed" for n in range(2))


def test_a_manifest_tells_all_that_is_wanted(make_manifest: ManifestMaker, tmp_path: Path) -> None:
    (config,) = make_manifest().configs
    wanted = Measurement(
        hessian=changed(TINY, seed=4, batch_norm="train"),
        studies=Studies(sharpness=True, rho=0.2, seed=4, batch_norm="train"),
        other=config,
        again=True,
    )
    manifest = replace(make_manifest(2), curvature=wanted)
    assert Manifest.read(manifest.write()) == manifest


def test_a_process_that_fails_after_its_measurement_spoils_none(
    make_manifest: ManifestMaker, make_record: RecordMaker
) -> None:
    """Unless it was to be measured again, of which a record cannot tell."""
    manifest = replace(make_manifest(), curvature=Measurement())
    record = changed(make_record(hessian=measured()), config=manifest.configs[0])
    Store(manifest.results).save(record)
    for again, error in ((False, []), (True, ["its minimum was not measured: it was killed"])):
        tally, wanted = Tally(), Measurement(again=again)
        told = replace(manifest, curvature=wanted), 0, Watcher(), tally, "it was killed"
        conclude(*told, raised=True)
        assert [str(one) for one in tally.errors] == error
        assert [one.id for one in tally.records] == [record.id] * (not again)
