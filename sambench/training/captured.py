"""A whole training step as one graph: every pass, the perturbation, the base step, the tallies.

On small batches a GPU waits for Python: a SAM step of ResNet50 is a thousand launches. A graph is
one. It is the very step that runs otherwise, recorded, so it computes the same; but whatever that
step decides in Python is decided once. A step whose Python state changes from one to the next is
therefore refused, what changes by plan (images, learning rates) is read from fixed memory, and the
first replay is compared with a step that was taken as usual from the same state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import InitVar, dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from sambench.errors import reason_of
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.rewind import MOMENTS, WEIGHTS, Moment, Rewindable
from sambench.training.step import Batch, Step

Work = Callable[[], object]
Places = dict[tuple[str, str], tuple[int, torch.device]]

WEIGHT_TOLERANCE = 1e-2
"""Most that a replayed step may differ from a usual one, |difference| / |step|, in the weights.
Where an operation has no deterministic kernel the order of sums moves a gradient by 1e-6 of itself;
Adam's early steps are close to signs and turn that into 1e-3. Old images, or a perturbation left
out, make 1e-1 and more."""

TOLERANCE = 1e-3  # likewise in all else (moments, statistics, loss), which follows gradients

BESIDE = 1.1  # times a graph's memory must be left: a step of another shape takes it beside that


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
    """Have the base optimizer count its steps on the device, as torch asks before a capture."""
    optimizer.base._warned_capturable_if_run_uncaptured = True
    for group in optimizer.param_groups:
        if "capturable" not in group:
            continue
        group["capturable"] = wanted
        for parameter in group["params"] if wanted else ():
            state = optimizer.state.get(parameter, {})
            if isinstance(state.get("step"), Tensor):
                state["step"] = state["step"].to(parameter.device)


@dataclass(eq=False)
class CapturedStep:
    """The step on batches of one shape, replayed."""

    step: Step  # as it runs otherwise
    rewindable: Rewindable  # all that it changes
    rates: Rates  # the learning rates on the device
    graph: Graph  # to record it
    like: InitVar[Batch]  # a batch of the shape
    passes: Fraction = Fraction(0)  # of one step

    def __post_init__(self, like: Batch) -> None:
        inputs = torch.empty_like(like.inputs, memory_format=self.step.layout)
        targets, places = torch.empty_like(like.targets), torch.empty_like(like.places)
        self._batch = Batch(inputs, targets, places, like.weight)
        self._observed: Tensor | None = None

    def establish(self, batch: Batch) -> None:
        """Take a step as usual, record it, take it again from the recording, and compare.

        If it cannot be recorded or the recording does something else, it is Refused: the step was
        taken as usual then, and everything is as after it.
        """
        self._load(batch)
        before, told = Moment(self.rewindable), self.rewindable.on_host()
        places = self._places()
        with self.rates.in_place():
            self.graph.warm_up(self._take)
        if reason := self._unsteady(told, places):
            raise Refused(reason)
        after = Moment(self.rewindable)
        try:
            before.restore()
            with self.rates.in_place():
                self.graph.record(self._take)
            before.restore()  # what Python counted while recording was not done
            self.replay(batch)
            _compare(Moment(self.rewindable), after, before)
        except Exception as error:
            after.restore()
            if isinstance(error, Refused):
                raise
            raise Refused(f"capture failed: {reason_of(error, 150)}") from error

    def replay(self, batch: Batch) -> Fraction:
        """Take a step; return its passes."""
        self._load(batch)
        self.rates.write()
        self.graph.replay()
        self.step.optimizer.observed = self._observed
        return self.passes

    def _take(self) -> None:
        self.passes = self.step(self._batch)
        optimizer = self.step.optimizer
        self._observed = optimizer.observed if optimizer.observing else None

    def _load(self, batch: Batch) -> None:
        for name in ("inputs", "targets", "places"):
            getattr(self._batch, name).copy_(getattr(batch, name), non_blocking=True)

    def _places(self) -> Places:
        """Return where in memory all that a step changes lies."""
        return {name: (t.data_ptr(), t.device) for name, t in self.rewindable.live().items()}

    def _unsteady(self, told: str, places: Places) -> str | None:
        """Say why a recording would not do what the next step does, if that shows in Python."""
        if self.rewindable.on_host() != told:
            return "the optimizer counts in Python, so its steps differ"
        if self._places() != places:
            return "the optimizer keeps new memory in each step"
        device = self.rewindable.device.type
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


@dataclass(eq=False)
class Graph:
    """A CUDA graph: work that is recorded on a stream apart, and done as often as asked."""

    device: torch.device  # the GPU
    stream: torch.cuda.Stream  # to record on
    pool: Any  # memory that graphs share, as they take turns: none needs what another left there

    def __post_init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, work: Work) -> None:
        """Do the work once on the graph's own stream, whose workspaces are made so."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            work()
        here.wait_stream(self.stream)

    def record(self, work: Work) -> None:
        """Record the work; what it does in Python is done now, and never again.

        Only this thread is kept from calls that a capture forbids: others may go on with theirs.
        A graph beside whose memory a step would find too little of its own is Refused.
        A capture that breaks off leaves torch on the graph's stream, and its generator and, before
        2.12, its allocator believing that the capture is still under way, so that memory used on
        two streams is never free again (pytorch issue 180395); so all of it is put back here.
        """
        with torch.cuda.device(self.device), torch.cuda.stream(torch.cuda.current_stream()):
            place = torch.cuda.current_device()
            generator = torch.cuda.default_generators[place]
            before = generator.clone_state()
            torch.cuda.empty_cache()  # a capture begins so, and the graph's memory is what is new
            reserved = torch.cuda.memory_reserved(place)
            try:
                with torch.cuda.graph(
                    self._graph,
                    pool=self.pool,
                    stream=self.stream,
                    capture_error_mode="thread_local",
                ):
                    work()
            except BaseException:
                generator.graphsafe_set_state(before)
                with suppress(RuntimeError):  # that it is not under way
                    torch._C._cuda_endAllocateToPool(place, self.pool)
                    torch._C._cuda_releasePool(place, self.pool)
                raise
            kept = torch.cuda.memory_reserved(place) - reserved
        if BESIDE * kept > (free := torch.cuda.mem_get_info(place)[0]):
            keeps, left = f"a graph keeps {kept / 1e9:.1f} GB", f"{free / 1e9:.1f} GB are left"
            raise Refused(f"{keeps}, steps beside it take as much, and {left}")

    def replay(self) -> None:
        """Do the recorded work on the same memory."""
        self._graph.replay()


@functools.cache
def stream_for(device: torch.device, purpose: str) -> torch.cuda.Stream:
    """Return a GPU's stream for a purpose: one, as torch keeps memory for cuBLAS on each used."""
    return torch.cuda.Stream(device)


def graphs_of(device: torch.device) -> Callable[[], Graph] | None:
    """Return how graphs are made on a device; None where it has none."""
    if device.type != "cuda":
        return None
    with torch.cuda.device(device):
        pool = torch.cuda.graph_pool_handle()
    return functools.partial(Graph, device, stream_for(device, "graphs"), pool)
