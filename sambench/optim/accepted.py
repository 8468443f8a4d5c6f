"""What an optimizer of this family accepts; what it does not raises a ConfigError."""

from __future__ import annotations

import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from sambench.errors import ConfigError, SambenchWarning, shown
from sambench.optim.base import BASES, Base, find_base
from sambench.optim.hyperparameter import Mechanics, declared
from sambench.optim.method import OptimizerInfo
from sambench.optim.modules import SHARDED

ELSEWHERE = {
    "base_optimizer": "the base optimizer is `base=`, its class or name",
    "adaptive": "adaptive=True is another optimizer here: ASAM(..., scope='all')",
    "closure": "the closure goes to step()",
    "first_step": "step(closure) runs both passes; in a loop of your own write "
    "`for _ in optimizer.passes(): loss_of(model).backward()` and then `optimizer.step()`",
}
ELSEWHERE["second_step"] = ELSEWHERE["first_step"]
"""What other libraries call it, and what to write here."""


def choose_base(
    info: OptimizerInfo, base: type[torch.optim.Optimizer] | str | None
) -> tuple[type[torch.optim.Optimizer], Base]:
    """Return the class of the base optimizer that was asked for, and what is known of it."""
    if isinstance(base, torch.optim.Optimizer):
        name = type(base).__name__
        raise ConfigError(f"base is a {name} that was made already; give its class and settings")
    if isinstance(base, type):
        path = f"{base.__module__}.{base.__qualname__}"
        if not issubclass(base, torch.optim.Optimizer):
            raise ConfigError(f"base {path} is not a torch.optim.Optimizer")
        own = (known for known in BASES.values() if known.load() is base)
        loaded, known = base, next(own, Base(name=path, path=path))
    else:
        known = find_base(base or info.base or "adam")
        loaded = known.load()
    info.check_base(known.name)
    makers = {frame.f_globals.get("__name__") for frame, _ in traceback.walk_stack(None)}
    around = "torch.distributed.optim.zero_redundancy_optimizer" in makers  # each has a part only
    if around or loaded.__name__ == "ZeroRedundancyOptimizer":
        raise ConfigError(SHARDED.format("ZeroRedundancyOptimizer"))
    closure = inspect.signature(loaded.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"base optimizer {loaded.__name__} needs a closure itself; choose another"
        )
    return loaded, known


def check_settings(
    info: OptimizerInfo, base: type[torch.optim.Optimizer], known: Base, given: Mapping[str, Any]
) -> None:
    """Check settings as the command line does: their names, and the base optimizer's ranges."""
    for name in given:
        if name in ELSEWHERE:
            raise ConfigError(describe_missing(info.name, name))
    accepted = dict(inspect.signature(base).parameters)
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        accepted.pop("params", None)
        info.check_names(given, accepted, known.name)
    for name, value in given.items():
        parts = value if isinstance(value, list | tuple) else (value,)
        on_device = any(isinstance(part, Tensor) for part in parts)  # it would be waited for
        if name in known.settings and not on_device:
            known.complete({name: value})


def check_groups(params: ParamsT, info: OptimizerInfo) -> ParamsT:
    """Check the hyperparameters that groups bring; refuse what is of the whole optimizer."""
    if isinstance(params, Tensor):
        return params  # torch.optim says what is wrong with it
    entries: list[Any] = list(params)
    for entry in (entry for entry in entries if isinstance(entry, dict)):
        for name in declared(Mechanics):
            if name in entry:
                raise ConfigError(
                    f"a group of {info.name} has {name}={shown(entry[name])}, which is one for "
                    "all groups: give it to the optimizer"
                )
        radii = [name for name in info.hyperparameters if name.startswith("rho")]
        for name in ("rho", "rho_max", "rho_min"):
            if radii and name in entry and name not in radii:
                said = f"a group of {info.name} has {name}={shown(entry[name])}, which it would not"
                raise ConfigError(f"{said} use; its radius is {' and '.join(radii)}")
        own = {name: entry[name] for name in info.hyperparameters if name in entry}
        entry.update({name: info.own(own)[name] for name in own})
    return entries


def check_parameters(parameters: Sequence[Tensor], groups: Iterable[Mapping[str, Any]]) -> None:
    """Refuse sharded, complex, spread, repeated or maximized parameters; warn of 16-bit ones."""
    if len({*map(id, parameters)}) < len(parameters):
        raise ConfigError("a parameter is there twice, and would not be trained: give each once")
    distributed = sys.modules.get("torch.distributed.tensor")
    for parameter in parameters:
        if distributed is not None and isinstance(parameter, distributed.DTensor):
            raise ConfigError(SHARDED.format("DTensor (fully_shard, tensor parallelism)"))
        if getattr(parameter, "_is_flat_param", False):
            raise ConfigError(SHARDED.format("FullyShardedDataParallel"))
        if parameter.is_complex():
            raise ConfigError("complex parameters are not supported; use torch.view_as_real")
    if len(devices := sorted({str(parameter.device) for parameter in parameters})) > 1:
        raise ConfigError(
            f"the parameters lie on {' and '.join(devices)}, and one number scales them all: put "
            "the model on one device, or several copies of it into DistributedDataParallel"
        )
    if any(group.get("maximize") for group in groups):
        raise ConfigError(
            "maximize=True is not supported: the closure's backward() is to take -loss"
        )
    if any(parameter.dtype in (torch.bfloat16, torch.float16) for parameter in parameters):
        said = "16-bit weights swallow most of a perturbation in rounding; "
        warnings.warn(said + "keep float32 weights and use autocast", SambenchWarning, stacklevel=3)


def closures_of(given: Any) -> list[Callable[[], Tensor]]:
    """Return the closures that `step` was given; refuse a loss, and what Accelerate would drop."""
    closures = [given] if callable(given) or isinstance(given, Tensor) else list(given)
    if not closures or not all(map(callable, closures)):
        raise ConfigError(
            "step() takes a closure, or a list of them, each a function that runs forward and "
            f"backward on a mini-batch and returns the loss; not {shown(given)}"
        )
    accelerate = sys.modules.get("accelerate.state")
    if len(closures) == 1 and accelerate and accelerate.GradientState().num_steps > 1:
        raise ConfigError(
            "accelerate runs only every n-th closure with gradient_accumulation_steps=n: leave it "
            "at 1 and give step() a list of closures, or use passes() and step()"
        )
    return closures


def describe_missing(owner: str, name: str) -> str:
    """Say that something has no such attribute or argument, and what to write instead."""
    return f"{owner} has no {name!r}" + (f": {ELSEWHERE[name]}" if name in ELSEWHERE else "")
