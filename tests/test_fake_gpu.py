"""A GPU made of fake tensors: no operation mixes devices, none waits where it must not.

Torch's fake tensors have a device and a shape and no numbers. They refuse operations over several
devices; a read of a number in Python, which on a GPU waits for it, is noted here and answered. A
graph of fake tensors cannot be run backward without a GPU, so gradients are drawn instead.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import sambench
from sambench.data.augment import AUGMENTATIONS, make_augmentation
from sambench.data.batches import Images, Scaling
from sambench.data.shifts import STRENGTHS, Draws, shifted
from sambench.errors import ConfigError
from sambench.optim import SampleClosure, build
from sambench.optim.method import optimizers
from sambench.optim.oracle import Observer, RandomState
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.optim.vector import Vector
from sambench.training.captured import Rates
from sambench.training.losses import CrossEntropy
from sambench.training.replicas import ALONE
from sambench.training.rewind import Moment, Rewindable
from sambench.training.state import Tallies, TrainingState, WeightAverage
from sambench.training.step import Batch, Step

PACKAGE = str(Path(sambench.__file__).parent)
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
PLACES = torch.arange(4)


def why_not() -> str:
    """Return why fake CUDA tensors cannot be used here; nothing where they can.

    The first backward pass of a process starts a thread for each device. Here it comes before torch
    takes the fake one for there: with such threads a process cannot be forked, as other tests do.
    """
    torch.zeros(1, requires_grad=True).sum().backward()
    try:
        with FakeTensorMode():
            torch.zeros(2, device=GPU).to("cpu").to(GPU)
            nn.Linear(1, 1, device=GPU)  # torch 2.7 draws no weights there
    except RuntimeError as error:
        said = str(error).partition("\n")[0]
        return f"no fake CUDA tensors with torch {torch.__version__}: {said}"
    return ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
READS = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "item")
READERS = {"aesam": "AESAM.direction", "xsam": "XSAM.direction.<locals>.loss"}
"""Optimizers whose pages say that they wait for the device, and where they do."""


class Watch(TorchDispatchMode):
    """Notes in which function the device is waited for; a number that is read is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self._trained: list[Tensor] = []

    def train(self, model: nn.Module) -> None:
        """Draw gradients for a network, but for its part that is unused or frozen."""
        named = model.named_parameters()
        self._trained = [p for name, p in named if not name.startswith(("unused", "frozen"))]

    def draw_gradients(self, loss: Tensor) -> None:
        assert loss.device == GPU
        for parameter in self._trained:
            new = torch.randn_like(parameter)
            parameter.grad = new if parameter.grad is None else parameter.grad + new

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(function).split(".")[1]
        given = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        if name in READS:
            self._note(given)
            return 1.0 if given[0].is_floating_point() else True
        if name.startswith("_fused_"):  # it has no fake form
            assert {tensor.device for tensor in given} == {GPU}
            return None
        result = function(*args, **(kwargs or {}))
        found = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if any(tensor.is_cpu for tensor in found):
            self._note(given)
        return result

    def _note(self, given: list[Tensor]) -> None:
        if any(not tensor.is_cpu for tensor in given):
            frames = (frame.f_code for frame, _ in traceback.walk_stack(None))
            self.waits += [next(c.co_qualname for c in frames if c.co_filename.startswith(PACKAGE))]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    with FakeTensorMode(allow_non_fake_inputs=True), Watch() as noted:

        def backward(loss: Tensor) -> None:
            noted.draw_gradients(loss)

        monkeypatch.setattr(Tensor, "backward", backward)
        yield noted


