"""An optimizer around another one: shared groups and state, saved with what a method remembers."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from sambench.errors import ConfigError
from sambench.optim import accepted
from sambench.optim.method import Method, OptimizerInfo
from sambench.optim.modules import Modules, Role
from sambench.optim.oracle import GradientOracle
from sambench.optim.vector import Vector

PREFIX = "method."  # of a method's vectors in the state of a parameter, beside the base's tensors


class Remembered:
    """A method's memory and counters at one moment: copies of its vectors, or they themselves."""

    def __init__(self, method: Method, *, copied: bool = True) -> None:
        self._copied = copied
        self.memory = {k: v.clone() if copied else v for k, v in method.memory.items()}
        self.counters = dict(method.counters)

    def restore(self, method: Method) -> None:
        """Give it back to the method; the copy stays as it is."""
        method.memory = {k: v.clone() if self._copied else v for k, v in self.memory.items()}
        method.counters = dict(self.counters)


def _of_the_base(name: str) -> Any:
    """Return an attribute that is the base optimizer's own, also where it is set anew."""

    def holder(optimizer: AroundBase) -> dict[str, Any]:
        owner: object = vars(optimizer).get("base", optimizer)  # torch's __init__ comes before it
        return vars(owner)

    def get(optimizer: AroundBase) -> Any:
        if name not in holder(optimizer):  # of a wrapper, as Lightning's, which looks in its own
            raise AttributeError(name)
        return holder(optimizer)[name]

    def set_(optimizer: AroundBase, value: Any) -> None:
        holder(optimizer)[name] = value

    return property(get, set_)


