"""One run by several processes: the first writes, the others follow it.

The first starts the others on this machine, unless torchrun has started them all.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sambench.config.run_config import RunConfig
from sambench.errors import DeviceError, RunInterrupted
from sambench.launch.signals import stop_on_signal
from sambench.store.environment import child_environment, choose_device, naming_faults
from sambench.store.machine import cores

GRACE_SECONDS = 30.0
"""In which a process ends by itself where another one of its run has failed."""


def processes() -> int:
    """Return how many processes do a run together, this one among them; 1 if it is alone."""
    return int(os.environ.get("WORLD_SIZE") or 1) if "RANK" in os.environ else 1


@contextmanager
def joined(
    devices: Sequence[str], device: str | None, arguments: Sequence[str]
) -> Iterator[tuple[str | None, bool]]:
    """Join the other processes, if there are any, each on a device of its own.

    For several devices they are started with these arguments, unless torchrun has done so. Yields
    the name of this process's device and whether it leads: does the run as one alone would, while
    the others `follow` until its block ends. Too few devices, or a GPU for two: a DeviceError.
    """
    if processes() == 1 and len(devices) < 2:
        yield (devices[0] if devices else device), True
        return
    gpus = {place for name in devices if (place := choose_device(name)[0]).type == "cuda"}
    if gpus and len(gpus) < len(devices):
        said = f"{', '.join(devices)} is no GPU for each process of a run, nor the CPU for all"
        raise DeviceError(f"{said}; name others with --devices")
    from torch import distributed

    from sambench.training.replicas import Replicas

    others = _start_others(len(devices), arguments) if processes() == 1 else []
    try:
        name = _device_of_this_process(devices, device)
        distributed.init_process_group("gloo" if name == "cpu" else "cpu:gloo,cuda:nccl")
        replicas = Replicas.of_this_process()
        yield name, replicas.rank == 0  # after an error nobody listens
        with suppress(RuntimeError):  # another one has ended
            if replicas.rank == 0:
                replicas.first(False)  # there is no more; those who follow wait for this
            distributed.destroy_process_group()
    finally:
        while others:
            others.pop().kill()


def _start_others(number: int, arguments: Sequence[str]) -> list[subprocess.Popen[bytes]]:
    """Make this process the first of so many of a run, and start the others."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, cores() // number))
        os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(number)}
    command = [sys.executable, "-m", "sambench", *arguments]
    given = os.environ | child_environment()
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(1, number)]
    others = [subprocess.Popen(command, env=given | rank) for rank in ranks]
    threading.Thread(target=_watch, args=(others,), daemon=True).start()
    return others


def _watch(others: list[subprocess.Popen[bytes]]) -> None:
    """End this process where another one has failed and it does not notice for some time."""
    while not any(process.poll() for process in others):
        time.sleep(0.2)
    time.sleep(GRACE_SECONDS)
    if others:
        sys.stderr.write("error: another process of this run failed; the same command goes on\n")
        for process in others:
            process.kill()
        os._exit(1)


def follow(config: RunConfig, data: Path, results: Path, device: str | None) -> None:
    """Train with the leader whenever it begins the run, until it has no more or has ended."""
    from sambench.run.single_run import Paths, train_beside
    from sambench.training.replicas import Replicas

    replicas, (where, _) = Replicas.of_this_process(), choose_device(device)
    paths = Paths(data=data, results=results)
    with (
        stop_on_signal(insist=False) as stop_requested,
        suppress(RunInterrupted),  # whoever ended first has said why
        naming_faults(where),
    ):
        while replicas.first(False):
            train_beside(config, paths, device=where, stop_requested=stop_requested)


def _device_of_this_process(devices: Sequence[str], device: str | None) -> str:
    import torch

    place = int(os.environ.get("LOCAL_RANK", "0"))
    if devices and place >= len(devices):
        raise DeviceError(f"process {place} has no device; name one for each with --devices")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    name = devices[place] if devices else "cpu" if on_cpu else f"cuda:{place}"
    if (chosen := choose_device(name)[0]).type == "cuda":
        torch.cuda.set_device(chosen)
    return name
