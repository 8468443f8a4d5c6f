"""The gradient oracle: one forward and backward pass at w + e, and everything that may go wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from torch import Tensor, distributed
from torch.amp import GradScaler
from torch.autograd.graph import increment_version

from sambench.errors import ConfigError, SambenchWarning
from sambench.optim.modules import Modules, Role
from sambench.optim.samples import SampleClosure
from sambench.optim.vector import PerTensor, Scalar, Vector, add_into, factors_on_cpu, layout

Closure = Callable[[], Tensor]


class RandomState:
    """The state of torch's generators, so that dropout masks can be drawn again."""

    def __init__(self, devices: set[torch.device]) -> None:
        self._cpu = torch.get_rng_state()
        there = [d for d in devices if d.type != "cpu"]
        kinds = [(torch.get_device_module(d), () if d.type == "mps" else (d,)) for d in there]
        self._others = [(kind, at, kind.get_rng_state(*at)) for kind, at in kinds]

    def restore(self) -> None:
        """Set the generators to the state at construction."""
        torch.set_rng_state(self._cpu)
        for kind, at, state in self._others:
            kind.set_rng_state(state, *at)


@dataclass(frozen=True)
class Observation:
    """One step's perturbation e and what it did, on the step's mini-batch."""

    epsilon_norm: float  # |e|, L2 over all trainable tensors
    one_dimensional_share: float  # of |e|^2, on tensors of one dimension: biases, norm layers
    gradient_cosine: float  # cos(g, g_a) of the gradients at w and at w + e
    gradient_norm_ratio: float  # |g_a| / |g|
    sharpness: float  # L(w + e) - L(w)


class Observer:
    """Watches the passes of one step; of several perturbed ones the last counts."""

    def __init__(self) -> None:
        self._clean: Vector | None = None
        self._length: Tensor | None = None
        self._moved: tuple[Tensor, Tensor] | None = None
        self._turned: tuple[Tensor, Tensor] | None = None

    def perturbation(self, direction: Vector, by: Scalar = 1.0) -> None:
        """See the perturbation, `by` times a direction, before it is used."""
        if isinstance(by, PerTensor):
            direction, by = direction * by, 1.0
        norm = direction.norm()
        flat = direction.part(tensor.dim() <= 1 for tensor in direction.tensors)
        share = (flat.norm() / norm) ** 2 if len(flat) else torch.zeros_like(norm)
        self._moved = (norm * by).abs(), share.clamp(max=1.0)  # rounding may take it beyond

    def gradient(self, found: Vector) -> None:
        """See the gradient of a pass; the clean one is copied, since methods change theirs."""
        if self._moved is None or self._clean is None:
            self._clean, self._length = found.clone(), found.norm()
        else:
            inner, square = self._clean.products(found, self._length)
            self._turned = inner, square.sqrt()

    def observed(self, losses: Sequence[Tensor]) -> Tensor | None:
        """Return an observation's numbers, on the device; None where a pass or its loss lacks."""
        if not losses or self._length is None or self._moved is None or self._turned is None:
            return None
        inner, perturbed = self._turned
        cosine, ratio = inner / (self._length * perturbed), perturbed / self._length
        return torch.stack([*self._moved, cosine, ratio, losses[-1] - losses[0]])


class NextPass(Exception):
    """A method asks for a gradient that the loop has not run yet, at the point (None for w)."""

    def __init__(self, point: list[Tensor] | None) -> None:
        self.point = point


