"""Copies of everything that a training step changes, and putting them back in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sambench.optim.oracle import RandomState
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.state import TrainingState

WEIGHTS, STATISTICS, MOMENTS, TALLIES = "weights", "statistics", "moments", "tallies"


@dataclass(eq=False)
class Rewindable:
    """All that a step changes on the device, by kind, and the generators it draws from."""

    model: nn.Module  # its weights and buffers
    optimizer: SharpnessAware  # its base optimizer's state and what its method remembers
    state: TrainingState  # the tallies of the epoch
    device: torch.device  # whose generator is drawn from too

    def live(self) -> dict[tuple[str, str], Tensor]:
        """Return the tensors themselves, by kind and name."""
        found = {(WEIGHTS, name): p.data for name, p in self.model.named_parameters()}
        found |= {(STATISTICS, name): buffer for name, buffer in self.model.named_buffers()}
        for number, state in enumerate(self.optimizer.state.values()):
            for name, value in state.items():
                if isinstance(value, Tensor):
                    found[MOMENTS, f"{number}.{name}"] = value
        for name, vector in self.optimizer.method.memory.items():
            found |= {(MOMENTS, f"{name}.{n}"): t for n, t in enumerate(vector.tensors)}
        found[TALLIES, "loss_sum"] = self.state.loss_sum
        found[TALLIES, "hits"] = self.state.hits
        return found

    def on_host(self) -> str:
        """Return every number that the optimizer keeps in Python, written out for comparison."""
        kept = [*self.optimizer.param_groups, *self.optimizer.state.values()]
        numbers = [
            {k: v for k, v in of.items() if k != "params" and not isinstance(v, Tensor)}
            for of in kept
        ]
        return repr((numbers, self.optimizer.method.counters))


class Moment:
    """A copy of the present state: all tensors, generators' states, the method's counters.

    It lies on the CPU: on a GPU it would count in the peak of memory that a record tells, and may
    not fit beside the step.
    """

    def __init__(self, of: Rewindable) -> None:
        self._of = of
        self.tensors = {name: t.detach().to("cpu", copy=True) for name, t in of.live().items()}
        self._random = RandomState({of.device})
        self._counters = dict(of.optimizer.method.counters)

    def restore(self) -> None:
        """Copy everything back into the memory that it lies in."""
        live = self._of.live()
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                live[name].copy_(tensor)
        self._random.restore()
        self._of.optimizer.method.counters = dict(self._counters)


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the network's modes, buffers, gradients and torch's generators back as they were."""
    random = RandomState({device})
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        random.restore()
        for module, mode in modes.items():
            module.training = mode
        for parameter in model.parameters():
            parameter.grad = None
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
