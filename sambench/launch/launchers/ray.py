"""Runs on a Ray cluster, or on this machine by a Ray of its own: one task for each run.

All nodes must see the runs' files under the same path. Ray starts a task again whose process or
node is lost, and it resumes the run.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sambench.errors import ConfigError, LaunchError
from sambench.files.definition import Amount, Count, Whole
from sambench.launch.launcher import Launcher, Tally, Watcher, launchers, read_number
from sambench.launch.launchers.local import run_all
from sambench.launch.manifest import Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.unit import conclude
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, child_environment
from sambench.store.tree import Store

STOP_FILE = "stop"
"""A file beside a manifest that asks all units of the launch to stop after their step."""

CONNECT_SECONDS, BEGIN_SECONDS = 22.0, 25.0
TRIES = 8  # a second each, before Ray tells that a cluster does not let us in; else 20
LOOK_SECONDS = 0.2


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Give each run to Ray and wait until all are over.

    The first Ctrl-C asks every task to save its run after the step, by a file beside the manifest;
    a second one ends them at once. A wrong option, or no Ray at the address, is a UserError.
    """
    try:
        import ray
    except ImportError:
        raise LaunchError("the ray launcher needs Ray: pip install 'sambench[ray]'") from None
    begun = _connect(ray, options.get("address"))
    try:
        gpus, cpus = _resources(ray, options, manifest.device)
        nodes = len(ray.nodes())
        watcher.say(f"Ray on {nodes} node(s): {gpus:g} GPU and {cpus:g} CPU for each run")
        retries = read_number(options, "retries", Count, 2)
        return _work(ray, manifest.on_cluster(gpu=gpus > 0), gpus, cpus, retries, watcher)
    finally:
        if begun:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> bool:
    """Join a cluster or start one here; return whether we did, and are to leave it again."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray._private.worker.print_to_stdstream = lambda *told, **how: None  # a page a lost worker
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    _probe(address)
    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    failed: list[Exception] = []

    def join() -> None:
        try:
            ray.init(address=address, **quiet)
        except Exception as error:  # of several kinds, by version
            failed.append(error)

    constants = ray._private.ray_constants
    tries, constants.NUM_REDIS_GET_RETRIES = constants.NUM_REDIS_GET_RETRIES, TRIES
    joining = threading.Thread(target=join, daemon=True)
    with _silent():
        joining.start()
        joining.join(CONNECT_SECONDS)
    constants.NUM_REDIS_GET_RETRIES = tries
    if joining.is_alive():
        raise LaunchError(f"{address} does not answer as a Ray cluster does; is that its address?")
    said = " ".join(str(failed[0]).split()) if failed else ""
    if address == "auto" and "find any running Ray instance" in said:
        ray.init(include_dashboard=False, **quiet)
    elif failed and isinstance(failed[0], ConnectionError):
        raise LaunchError(
            f"there is a Ray cluster at {address}, which does not let us in: it may want its token "
            "(RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as on its nodes), or be of another version "
            f"than {ray.__version__}"
        ) from failed[0]
    elif failed:
        raise LaunchError(f"the Ray cluster at {address} cannot be joined: {said[:300]}")
    return True


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what is written to standard error, as Ray does while it tries again and again."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _probe(address: str) -> None:
    """Refuse an address at which nothing listens."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if not (colon and port.isdecimal()):
        return  # "auto", "local": Ray looks for it
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise LaunchError(
            f"no Ray cluster at {address} ({error}); start one with `ray start --head`, or leave "
            "the address out"
        ) from None


def _resources(ray: Any, options: Mapping[str, str], device: str | None) -> tuple[float, int]:
    """Return the GPUs and cores of each run."""
    there = ray.cluster_resources()
    together = read_number(options, "runs_per_device", Whole, 1)
    if {"runs_per_device", "num_gpus"} <= options.keys():
        raise ConfigError("runs_per_device and num_gpus contradict each other; give one of them")
    wanted = 0 if device == "cpu" or not there.get("GPU") else 1 / together
    gpus = read_number(options, "num_gpus", Amount, wanted)
    cpus = read_number(options, "num_cpus", Whole, 1)
    for name, wish in (("GPU", gpus), ("CPU", cpus)):
        if wish > there.get(name, 0):
            said = f"a run cannot have {wish:g} {name}: the Ray cluster has {there.get(name, 0):g}"
            raise ConfigError(said)
    return gpus, cpus


