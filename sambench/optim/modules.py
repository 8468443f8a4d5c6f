"""The modules of a step: whose running statistics to keep, and what each tensor is for."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parallel import DistributedDataParallel

from sambench.errors import ConfigError, SambenchWarning

NORMALIZATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

SHARDED = (
    "{} shards the parameters, so norms over all of them are not known here: "
    "use DistributedDataParallel"
)


class Role(NamedTuple):
    """What a parameter is for. A weight multiplies: biases, tokens and position tables are none."""

    weight: bool
    normalization: bool


class Modules:
    """The modules whose parameters an optimizer trains, and all modules inside them.

    Where no models are given, the first pass of each step is watched with a hook on all modules
    that run in this thread. It does not see modules inside of compiled functions and scripts, nor
    the parameters of a model that is not called as a whole. Where some are given, the second step
    alone is watched, for modules that run beside them; not where something was compiled in the
    first, which the hook would have compiled again.
    """

    def __init__(self, given: Iterable[nn.Module] = ()) -> None:
        self.given = tuple(given)
        self._beside: tuple[nn.Module, ...] = ()
        self._steps = 0
        self._modules: dict[nn.Module, None] = {}
        self._spares: dict[int, tuple[Tensor, Tensor]] = {}
        self._unseen = 0
        self._warned = False

    @contextmanager
    def watching(self, parameters: Sequence[Tensor]) -> Iterator[None]:
        """Learn the modules that take part in a step, in its first pass.

        What is inside of one that runs counts although it did not run, since a layer that is
        skipped at random may run in a later pass of the same step.
        """
        known = (*self.given, *self._beside)
        self._modules = dict.fromkeys(m for model in known for m in model.modules())
        self._steps += 1
        dynamo = sys.modules.get("torch._dynamo.utils")
        compiled = dynamo is not None and dynamo.counters["stats"]["unique_graphs"] > 0
        if self.given and (self._steps != 2 or compiled):
            yield
            return
        thread = threading.get_ident()

        def note(module: nn.Module, inputs: Any) -> None:
            if module not in self._modules and threading.get_ident() == thread:
                self._modules.update(dict.fromkeys(module.modules()))
            if type(module).__name__ == "OptimizedModule":
                hook.remove()  # a hook on what it compiles would be compiled too, in every step

        with register_module_forward_pre_hook(note) as hook:
            yield
        if self.given:
            self._look_beside(parameters)
        elif not self._warned:
            owners = self._owners()
            self._unseen = sum(id(parameter) not in owners for parameter in parameters)

    def _look_beside(self, parameters: Sequence[Tensor]) -> None:
        """Keep what ran beside the given models; warn where the step before did it harm."""
        given = {module for model in self.given for module in model.modules()}
        self._beside = tuple(module for module in self._modules if module not in given)
        others = {*map(id, self.others(parameters))}
        harmed = {
            type(module).__name__
            for module in self._beside
            if (isinstance(module, _NormBase) and module.training and module.track_running_stats)
            or any(id(parameter) in others for parameter in module._parameters.values())
        }
        if harmed:
            warnings.warn(
                f"{', '.join(sorted(harmed))} ran in the step but are not in model=: in the first "
                "step their batch statistics and gradients counted each pass; name all that run, "
                "model=[...]",
                SambenchWarning,
                stacklevel=2,
            )

    @contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Give modules copies of their buffers inside this context, their own back after.

        So no pass inside leaves a trace on them, of whatever layer and momentum, even where it
        raises or gives NaN; and what reads them, in evaluation mode within the pass, finds them.
        The spare buffers are the same in every step: a captured CUDA graph goes on writing to them.
        A script's own buffers cannot be exchanged; they are saved and written back.
        """
        self._warn_of_unseen()
        scripts = [m for m in self._modules if isinstance(m, torch.jit.ScriptModule)]
        saved = [(b, b.clone()) for script in scripts for b in script.buffers(recurse=False)]
        places = [
            (module._buffers, name, own)
            for module in self._modules
            if module not in scripts
            for name, own in module._buffers.items()
            if own is not None
        ]
        known = self._spares.get
        self._spares = {id(b): known(id(b)) or (b, torch.empty_like(b)) for *_, b in places}
        for dtype in {own.dtype for *_, own in places}:  # a GPU takes those of one at once
            pairs = [pair for pair in self._spares.values() if pair[0].dtype == dtype]
            own_ones, spares = zip(*pairs, strict=True)
            torch._foreach_copy_(spares, own_ones)
        try:
            for buffers, name, own in places:
                buffers[name] = self._spares[id(own)][1]
            yield
        finally:
            for buffers, name, own in places:
                buffers[name] = own
            for buffer, value in saved:
                buffer.data.copy_(value)

    def check_replicas(self, parameters: Iterable[Tensor], *, apart: bool) -> None:
        """Refuse shards; warn where backward was within `no_sync`, which parts the replicas."""
        if any(type(module).__name__ == "FullyShardedDataParallel" for module in self._modules):
            raise ConfigError(SHARDED.format("FullyShardedDataParallel"))
        replicas = [m for m in self._modules if isinstance(m, DistributedDataParallel)]
        alone = [module for module in replicas if not module.require_forward_param_sync]
        inside = {id(parameter) for module in alone for parameter in module.parameters()}
        if not apart and any(id(parameter) in inside for parameter in parameters):
            said = "a pass ended within no_sync(), so replicas' weights part: run micro-batches in "
            remedy = "one closure, the last of them synchronized, or give per_replica="
            warnings.warn(said + remedy, SambenchWarning, stacklevel=2)

    def others(self, parameters: Iterable[Tensor]) -> list[Tensor]:
        """Return what else the modules have that requires a gradient."""
        own = {*map(id, parameters)}
        every = (p for module in self._modules for p in module._parameters.values())
        found = {id(p): p for p in every if p is not None and p.requires_grad}
        return [parameter for key, parameter in found.items() if key not in own]

    def roles(self, parameters: Iterable[Tensor]) -> list[Role]:
        """Return the role of each parameter, told by the module that owns it and its name there.

        A parameter of no known module is a weight if it has two dimensions or more.
        """
        self._warn_of_unseen()
        owners = self._owners()
        return [_role(p, *owners.get(id(p), (None, ""))) for p in parameters]

    def __deepcopy__(self, memo: dict[int, Any]) -> Modules:
        """Go with the copies of the models, if those are copied too; never copy a model."""
        copies = [memo[id(model)] for model in self.given if id(model) in memo]
        return Modules(copies if len(copies) == len(self.given) else ())

    def __reduce__(self) -> tuple[type[Modules], tuple[()]]:
        """Pickle without the models."""
        return Modules, ()

    def _owners(self) -> dict[int, tuple[nn.Module, str]]:
        return {
            id(parameter): (module, name)
            for module in self._modules
            for name, parameter in module._parameters.items()
        }

    def _warn_of_unseen(self) -> None:
        """Say once what the hook did not see."""
        if self._unseen and not self._warned:
            self._warned = True
            warnings.warn(
                f"the modules of {self._unseen} trained tensors were not seen in the first pass "
                "(compiled, scripted, or not called as a whole), so their batch statistics and "
                "roles are not known: give the optimizer model=",
                SambenchWarning,
                stacklevel=2,
            )


def _role(parameter: Tensor, module: nn.Module | None, name: str) -> Role:
    if module is None:
        return Role(weight=parameter.dim() > 1, normalization=False)
    parametrized = isinstance(module, nn.utils.parametrize.ParametrizationList)
    return Role(weight="weight" in name or parametrized, normalization=is_normalization(module))


def is_normalization(module: nn.Module) -> bool:
    """Whether a module normalises: torch's types, and libraries' own (`LlamaRMSNorm`).

    Those are told by the class name and the one-dimensional weight that such a layer has.
    """
    if isinstance(module, NORMALIZATIONS):
        return True
    names = [ancestor.__name__ for ancestor in type(module).__mro__]
    names.append(getattr(module, "original_name", ""))  # of a script
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    named = any("norm" in name.lower() for name in names)
    return named and weight is not None and weight.dim() == 1
