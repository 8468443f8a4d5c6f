"""A captured step gives the numbers of the usual one, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from sambench.optim import oracle, vector
from sambench.optim.method import optimizers
from sambench.training.captured import Graph, Refused, graphs_of, stream_for
from sambench.training.engine import Choice
from sambench.training.loop import Interrupted, Training
from tests.training.tape import Tape
from tests.training.test_loop import told, training, weights

EPOCHS = 4
DIFFERING = {"looksam", "interval-sam", "esam", "aesam", "xsam"}
"""Their steps are not all alike, and they know it in Python."""

ALIKE = sorted({info.name for info in optimizers.list()} - DIFFERING)


def settings(optimizer: str, **given: Any) -> dict[str, Any]:
    named: dict[str, Any] = {"name": optimizer}
    if optimizer == "msam":
        named["base"] = "adam"
    return {
        "optimizer": named,
        "epochs": EPOCHS,
        "schedule": "cosine",
        "augmentation": "flip-shift",
        "capture": "always",
        **given,
    }


def same(one: Training, other: Training) -> bool:
    expected = weights(other)
    return all(torch.equal(v, expected[k]) for k, v in weights(one).items())


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the ways of a GPU, the only device that captures: no factor is read by the processor."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    for module in (oracle, vector):
        monkeypatch.setattr(module, "factors_on_cpu", lambda factor, tensors: None)


@pytest.mark.parametrize("optimizer", ALIKE)
def test_captured_steps_give_the_bits_of_usual_ones(tmp_path: Path, optimizer: str) -> None:
    """Batches of 4 and an odd last one of 5, observed; rates that change in every step.

    The rate is a tensor in a captured step: GSAM's radius follows it, in float64 as in Python, but
    what is computed from both in float32 may round once more, so GSAM alone gets a tolerance.
    """
    usual = training(tmp_path / "usual", **settings(optimizer))
    usual.run()
    tapes: list[Tape] = []

    def make() -> Tape:
        tapes.append(Tape())
        return tapes[-1]

    captured = training(tmp_path / "captured", graphs=make, **settings(optimizer))
    captured.run()
    assert captured.engine.captured.done, captured.engine.captured.reason
    # 3 usual steps; 4 to record in the first epoch; the odd one of 5 at its end, a shape of its own
    assert [tape.replays for tape in tapes] == [13, 4]
    if optimizer in ("gsam", "wsam"):
        for name, found in weights(captured).items():
            torch.testing.assert_close(found, weights(usual)[name], rtol=1e-5, atol=1e-7)
        return
    assert same(captured, usual)
    assert [*map(told, captured.state.history)] == [*map(told, usual.state.history)]
    assert captured.state.gradient_evaluations == usual.state.gradient_evaluations


@pytest.mark.parametrize("optimizer", sorted(DIFFERING))
def test_steps_that_differ_are_not_captured(tmp_path: Path, optimizer: str) -> None:
    usual = training(tmp_path / "usual", **settings(optimizer))
    usual.run()
    run = training(tmp_path / "tried", graphs=Tape, **settings(optimizer))
    run.run()
    assert not run.engine.captured.done
    reason = run.engine.captured.reason
    assert "counts in Python" in reason or "decides in each step" in reason
    assert same(run, usual)


@pytest.mark.parametrize("stop_after", [4, 5, 9, 12])
def test_a_captured_run_resumes_to_the_same_bits(tmp_path: Path, stop_after: int) -> None:
    whole = training(tmp_path / "whole", **settings("gcsam"))
    whole.run()
    with pytest.raises(Interrupted):
        training(tmp_path / "cut", stop_after, graphs=Tape, **settings("gcsam")).run()
    resumed = training(tmp_path / "cut", graphs=Tape, **settings("gcsam"))
    assert resumed.resumed
    resumed.run()
    assert resumed.engine.captured.done
    assert same(resumed, whole)


class Forgetful(Tape):
    """A recording that leaves some operations out."""

    def __init__(self, left_out: str) -> None:
        super().__init__()
        self.left_out = left_out

    def record(self, work: Any) -> None:
        super().record(work)
        self.notes = [note for note in self.notes if not str(note[0]).startswith(self.left_out)]


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("aten._fused_adam", "off by 1 of the step in the weights"),
        ("aten._foreach_mul_.Tensor", "in the"),  # the perturbation's length
    ],
)
def test_a_wrong_recording_is_found_out_and_not_used(
    tmp_path: Path, left_out: str, said: str
) -> None:
    usual = training(tmp_path / "usual", **settings("sam"))
    usual.run()
    run = training(tmp_path / "wrong", graphs=lambda: Forgetful(left_out), **settings("sam"))
    run.run()
    assert not run.engine.captured.done
    assert said in run.engine.captured.reason
    assert same(run, usual)


class Breaking(Tape):
    def record(self, work: Any) -> None:
        super().record(work)  # as far as it came
        raise RuntimeError("out of memory\nwhile capturing")


def test_a_capture_that_breaks_off_leaves_no_trace(tmp_path: Path) -> None:
    usual = training(tmp_path / "usual", **settings("sam"))
    usual.run()
    run = training(tmp_path / "broken", graphs=Breaking, **settings("sam"))
    run.run()
    assert run.engine.captured.reason == "capture failed: out of memory while capturing"
    assert same(run, usual)


def test_a_capture_that_breaks_off_ends_the_use_of_earlier_ones(tmp_path: Path) -> None:
    """They would draw from the generator that it was registered with, which the run has no more."""
    usual = training(tmp_path / "usual", **settings("sam"))
    usual.run()
    tapes = [Tape(), Breaking()]
    run = training(tmp_path / "broken", graphs=lambda: tapes.pop(0), **settings("sam"))
    first = tapes[0]
    run.run()
    assert not tapes
    assert first.replays == 1
    assert run.engine.captured.reason == "capture failed: out of memory while capturing"
    assert same(run, usual)


class Greedy(Tape):
    def record(self, work: Any) -> None:
        super().record(work)
        raise Refused("a graph keeps 8.0 GB")


def test_a_graph_that_is_too_large_leaves_no_trace(tmp_path: Path) -> None:
    usual = training(tmp_path / "usual", **settings("sam"))
    usual.run()
    run = training(tmp_path / "large", graphs=Greedy, **settings("sam"))
    run.run()
    assert run.engine.captured == Choice(False, "a graph keeps 8.0 GB")
    assert same(run, usual)


class States:
    """A GPU's generator."""

    def clone_state(self) -> str:
        return "before"

    def graphsafe_set_state(self, state: str) -> None:
        assert state == "before"


