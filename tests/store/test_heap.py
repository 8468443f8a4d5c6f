"""Freed memory stays with the process: counted in page faults, whatever the load."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sambench.store.environment import keep_freed_memory

FAULTS = """
import resource, sys
from sambench.store.environment import keep_freed_memory
import torch
kept = len(sys.argv) > 1 and keep_freed_memory()
def passes(number):
    for _ in range(number):
        tensors = [torch.ones(10_000_000) for _ in range(2)]
        del tensors
passes(20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
passes(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, bool(kept))
"""


def faults(*arguments: str) -> tuple[int, bool]:
    command = [sys.executable, "-c", FAULTS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    number, kept = done.stdout.split()
    return int(number), kept == "True"


def test_a_pass_maps_no_page_that_an_earlier_one_had() -> None:
    kept, arranged = faults("keep")
    if not arranged:
        pytest.skip("the C library has no mallopt")
    handed_back, _ = faults()
    assert handed_back > 300  # blocks over 32 MB are never kept otherwise; pages may be huge ones
    assert kept < 0.2 * handed_back


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
