"""Sharpness-aware optimizers for any training script.

    from sambench.optim import SAM, build
    optimizer = SAM(model.parameters(), torch.optim.Adam, lr=1e-4, rho=0.05)
    loss = optimizer.step(closure)      # closure: forward, backward, return the loss

Every method of the registry is a class here under its own name, made on first use: importing this
package, listing and planning need no torch.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.optimizer import ParamsT

    from sambench.optim.method import OptimizerInfo
    from sambench.optim.samples import SampleClosure
    from sambench.optim.sharpness_aware import SharpnessAware

__all__ = ["SampleClosure", "SharpnessAware", "build"]


def build(
    name: str, params: ParamsT, base: str | type[Optimizer] | None = None, **settings: Any
) -> SharpnessAware:
    """Build an optimizer by its registry name.

    Args:
        name: As in `sambench list optimizers`.
        params: Parameters, named parameters or groups, as in torch.optim.
        base: The base optimizer; by default Adam, or the method if it is a base itself.
        settings: The method's hyperparameters, the base optimizer's, and `SharpnessAware`'s own.

    Raises:
        ConfigError: If method, base, parameters or a hyperparameter are not accepted.
    """
    from sambench.optim.base import BASES
    from sambench.optim.method import optimizers

    info = optimizers.get(name)
    chosen = base or info.base or "adam"
    of_torch = chosen in BASES and BASES[chosen].path.startswith("torch.")
    if of_torch and not (settings.get("foreach") or settings.get("differentiable")):
        settings.setdefault("fused", True)
    return _class_of(info)(params, chosen, **settings)


@functools.cache
def _class_of(info: OptimizerInfo) -> type[SharpnessAware]:
    from sambench.optim.sharpness_aware import SharpnessAware

    attributes = {"info": info, "__doc__": info.method.__doc__, "__module__": __name__}
    return type(info.method.__name__, (SharpnessAware,), attributes)


def __getattr__(name: str) -> Any:
    modules = {"SampleClosure": "samples", "SharpnessAware": "sharpness_aware"}
    if name in modules:
        return getattr(importlib.import_module(f"{__name__}.{modules[name]}"), name)
    if not name.startswith("_"):
        from sambench.optim.method import optimizers

        for info in optimizers.list():
            if info.method.__name__ == name:
                return _class_of(info)
    raise AttributeError(f"sambench.optim has no {name!r}")
