"""Cores and memory, by the system's account and that of the control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sambench.store import machine

KIB = 1024
TOLD = {
    "proc/self/cgroup": "4:cpu,cpuacct:/job\n5:memory:/job\n0::/g/job\n",
    "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n",
}


@pytest.mark.parametrize(
    ("files", "cores", "free"),
    [
        ({}, 4, 8000),
        ({"g/job/cpu.max": "250000 100000", "g/cpu.max": "max 100000"}, 2, 8000),
        ({"g/job/cpu.max": "50000 100000"}, 1, 8000),
        ({"cpu/job/cpu.cfs_quota_us": "300000", "cpu/job/cpu.cfs_period_us": "100000"}, 3, 8000),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4, 8000),
        (
            {
                "g/job/memory.max": "max",
                "g/memory.max": f"{5000 * KIB}",
                "g/memory.current": f"{3000 * KIB}",
                "g/memory.stat": f"anon 7\ninactive_file {500 * KIB}\n",
            },
            *(4, 2500),
        ),
        (
            {
                "memory/job/memory.limit_in_bytes": f"{5000 * KIB}",
                "memory/job/memory.usage_in_bytes": f"{6000 * KIB}",
                "memory/job/memory.stat": "",
            },
            *(4, 0),
        ),
    ],
)
def test_a_control_group_leaves_less(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    cores: int,
    free: int,
) -> None:
    """As in a container, or a job of a cluster, of a larger machine; both versions of groups."""
    for name, text in {**TOLD, **{f"groups/{k}": v for k, v in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "_PROCESS", tmp_path / "proc")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert machine.cores() == cores
    assert machine.free_memory() == free * KIB


def test_a_system_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PROCESS", tmp_path)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert (machine.cores(), machine.free_memory()) == (1, None)
