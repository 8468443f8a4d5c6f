"""The gradient oracle: one forward and backward pass at w + e, and everything that may go wrong."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.amp import GradScaler

from sambench.optim.modules import Modules, Role
from sambench.optim.observation import Observer
from sambench.optim.samples import SampleClosure
from sambench.optim.vector import Scalar, Vector, add_into, factors_on_cpu

Closure = Callable[[], Tensor]


class RandomState:
    """The state of torch's generators, so that dropout masks can be drawn again."""

    def __init__(self, devices: set[torch.device]) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = {d: torch.cuda.get_rng_state(d) for d in devices if d.type == "cuda"}

    def restore(self) -> None:
        """Set the generators to the state at construction."""
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)


class Workspace:
    """Memory for perturbed weights, for methods that use a vector after the pass at it.

    It is kept from step to step: on the CPU memory of the size of the weights, asked of the system
    anew in every step, costs several times what filling it does, since its pages are mapped at
    first touch. On a GPU torch keeps freed memory itself.
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []

    def point(self, weights: list[Tensor], direction: Vector, by: Scalar) -> list[Tensor]:
        """Return w + by v, good until the next point is asked for; on the CPU in one sweep."""
        factors = factors_on_cpu(by, weights)
        if factors is None:
            return (direction * by).add_(Vector(weights)).release()
        if list(map(_layout, self._tensors)) != list(map(_layout, weights)):
            self._tensors = [torch.empty_like(tensor) for tensor in weights]
        add_into(weights, direction.tensors, factors, self._tensors)
        return self._tensors


@dataclass(kw_only=True)
class Conditions:
    """What holds for every pass of a step.

    Attributes:
        modules: Learns in the first pass which modules there are, unless it was told.
        workspace: Holds the copies that methods ask for.
        replay: Draw the same random numbers (dropout, stochastic depth) in every pass.
        observe: Measure the perturbation and what it does to the gradient.
        scaler: Scaled the losses of the closure; gradients are unscaled.
        loss_decay: lambda of the term lambda |w|^2 / 2 that the gradients are to have too.
    """

    modules: Modules
    workspace: Workspace = field(default_factory=Workspace)
    replay: bool = False
    observe: bool = False
    scaler: GradScaler | None = None
    loss_decay: float = 0.0


class GradientOracle:
    """Answers for one step: `gradient()` is the gradient at w, `gradient(at=e)` at w + e.

    A pass at w + e points the parameters at the tensors of e, to which w has been added, and points
    them back afterwards, whatever happens in between: the weights are never written, so they are
    restored exactly and for free, and e's own memory is all that a perturbation costs. A pass at a
    vector that is kept takes the memory of the workspace.

    Args:
        parameters: The trainable parameters; a vector has one tensor for each.
        closure: Runs forward and backward on the mini-batch and returns the loss; None where the
            passes are run with `pass_at` and `collect`.
        conditions: Of all passes.
    """

    def __init__(
        self, parameters: list[Tensor], closure: Closure | None, conditions: Conditions
    ) -> None:
        self._parameters = parameters
        self._closure = closure
        self._conditions = conditions
        self._observer = Observer() if conditions.observe else None
        self._unscaled: list[_Unscalable] = []
        self._random: RandomState | None = None
        self._passes = 0
        self.losses: list[Tensor] = []
        self.received = [False] * len(parameters)

    @property
    def weights(self) -> Vector:
        """The weights w, not a copy: for methods whose perturbation depends on them."""
        return Vector(parameter.data for parameter in self._parameters)

    @property
    def roles(self) -> list[Role]:
        """What each tensor is for; known after the first pass."""
        return self._conditions.modules.roles(self._parameters)

    @property
    def observed(self) -> Tensor | None:
        """The step's observation, if it was asked for and the method perturbs; on the device."""
        return self._observer.observed(self.losses) if self._observer else None

    def __call__(
        self,
        at: Vector | None = None,
        *,
        by: Scalar = 1.0,
        times: Vector | None = None,
        keep: bool = False,
        hardest: float = 1.0,
    ) -> Vector:
        """Run one pass at w, or at w + e with e = `by` x `times` x `at`; return its gradient.

        Args:
            at: Direction of the perturbation. Its memory becomes that of the perturbed weights, so
                it cannot be used afterwards, unless `keep` is set.
            by: A factor.
            times: Another factor, element by element.
            keep: Leave `at` as it is.
            hardest: Share of the samples to run, those whose loss has risen most since the first
                pass; all of them where the closure cannot tell its samples apart.
        """
        with self.pass_at(at, by=by, times=times, keep=keep):
            self._run(hardest)
            return self.collect()

    @contextmanager
    def pass_at(
        self,
        at: Vector | None = None,
        *,
        by: Scalar = 1.0,
        times: Vector | None = None,
        keep: bool = False,
    ) -> Iterator[None]:
        """Have the parameters at w + e, for a pass that leaves no trace on buffers but the first.

        The random numbers are those of the first pass, if that is wished.
        """
        point = None if at is None else self._point(at, by, times, keep)
        first, conditions = self._passes == 0, self._conditions
        self._passes += 1
        if conditions.replay and first:
            self._random = RandomState({p.device for p in self._parameters})
        self._draw_again()
        for parameter in self._parameters:
            parameter.grad = None
        modules = conditions.modules
        buffers = modules.watching(self._parameters) if first else modules.statistics_kept()
        with buffers, nullcontext() if point is None else self._moved(point):
            yield

    def collect(self) -> Vector:
        """Take the gradients within a pass, unscaled, with the decay that is part of the loss.

        A parameter that the loss does not depend on counts as zero.
        """
        conditions = self._conditions
        if all(parameter.grad is None for parameter in self._parameters):
            raise RuntimeError("no gradient: the closure must call backward() on the loss")
        if conditions.scaler is not None:
            self._unscaled.append(_Unscalable(self._parameters))
            conditions.scaler.unscale_(self._unscaled[-1])  # type: ignore[arg-type]
        found = [parameter.grad is not None for parameter in self._parameters]
        gradients = Vector(
            take_gradient(p) if p.grad is not None else torch.zeros_like(p)
            for p in self._parameters
        )
        self.received = [a or b for a, b in zip(self.received, found, strict=True)]
        if conditions.loss_decay:
            gradients.part(found).add_(self.weights.part(found), conditions.loss_decay)
        if self._observer:
            self._observer.gradient(gradients)
        return gradients

    def _point(self, at: Vector, by: Scalar, times: Vector | None, keep: bool) -> list[Tensor]:
        """Return the weights of the pass."""
        weights = self.weights
        if times is not None:
            point = weights.plus_product(at, times, by)
            if self._observer:
                self._observer.perturbation(point - weights)
            return point.release()
        if self._observer:
            self._observer.perturbation(at, by)
        if keep:
            return self._conditions.workspace.point(weights.tensors, at, by)
        return at.times_plus_(by, weights).release()

    @contextmanager
    def _moved(self, point: list[Tensor]) -> Iterator[None]:
        weights = [parameter.data for parameter in self._parameters]
        try:
            self._point_to(point)
            yield
        finally:
            self._point_to(weights)

    def _point_to(self, tensors: list[Tensor]) -> None:
        for parameter, tensor in zip(self._parameters, tensors, strict=True):
            parameter.data = tensor
        # Autocast keeps low-precision copies by parameter and would not notice the change.
        torch.clear_autocast_cache()

    def _draw_again(self) -> None:
        if self._random is not None:
            self._random.restore()

    def _run(self, hardest: float) -> None:
        assert self._closure is not None
        with torch.enable_grad():
            if hardest < 1.0 and isinstance(self._closure, SampleClosure):
                loss = self._closure.hardest(hardest, self._draw_again)
            else:
                loss = self._closure()
        if not isinstance(loss, Tensor):
            raise TypeError(f"the closure must return the loss as a tensor, not {loss!r}")
        self.losses.append(loss.detach().clone())


def take_gradient(parameter: Tensor) -> Tensor:
    """Take a parameter's gradient away from it, as memory that nobody else writes to.

    Whoever else holds it may fill it again in the next pass: DistributedDataParallel does where
    gradients are views of its buckets, and so does a closure with buffers of its own. Then this is
    a copy. A gradient that autograd made for the parameter alone is taken as it is.
    """
    assert parameter.grad is not None
    if parameter.grad.is_sparse:
        gradient = parameter.grad.to_dense()
        parameter.grad = None
        return gradient
    gradient, object_held = parameter.grad.data, weakref.ref(parameter.grad)
    parameter.grad = None
    shared = object_held() is not None or storage_users(gradient) > _USERS_ALONE
    return gradient.clone() if shared else gradient


def storage_users(tensor: Tensor) -> int:
    """Count who holds a tensor's memory, this call included."""
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


_USERS_ALONE = storage_users(torch.empty(1))


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


class _Unscalable:
    """What a scaler takes for an optimizer: each pass is one of its own, unscaled once.

    They are kept until the step ends, since the scaler tells them apart by their address.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.param_groups = [{"params": parameters}]
