"""Peers of `curvature.py`: installed where they can be, and made to count their products."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from curvature_cases import Batches, Case
from torch import Tensor, nn
from torch.nn import functional

PEERS = {
    "pyhessian": ["pyhessian==0.1"],
    "hessian_eigenthings": ["hessian-eigenthings==1.0.0a5"],
    "curvlinops": [
        *("curvlinops-for-pytorch==3.0.1", "linear_operator", "einconv", "einops"),
        *("jaxtyping", "wadler-lindig", "mpmath", "opt_einsum"),
    ],
}


def available_peers(folder: str) -> dict[str, Any]:
    """Return the peers that can be had, by name; say of the others why not."""
    sys.path.append(folder)
    found = {}
    for name, packages in PEERS.items():
        install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", folder]
        subprocess.run([*install, *packages], check=False, capture_output=True)
        try:
            found[name] = importlib.import_module(name)
        except Exception as error:
            print(f"{name} is left out: {type(error).__name__}: {error}", file=sys.stderr)
    return found


class CountedPyHessian:
    """PyHessian on all batches of a case, its products counted."""

    def __init__(self, module: Any, case: Case) -> None:
        self.products = 0
        self._made = importlib.import_module(f"{module.__name__}.hessian")
        original = self._made.hessian.dataloader_hv_product

        def counted(this: Any, v: Any) -> Any:
            self.products += 1
            return original(this, v)

        kind = type("Counted", (self._made.hessian,), {"dataloader_hv_product": counted})
        self.hessian = kind(
            case.model, functional.cross_entropy, dataloader=case.batches, cuda=False
        )


def pyhessian_product(
    module: Any, model: nn.Module, batches: Batches, v: Tensor
) -> Callable[[], Tensor]:
    """Return what computes its product with a vector, and clears the gradients it leaves."""
    made = importlib.import_module(f"{module.__name__}.hessian")
    hessian = made.hessian(model, functional.cross_entropy, dataloader=batches, cuda=False)
    parts = v.split([p.numel() for p in model.parameters()])
    named = [part.view_as(p) for part, p in zip(parts, model.parameters(), strict=True)]

    def product() -> Tensor:
        _, found = hessian.dataloader_hv_product(named)
        for parameter in model.parameters():
            parameter.grad = None
        return torch.cat([part.reshape(-1) for part in found])

    return product
