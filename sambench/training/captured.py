"""A whole training step as one graph: every pass, the perturbation, the base step, the tallies.

On small batches a GPU waits for Python: a SAM step of ResNet50 is a thousand launches. A graph is
one. It is the very step that runs otherwise, recorded, so it computes the same; but whatever that
step decides in Python is decided once. A step whose Python state changes from one to the next is
therefore refused, what changes by plan (images, learning rates) is read from fixed memory, and the
first replay is compared with a step that was taken as usual from the same state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.graph import Graph
from sambench.training.rewind import MOMENTS, WEIGHTS, Moment, Rewindable
from sambench.training.step import Batch, Step

WEIGHT_TOLERANCE = 1e-2
"""Most that a replayed step may differ from a usual one, |difference| / |step|, in the weights.
Where an operation has no deterministic kernel the order of sums moves a gradient by 1e-6 of itself;
Adam's early steps are close to signs and turn that into 1e-3. Old images, or a perturbation left
out, make 1e-1 and more."""

TOLERANCE = 1e-3
"""Likewise in all else (moments, batch statistics, the loss), which follow gradients smoothly."""


class Refused(Exception):
    """The step cannot be captured; the message says why, the step was taken as usual."""


class Rates:
    """The groups' learning rates on the device, where a graph reads them.

    The groups keep their Python numbers, which schedules set and checkpoints hold.
    """

    def __init__(self, optimizer: SharpnessAware, device: torch.device) -> None:
        # torch's fused kernels read float32 on a GPU and lose nothing with float64 on the CPU
        dtype = torch.float64 if device.type == "cpu" else torch.float32
        self._groups = optimizer.param_groups
        self._tensors = [torch.zeros((), dtype=dtype, device=device) for _ in self._groups]
        self._written: list[float | None] = [None] * len(self._groups)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the groups show the tensors, with the values that the groups had."""
        self.write()
        numbers = [group["lr"] for group in self._groups]
        try:
            for group, tensor in zip(self._groups, self._tensors, strict=True):
                group["lr"] = tensor
            yield
        finally:
            for group, number in zip(self._groups, numbers, strict=True):
                group["lr"] = number

    def write(self) -> None:
        """Bring the tensors up to date."""
        for place, group in enumerate(self._groups):
            if group["lr"] != self._written[place]:
                self._tensors[place].fill_(group["lr"])
                self._written[place] = group["lr"]


def make_capturable(optimizer: SharpnessAware, wanted: bool) -> None:
    """Have the base optimizer count its steps on the device, or not.

    Torch asks for that before a capture and warns where steps run outside of one, as some do here.
    """
    optimizer.base._warned_capturable_if_run_uncaptured = True
    for group in optimizer.param_groups:
        if "capturable" not in group:
            continue
        group["capturable"] = wanted
        for parameter in group["params"] if wanted else ():
            state = optimizer.state.get(parameter, {})
            if isinstance(state.get("step"), Tensor):
                state["step"] = state["step"].to(parameter.device)


class CapturedStep:
    """The step on batches of one shape, replayed.

    Args:
        step: As it runs otherwise.
        rewindable: All that it changes.
        rates: The learning rates on the device.
        graph: To record it.
        batch: One of the shape.

    Attributes:
        passes: Of one step.
    """

    def __init__(
        self, step: Step, rewindable: Rewindable, rates: Rates, graph: Graph, batch: Batch
    ) -> None:
        self._step = step
        self._rewindable = rewindable
        self._rates = rates
        self._graph = graph
        self.passes = 0.0
        self._observed: Tensor | None = None
        inputs = torch.empty_like(batch.inputs, memory_format=step.layout)
        self._batch = Batch(
            inputs, torch.empty_like(batch.targets), torch.empty_like(batch.places), batch.weight
        )

    def establish(self, batch: Batch) -> None:
        """Take a step as usual, record it, take it again from the recording, and compare.

        Raises:
            Refused: If it cannot be recorded or the recording does something else; the step was
                taken as usual then, and everything is as after it.
        """
        self._load(batch)
        before, told = self._rewindable.moment(), self._rewindable.on_host()
        places = self._places()
        with self._rates.in_place():
            self._graph.warm_up(self._take)
        if reason := self._unsteady(told, places):
            raise Refused(reason)
        after = self._rewindable.moment()
        try:
            before.restore()
            with self._rates.in_place():
                self._graph.record(self._take)
            before.restore()  # what Python counted while recording was not done
            self.replay(batch)
            _compare(self._rewindable.moment(), after, before)
        except Exception as error:
            after.restore()
            raise Refused(_reason(error)) from error

    def replay(self, batch: Batch) -> float:
        """Take a step; return its passes."""
        self._load(batch)
        self._rates.write()
        self._graph.replay()
        self._step.optimizer.observed = self._observed
        return self.passes

    def _take(self) -> None:
        self.passes = self._step(self._batch)
        optimizer = self._step.optimizer
        self._observed = optimizer.observed if optimizer.observing else None

    def _load(self, batch: Batch) -> None:
        self._batch.inputs.copy_(batch.inputs, non_blocking=True)
        self._batch.targets.copy_(batch.targets, non_blocking=True)
        self._batch.places.copy_(batch.places, non_blocking=True)

    def _places(self) -> dict[tuple[str, str], tuple[int, torch.device]]:
        """Return where in memory all that a step changes lies."""
        live = self._rewindable.live()
        return {name: (tensor.data_ptr(), tensor.device) for name, tensor in live.items()}

    def _unsteady(
        self, told: str, places: dict[tuple[str, str], tuple[int, torch.device]]
    ) -> str | None:
        """Say why a recording would not do what the next step does, if that shows in Python."""
        if self._rewindable.on_host() != told:
            return "the optimizer counts in Python, so its steps differ"
        if self._places() != places:
            return "the optimizer keeps new memory in each step"
        device = self._rewindable.device.type
        if any(kind == MOMENTS and at.type != device for (kind, _), (_, at) in places.items()):
            return "the base optimizer keeps its state on the CPU"
        return None


def _compare(found: Moment, expected: Moment, before: Moment) -> None:
    """Refuse a replay that differs from the usual step by more than rounding.

    Each kind of state is compared as a whole: |found - expected| over |expected - before|.
    """
    squares: dict[str, list[Tensor]] = {}
    for name, tensor in expected.tensors.items():
        if not tensor.is_floating_point():
            if not tensor.dtype == torch.bool and not torch.equal(found.tensors[name], tensor):
                raise Refused(f"its first replay set {name[1]} otherwise")
            continue
        wrong = (found.tensors[name].double() - tensor.double()).square().sum()
        step = (tensor.double() - before.tensors[name].double()).square().sum()
        sums = squares.setdefault(name[0], [torch.zeros_like(wrong), torch.zeros_like(step)])
        sums[0], sums[1] = sums[0] + wrong, sums[1] + step
    for kind, (wrong, step) in squares.items():
        allowed = WEIGHT_TOLERANCE if kind == WEIGHTS else TOLERANCE
        off, moved = float(wrong.sqrt()), float(step.sqrt())
        if not off <= allowed * moved:
            share = f"{off / moved:.2g} of the step" if moved else f"{off:.2g}"
            raise Refused(f"its first replay was off by {share} in the {kind}")


def _reason(error: Exception) -> str:
    if isinstance(error, Refused):
        return str(error)
    return f"capture failed: {' '.join(str(error).split())[:150] or type(error).__name__}"
