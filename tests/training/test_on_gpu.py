"""The real thing, where there is a GPU: captures, streams, layouts, compiled kernels.

Elsewhere `test_captured.py` does the same on a tape, and these are skipped.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature import HessianOperator, eigenvalues, trace
from sambench.store.environment import choose_kernels
from sambench.training.loop import Interrupted, Training
from tests.training.test_captured import ALIKE, DIFFERING, Reading, settings
from tests.training.test_loop import training, weights

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here, or hidden: `make test-gpu` shows it"
)

GPU = torch.device("cuda:0")
WITHIN = {"rtol": 1e-4, "atol": 1e-5}
"""The same kernels in the same order; rates are float32 on the device, a rounding of 1e-8, and
dropout draws the same masks. What is left are operations without a deterministic kernel."""


@pytest.fixture(autouse=True)
def deterministic() -> None:
    choose_kernels("deterministic", GPU)


def run_of(folder: Path, **given: Any) -> Training:
    run = training(folder, device=GPU, **given)
    run.run()
    return run


def compare(found: Training, expected: Training) -> None:
    reference = weights(expected)
    for name, tensor in weights(found).items():
        torch.testing.assert_close(tensor, reference[name], **WITHIN)


def on_sgd(optimizer: str, **given: Any) -> dict[str, Any]:
    """Settings on SGD, which does not amplify rounding as Adam's early steps do."""
    if optimizer in ("adam", "adamw", "sgd"):
        return settings(optimizer, lr=0.001, **given)
    return {
        **settings(optimizer, lr=0.01, **given),
        "optimizer": {"name": optimizer, "base": "sgd", "momentum": 0.9},
    }


@pytest.mark.parametrize("optimizer", ALIKE)
def test_captured_steps_give_the_numbers_of_usual_ones(tmp_path: Path, optimizer: str) -> None:
    usual = run_of(tmp_path / "usual", **{**on_sgd(optimizer), "capture": "never"})
    captured = run_of(tmp_path / "captured", **on_sgd(optimizer))
    assert captured.engine.captured.done, captured.engine.captured.reason
    compare(captured, usual)
    assert captured.state.gradient_evaluations == usual.state.gradient_evaluations
    for one, other in zip(captured.state.history, usual.state.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)
        assert one.train_accuracy == other.train_accuracy


@pytest.mark.parametrize("optimizer", ["sam", "asam", "gsam", "wsam", "crsam", "gcsam"])
def test_a_fused_adam_can_be_captured(tmp_path: Path, optimizer: str) -> None:
    run = run_of(tmp_path, **settings(optimizer))
    assert run.engine.captured.done, run.engine.captured.reason
    assert run.engine.described()["fused"]
    steps = [state["step"] for state in run.optimizer.state.values()]
    assert {float(step) for step in steps} == {run.state.steps}


@pytest.mark.parametrize("optimizer", sorted(DIFFERING))
def test_steps_that_differ_run_as_usual(tmp_path: Path, optimizer: str) -> None:
    run = run_of(tmp_path, **settings(optimizer))
    assert not run.engine.captured.done
    assert run.state.steps == 20


@pytest.mark.parametrize("stop_after", [4, 9])
def test_a_captured_run_resumes(tmp_path: Path, stop_after: int) -> None:
    whole = run_of(tmp_path / "whole", **on_sgd("gcsam"))
    with pytest.raises(Interrupted):
        training(tmp_path / "cut", stop_after, device=GPU, **on_sgd("gcsam")).run()
    compare(run_of(tmp_path / "cut", **on_sgd("gcsam")), whole)


