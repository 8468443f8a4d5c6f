"""Sharpness-aware optimizers for any training script.

    from sambench.optim import SAM, build
    optimizer = SAM(model.parameters(), torch.optim.Adam, lr=1e-4, rho=0.05)
    loss = optimizer.step(closure)      # closure: forward, backward, return the loss

Every method of the registry is a class here under the name of its own class, made on first use so
that importing this package, listing and planning need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sambench.optim.samples import SampleClosure
    from sambench.optim.sharpness_aware import SharpnessAware, build

__all__ = ["SampleClosure", "SharpnessAware", "build"]
_MODULES = {
    "SampleClosure": "samples",
    "SharpnessAware": "sharpness_aware",
    "build": "sharpness_aware",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    if not name.startswith("_"):
        from sambench.optim.method import optimizers

        for info in optimizers.list():
            if info.method.__name__ == name:
                from sambench.optim.sharpness_aware import optimizer_class

                globals()[name] = optimizer_class(info)
                return globals()[name]
    raise AttributeError(f"sambench.optim has no {name!r}")