def graph_of(monkeypatch: pytest.MonkeyPatch, **given: Any) -> Graph:
    """Return a graph on a device of which nothing is real."""
    for name, stand_in in {
        **{"device": nullcontext, "stream": nullcontext, "current_stream": lambda: None},
        **{"CUDAGraph": SimpleNamespace, "current_device": lambda: 1, "empty_cache": lambda: None},
        "default_generators": (None, States()),
        **given,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return Graph(torch.device("cuda:1"), cast(torch.cuda.Stream, None), "pool")


@pytest.mark.parametrize(("free", "fits"), [(3.4e9, True), (3.2e9, False)])
def test_a_graph_leaves_memory_for_steps_beside_it(
    monkeypatch: pytest.MonkeyPatch, free: float, fits: bool
) -> None:
    """What it keeps is not given to others: a step of another shape would want for memory."""
    reserved = iter([2_000_000_000, 5_000_000_000])
    graph = graph_of(
        monkeypatch,
        graph=lambda *given, **named: nullcontext(),
        memory_reserved=lambda place: next(reserved),
        mem_get_info=lambda place: (free, 16e9),
    )
    if fits:
        graph.record(lambda: None)
        return
    said = "a graph keeps 3.0 GB, steps beside it take as much, and 3.2 GB are left"
    with pytest.raises(Refused, match=said):
        graph.record(lambda: None)


@pytest.mark.parametrize("under_way", [True, False])
def test_a_broken_capture_is_ended_for_the_allocator(
    monkeypatch: pytest.MonkeyPatch, under_way: bool
) -> None:
    """Up to torch 2.11 it took the capture for one that goes on; later versions end it."""
    told: list[tuple[str, int, object]] = []

    @contextmanager
    def breaking(*given: Any, **named: Any) -> Iterator[None]:
        yield
        raise RuntimeError("operation failed due to a previous error during capture")

    def end(place: int, pool: object) -> None:
        if not under_way:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        told.append(("ended", place, pool))

    graph = graph_of(monkeypatch, graph=breaking, memory_reserved=lambda place: 0)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    release = lambda place, pool: told.append(("released", place, pool))  # noqa: E731
    monkeypatch.setattr(torch._C, "_cuda_releasePool", release, raising=False)
    with pytest.raises(RuntimeError, match="previous error"):
        graph.record(lambda: None)
    assert told == ([("ended", 1, "pool"), ("released", 1, "pool")] if under_way else [])


def test_all_runs_of_a_process_record_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to torch 2.11 each one used holds 8 to 32 MiB for good, which count in later peaks."""
    made = [SimpleNamespace(name=name) for name in "abc"]
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.pop(0))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", SimpleNamespace)
    stream_for.cache_clear()
    try:
        places = [torch.device("cuda:0"), torch.device("cuda:0"), torch.device("cuda:1")]
        graphs = [cast(Any, graphs_of(place))() for place in places]
        assert [graph.stream.name for graph in graphs] == ["a", "a", "b"]
        assert cast(Any, stream_for(places[0], "images")).name == "c"
    finally:
        stream_for.cache_clear()


class Reading(nn.Module):
    """A layer that looks at the device in Python."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * (1.0 if float(inputs.detach().abs().sum()) >= 0 else 2.0)


def test_a_network_that_reads_the_device_is_refused(tmp_path: Path) -> None:
    run = training(tmp_path, graphs=Tape, **settings("sam"))
    run.model.append(Reading())  # type: ignore[operator]
    run.run()
    assert "not permitted when stream is capturing" in run.engine.captured.reason


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"capture": "never"}, "as asked"),
        ({"capture": "auto"}, "13 steps of one shape to come, it pays from 50"),
        ({"optimizer": {"name": "sam", "skip_nonfinite": True}}, "skip_nonfinite looks"),
        ({"optimizer": {"name": "sam", "replay_randomness": True}}, "replay_randomness sets"),
        ({"optimizer": {"name": "sam", "base": "torch.optim.ASGD"}}, "not permitted"),
        ({"optimizer": {"name": "sam", "base": "torch.optim.Adagrad"}}, "Adagrad cannot be"),
    ],
)
def test_the_reason_is_said(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    run = training(tmp_path, graphs=Tape, **{**settings("sam"), "lr": 0.01, **given})
    run.run()
    assert not run.engine.captured.done
    assert said in run.engine.captured.reason


def test_without_a_gpu_nothing_is_captured(tmp_path: Path) -> None:
    run = training(tmp_path, **settings("sam"))
    run.run()
    described = run.engine.described()
    assert described["captured"] is False
    assert described["captured_reason"] == "no CUDA device"
    assert described["fused"] is True
    assert described["channels_last"] is False
