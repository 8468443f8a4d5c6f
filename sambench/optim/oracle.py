"""The gradient oracle: one forward and backward pass at w + e, and everything that may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.amp import GradScaler

from sambench.optim.modules import ModulesSeen, Role
from sambench.optim.observation import Observer
from sambench.optim.samples import SampleClosure
from sambench.optim.vector import Scalar, Vector
from sambench.optim.workspace import Workspace

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


class GradientOracle:
    """Answers for one step: `gradient()` is the gradient at w, `gradient(at=e)` at w + e.

    A pass at w + e points the parameters at the tensors of e, to which w has been added, and points
    them back afterwards, whatever happens in between: the weights are never written, so they are
    restored exactly and for free, and e's own memory is all that a perturbation costs. A pass along
    a vector that is needed afterwards takes the memory of the workspace.

    Args:
        parameters: The trainable parameters; a vector has one tensor for each.
        closure: Runs forward and backward on the mini-batch and returns the loss.
        modules: Learns in the first pass which modules there are.
        workspace: Holds the copies that methods ask for.
        replay: Draw the same random numbers (dropout, stochastic depth) in every pass.
        observe: Measure the perturbation and what it does to the gradient.
        scaler: Scaled the losses of the closure; gradients are unscaled.
        loss_decay: lambda of the term lambda |w|^2 / 2 that the gradients are to have too.
    """

    def __init__(
        self,
        parameters: list[Tensor],
        closure: Closure,
        modules: ModulesSeen,
        workspace: Workspace,
        *,
        replay: bool = False,
        observe: bool = False,
        scaler: GradScaler | None = None,
        loss_decay: float = 0.0,
    ) -> None:
        self._parameters = parameters
        self._closure = closure
        self._modules = modules
        self._workspace = workspace
        self._replay = replay
        self._observer = Observer() if observe else None
        self._scaler = scaler
        self._loss_decay = loss_decay
        self._unscaled: list[_Unscalable] = []
        self._random: RandomState | None = None
        self.losses: list[Tensor] = []
        self.received = [False] * len(parameters)

    @property
    def weights(self) -> Vector:
        """The weights w, not a copy: for methods whose perturbation depends on them."""
        return Vector(parameter.data for parameter in self._parameters)

    @property
    def roles(self) -> list[Role]:
        """What each tensor is for; known after the first pass."""
        return self._modules.roles(self._parameters)

    @property
    def observed(self) -> Tensor | None:
        """The step's observation, if it was asked for and the method perturbs; on the device."""
        return self._observer.observed(self.losses) if self._observer else None

    def __call__(
        self,
        at: Vector | None = None,
        *,
        along: Vector | None = None,
        by: Scalar = 1.0,
        to: Vector | None = None,
        hardest: float = 1.0,
    ) -> Vector:
        """Run one pass at w, at w + `by` times `at` or `along`, or at `to`; return its gradient.

        `at` and `to` are consumed, `along` is left as it is.
        `hardest` is the share of samples to run, those whose loss has risen most since the first
        pass; all of them where the closure cannot tell its samples apart.
        """
        with self._context(self._point(at, along, by, to)):
            self._run(hardest)
        gradient = self._collect()
        if self._observer:
            self._observer.gradient(gradient)
        return gradient

    def _point(
        self, at: Vector | None, along: Vector | None, by: Scalar, to: Vector | None
    ) -> list[Tensor] | None:
        """Return the weights of the pass; None for those that are."""
        weights = self.weights
        if self._observer:
            if (direction := at or along) is not None:
                self._observer.perturbation(direction, by)
            elif to is not None:
                self._observer.perturbation(to - weights)
        if at is not None:
            return at.times_plus_(by, weights).release()
        if along is not None:
            return self._workspace.point(weights.tensors, along, by)
        return None if to is None else to.release()

    @contextmanager
    def _context(self, point: list[Tensor] | None) -> Iterator[None]:
        """Set the scene for a pass: clean first pass, or without trace on the model's buffers."""
        first = not self.losses
        if self._replay and first:
            self._random = RandomState({p.device for p in self._parameters})
        self._draw_again()
        buffers = self._modules.watching() if first else self._modules.statistics_kept()
        with buffers, nullcontext() if point is None else self._moved(point):
            yield

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
        for parameter in self._parameters:
            parameter.grad = None
        with torch.enable_grad():
            if hardest < 1.0 and isinstance(self._closure, SampleClosure):
                loss = self._closure.hardest(hardest, self._draw_again)
            else:
                loss = self._closure()
        if not isinstance(loss, Tensor):
            raise TypeError(f"the closure must return the loss as a tensor, not {loss!r}")
        if all(parameter.grad is None for parameter in self._parameters):
            raise RuntimeError("no gradient: the closure must call backward() on the loss")
        self.losses.append(loss.detach().clone())
        if self._scaler is not None:
            self._unscaled.append(_Unscalable(self._parameters))
            self._scaler.unscale_(self._unscaled[-1])  # type: ignore[arg-type]
        if self._loss_decay:
            decayed = [p for p in self._parameters if p.grad is not None]
            gradients = [p.grad for p in decayed if p.grad is not None]
            torch._foreach_add_(gradients, [p.data for p in decayed], alpha=self._loss_decay)

    def _collect(self) -> Vector:
        """Take the gradients; a parameter that the loss does not depend on counts as zero."""
        gradients = []
        for index, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            if gradient is None:
                gradient = torch.zeros_like(parameter)
            else:
                self.received[index] = True
                parameter.grad = None
                if gradient.is_sparse:
                    gradient = gradient.to_dense()
            gradients.append(gradient)
        return Vector(gradients)


class _Unscalable:
    """What a scaler takes for an optimizer: each pass is one of its own, unscaled once.

    They are kept until the step ends, since the scaler tells them apart by their address.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.param_groups = [{"params": parameters}]
