"""What optimizers are compared with: gradients that share no code with them, and a quadratic."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def gradient_at(model: nn.Module, weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient at given weights by torch.func, which shares no code with the optimizer."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def loss(vector: Tensor) -> Tensor:
        pieces = vector.split([shape.numel() for shape in shapes])
        tensors = {n: v.reshape(s) for n, v, s in zip(names, pieces, shapes, strict=True)}
        outputs = torch.func.functional_call(model, tensors, (inputs,))
        return functional.cross_entropy(outputs, targets)

    result: Tensor = torch.func.grad(loss)(weights)
    return result


class Quadratic(nn.Module):
    """L(w) = w'Hw / 2 as a module whose forward takes nothing."""

    def __init__(self, hessian: Tensor, start: Tensor) -> None:
        super().__init__()
        self.hessian = hessian
        self.weight = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """Return the loss."""
        return self.weight @ self.hessian @ self.weight / 2

    def closure(self) -> Tensor:
        """Run forward and backward."""
        loss: Tensor = self()
        loss.backward()
        return loss