@dataclass(kw_only=True, eq=False)
class GradientOracle:
    """Answers for one step: `gradient()` is the gradient at w, `gradient(at=e)` at w + e.

    Each call is one forward and backward pass over the same mini-batch. One at w + e points the
    parameters at the tensors of e, to which w has been added, and points them back afterwards,
    whatever happens in between: the weights are never written, so they are restored exactly and
    for free, and e's own memory is all that a perturbation costs.
    """

    parameters: list[Tensor]  # the trainable ones; a vector has one tensor for each
    modules: Modules
    closure: Closure | None = None  # None where the loop runs passes, by `pass_at` and `collect`
    workspace: list[Tensor] = field(default_factory=list)
    """Memory for w + e where e is kept, on the CPU: fresh pages cost more than filling them."""
    replay: bool = False  # draw the same random numbers (dropout, stochastic depth) in every pass
    observer: Observer | None = None
    scaler: GradScaler | None = None  # scaled the losses of the closure; gradients are unscaled
    loss_decay: float = 0.0  # lambda of the term lambda |w|^2 / 2 of the loss
    apart: bool = False  # each replica perturbs by its own mini-batch
    answers: list[Vector] = field(default_factory=list)  # copies of gradients, to start again with

    def __post_init__(self) -> None:
        self.received = [False] * len(self.parameters)
        self.seen: list[Tensor] = []
        self._random: RandomState | None = None
        self._passes = 0
        self._unscaled: list[SimpleNamespace] = []
        """What a scaler takes for optimizers, one a pass; it tells them apart by their address."""

    @property
    def losses(self) -> list[Tensor]:
        """Of the passes so far, their mean over replicas; a ConfigError where the loop has them."""
        if self.closure is None:
            raise ConfigError("passes() does not see losses, which this form needs: use a closure")
        if self.apart or not (distributed.is_available() and distributed.is_initialized()):
            return self.seen
        together = torch.stack(self.seen)
        distributed.all_reduce(together)
        return [*together / distributed.get_world_size()]

    @property
    def weights(self) -> Vector:
        """The weights w, not a copy and not to be changed."""
        return Vector(parameter.data for parameter in self.parameters)

    @property
    def roles(self) -> list[Role]:
        """What each tensor is for; known after the first pass."""
        return self.modules.roles(self.parameters)

    def __call__(
        self,
        at: Vector | None = None,
        *,
        by: Scalar = 1.0,
        times: Vector | None = None,
        keep: bool = False,
        samples: Callable[[SampleClosure], Tensor] = SampleClosure.__call__,
    ) -> Vector:
        """Run one pass at w, or at w + e with e = `by` x `times` x `at`; return its gradient.

        The memory of `at` becomes that of the perturbed weights, so it cannot be used afterwards,
        unless `keep` is set; `times` is a factor element by element. `samples` is how to run a
        `SampleClosure`; others run as they are, of which a warning tells.
        """
        if samples is not SampleClosure.__call__ and not isinstance(self.closure, SampleClosure):
            said = "all samples count alike: give `step` a SampleClosure, which tells them apart"
            warnings.warn(said, SambenchWarning, stacklevel=2)
        if self.answers:
            return self.answers.pop(0)
        point = None if at is None else self._point(at, by, times, keep)
        if self.closure is None:
            raise NextPass(point)
        with self.pass_at(point):
            self._run(self.closure, samples)
            return self.collect()

    @contextmanager
    def pass_at(self, point: list[Tensor] | None) -> Iterator[None]:
        """Have the parameters at a point for a pass; only the first leaves its trace.

        That is on buffers, and on gradients of what the modules have beside these parameters,
        which another optimizer trains at w.
        """
        first = self._passes == 0
        self._passes += 1
        if self.replay and first:
            self._random = RandomState({p.device for p in self.parameters})
        self.draw_again()
        for parameter in self.parameters:
            parameter.grad = None
        modules, others = self.modules, [] if first else self.modules.others(self.parameters)
        before = [(parameter, set_aside(parameter)) for parameter in (*self.parameters, *others)]
        with modules.watching(self.parameters) if first else modules.statistics_kept():
            weights = [parameter.data for parameter in self.parameters]
            try:
                self._move_to(point)
                yield
            finally:
                self._move_to(None if point is None else weights)
                for parameter, gradient in before:  # those of a pass that raised are dropped
                    parameter.grad = gradient

    def collect(self) -> Vector:
        """Take the gradients within a pass, unscaled, with the decay that is part of the loss."""
        if self._passes == 1:
            self.modules.check_replicas(self.parameters, apart=self.apart)
        found = [parameter.grad is not None for parameter in self.parameters]
        if not any(found):
            raise RuntimeError("no gradient: the closure must call backward() on the loss")
        if self.scaler is not None:
            self._unscaled.append(SimpleNamespace(param_groups=[{"params": self.parameters}]))
            self.scaler.unscale_(self._unscaled[-1])  # type: ignore[arg-type]
        gradients = Vector(map(take_gradient, self.parameters))
        self.received = [a or b for a, b in zip(self.received, found, strict=True)]
        if self.loss_decay:
            gradients.part(found).add_(self.weights.part(found), self.loss_decay)
        if self.observer:
            self.observer.gradient(gradients)
        return gradients

    def _point(self, at: Vector, by: Scalar, times: Vector | None, keep: bool) -> list[Tensor]:
        """Return w + e; where `at` is kept it is good until the next one is asked for."""
        weights = self.weights
        if times is not None:
            moved = weights.plus_product(at, times, by)
            if self.observer:
                self.observer.perturbation(moved - weights)
            return moved.release()
        if self.observer:
            self.observer.perturbation(at, by)
        if not keep:
            return at.times_plus_(by, weights).release()
        factors = factors_on_cpu(by, weights.tensors)
        if factors is None:
            return (at * by).add_(weights).release()
        if list(map(layout, self.workspace)) != list(map(layout, weights.tensors)):
            self.workspace[:] = [torch.empty_like(tensor) for tensor in weights.tensors]
        add_into(weights.tensors, at.tensors, factors, self.workspace)
        return self.workspace

    def _move_to(self, point: list[Tensor] | None) -> None:
        # Autocast keeps low-precision copies by parameter and would notice neither a change of
        # place nor the step before; nor would a graph that was recorded at another point.
        torch.clear_autocast_cache()
        if point is not None:
            for parameter, tensor in zip(self.parameters, point, strict=True):
                parameter.data = tensor
            increment_version(self.parameters)

    def draw_again(self) -> None:
        """Have random numbers that are replayed begin anew, for another look within a pass."""
        if self._random is not None:
            self._random.restore()

    def _run(self, closure: Closure, samples: Callable[[SampleClosure], Tensor]) -> None:
        try:
            with torch.enable_grad():
                loss = samples(closure) if isinstance(closure, SampleClosure) else closure()
        except RuntimeError as error:
            again = self._passes > 1 and "through the graph a second time" in str(error)
            if not again and "modified by an inplace operation" not in str(error):
                raise
            raise ConfigError(
                "the closure runs backward through a forward pass from before, at other weights; "
                "run the whole forward pass inside the closure"
            ) from error
        if not isinstance(loss, Tensor):
            raise TypeError(f"the closure must return the loss as a tensor, not {loss!r}")
        self.seen.append(loss.detach().clone())


def take_gradient(parameter: Tensor) -> Tensor:
    """Take a parameter's gradient away from it, dense, zeros where none is."""
    gradient = set_aside(parameter)
    if gradient is None:
        return torch.zeros_like(parameter)
    return gradient.to_dense() if gradient.is_sparse else gradient


def set_aside(parameter: Tensor) -> Tensor | None:
    """Take a parameter's gradient away from it as it is, if it has one.

    It is a copy where somebody else holds it, who may fill it again in the next pass: the buckets
    of DistributedDataParallel, or a closure with buffers of its own.
    """
    if parameter.grad is None:
        return None
    gradient = parameter.grad.data
    parameter.grad = None
    alone = gradient.is_sparse or (
        storage_users(gradient) <= _USERS_ALONE and 0 not in gradient.stride()
    )
    return gradient if alone else gradient.clone()


def storage_users(tensor: Tensor) -> int:
    """Count who holds a tensor's memory, this call included."""
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


_USERS_ALONE = storage_users(torch.empty(1))
