"""A Slurm cluster of this one machine, without systemd, for the time of a test session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
ADMINISTRATION = "/usr/sbin:/sbin"
CORES = 2

CONFIGURATION = """
ClusterName=sambench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobRequeue=1
ReturnToService=2
KillWait=10
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} CoresPerSocket={cores} RealMemory=1000 Gres=gpu:1
PartitionName=main Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=urgent Nodes={host} PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Return why no cluster can be started here, or None."""
    path = f"{os.environ['PATH']}:{ADMINISTRATION}"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        return f"no Slurm here ({', '.join(absent)} missing)"
    if os.geteuid() != 0:
        return "a Slurm cluster for tests is started as root"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster with its files in a folder; yields what the environment needs to use it."""
    added = {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{os.environ['PATH']}:{ADMINISTRATION}",
    }
    environment = {**os.environ, **added}
    _configure(folder, environment)
    munge = {
        "key-file": "munge.key",
        "socket": "munge.socket",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "munge.seed",
    }
    daemons = [
        ["munged", "--foreground", "--force", *(f"--{k}={folder}/{v}" for k, v in munge.items())],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-b"],
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "daemons.log").open("wb") as log:
            for daemon in daemons:
                started.append(subprocess.Popen(daemon, env=environment, stdout=log, stderr=log))
                time.sleep(0.3)
        _await_idle(folder, environment)
        yield added
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False)
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=PATIENCE)


def _configure(folder: Path, environment: dict[str, str]) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    text = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        control=_free_port(),
        node=_free_port(),
        folder=folder,
        cores=min(CORES, os.cpu_count() or 1),
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # stands for one
    version = _answer(["slurmd", "-V"], environment)
    modern = int(version.split()[-1].partition(".")[0]) >= 24
    plugin = "disabled" if modern else "cgroup/v1"
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")


def _await_idle(folder: Path, environment: dict[str, str]) -> None:
    command = ["sinfo", "--noheader", "--partition=main", "--format=%T"]
    wait_until(
        f"Slurm is up (its logs are in {folder})",
        lambda: _answer(command, environment).strip() == "idle",
    )


def _answer(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