class Network(nn.Module):
    """Tensors of one to four dimensions, one without a gradient, a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        on: Any = {"device": GPU}
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, bias=False, **on), nn.BatchNorm2d(4, **on)
        self.table, self.head = nn.Embedding(5, 4, **on), nn.Linear(8, 2, **on)
        self.unused, self.frozen = nn.Linear(2, 2, **on), nn.Linear(2, 2, **on)
        self.frozen.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        seen = self.norm(self.convolution(images)).mean(dim=(2, 3))
        known = self.table(torch.zeros(len(images), dtype=torch.int64, device=images.device))
        result: Tensor = self.frozen(self.head(torch.cat([seen, known], dim=1)))
        return result


def made(name: str, base: str | None = None, **settings: Any) -> tuple[Network, SharpnessAware]:
    """Return a network and its optimizer, in two groups."""
    model = Network()
    parameters = [*model.parameters()]
    groups: Any = [{"params": parameters[:3], "lr": 0.2}, {"params": parameters[3:]}]
    return model, build(name, groups, base, model=model, lr=0.1, **settings)


def a_batch() -> tuple[Tensor, Tensor]:
    return torch.randn(4, 3, 6, 6, device=GPU), torch.zeros(4, device=GPU, dtype=torch.int64)


def train(watch: Watch, name: str, base: str | None = None, **settings: Any) -> None:
    """Take steps, one of them with rates on the device or over two batches; save and load."""
    model, optimizer = made(name, base, **settings)
    images, labels = a_batch()

    def closure() -> SampleClosure:
        def losses(some: Tensor | slice) -> Tensor:
            return functional.cross_entropy(model(images[some]), labels[some], reduction="none")

        return SampleClosure(losses, shares=torch.rand(4, device=GPU))

    watch.train(model)
    optimizer.observing = True
    optimizer.step(closure())
    if settings.get("fused", True):
        with Rates(optimizer, GPU).in_place():
            optimizer.step(closure())
    else:
        optimizer.step([closure(), closure()])
    saved = tree_map_only(Tensor, lambda t: torch.empty(t.shape), optimizer.state_dict())
    optimizer.load_state_dict(saved)
    states = [*optimizer.state.values(), *({"": t} for t in memory_of(optimizer))]
    for key, value in (entry for state in states for entry in state.items()):
        assert not isinstance(value, Tensor) or key == "step" or value.device == GPU, key


def memory_of(optimizer: SharpnessAware) -> Iterator[Tensor]:
    for vector in optimizer.method.memory.values():
        yield from vector.tensors


def ways() -> Iterator[Any]:
    """Yield each optimizer on two bases, and with each of its other choices."""
    for info in optimizers.list():
        yield pytest.param(info.name, {"base": info.base or "adam"}, id=info.name)
        others = {"base": info.base or "sgd", "max_norm": 1.0, "loss_decay": 0.1, "fused": False}
        others |= {"momentum": 0.9} if others["base"] == "sgd" else {}
        yield pytest.param(info.name, others, id=f"{info.name}, otherwise")
        for key, known in info.hyperparameters.items():
            for value in set(known.choices) - {known.default}:
                yield pytest.param(info.name, {key: value}, id=f"{info.name}, {key} {value}")


@pytest.mark.parametrize(("name", "settings"), [*ways()])
def test_a_step_stays_on_the_device(watch: Watch, name: str, settings: dict[str, Any]) -> None:
    train(watch, name, **settings)
    assert set(watch.waits) <= {READERS.get(name)}


@pytest.mark.usefixtures("watch")
def test_an_apple_gpu_needs_no_float64() -> None:
    """It has none; scripts of anybody's train there, though runs of this package do not."""
    made_up = [[torch.empty(size, device="mps") for size in ((4, 3), (4,))] for _ in range(2)]
    one, other = map(Vector, made_up)
    loss, observer = torch.empty((), device="mps"), Observer()
    with Single():
        observer.gradient(one)
        observer.perturbation(one, by=0.05 / one.norm())
        observer.gradient(other)
        observed = observer.observed([loss, loss])
        assert observed is not None
        found = [*one.products(other), one.projection(other), observed]
    assert {tensor.dtype for tensor in found} == {torch.float32}


class Single(TorchDispatchMode):
    """Refuses float64."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if any(isinstance(t, Tensor) and t.dtype == torch.float64 for t in tree_leaves(result)):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return result


def test_a_step_that_may_be_skipped_is_waited_for(watch: Watch) -> None:
    train(watch, "wsam", skip_nonfinite=True)
    assert set(watch.waits) == {"Proposal.finite.<locals>.<genexpr>"}


def test_a_network_on_two_devices_is_refused(watch: Watch) -> None:
    """A norm over all of it lies on one of them, and cannot scale what lies on the other."""
    layers = [nn.Linear(2, 2, device=GPU), nn.Linear(2, 2, device="cuda:1")]
    with pytest.raises(ConfigError, match="lie on cuda:0 and cuda:1"):
        build("sam", nn.Sequential(*layers).parameters())


def test_generators_of_every_kind_of_device_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Apple GPU has one generator, others one for each device."""
    told: list[Any] = []
    kind = SimpleNamespace(
        get_rng_state=lambda *at: ("state", *at), set_rng_state=lambda *given: told.append(given)
    )
    monkeypatch.setattr(torch, "get_device_module", lambda device: kind)
    for name in ("cuda:1", "xpu:0", "mps"):
        RandomState({CPU, torch.device(name)}).restore()
    cuda, xpu = torch.device("cuda:1"), torch.device("xpu:0")
    assert told == [(("state", cuda), cuda), (("state", xpu), xpu), (("state",),)]


@pytest.mark.parametrize("name", ["none", *AUGMENTATIONS])
def test_batches_and_their_steps_stay_on_the_device(watch: Watch, name: str) -> None:
    """As the loop takes them, with all that it counts."""
    model, optimizer = made("sam")
    watch.train(model)
    pixels, labels = np.zeros((6, 8, 8, 1), dtype=np.uint8), np.zeros(6, dtype=np.int64)
    images = Images(pixels, labels, GPU, Scaling((0.5,) * 3, (0.1,) * 3), resident=True)
    state = TrainingState.fresh(6, GPU)
    average, tallies = WeightAverage(model, state), Tallies(state, ALONE)
    loss = CrossEntropy(0.1, torch.ones(2, device=GPU, dtype=torch.float64))
    step = Step(model, optimizer, state, "fp32", torch.channels_last, loss)
    step.shares = torch.ones(2, device=GPU)
    inputs, targets = images.batch(PLACES, make_augmentation(name, 0), torch.channels_last)
    step(Batch(inputs, targets, PLACES.to(GPU)))
    average.update()
    tallies.merge()
    assert not watch.waits
    kept = Moment(replace(Rewindable(model, optimizer, state, GPU), device=CPU))
    assert {tensor.device for tensor in kept.tensors.values()} == {CPU}


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, names in STRENGTHS.items() for name in names]
)
def test_disturbances_are_computed_on_the_device(watch: Watch, family: str, name: str) -> None:
    pixels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8, device=GPU)
    draws = Draws(
        signs=torch.ones(2, 1, 1, 1, device=GPU), field=torch.zeros(2, 1, 8, 8, device=GPU)
    )
    assert shifted(pixels, family, name, 3, draws).device == GPU
    assert not watch.waits