def test_a_checkpoint_of_a_gpu_resumes_on_the_cpu_and_back(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        training(tmp_path, 6, device=GPU, **settings("sam")).run()
    with pytest.raises(Interrupted):
        training(tmp_path, 6, **settings("sam")).run()
    assert run_of(tmp_path, **settings("sam")).state.steps == 20


def test_a_capture_that_fails_leaves_the_run_and_its_generator_alone(tmp_path: Path) -> None:
    runs = []
    for capture in ("never", "always"):  # each seeds the generator anew
        run = training(tmp_path / capture, device=GPU, **{**on_sgd("sam"), "capture": capture})
        run.model.append(Reading())  # type: ignore[operator]
        run.run()
        runs.append(run)
    usual, broken = runs
    assert "capture failed" in broken.engine.captured.reason
    compare(broken, usual)
    assert torch.rand(3, device=GPU).isfinite().all()
    before, other = torch.cuda.memory_allocated(GPU), torch.cuda.Stream(GPU)
    torch.zeros(2**20, device=GPU).record_stream(other)
    torch.cuda.synchronize(GPU)
    torch.zeros(1, device=GPU)  # takes back what both streams are done with
    assert torch.cuda.memory_allocated(GPU) < before + 2**20


def test_a_graph_that_leaves_too_little_memory_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = run_of(tmp_path / "usual", **{**on_sgd("sam"), "capture": "never"})
    monkeypatch.setattr("sambench.training.captured.BESIDE", 1e9)
    run = run_of(tmp_path / "given up", **on_sgd("sam"))
    assert run.engine.captured.reason.startswith("a graph keeps 0.0 GB")
    compare(run, usual)


@pytest.mark.parametrize("capture", ["never", "always"])
def test_a_step_waits_for_nothing(
    tmp_path: Path, capture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sambench.training.loop.TICK_SECONDS", 1e9)
    run = training(
        tmp_path, device=GPU, **{**settings("sam"), "capture": capture, "augmentation": "standard"}
    )
    original = run._step

    def strict(batch: Any, *, last: bool) -> None:
        recording = capture == "always" and not run.engine._recorded
        torch.cuda.set_sync_debug_mode("default" if last or recording else "error")
        try:
            original(batch, last=last)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(run, "_step", strict)
    run.run()
    assert run.engine.captured.done is (capture == "always")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_precisions_are_captured_and_rounding_is_told(tmp_path: Path, precision: str) -> None:
    run = run_of(tmp_path, **settings("sam", precision=precision))
    assert run.engine.captured.done, run.engine.captured.reason
    assert (run.state.rounding is None) == (precision == "fp32")


def test_convolutions_run_channels_last(tmp_path: Path) -> None:
    run = run_of(tmp_path, **settings("sam"))
    run.model.insert(0, nn.Conv2d(3, 3, 1).to(GPU))  # type: ignore[operator]
    again = training(tmp_path / "again", device=GPU, **settings("sam"))
    assert not again.engine.described()["channels_last"]  # one convolution is no such network
    from sambench.training.engine import layout_of

    assert layout_of(run.model, GPU) == torch.channels_last


def test_a_compiled_network_is_captured_too(tmp_path: Path) -> None:
    usual = run_of(tmp_path / "usual", **{**on_sgd("sam"), "capture": "never"})
    run = run_of(tmp_path / "both", **on_sgd("sam", compile="always"))
    if not run.engine.compiled.done:
        pytest.skip(run.engine.compiled.reason)
    assert run.engine.captured.done, run.engine.captured.reason
    reference = weights(usual)
    for name, tensor in weights(run).items():
        torch.testing.assert_close(tensor, reference[name], rtol=1e-3, atol=1e-4)


class Attention(nn.Module):
    """Five tokens of ten numbers, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(10, 2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = inputs.flatten(1)[:, :50].unflatten(1, (5, 10))
        mean: Tensor = self.inner(tokens, tokens, tokens, need_weights=False)[0].mean(dim=1)
        return mean


@pytest.mark.parametrize("layers", [[nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten()], [Attention()]])
def test_curvature_is_that_of_float32_whatever_torch_allows(layers: list[nn.Module]) -> None:
    """TensorFloat-32 is off by 1e-3; fused attention has no second derivative."""
    torch.manual_seed(0)
    batch = torch.randn(16, 3, 8, 8), torch.arange(16) % 3
    network = nn.Sequential(*copy.deepcopy(layers), nn.LazyLinear(3))
    network(batch[0])
    expected = eigenvalues(HessianOperator(network, functional.cross_entropy, [batch]), tol=1e-5)
    torch.set_float32_matmul_precision("high")
    try:
        on_gpu = [(batch[0].to(GPU), batch[1].to(GPU))]
        H = HessianOperator(network.to(GPU), functional.cross_entropy, on_gpu)
        found = eigenvalues(H, tol=1e-5)
        trace(H, basis=found.basis, max_matvecs=8)  # which knows the basis again
    finally:
        torch.set_float32_matmul_precision("highest")
    assert H.product_error < 1e-4
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_repeats_its_bits(dtype: torch.dtype) -> None:
    drawn = torch.randn(4, 2, 3, 500, 64, device=GPU, dtype=dtype)
    inputs, along = drawn[:3].requires_grad_(), drawn[3]
    found = []
    for _ in range(10):
        result = functional.scaled_dot_product_attention(*inputs)
        found += torch.autograd.grad(result, inputs, along)
    assert all(torch.equal(found[0], other) for other in found[1:])
