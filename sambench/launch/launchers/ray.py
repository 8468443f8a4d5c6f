"""Runs on a Ray cluster, or on this machine by a Ray of its own: one task for each run.

A task hands nothing back; how its run stands is read from the run's files, which all nodes must see
under the same path. Ray starts a task again whose process or node is lost, and it resumes the run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sambench.errors import ConfigError, LaunchError
from sambench.launch.launcher import RUNS_PER_DEVICE, Launcher, launchers
from sambench.launch.manifest import Manifest
from sambench.launch.watcher import Tally, Watcher
from sambench.plugin import VARIABLE
from sambench.store.environment import RUNS_ON_DEVICE

RETRIES = 3
LOOK_SECONDS = 0.2


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Give each run to Ray and wait until all are over.

    The first Ctrl-C asks every task to save its run after the step, by a file beside the manifest;
    a second one ends them at once.

    Raises:
        ConfigError: If an option is no number.
        LaunchError: If Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise LaunchError("the ray launcher needs Ray: pip install 'sambench[ray]'") from None
    begun = _connect(ray, options.get("address"))
    try:
        gpus, cpus = _resources(ray, options, manifest.device)
        watcher.say(
            f"Ray on {len(ray.nodes())} node(s): {gpus:g} GPU and {cpus:g} CPU for each run"
        )
        return _work(ray, manifest, gpus, cpus, watcher)
    finally:
        if begun:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> bool:
    """Join a cluster or start one here; return whether we did, and are to leave it again."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    try:
        ray.init(address=address or os.environ.get("RAY_ADDRESS") or "auto", **quiet)
    except ConnectionError as error:
        if address or os.environ.get("RAY_ADDRESS"):
            raise LaunchError(
                f"no Ray cluster at {address or os.environ['RAY_ADDRESS']}; start one with "
                "`ray start --head`, or leave the address out"
            ) from error
        ray.init(include_dashboard=False, **quiet)
    return True


def _resources(ray: Any, options: Mapping[str, str], device: str | None) -> tuple[float, int]:
    there = ray.cluster_resources()
    wanted = 0 if device == "cpu" or not there.get("GPU") else 1 / _together(options)
    try:
        gpus, cpus = float(options.get("num_gpus", wanted)), int(options.get("num_cpus", 1))
    except ValueError:
        raise ConfigError("num_gpus and num_cpus of the ray launcher must be numbers") from None
    for name, number in (("GPU", gpus), ("CPU", cpus)):
        if number > there.get(name, 0):
            raise ConfigError(
                f"a run cannot have {number:g} {name}: the Ray cluster has {there.get(name, 0):g}"
            )
    return gpus, cpus


def _together(options: Mapping[str, str]) -> int:
    """Return how many runs share a GPU.

    Raises:
        ConfigError: If that is no number, or stated in two ways.
    """
    text = options.get(RUNS_PER_DEVICE, "1")
    if not text.isdecimal() or int(text) < 1 or {RUNS_PER_DEVICE, "num_gpus"} <= options.keys():
        raise ConfigError(
            f"{RUNS_PER_DEVICE}={text!r} is not allowed with the ray launcher; allowed: a whole "
            "number >= 1, without num_gpus"
        )
    return int(text)


def _work(ray: Any, manifest: Manifest, gpus: float, cpus: int, watcher: Watcher) -> Tally:
    from sambench.launch.signals import stop_on_signal
    from sambench.launch.unit import STOP_FILE, conclude

    path, tally = manifest.write(), Tally()
    variables = {"OMP_NUM_THREADS": str(cpus), "OMP_WAIT_POLICY": "PASSIVE"}
    if gpus:
        variables[RUNS_ON_DEVICE] = str(max(1, round(1 / gpus)))
    if plugins := os.environ.get(VARIABLE):
        variables[VARIABLE] = plugins
    task = ray.remote(do_unit).options(
        num_gpus=gpus,
        num_cpus=cpus,
        max_retries=RETRIES,
        runtime_env={"env_vars": variables},
    )
    left = {task.remote(str(path), index, cpus): index for index in range(len(manifest.configs))}
    total = len(left)
    try:
        with stop_on_signal() as stop_requested:
            while left:
                watcher.waiting("Ray", total - len(left), total)
                over, _ = ray.wait(list(left), timeout=LOOK_SECONDS)
                for one in over:
                    conclude(manifest, left.pop(one), watcher, tally, _end(ray, one))
                if stop_requested() and not tally.interrupted:
                    tally.interrupted = True
                    path.with_name(STOP_FILE).touch()
                if manifest.fail_fast and tally.exit_code == 1:
                    path.with_name(STOP_FILE).touch()
    except KeyboardInterrupt:
        tally.interrupted = True
        for one in left:
            ray.cancel(one, force=True)
    return tally


def _end(ray: Any, task: Any) -> str:
    """Return what Ray knows of the end of a task."""
    try:
        ray.get(task)
    except ray.exceptions.RayError as error:
        return f"its Ray task failed: {' '.join(str(error).split())[:300]}"
    return "its Ray task ended without finishing it"


def do_unit(manifest: str, index: int, threads: int) -> None:
    """Do a unit as a Ray task; only a number and a path travel."""
    import torch

    from sambench.launch.unit import CLUSTER_PATIENCE, perform_alone

    torch.set_num_threads(threads)
    perform_alone(Path(manifest), index, lambda: False, patience=CLUSTER_PATIENCE)


launchers.register(
    Launcher(
        name="ray",
        summary="a Ray cluster, or this machine's GPUs by a Ray of its own",
        launch=launch,
        options={
            "address": "of the cluster; by default the one that runs here, else a new one",
            "num_gpus": "GPUs of each run; 1, or 0 where the cluster has none",
            RUNS_PER_DEVICE: "runs that share a GPU: num_gpus is one over it",
            "num_cpus": "cores and threads of each run; 1",
        },
        reference="pip install 'sambench[ray]'",
    )
)
