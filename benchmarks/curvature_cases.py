"""Networks for `curvature.py`: four to time, and small trained ones whose Hessian is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

Batches = list[tuple[Tensor, Tensor]]


@dataclass
class Case:
    """A trained network and its exact Hessian."""

    name: str
    model: nn.Module
    batches: Batches
    matrix: Tensor
    eigenvalues: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Find the exact spectrum."""
        self.eigenvalues = torch.linalg.eigvalsh(self.matrix)


class Dense:
    """The exact Hessian as an operator that counts."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.matvecs = 0
        self.size, self.device, self.dtype = len(matrix), matrix.device, matrix.dtype

    def matvec(self, vector: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the product with a vector."""
        self.matvecs += 1
        return torch.mv(self.matrix, vector, out=out)

    def matmat(self, vectors: Tensor) -> Tensor:
        """Return the products with columns."""
        self.matvecs += vectors.shape[1]
        return self.matrix @ vectors


def convolutions() -> nn.Module:
    """A convolutional network of 57 thousand weights."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(64, 10),
    )


def timm_model(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """A network of timm with ten classes."""
    return lambda: timm.create_model(name, num_classes=10, **settings)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "conv 57k, batch 64": (convolutions, 64, 32),
    "vit_tiny 64px, batch 16": (timm_model("vit_tiny_patch16_224", img_size=64), 16, 64),
    "resnet18 64px, batch 16": (timm_model("resnet18"), 16, 64),
    "swin_tiny 56px, batch 4": (
        timm_model("swin_tiny_patch4_window7_224", img_size=56, window_size=7),
        *(4, 56),
    ),
}


def conv_net(classes: int) -> nn.Module:
    """Two convolutions with ReLU and pooling, and a linear layer."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, classes)),
    )


class Residual(nn.Module):
    """A block of a ResNet, with batch normalisation, between a stem and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.block = nn.Sequential(
            *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)),
        )
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.stem(x)
        return self.head(functional.relu(x + self.block(x)).mean((2, 3)))


class Mixer(nn.Module):
    """A block over patches, with layer normalisation and GELU, as transformers have them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 12, 2, stride=2)
        self.norms = nn.ModuleList([nn.LayerNorm(12), nn.LayerNorm(12)])
        self.tokens = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16))
        self.channels = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.head = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.patches(x).flatten(2).mT
        x = x + self.tokens(self.norms[0](x).mT).mT
        x = x + self.channels(self.norms[1](x))
        return self.head(x.mean(1))


EXACT: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "conv net, 2 classes": (conv_net, 2),
    "conv net, 10 classes": (conv_net, 10),
    "residual block, 4 classes": (Residual, 4),
    "mixer block, 4 classes": (Mixer, 4),
}


def trained(name: str, seed: int = 0) -> tuple[nn.Module, Batches]:
    """One of `EXACT`, fitted to noisy templates, and its data, in float64."""
    torch.manual_seed(seed)
    factory, classes = EXACT[name]
    model = factory(classes)
    targets = torch.arange(240) % classes
    inputs = torch.randn(classes, 1, 8, 8)[targets] + 1.5 * torch.randn(240, 1, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        order = torch.randperm(240)
        for part in order.split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[part]), targets[part]).backward()
            optimizer.step()
    data = [(inputs[i : i + 64].double(), targets[i : i + 64]) for i in range(0, 240, 64)]
    return model.double().eval(), data


def exact_hessian(model: nn.Module, data: Batches) -> Tensor:
    """The Hessian by forward over reverse in float64: not how any of the tools does it."""
    inputs, targets = (torch.cat(parts) for parts in zip(*data, strict=True))
    named = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(weights: Tensor) -> Tensor:
        parts = weights.split(sizes)
        values = {n: part.view_as(p) for (n, p), part in zip(named.items(), parts, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(model, values, inputs), targets)

    weights = torch.cat([p.reshape(-1) for p in named.values()])
    gradient = torch.func.grad(loss)
    column = torch.func.vmap(lambda v: torch.func.jvp(gradient, (weights,), (v,))[1])
    unit = torch.eye(len(weights), dtype=weights.dtype)
    matrix = torch.cat([column(part) for part in unit.split(32)]).detach()
    return 0.5 * (matrix + matrix.T)
