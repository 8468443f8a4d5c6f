"""A run's memory, against tensors that are counted by hand, and steps that are timed for a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sambench.config.run_config import RunConfig
from sambench.run import estimates
from sambench.run.estimates import (
    ACTIVATION_COPIES,
    PROCESS_BYTES,
    WEIGHT_COPIES,
    estimate_memory,
    measure_pace,
)


def config(**settings: Any) -> RunConfig:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": "sam"}
    return RunConfig.from_dict({**given, **settings})


class Looking(nn.Sequential):
    """A network that looks at a value, which one without storage does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum().item() < 0:
            raise AssertionError
        out: torch.Tensor = super().forward(x)
        return out


@pytest.mark.parametrize("kind", [nn.Sequential, Looking])
def test_weights_and_saved_tensors_are_counted(
    phantom_data: Path, monkeypatch: pytest.MonkeyPatch, kind: type[nn.Sequential]
) -> None:
    def build(name: str, *, classes: int, **rest: Any) -> nn.Module:
        return kind(nn.Flatten(), nn.Linear(3 * 32 * 32, 7), nn.Sigmoid(), nn.Linear(7, classes))

    monkeypatch.setattr(estimates, "build_model", build)
    weights = 4 * ((3 * 32 * 32 + 1) * 7 + (7 + 1) * 2)
    image = 4 * (3 * 32 * 32 + 7 + 2)  # its pixels, the sigmoid and the logarithms of the classes
    least = PROCESS_BYTES + WEIGHT_COPIES * weights + ACTIVATION_COPIES * 8 * image
    (found,) = estimate_memory([config(batch_size=8)], phantom_data).values()
    assert least <= found <= least + ACTIVATION_COPIES * 8 * 64  # labels and scalars of the loss


def test_the_largest_run_of_a_model_counts(phantom_data: Path) -> None:
    runs = [config(batch_size=size, model=name) for size in (4, 8) for name in ("small-cnn", "vit")]
    found = estimate_memory(runs, phantom_data)
    assert [*found] == ["small-cnn", "vit"]
    assert found == estimate_memory(runs[2:], phantom_data)
    assert found["vit"] - PROCESS_BYTES > WEIGHT_COPIES * 85_000_000 * 4


def test_a_few_passes_are_timed_on_one_thread(phantom_data: Path) -> None:
    threads = torch.get_num_threads()
    pace = measure_pace(config(), phantom_data, torch.device("cpu"))
    assert pace.seconds > 0
    assert pace.spread >= 1
    assert pace.images == 32
    assert pace.memory_bytes is None
    assert torch.get_num_threads() == threads


def test_passes_are_timed_with_the_kernels_of_the_run(
    phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[str, torch.device]] = []
    monkeypatch.setattr(estimates, "choose_kernels", lambda *given: chosen.append(given))
    measure_pace(config(kernels="fastest"), phantom_data, torch.device("cpu"))
    assert chosen == [("fastest", torch.device("cpu"))]
