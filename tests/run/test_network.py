"""Networks that a file of one's own brings: what is taken, and what is refused before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import sambench
from sambench.config.curvature_settings import HessianSettings
from sambench.config.run_config import RunConfig
from sambench.models.model import Model, models
from sambench.run.measure import measure_hessian
from sambench.run.single_run import Paths, run_one
from sambench.store.record import INTERRUPTED
from sambench.store.tree import Store

pytestmark = pytest.mark.usefixtures("plugins_forgotten")
CPU = torch.device("cpu")
Build = Callable[[int, int, bool], Any]


def config_of(**settings: Any) -> RunConfig:
    given = {"epochs": 1, "batch_size": 8, "optimizer": "sam", "lr": 1e-3, **settings}
    return RunConfig.from_dict({"dataset": "phantom", "image_size": 32, "model": "mine", **given})


def register(build: Build) -> None:
    models.register(Model(name="mine", summary="a test", build=build))


@pytest.fixture
def paths(phantom_data: Path, tmp_path: Path) -> Paths:
    return Paths(data=phantom_data, results=tmp_path / "results")


class Tied(nn.Module):
    """Two layers of one weight, and buffers that lie in one memory."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Linear(3 * 32 * 32, 6)
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)
        self.two.weight = self.one.weight
        self.head = nn.Linear(6, classes)
        steps = torch.arange(12.0)
        self.register_buffer("row", steps[:6])
        self.register_buffer("turned", steps.view(3, 4).t())

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images.flatten(1)).tanh()
        logits: Tensor = self.head(self.two(self.one(features).tanh()).tanh())
        return logits


def test_tied_weights_are_saved_resumed_loaded_and_measured(paths: Paths) -> None:
    register(lambda classes, size, pretrained: Tied(classes))
    config = config_of()
    asked = iter(range(100))
    stopped = run_one(config, paths, device=CPU, stop_requested=lambda: next(asked) == 2)
    assert stopped.status == INTERRUPTED
    record = run_one(config, paths, device=CPU)
    whole = Paths(data=paths.data, results=paths.results / "whole")
    run_one(config, whole, device=CPU)
    files = [Store(place.results).weights(config) for place in (paths, whole)]
    assert files[0].read_bytes() == files[1].read_bytes()
    stored = load_file(files[0])
    network = sambench.load_run(config.id, results=paths.results).network
    assert isinstance(network, Tied)
    assert network.two.weight is network.one.weight
    state = network.state_dict()
    assert {*stored} == {*state}
    assert all(torch.equal(stored[name], state[name]) for name in state)
    settings = HessianSettings(samples=16, max_matvecs=8, tol=0.5, trace_tol=1.0)
    measured = measure_hessian(record, settings, paths, device=CPU).hessian
    assert measured is not None
    assert measured["parameters"] == sum(p.numel() for p in network.parameters())
