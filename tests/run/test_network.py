"""Networks that a file of one's own brings: what is taken, and what is refused before training."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

import sambench
from sambench.config.curvature_settings import HessianSettings
from sambench.config.run_config import RunConfig
from sambench.errors import ModelError, SambenchWarning
from sambench.models.model import Model, models
from sambench.plugin import is_foreign
from sambench.run.network import build_network
from sambench.run.single_run import Paths, run_one
from sambench.store.record import COMPLETED, INTERRUPTED
from sambench.store.tree import Store
from sambench.training.seeding import derive_seed
from tests.run.curvature_alone import measure_hessian

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


def test_a_pretrained_network_of_another_stem_is_restored(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From scratch, resnet18 has a small stem for small images; pretrained it has its own."""
    published = torchvision.models.get_model

    def without(name: str, weights: object) -> nn.Module:
        assert weights is None, "published weights are not needed any more"
        return published(name)

    monkeypatch.setattr("torchvision.models.get_model", lambda name, weights: published(name))
    config = config_of(model="resnet18", pretrained=True, batch_size=32)
    record = run_one(config, paths, device=CPU)
    assert record.status == COMPLETED
    monkeypatch.setattr("torchvision.models.get_model", without)
    run = sambench.load_run(config.id, results=paths.results, data=paths.data)
    assert run.network.get_submodule("conv1").weight.shape == (64, 3, 7, 7)
    stored = load_file(Store(paths.results).weights(config))
    assert torch.equal(run.network.get_submodule("conv1").weight, stored["conv1.weight"])