class AroundBase(torch.optim.Optimizer):
    """Groups, state and `state_dict` of a base optimizer, with the method's beside them.

    A method's vectors are saved in the state of each parameter and its counters in the first group,
    where `torch.distributed.checkpoint` takes them along.
    """

    info: ClassVar[OptimizerInfo]
    base: torch.optim.Optimizer
    param_groups: list[dict[str, Any]] = _of_the_base("param_groups")
    state: Any = _of_the_base("state")
    method: Method
    _aligned: list[Tensor]  # the trainable parameters that the method's memory belongs to
    _blank: Remembered | None  # what it would remember, where that was asked for before a step

    @property
    def trainable(self) -> list[Tensor]:
        """The parameters that require a gradient, in the order of the groups."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    def momentum(self) -> Vector | None:
        """Return the base optimizer's momentum, live; a ConfigError if it keeps none."""
        if not self.state:
            return None
        states = [(parameter, self.state.get(parameter, {})) for parameter in self.trainable]
        names = {name for _, state in states for name in state}
        if names and not names & {"momentum_buffer", "exp_avg"}:
            said = f"{self.info.name} needs a base optimizer with momentum; take another, as adam: "
            raise ConfigError(f"{said}{type(self.base).__name__} keeps no mean of gradients")
        buffers = [(p, state.get("momentum_buffer", state.get("exp_avg"))) for p, state in states]
        return Vector(torch.zeros_like(p) if found is None else found for p, found in buffers)

    def state_dict(self) -> dict[str, Any]:
        """Return the base optimizer's state, the groups, and what the method remembers."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        self._align()
        saved = self.base.state_dict()
        places = self._places()
        kept = self._blank or self.method
        entries = {place: dict(entry) for place, entry in saved["state"].items()}
        for key, vector in kept.memory.items():
            for place, tensor in zip(places, vector.tensors, strict=True):
                entries.setdefault(place, {})[PREFIX + key] = tensor
        groups = [dict(group) for group in saved["param_groups"]]
        name = None if self._blank else self.info.name
        groups[0]["method"] = {"name": name, "counters": dict(kept.counters)}
        saved = {**saved, "state": entries, "param_groups": groups}
        return self._hooked(self._optimizer_state_dict_post_hooks, saved)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        From another method or a plain base optimizer, groups keep the hyperparameters that the
        state does not name, and the method starts without memory.
        """
        given = self._hooked(self._optimizer_load_state_dict_pre_hooks, dict(state_dict))
        memory, entries = dict[str, dict[int, Tensor]](), {}
        groups = [dict(group) for group in given["param_groups"]]
        names = [name for group in groups for name in group["params"]]  # numbers, by torch
        for name, entry in given["state"].items():
            for key in [key for key in entry if key.startswith(PREFIX)]:
                memory.setdefault(key.removeprefix(PREFIX), {})[names.index(name)] = entry[key]
            if rest := {k: v for k, v in entry.items() if not k.startswith(PREFIX)}:
                entries[name] = rest
        told = groups[0].pop("method", None)
        for group, now in zip(groups, self.param_groups, strict=False):
            group.update({k: now[k] for k in self.info.hyperparameters if k not in group})
        self.base.load_state_dict({"state": entries, "param_groups": groups})
        if told is None or told["name"] != self.info.name:
            memory, told = {}, {"counters": {}}
        self.method.counters = dict(told["counters"])
        self.method.memory = {k: self._vector(tensors) for k, tensors in memory.items()}
        self._aligned, self._blank = self.trainable, None
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; hyperparameters it does not name get the defaults."""
        if not hasattr(self, "base"):
            super().add_param_group(param_group)
            return
        accepted.check_groups([param_group], self.info)
        own = {name: self.defaults[name] for name in self.info.hyperparameters}
        self.base.add_param_group({**own, **param_group})
        accepted.check_parameters(self.trainable, self.param_groups)

    def __repr__(self) -> str:
        return super().__repr__().replace(" (", f" on {type(self.base).__name__} (", 1)

    def _hooked(self, hooks: Mapping[int, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return a state as hooks leave it, each of which may give another one."""
        for hook in hooks.values():
            changed = hook(self, given)
            given = given if changed is None else changed
        return given

    def _places(self) -> list[int]:
        """Return which of all parameters the trainable ones are."""
        everything = (p for group in self.param_groups for p in group["params"])
        return [place for place, p in enumerate(everything) if p.requires_grad]

    def _vector(self, saved: Mapping[int, Tensor]) -> Vector:
        """Return saved tensors, by place, as a vector of the trainable parameters' kind."""
        pairs = zip(map(saved.get, self._places()), self.trainable, strict=True)
        return Vector(
            torch.zeros_like(p) if tensor is None else tensor.to(p.device, p.dtype, copy=True)
            for tensor, p in pairs
        )

    def _align(self) -> None:
        """Fit the memory to the trainable parameters, if those have changed; new ones are zero."""
        trainable, before = self.trainable, self._aligned
        if len(trainable) == len(before) and all(map(operator.is_, trainable, before)):
            return
        for name, vector in self.method.memory.items():
            kept = dict(zip(map(id, before), vector.tensors, strict=True))
            self.method.memory[name] = Vector(
                kept[id(p)] if id(p) in kept else torch.zeros_like(p) for p in trainable
            )
        self._aligned = trainable

    def _step_base(self) -> None:
        """Step the base optimizer; where some momenta only begin, not fused: torch cannot."""
        late = []
        for group in self.param_groups:
            if group.get("fused") and group.get("momentum"):
                states = [self.state.get(p, {}) for p in group["params"] if p.grad is not None]
                if len({state.get("momentum_buffer") is None for state in states}) > 1:
                    late.append(group)
                    group["fused"] = False
        self.base.step()
        for group in late:
            group["fused"] = True

    def _is_initialization(self) -> bool:
        """Whether `torch.distributed.checkpoint` asks for empty state: no rate, zero gradients."""
        rates = [float(group["lr"]) for group in self.param_groups]
        zeros = (p.grad is not None and not p.grad.any() for p in self.trainable)
        return not self.state and not any(rates) and all(zeros)

    def _initialize(self) -> None:
        """Make the state that a first step would make, of zeros."""
        before = Remembered(self.method)
        with torch.no_grad():
            self.method.direction(NoOracle(parameters=self.trainable, modules=Modules()))
        self._blank, self.method.beside = Remembered(self.method), None
        before.restore(self.method)
        self.base.step()


class NoOracle(GradientOracle):
    """Answers every pass with zeros: to learn which vectors a method keeps."""

    roles = property(lambda self: [Role(weight=True, normalization=True)] * len(self.parameters))
    losses = property(lambda self: [torch.zeros(())] * 3)

    def __call__(self, at: Vector | None = None, **request: Any) -> Vector:
        """Return zeros."""
        return Vector(torch.zeros_like(tensor) for tensor in self.weights.tensors)