def _work(
    ray: Any, manifest: Manifest, gpus: float, cpus: int, retries: int, watcher: Watcher
) -> Tally:
    path, tally = manifest.write(), Tally()
    variables = {"OMP_NUM_THREADS": str(cpus), "OMP_WAIT_POLICY": "PASSIVE"}
    variables |= {RUNS_ON_DEVICE: str(max(1, round(1 / gpus)))} if gpus else {}
    variables |= child_environment()
    task = ray.remote(do_unit).options(
        num_gpus=gpus,
        num_cpus=cpus,
        max_retries=retries,
        runtime_env={"env_vars": variables, **_interpreter()},
    )
    left = {task.remote(str(path), index, cpus): index for index in range(len(manifest.configs))}
    total, late = len(left), time.monotonic() + BEGIN_SECONDS
    try:
        with stop_on_signal() as stop_requested:
            while left:
                watcher.waiting("Ray", total - len(left), total)
                if time.monotonic() > late:
                    late = math.inf
                    _say_if_none_began(ray, manifest, cpus, watcher)
                over, _ = ray.wait(list(left), timeout=LOOK_SECONDS)
                for one in over:
                    well, how = _end(ray, one)
                    conclude(manifest, left.pop(one), watcher, tally, how, ended_well=well)
                tally.interrupted |= stop_requested()
                if tally.interrupted or (manifest.fail_fast and tally.exit_code == 1):
                    path.with_name(STOP_FILE).touch()
    except KeyboardInterrupt:
        tally.interrupted = True
        for one in left:
            ray.cancel(one, force=True)
    return tally


def _say_if_none_began(ray: Any, manifest: Manifest, cpus: int, watcher: Watcher) -> None:
    """Say so where Ray has room for a run and none has begun, instead of waiting in silence."""
    store, free = Store(manifest.results), ray.available_resources().get("CPU", 0)
    if free >= cpus and not any(store.folder(config).exists() for config in manifest.configs):
        watcher.say(
            f"warning: Ray has begun no run in {BEGIN_SECONDS:.0f} s though {free:g} CPU are free; "
            "its logs say why (session_latest/logs in its folder, /tmp/ray as a rule)"
        )


def _interpreter() -> dict[str, str]:
    """Return the interpreter for the tasks where its path has a space, which Ray does not quote."""
    quoted = shlex.quote(sys.executable)
    return {} if quoted == sys.executable else {"py_executable": quoted}


def _end(ray: Any, task: Any) -> tuple[bool, str]:
    """Return whether a task ended by itself, and what Ray knows of its end."""
    try:
        ray.get(task)
    except ray.exceptions.RayError as error:
        last = (str(error).strip() or type(error).__name__).splitlines()[-1]
        return False, f"its Ray task failed: {last[:300]}"
    return True, "its Ray task ended without finishing it"


def do_unit(path: str, index: int, threads: int) -> None:
    """Do a unit of the manifest at that path as a Ray task, unless a stop file lies beside it."""
    import torch

    torch.set_num_threads(threads)
    load_inherited()
    manifest, file = Manifest.read(Path(path)), Path(path).with_name(STOP_FILE)
    alone = replace(manifest, configs=manifest.configs[index : index + 1])

    @functools.lru_cache(maxsize=1)
    def stop_file(second: int) -> bool:
        return file.exists()

    def stop_requested() -> bool:
        return stop_file(int(time.monotonic()))  # the file is looked for once a second

    run_all(alone, alone.device, Watcher(), stop_requested, mark=True)


launchers.register(
    Launcher(
        name="ray",
        summary="a Ray cluster, or this machine's GPUs by a Ray of its own",
        launch=launch,
        options={
            "address": "address of the cluster; by default the one on this machine, else a new one",
            "num_gpus": "GPUs of each run, by default 1, or 0 if the cluster has none",
            "runs_per_device": "runs that share a GPU",
            "num_cpus": "cores and threads of each run, 1 by default",
            "retries": "how often a run continues if its process or node is lost, 2 by default",
        },
        reference="pip install 'sambench[ray]'",
    )
)