class Small(nn.Module):
    """A linear network whose output is made into something else."""

    def __init__(self, outputs: int, change: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(3, outputs)
        self.norm = nn.BatchNorm2d(3)
        self.change = change

    def forward(self, images: Tensor) -> Any:
        return self.change(self, self.layer(self.norm(images).mean(dim=(2, 3))))


def changed(change: Callable[[Any, Tensor], Any], more: int = 0) -> Build:
    return lambda classes, size, pretrained: Small(classes + more, change)


def plain(network: Any, outputs: Tensor) -> Tensor:
    return outputs


def built(make: Callable[[int], Any]) -> Build:
    return lambda classes, size, pretrained: make(classes)


class Counting(Small):
    """It counts its passes in training where a resumed run does not find the number."""

    passes = 0

    def forward(self, images: Tensor) -> Any:
        self.passes += self.training
        return super().forward(images) * (1 + self.passes)


def unseeded(classes: int, size: int, pretrained: bool) -> nn.Module:
    """Draw weights from another generator than torch's own."""
    network = Small(classes, plain)
    nn.init.normal_(network.layer.weight, generator=GENERATOR)
    return network


GENERATOR = torch.Generator()
KEPT: dict[int, nn.Module] = {}


class Extra(Small):
    def get_extra_state(self) -> Any:
        return {"count": 3}

    def set_extra_state(self, state: Any) -> None: ...


class Unsaved(Small):
    """It centres by a running mean that its state_dict lacks."""

    def __init__(self, outputs: int, *, buffer: bool) -> None:
        super().__init__(outputs, plain)
        if buffer:
            self.register_buffer("mean", torch.zeros(outputs), persistent=False)
        else:
            self.mean = torch.zeros(outputs)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = super().forward(images)
        if self.training:
            self.mean = self.mean.lerp(outputs.detach().mean(dim=0), 0.1)
            return outputs - outputs.mean(dim=0)
        return outputs - self.mean


class Darkening(Small):
    """It changes images in place, and again in the next pass over them."""

    def forward(self, images: Tensor) -> Any:
        return super().forward(images.mul_(0.5))


LACKING = "'mine' is another one once it is stored; keep what training changes in buffers that are"
REFUSED: dict[str, tuple[Build, str]] = {
    "more outputs": (changed(plain, 3), r"returns \(2, 5\) of torch.float32 for 2 images of 2 c"),
    "fewer outputs": (changed(plain, -1), r"returns \(2, 1\) of torch.float32 for 2 images of 2 c"),
    "one image": (changed(lambda net, z: z.squeeze()), r"returns \(2,\) of torch.float32 for 1 im"),
    "a tuple": (changed(lambda net, z: (z, z)), "returns a tuple for 2 images"),
    "a dict": (changed(lambda net, z: {"logits": z}), "returns a dict for 2 images"),
    "in training": (changed(lambda net, z: (z, z) if net.training else z), "returns a tuple"),
    "labels": (changed(lambda net, z: z.int()), r"returns \(2, 2\) of torch.int32"),
    "detached": (changed(lambda net, z: z.detach()), "do not depend on its trainable weights"),
    "random": (
        changed(lambda net, z: nn.functional.dropout(z)),
        "'mine' is random in evaluation mode, as by a dropout left on; give it training=self.trai",
    ),
    "random in training": (
        changed(lambda net, z: z * (1 + net.training * random.random())),
        "'mine' is random in training also from one seed; draw by torch alone, and count in buf",
    ),
    "counting": (built(lambda k: Counting(k, plain)), "'mine' is random in training also from one"),
    "an attribute": (built(lambda k: Unsaved(k, buffer=False)), LACKING),
    "an unsaved buffer": (built(lambda k: Unsaved(k, buffer=True)), LACKING),
    "images changed": (
        built(lambda k: Darkening(k, plain)),
        "'mine' is changing the images that it is given; have it work on a copy of them",
    ),
    "unseeded": (unseeded, "'mine' is another one when it is built again from one seed; have its"),
    "one for all runs": (
        built(lambda k: KEPT.setdefault(k, Small(k, plain))),
        "'mine' is another one when it is built again from one seed; have its build draw by torch "
        "alone and return a new network at each call",
    ),
    "1 channel": (
        built(lambda k: nn.Sequential(nn.Conv2d(1, k, 32), nn.Flatten())),
        r"fails on random images \(RuntimeError: Given groups=1.*; a network must take \(B, 3, H, ",
    ),
    "double": (
        built(lambda k: Small(k, plain).double()),
        "'mine', of torch.float64 weights, fails on random images",
    ),
    "half": (
        built(lambda k: Small(k, plain).half()),
        "'mine', of torch.float16 weights, fails on random images",
    ),
    "frozen": (
        built(lambda k: Small(k, plain).requires_grad_(False)),
        "do not depend on its trainable",
    ),
    "lazy": (
        built(lambda k: nn.Sequential(nn.Flatten(), nn.LazyLinear(k))),
        "1.weight in the state_dict of model 'mine' is a UninitializedParameter, no tensor with a",
    ),
    "no forward": (
        built(lambda k: nn.ModuleList([nn.Linear(3, k)])),
        "NotImplementedError: Module",
    ),
    "no network": (built(lambda k: None), "the build of model 'mine' returns a NoneType; have it"),
    "no buffer": (
        built(lambda k: Extra(k, plain)),
        "_extra_state in the state_dict of model 'mine' is a dict, no",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_network_that_cannot_be_trained_is_refused_before(case: str, paths: Paths) -> None:
    build, message = REFUSED[case]
    register(build)
    with pytest.raises(ModelError, match=message) as refused:
        run_one(config_of(), paths, device=CPU)
    assert "\n" not in str(refused.value)
    assert not Store(paths.results).names() or not any(paths.results.rglob("run.json"))


def test_what_is_drawn_once_and_not_stored_is_drawn_again_for_a_trained_network(
    paths: Paths,
) -> None:
    """Such as random features in a buffer with persistent=False; no generator is disturbed."""

    class Features(Small):
        def __init__(self, outputs: int) -> None:
            super().__init__(outputs, plain)
            self.register_buffer("drawn", torch.randn(outputs), persistent=False)

        def forward(self, images: Tensor) -> Any:
            return super().forward(images) * self.get_buffer("drawn")

    register(built(Features))
    record = run_one(config_of(seed=3), paths, device=CPU)
    torch.manual_seed(0)
    run = sambench.load_run(record.id, results=paths.results)
    assert torch.initial_seed() == 0
    torch.manual_seed(derive_seed(3, "initialisation"))
    assert torch.equal(run.network.get_buffer("drawn"), Features(2).get_buffer("drawn"))


def test_probabilities_in_place_of_logits_are_warned_of() -> None:
    register(changed(lambda net, z: z.softmax(dim=1)))
    with pytest.warns(SambenchWarning, match="'mine' returns probabilities, of which the s"):
        build_network(config_of(), 2, CPU)


@pytest.mark.parametrize("change", [lambda net, z: z - z.mean(dim=0), lambda net, z: z.softmax(0)])
def test_outputs_that_depend_on_the_batch_are_warned_of(
    change: Callable[[Any, Tensor], Any],
) -> None:
    register(changed(change))
    with pytest.warns(SambenchWarning, match="'mine' for an image depend on the others of its ba"):
        build_network(config_of(), 2, CPU)


def test_the_trial_leaves_no_trace() -> None:
    """Not in the buffers, the modes, the gradients or the generators, even as dropout draws."""

    def build(classes: int, size: int, pretrained: bool) -> nn.Module:
        network = nn.Sequential(Small(8, plain), nn.Dropout(0.5), nn.Linear(8, classes))
        network.get_submodule("0.norm").eval()
        return network

    register(build)
    found = build_network(config_of(), 2, CPU)
    drawn = torch.rand(4)
    torch.manual_seed(derive_seed(0, "initialisation"))
    made = build(2, 32, False)
    assert torch.equal(torch.rand(4), drawn)
    state = made.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())
    assert [m.training for m in found.modules()] == [m.training for m in made.modules()]
    assert all(parameter.grad is None for parameter in found.parameters())


def test_shipped_models_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.run.network.check_network", None)
    assert not any(is_foreign("model", model.name) for model in models.list())
    assert not is_foreign("model", "timm:resnet10t")
    build_network(config_of(model="small-cnn"), 2, CPU)
    register(built(lambda k: Small(k, plain)))
    assert is_foreign("model", "mine")
