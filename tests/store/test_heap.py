"""Freed memory stays with the process: counted in page faults, whatever the load."""

from __future__ import annotations

import ctypes

import pytest

from sambench.store.environment import keep_freed_memory
from tests.forked_processes import Template

FAULTS = """
import resource
from sambench.store.environment import keep_freed_memory
import torch
def passes(number):
    for _ in range(number):
        tensors = [torch.ones(10_000_000) for _ in range(2)]
        del tensors
def faults():
    passes(5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    passes(10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), bool(keep_freed_memory()), faults())
"""


def test_a_pass_maps_no_page_that_an_earlier_one_had(template: Template) -> None:
    done = template.run("-c", FAULTS)
    assert done.returncode == 0, done.stderr
    before, arranged, after = done.stdout.split()
    if arranged == "False":
        pytest.skip("the C library has no mallopt")
    handed_back, kept = int(before), int(after)
    assert handed_back > 300  # blocks over 32 MB are never kept otherwise; pages may be huge ones
    assert kept < 0.2 * handed_back


PEAK = """
import torch
from sambench.store.environment import keep_freed_memory, memory_peak, start_memory_peak
cpu = torch.device("cpu")
arranged = keep_freed_memory()
start_memory_peak(cpu)
before = memory_peak(cpu)
block = torch.ones(50_000_000)
del block
start_memory_peak(cpu)
print(arranged, memory_peak(cpu) - before)
"""


def test_the_peak_of_a_run_leaves_out_what_an_earlier_one_has_freed(template: Template) -> None:
    done = template.run("-c", PEAK)
    assert done.returncode == 0, done.stderr
    arranged, more = done.stdout.split()
    if arranged == "False":
        pytest.skip("the C library has no mallopt")
    assert int(more) < 100e6  # of 200


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # it has no mallopt
    assert not keep_freed_memory()
