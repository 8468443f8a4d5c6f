"""Matrices with known spectra, small networks, and Hessians that do not come from the package."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Batches = list[tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]


class DenseOperator:
    """An explicit symmetric matrix behind the operator protocol."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.matvecs = 0

    @property
    def size(self) -> int:
        return len(self.matrix)

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    def matvec(self, vector: Tensor, out: Tensor | None = None) -> Tensor:
        self.matvecs += 1
        return torch.mv(self.matrix, vector, out=out)

    def matmat(self, vectors: Tensor) -> Tensor:
        self.matvecs += vectors.shape[1]
        return self.matrix @ vectors


def with_spectrum(eigenvalues: Tensor, seed: int = 0) -> DenseOperator:
    """A matrix of those eigenvalues, in float64, with random eigenvectors."""
    source = torch.Generator().manual_seed(1000 + seed)
    size = len(eigenvalues)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=source, dtype=torch.float64))
    matrix = q * eigenvalues.double() @ q.T
    return DenseOperator(0.5 * (matrix + matrix.T))


def _bulk(size: int, low: float, high: float) -> Tensor:
    return torch.linspace(low, high, size, dtype=torch.float64)


def _outliers(*values: float) -> Tensor:
    return torch.cat([_bulk(60 - len(values), -0.5, 0.5), torch.tensor(values).double()])


SPECTRA: dict[str, Tensor] = {
    "network-like": _outliers(85.3, 59.7, 33.1, 5.1, 2.0, -1.15),
    "near pair": _outliers(5.0, -4.9),
    "negative dominates": _outliers(4.9, -5.0),
    "cluster": _outliers(5.0, 4.9, 4.8, 4.7),
    "rank one": torch.cat([torch.zeros(59), torch.tensor([3.0])]).double(),
    "all negative": -_bulk(60, 0.5, 5.0),
    "tiny": 1e-7 * _outliers(5.0, -4.9),
    "slow decay": 1 / torch.arange(1, 61).double(),
    "flat": _bulk(60, -1.0, 1.0),
}


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


class ConvNet(nn.Module):
    """Convolution, batch norm, pooling, dropout; 156 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.SiLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(27, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).flatten(1))


class Attention(nn.Module):
    """A transformer block as PyTorch builds it: fused attention, layer norm, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(
            4, 2, 8, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(4, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.block(tokens).mean(1))


class Recurrent(nn.Module):
    """An LSTM, whose fused kernels have no second derivative on CUDA."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=True)
        self.head = nn.Linear(3, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(tokens)[0][:, -1])


def build(factory: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A float64 network whose weights do not depend on, nor move, the global random state."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = factory().double()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
                # running statistics unlike any batch's
                nn.init.uniform_(module.running_mean, -1, 1)
                nn.init.uniform_(module.running_var, 0.5, 2)
    return model


def batches(sizes: tuple[int, ...], shape: tuple[int, ...], classes: int = 4) -> Batches:
    """Random float64 inputs and labels."""
    source = torch.Generator().manual_seed(7)
    return [
        (
            torch.randn(size, *shape, generator=source, dtype=torch.float64),
            torch.randint(classes, (size,), generator=source),
        )
        for size in sizes
    ]


def joined(data: Batches) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*data, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def flat_weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def loss_of_weights(model: nn.Module, loss: Loss, data: Batches) -> Callable[[Tensor], Tensor]:
    """The mean loss of all samples at once, in eval mode, as a function of flat weights."""
    inputs, targets = joined(data)
    model.eval()
    named = dict(model.named_parameters())

    def function(weights: Tensor) -> Tensor:
        chunks = torch.split(weights, [p.numel() for p in named.values()])
        values = {n: c.view(p.shape) for (n, p), c in zip(named.items(), chunks, strict=True)}
        return loss(torch.func.functional_call(model, values, (inputs,)), targets)

    return function


def exact_hessian(model: nn.Module, data: Batches, loss: Loss = functional.cross_entropy) -> Tensor:
    """The Hessian by forward over reverse, another mode of differentiation than the package's."""
    function = loss_of_weights(model, loss, data)
    return torch.func.hessian(function)(flat_weights(model))


def difference_product(
    model: nn.Module, data: Batches, vector: Tensor, loss: Loss = functional.cross_entropy
) -> Tensor:
    """Hv by central differences of first gradients: knows nothing of second derivatives."""
    inputs, targets = joined(data)
    model.eval()
    weights, step = flat_weights(model), 1e-5

    def gradient(at: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(at, model.parameters())
        value = loss(model(inputs), targets)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, [*model.parameters()])])

    change = gradient(weights + step * vector) - gradient(weights - step * vector)
    nn.utils.vector_to_parameters(weights, model.parameters())
    return change / (2 * step)


def random_vector(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
