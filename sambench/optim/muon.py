"""Muon for the matrices of a model and AdamW for its other tensors, as one optimizer."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from sambench.errors import ConfigError


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon on tensors of two dimensions, torch.optim.AdamW on all others.

    Muon's update is scaled to the size of AdamW's (`adjust_lr_fn="match_rms_adamw"`), so that one
    learning rate and one decoupled weight decay serve both. `momentum` and `nesterov` are Muon's,
    `betas` and `eps` AdamW's. Jordan et al., 2024; Liu et al., 2025, arXiv 2502.16982.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ConfigError(f"base muon needs torch 2.9 or later, this is {torch.__version__}")
        own = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**own, "nesterov": nesterov, "betas": betas, "eps": eps})

    def step(self) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            used = [p for p in group["params"] if p.grad is not None]
            muon = functools.partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")
            for kind, matrices, names in (
                (muon, True, ("lr", "weight_decay", "momentum", "nesterov")),
                (torch.optim.AdamW, False, ("lr", "weight_decay", "betas", "eps")),
            ):
                if chosen := [p for p in used if (p.dim() == 2) == matrices]:
                    stepper: Any = kind(chosen, **{name: group[name] for name in names})
                    stepper.state = self.state
                    stepper.step()
