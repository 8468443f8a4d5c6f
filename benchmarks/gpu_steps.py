"""Training steps to time on a GPU: ours in every way of execution, bare passes, and peers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.config.run_config import RunConfig
from sambench.models.model import build_model
from sambench.optim import build
from sambench.store.environment import choose_kernels
from sambench.training.captured import Graph, graphs_of
from sambench.training.engine import Engine, layout_of
from sambench.training.precision import autocast
from sambench.training.rewind import Rewindable
from sambench.training.state import TrainingState
from sambench.training.step import Batch, Step

Take = Callable[[], object]
ENDLESS = 10**6


@dataclass(frozen=True)
class Workload:
    """A network on images of a size, in batches, in a precision."""

    model: str
    size: int
    batch: int
    precision: str

    @property
    def name(self) -> str:
        """As it is called in the findings."""
        return f"{self.model} {self.size} px b{self.batch} {self.precision}"

    def network(self, device: torch.device) -> nn.Module:
        """Build it with the same weights each time, in training mode."""
        torch.manual_seed(0)
        built = build_model(self.model, classes=2, image_size=self.size, pretrained=False)
        return built.to(device).train()

    def images(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return one random batch."""
        generator = torch.Generator().manual_seed(1)
        inputs = torch.randn(self.batch, 3, self.size, self.size, generator=generator)
        targets = torch.randint(0, 2, (self.batch,), generator=generator)
        return inputs.to(device), targets.to(device)


class Rerun:
    """Stands for a graph where there is no GPU: runs the work again, so that all else is run."""

    def warm_up(self, work: Take) -> None:
        """Do the work."""
        work()

    def record(self, work: Take) -> None:
        """Remember the work."""
        self._work = work

    def replay(self) -> None:
        """Do it again."""
        self._work()


def graph_maker(device: torch.device) -> Callable[[], Graph]:
    """Return how graphs are made: real ones on a GPU."""
    return graphs_of(device) or Rerun


class Ours:
    """Our training step, executed in one way.

    Args:
        workload: What to train.
        device: Where.
        optimizer: Name, or mapping with hyperparameters.
        ways: `capture`, `compile`, `kernels` of the run.
    """

    def __init__(
        self, workload: Workload, device: torch.device, optimizer: Any = "sam", **ways: str
    ) -> None:
        given = {"kernels": "fastest", "capture": "always", "compile": "never", **ways}
        self.config = RunConfig.from_dict(
            {
                "dataset": "random",
                "image_size": workload.size,
                "model": workload.model,
                "optimizer": optimizer,
                "batch_size": workload.batch,
                "precision": workload.precision,
                "lr": 1e-4,
                **given,
            }
        )
        self.model = workload.network(device)
        layout = layout_of(self.model, device)
        self.model.to(memory_format=layout)
        settings = dict(self.config.optimizer)
        name, base = str(settings.pop("name")), str(settings.pop("base"))
        self.optimizer = build(name, self.model.parameters(), base, **settings)
        self.state = TrainingState.fresh(workload.batch, device)
        self._step = Step(self.model, self.optimizer, self.state, self.config.precision, layout)
        self.engine = Engine(
            self._step,
            Rewindable(self.model, self.optimizer, self.state, device),
            self.config,
            graphs=graph_maker(device),
            alone=True,
            steps=ENDLESS,
        )
        inputs, targets = workload.images(device)
        self._batch = Batch(inputs, targets, torch.arange(workload.batch, device=device))
        choose_kernels(self.config.kernels, device)
        self.engine.warm_up(self.model, self.model, inputs, targets, before=False)
        for _ in range(5):
            self()
        choose_kernels("fastest", device)

    def __call__(self) -> None:
        """Take a step."""
        self.engine(self._batch, ENDLESS, nullcontext)

    def flat(self) -> Tensor:
        """Return all weights, float64 on the CPU."""
        return torch.cat([p.detach().double().cpu().reshape(-1) for p in self.model.parameters()])


class Bare:
    """The floor: some forward and backward passes and one fused Adam step, in one graph."""

    def __init__(self, workload: Workload, device: torch.device, passes: int) -> None:
        model = workload.network(device)
        layout = layout_of(model, device)
        model.to(memory_format=layout)
        capturable = device.type == "cuda"
        adam = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True, capturable=capturable)
        inputs, targets = workload.images(device)
        inputs = inputs.contiguous(memory_format=layout)

        def work() -> None:
            for _ in range(passes):
                adam.zero_grad(set_to_none=True)
                with autocast(workload.precision, device):
                    logits = model(inputs)
                functional.cross_entropy(logits.float(), targets).backward()
            adam.step()

        self._graph = graph_maker(device)()
        for _ in range(3):
            self._graph.warm_up(work)
        self._graph.record(work)

    def __call__(self) -> None:
        """Take a step."""
        self._graph.replay()


class UsualSAM:
    """SAM as the widespread loops are written: tensor by tensor, two calls a step, eager.

    Args:
        workload: What to train.
        device: Where.
        tuned: Fused Adam and channels last as ours has; otherwise torch's defaults.
    """

    def __init__(self, workload: Workload, device: torch.device, tuned: bool) -> None:
        self._model = workload.network(device)
        self._workload, self._device = workload, device
        self._inputs, self._targets = workload.images(device)
        if tuned:
            layout = layout_of(self._model, device)
            self._model.to(memory_format=layout)
            self._inputs = self._inputs.contiguous(memory_format=layout)
        self._parameters = list(self._model.parameters())
        self._adam = torch.optim.Adam(self._parameters, lr=1e-4, fused=True if tuned else None)
        self._norms = [m for m in self._model.modules() if isinstance(m, nn.BatchNorm2d)]

    def __call__(self) -> None:
        """Take a step."""
        self._pass()
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in self._parameters]).norm()  # type: ignore[union-attr]
            scale = 0.05 / (norm + 1e-12)
            old = []
            for parameter in self._parameters:
                old.append(parameter.data.clone())
                parameter.add_(parameter.grad * scale)
        self._adam.zero_grad()
        for layer in self._norms:
            layer.backup, layer.momentum = layer.momentum, 0.0  # type: ignore[assignment]
        self._pass()
        for layer in self._norms:
            layer.momentum = layer.backup  # type: ignore[assignment]
        with torch.no_grad():
            for parameter, weights in zip(self._parameters, old, strict=True):
                parameter.data = weights
        self._adam.step()
        self._adam.zero_grad()

    def _pass(self) -> None:
        with autocast(self._workload.precision, self._device):
            logits = self._model(self._inputs)
        functional.cross_entropy(logits.float(), self._targets).backward()


def library_sam(workload: Workload, device: torch.device) -> Take | None:
    """Return a step of pytorch_optimizer's SAM on torch's default Adam; None if not installed."""
    if importlib.util.find_spec("pytorch_optimizer") is None:
        return None
    from pytorch_optimizer import SAM

    model = workload.network(device)
    inputs, targets = workload.images(device)
    optimizer = SAM(model.parameters(), torch.optim.Adam, lr=1e-4, rho=0.05)

    def closure() -> Tensor:
        with autocast(workload.precision, device):
            logits = model(inputs)
        loss = functional.cross_entropy(logits.float(), targets)
        loss.backward()
        return loss

    def take() -> None:
        closure()
        optimizer.step(closure)
        optimizer.zero_grad()

    return take
