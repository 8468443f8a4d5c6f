"""Checks before anything is timed: every way of execution computes the same training step."""

from __future__ import annotations

from typing import Any

import torch
from gpu_steps import Ours, Workload
from torch import Tensor, nn
from torch.nn import functional

from sambench.optim import build
from sambench.optim.method import optimizers
from sambench.store.environment import choose_kernels
from sambench.training.precision import numerics

STEPS = 6
SAME, CLOSE, REFERENCE = 1e-3, 3e-2, 1e-3
"""Most that |difference| / |way from the start| may be after a few steps on SGD: between usual and
captured steps in float32; between plain and compiled, or bfloat16; against float64 on the CPU."""


def on_sgd(name: str) -> dict[str, Any]:
    """Return an optimizer on SGD, where it has a base: Adam's early steps amplify rounding."""
    alone = optimizers.get(name).base is not None
    return {"name": name} if alone else {"name": name, "base": "sgd", "momentum": 0.9}


def moved(workload: Workload, device: torch.device, name: str, **ways: str) -> tuple[Tensor, Ours]:
    """Train for some steps and return how far the weights went."""
    ours = Ours(workload, device, on_sgd(name), kernels="deterministic", **ways)
    for _ in range(STEPS):
        ours()
    start = workload.network(torch.device("cpu"))
    before = torch.cat([p.detach().double().reshape(-1) for p in start.parameters()])
    return ours.flat() - before, ours


def off(found: Tensor, expected: Tensor) -> float:
    """Return |found - expected| / |expected|."""
    return float((found - expected).norm() / expected.norm().clamp(min=1e-300))


def check_optimizer(name: str, device: torch.device) -> dict[str, Any]:
    """Compare usual with captured steps of one optimizer."""
    workload = Workload("small-cnn", 32, 8, "fp32")
    with numerics("fp32"):
        usual, _ = moved(workload, device, name, capture="never")
        captured, ours = moved(workload, device, name, capture="always")
    choice = ours.engine.captured
    difference = off(captured, usual)
    alike = difference <= SAME and bool(torch.isfinite(captured).all())
    return {
        "captured": choice.done,
        "reason": choice.reason,
        "difference": difference,
        "within": SAME,
        "passed": alike,
    }


def check_restore(name: str, device: torch.device) -> dict[str, Any]:
    """See that steps at a rate of zero leave every bit of the weights alone."""
    workload = Workload("small-cnn", 32, 8, "fp32")
    ours = Ours(workload, device, {**on_sgd(name), "lr": 0.0})
    before = ours.flat()
    for _ in range(20):
        ours()
    return {"passed": bool(torch.equal(ours.flat(), before))}


def check_repeats(workload: Workload, device: torch.device) -> dict[str, Any]:
    """See that deterministic kernels give the same bits again, in usual and in captured steps."""
    differed = []
    with numerics(workload.precision):
        for capture in ("never", "always"):
            twice = []
            for _ in range(2):
                ways = {"kernels": "deterministic", "capture": capture}
                ours = Ours(workload, device, on_sgd("sam"), **ways)
                choose_kernels("deterministic", device)
                for _ in range(STEPS):
                    ours()
                choose_kernels("fastest", device)
                twice.append(ours.flat())
            if not torch.equal(*twice):
                differed.append(f"capture={capture}")
    return {"differed": differed, "passed": not differed}


def check_reference(name: str, device: torch.device) -> dict[str, Any]:
    """Compare float32 steps with the same steps in float64 on the CPU."""
    workload = Workload("small-cnn", 32, 8, "fp32")
    ways = {}
    with numerics("fp32"):
        for capture in ("never", "always"):
            ways[capture], ours = moved(workload, device, name, capture=capture)
    taken = round(float(ours.state.gradient_evaluations)) or None
    exact = _in_float64(workload, name, 5 + STEPS)
    found = {capture: off(weights, exact) for capture, weights in ways.items()}
    return {
        "usual": found["never"],
        "captured": found["always"],
        "within": REFERENCE,
        "passed": max(found.values()) <= REFERENCE,
        "passes": taken,
    }


def _in_float64(workload: Workload, name: str, steps: int) -> Tensor:
    cpu = torch.device("cpu")
    model: nn.Module = workload.network(cpu).double()
    inputs, targets = workload.images(cpu)
    before = torch.cat([p.detach().clone().reshape(-1) for p in model.parameters()])
    settings = {k: v for k, v in on_sgd(name).items() if k not in ("name", "base")}
    optimizer = build(name, model.parameters(), on_sgd(name).get("base"), lr=1e-4, **settings)

    def closure() -> Tensor:
        loss = functional.cross_entropy(model(inputs.double()), targets)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]) - before


def check_other_ways(device: torch.device, compile_too: bool) -> dict[str, dict[str, Any]]:
    """Compare bfloat16, and a compiled network, with what they stand in for."""
    found: dict[str, dict[str, Any]] = {}
    for precision in ("bf16",):
        workload = Workload("resnet18", 32, 16, precision)
        with numerics(precision):
            usual, _ = moved(workload, device, "sam", capture="never")
            captured, ours = moved(workload, device, "sam", capture="always")
        difference = off(captured, usual)
        found[f"{precision} captured"] = {
            "captured": ours.engine.captured.done,
            "reason": ours.engine.captured.reason,
            "difference": difference,
            "within": CLOSE,
            "passed": difference <= CLOSE,
        }
    if compile_too:
        workload = Workload("small-cnn", 32, 8, "fp32")
        with numerics("fp32"):
            usual, _ = moved(workload, device, "sam", capture="never")
            compiled, ours = moved(workload, device, "sam", compile="always")
        difference = off(compiled, usual)
        found["compiled and captured"] = {
            "compiled": ours.engine.compiled.done,
            "captured": ours.engine.captured.done,
            "reason": f"{ours.engine.compiled.reason}; {ours.engine.captured.reason}",
            "difference": difference,
            "within": CLOSE,
            "passed": difference <= CLOSE,
        }
    return found
