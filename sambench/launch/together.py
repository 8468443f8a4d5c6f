"""One run by several processes that torchrun starts: the first writes, the others follow it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sambench.config.run_config import RunConfig
from sambench.errors import DeviceError
from sambench.launch.signals import stop_on_signal
from sambench.store.environment import child_environment, choose_device
from sambench.store.machine import cores


def processes() -> int:
    """Return how many processes torchrun has started together with this one; 1 without it."""
    return int(os.environ.get("WORLD_SIZE") or 1) if "RANK" in os.environ else 1


def start(number: int, arguments: Sequence[str], output: IO[str] | None = None) -> int:
    """Run this program by several processes, all with this `output`; return the exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr=127.0.0.1"]  # the machine's own name may not be known to it
    command += [f"--nproc-per-node={number}", "-m", "sambench", *arguments]
    threads = {"OMP_NUM_THREADS": str(max(1, cores() // number))}
    given: Any = {"env": threads | os.environ | child_environment(), "stdout": output}
    with stop_on_signal(insist=False), subprocess.Popen(command, **given) as together:
        return together.wait()


@contextmanager
def joined(devices: Sequence[str], device: str | None) -> Iterator[tuple[str | None, bool]]:
    """Join the other processes, if there are any, each on a device of its own.

    Yields the name of this process's device and whether it leads: does the run as one alone would,
    while the others `follow` until its block ends. Too few devices are a DeviceError.
    """
    if processes() == 1:
        yield (devices[0] if devices else device), True
        return
    from torch import distributed

    from sambench.training.replicas import Replicas

    name = _device_of_this_process(devices, device)
    distributed.init_process_group("gloo" if name == "cpu" else "cpu:gloo,cuda:nccl")
    replicas = Replicas.of_this_process()
    try:
        yield name, replicas.rank == 0
    finally:
        if replicas.rank == 0:
            replicas.first(False)  # there is no more; those who follow wait for this
        distributed.destroy_process_group()


def follow(config: RunConfig, data: Path, results: Path, device: str | None) -> None:
    """Train with the leader whenever it begins the run, until it has no more."""
    from sambench.run.single_run import Paths, train_beside
    from sambench.training.replicas import Replicas

    replicas, (where, _) = Replicas.of_this_process(), choose_device(device)
    paths = Paths(data=data, results=results)
    with stop_on_signal(insist=False) as stop_requested:
        while replicas.first(False):
            train_beside(config, paths, device=where, stop_requested=stop_requested)


def _device_of_this_process(devices: Sequence[str], device: str | None) -> str:
    import torch

    place = int(os.environ.get("LOCAL_RANK", "0"))
    if devices and place >= len(devices):
        raise DeviceError(f"process {place} has no device; name one for each with --devices")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    name = devices[place] if devices else "cpu" if on_cpu else f"cuda:{place}"
    if choose_device(name)[0].type == "cuda":
        torch.cuda.set_device(name)
    return name
