"""The torch optimizer behind every method: a gradient oracle in front, a base optimizer behind."""

from __future__ import annotations

import functools
import inspect
import operator
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import ParamsT

from sambench.errors import ConfigError, SambenchWarning
from sambench.optim.base import BASES, find_base
from sambench.optim.method import Method, OptimizerInfo, optimizers
from sambench.optim.modules import ModulesSeen
from sambench.optim.observation import Observation
from sambench.optim.oracle import Closure, GradientOracle
from sambench.optim.proposal import Proposal
from sambench.optim.vector import Vector
from sambench.optim.workspace import Workspace

HALF = (torch.bfloat16, torch.float16)


class SharpnessAware(torch.optim.Optimizer):
    """A sharpness-aware optimizer: `w <- base(w, direction(gradient oracle))`.

    A perturbed pass points the parameters at other memory and back; DistributedDataParallel does
    not mind, but whoever holds the weights' own memory (FSDP shards, captured CUDA graphs) would
    see the unperturbed weights and is not supported.

    Groups, state and `state_dict` are the base optimizer's own, with the method's hyperparameters
    beside its: learning-rate schedulers, checkpoints and per-group settings work as in torch.

    Args:
        params: Parameters, named parameters or groups, as in torch.optim.
        base: A torch optimizer class, or the name of one.
        max_norm: Clip the direction to this L2 norm, once, before the base optimizer sees it;
            with what a method applies beside the base optimizer counted in.
        replay_randomness: Use the same dropout masks in every pass of a step.
        skip_nonfinite: Leave weights and moments as they are when the direction is not finite.
            Costs one wait for the device per step.
        per_replica: The model under DistributedDataParallel, where each replica shall perturb by
            its own mini-batch (m-sharpness, the authors' SAM); without it DDP averages the gradient
            of every pass and all replicas perturb alike.
        loss_decay: Weight decay as part of the loss, lambda |w|^2 / 2, as in the authors' SAM: it
            then shapes the perturbation and is taken at the perturbed weights. The base optimizer's
            own `weight_decay` does neither.
        settings: Hyperparameters: the method's (rho, ...) and the base optimizer's (lr, ...).

    Raises:
        ConfigError: If a hyperparameter of the method is out of range.
    """

    info: ClassVar[OptimizerInfo]
    observing: bool
    """Set it before a step to have its `observation` afterwards."""
    observed: Tensor | None
    """The numbers of `observation`, on the device."""

    def __init__(
        self,
        params: ParamsT,
        base: type[torch.optim.Optimizer] | str = "adam",
        *,
        max_norm: float | None = None,
        replay_randomness: bool = False,
        skip_nonfinite: bool = False,
        per_replica: DistributedDataParallel | None = None,
        loss_decay: float = 0.0,
        **settings: Any,
    ) -> None:
        own = self.info.own(settings)
        base_class = find_base(base).load() if isinstance(base, str) else base
        if inspect.signature(base_class.step).parameters["closure"].default is not None:
            raise ConfigError(
                f"base optimizer {base_class.__name__} needs a closure itself; choose another"
            )
        super().__init__(_checked_groups(params, self.info), own)
        for_base = {name: value for name, value in settings.items() if name not in own}
        self.base = base_class(self.param_groups, **for_base)
        self.defaults = {**self.base.defaults, **own}
        self._share()
        self.max_norm = max_norm
        self.replay_randomness = replay_randomness
        self.skip_nonfinite = skip_nonfinite
        self.per_replica = per_replica
        self.loss_decay = loss_decay
        self.method = self.info.method(self)
        self._modules = ModulesSeen()
        self._workspace = Workspace()
        self._aligned = self.trainable
        if any(parameter.dtype in HALF for parameter in self._aligned):
            warnings.warn(
                "16-bit weights swallow most of a perturbation in rounding; keep float32 weights "
                "and use autocast",
                SambenchWarning,
                stacklevel=2,
            )
        self.observing = False
        self.observed: Tensor | None = None

    def step(  # type: ignore[override]
        self, closure: Closure | Sequence[Closure], *, scaler: GradScaler | None = None
    ) -> Tensor:
        """Take one step.

        Args:
            closure: Runs forward and backward on one mini-batch and returns the loss. It is called
                once for each pass, under its own gradients; it need not clear them. To accumulate
                over micro-batches either let it run them all (one perturbation for all), or give a
                closure for each (a perturbation for each: m-sharpness); their losses, divided by
                their number, then add up as in torch.
            scaler: Of a float16 run; the closure calls `scaler.scale(loss).backward()`. Gradients
                are unscaled, a step that is not finite is skipped, and the scale is updated.

        Returns:
            The loss of the clean pass, at the weights before the step; of several closures the sum.
        """
        closures = [closure] if callable(closure) else list(closure)
        cautious = self.skip_nonfinite or scaler is not None
        self._align_memory()
        before = self._remembered(copy=True) if cautious or len(closures) > 1 else None
        apart = nullcontext() if self.per_replica is None else self.per_replica.no_sync()
        proposals = []
        with torch.no_grad(), apart:
            for number, each in enumerate(closures):
                if number > 0:
                    self._remember(before)  # several closures are one step
                proposals.append(self._propose(each, scaler))
            proposal = functools.reduce(Proposal.merge, proposals)
        self.method.memory = proposal.memory
        with torch.no_grad():
            if self.per_replica is not None:
                proposal.average_(self.per_replica)
            if cautious and not torch.isfinite(proposal.direction.norm()):
                self._remember(before)
            else:
                self._descend(proposal)
        if scaler is not None:
            scaler.update()
        return proposal.loss

    def _propose(self, closure: Closure, scaler: GradScaler | None) -> Proposal:
        """Let the method ask for its gradients of one mini-batch."""
        gradient = GradientOracle(
            self.trainable,
            closure,
            self._modules,
            self._workspace,
            replay=self.replay_randomness,
            observe=self.observing,
            scaler=scaler,
            loss_decay=self.loss_decay,
        )
        direction = self.method.direction(gradient)
        if self.observing:
            self.observed = gradient.observed
        beside, self.method.beside = self.method.beside, None
        loss, memory = gradient.losses[0], self.method.memory
        return Proposal(direction, beside, loss, memory, gradient.received, [gradient])

    @property
    def trainable(self) -> list[Tensor]:
        """The parameters that require a gradient, in the order of the groups."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    @property
    def weights(self) -> Vector:
        """The trainable weights, not a copy."""
        return Vector(parameter.data for parameter in self.trainable)

    @property
    def observation(self) -> Observation | None:
        """What the last observed step learned of its perturbation; waits for the device."""
        return None if self.observed is None else Observation.of(self.observed)

    def momentum(self) -> Vector | None:
        """Return the base optimizer's momentum, live: `momentum_buffer` or `exp_avg`."""
        found = []
        for parameter in self.trainable:
            state = self.state.get(parameter, {})
            buffer = state.get("momentum_buffer", state.get("exp_avg"))
            found.append(torch.zeros_like(parameter) if buffer is None else buffer)
        return Vector(found) if self.state else None

    def state_dict(self) -> dict[str, Any]:
        """Return the base optimizer's state, the groups, and what the method remembers."""
        return {**self.base.state_dict(), "method": self._remembered()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.base.load_state_dict({k: state_dict[k] for k in ("state", "param_groups")})
        self._share()
        self._remember(state_dict.get("method"))

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle all of it, not the three parts that torch's optimizers keep."""
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; hyperparameters it does not name get the defaults."""
        if not hasattr(self, "base"):
            super().add_param_group(param_group)
            return
        own = {name: self.defaults[name] for name in self.info.hyperparameters}
        self.base.add_param_group({**own, **param_group})

    def _descend(self, proposal: Proposal) -> None:
        direction = proposal.direction
        if self.max_norm is not None:
            proposal.clip_(self.max_norm)
        for parameter, gradient, seen in zip(
            self.trainable, direction.tensors, proposal.received, strict=True
        ):
            parameter.grad = gradient if seen else None
        self.base.step()
        if proposal.beside is not None:
            beside = proposal.beside
            self.weights.add_(beside.vector, -self.method.lr * beside.factor)

    def _align_memory(self) -> None:
        """Fit what the method remembers to the trainable parameters, if those have changed."""
        trainable, before = self.trainable, self._aligned
        if len(trainable) == len(before) and all(map(operator.is_, trainable, before)):
            return
        places = {id(parameter): place for place, parameter in enumerate(before)}
        for name, vector in self.method.memory.items():
            self.method.memory[name] = Vector(
                vector.tensors[places[id(p)]] if id(p) in places else torch.zeros_like(p)
                for p in trainable
            )
        self._aligned = trainable

    def _remembered(self, *, copy: bool = False) -> dict[str, Any]:
        """Return what the method keeps from step to step."""
        memory = {
            name: (vector.clone() if copy else vector).tensors
            for name, vector in self.method.memory.items()
        }
        return {"memory": memory, "counters": dict(self.method.counters)}

    def _remember(self, remembered: Mapping[str, Any] | None) -> None:
        """Give the method back what `_remembered` returned."""
        kept = remembered or {"memory": {}, "counters": {}}
        self.method.counters = dict(kept["counters"])
        self.method.memory = {
            name: Vector(
                tensor.to(parameter.device, parameter.dtype, copy=True)
                for tensor, parameter in zip(tensors, self.trainable, strict=True)
            )
            for name, tensors in kept["memory"].items()
        }

    def _share(self) -> None:
        """Make groups and state the base optimizer's own objects, not copies of them."""
        self.param_groups = self.base.param_groups
        self.state = self.base.state


def _checked_groups(params: ParamsT, info: OptimizerInfo) -> ParamsT:
    """Check the hyperparameters that groups bring themselves."""
    entries = list(cast(Iterable[Any], params))
    for entry in entries:
        if isinstance(entry, dict):
            own = {name: entry[name] for name in info.hyperparameters if name in entry}
            entry.update({name: info.own(own)[name] for name in own})
    return cast(ParamsT, entries)


@functools.cache
def optimizer_class(info: OptimizerInfo) -> type[SharpnessAware]:
    """Return the torch optimizer class of a method."""
    method: type[Method] = info.method
    attributes = {"info": info, "__doc__": method.__doc__, "__module__": "sambench.optim"}
    return type(method.__name__, (SharpnessAware,), attributes)


def build(
    name: str,
    params: ParamsT,
    base: str | type[torch.optim.Optimizer] | None = None,
    **settings: Any,
) -> SharpnessAware:
    """Build an optimizer by its registry name.

    Args:
        name: As in `sambench list optimizers`.
        params: Parameters, named parameters or groups, as in torch.optim.
        base: The base optimizer; Adam unless told otherwise or the method is one itself.
        settings: The method's hyperparameters, the base optimizer's, and `SharpnessAware`'s own.

    Raises:
        UnknownNameError: If there is no such method or base.
        ConfigError: If a hyperparameter of the method is out of range.
    """
    info = optimizers.get(name)
    chosen = base or info.base or "adam"
    if isinstance(chosen, str) and chosen in BASES and BASES[chosen].fused:
        settings.setdefault("fused", True)
    return optimizer_class(info)(params, chosen, **settings)
