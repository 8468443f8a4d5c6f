"""Full precision inside, the user's settings outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from sambench.curvature import HessianOperator, eigenvalues, trace
from sambench.curvature.evaluation import exact_arithmetic

CPU = torch.device("cpu")


def settings() -> list[object]:
    return [
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    ]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    matmul, _, cudnn = settings()
    yield
    torch.set_float32_matmul_precision(str(matmul))
    torch.backends.cudnn.allow_tf32 = bool(cudnn)


@pytest.mark.parametrize("matmul", ["highest", "high", "medium"])
@pytest.mark.parametrize("cudnn", [True, False])
def test_is_exact_inside_and_restored_outside(matmul: str, cudnn: bool) -> None:
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn
    before = settings()
    with torch.autocast("cpu", torch.bfloat16):
        with exact_arithmetic(CPU):
            assert settings() == ["highest", False, False]
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
    assert settings() == before


def test_is_restored_after_an_error() -> None:
    torch.set_float32_matmul_precision("high")
    before = settings()
    with pytest.raises(ZeroDivisionError), exact_arithmetic(CPU):
        raise ZeroDivisionError
    assert settings() == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="older PyTorch")
def test_the_newer_settings_are_restored_too() -> None:
    convolution = torch.backends.cudnn.conv
    before = convolution.fp32_precision
    try:
        convolution.fp32_precision = "ieee"  # from here on the older switch refuses to be read
        with exact_arithmetic(CPU):
            assert torch.backends.cudnn.rnn.fp32_precision == "ieee"
        assert convolution.fp32_precision == "ieee"
        assert torch.backends.cudnn.rnn.fp32_precision == before
    finally:
        convolution.fp32_precision = before


class TensorFloat(TorchDispatchMode):
    """A GPU's TensorFloat-32: where it is allowed, what is multiplied has 10 bits of mantissa."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(function).split(".")[1]
        convolves = name.startswith("convolution") and torch.backends.cudnn.allow_tf32
        if convolves or (name in ("mm", "addmm", "bmm") and torch.backends.cuda.matmul.allow_tf32):
            args = tree_map_only(Tensor, shortened, args)
        return function(*args, **(kwargs or {}))


def shortened(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32:
        return tensor
    bits = tensor.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def operator() -> HessianOperator:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3)]
    batch = torch.randn(8, 3, 5, 5), torch.arange(8) % 3
    return HessianOperator(nn.Sequential(*layers), cross_entropy, [batch])


def test_the_error_of_products_is_that_of_exact_ones() -> None:
    """Of torch's settings on a GPU, which allow TensorFloat-32 in convolutions."""
    torch.backends.cudnn.allow_tf32 = True
    with TensorFloat():
        found = operator().product_error
    assert found == operator().product_error
    assert found < 1e-5


@pytest.mark.parametrize("around", [TensorFloat(), torch.autocast("cpu", torch.bfloat16)])
def test_eigenvectors_and_their_trace_are_exact_whatever_is_set(around: Any) -> None:
    H = operator()
    expected = eigenvalues(H, k=2, tol=1e-5)
    torch.set_float32_matmul_precision("high")
    with around:
        found = eigenvalues(H, k=2, tol=1e-5)
        trace(H, basis=found.basis, max_matvecs=8)  # which knows the basis again
    assert found.vectors is not None
    assert expected.vectors is not None
    assert torch.equal(found.vectors, expected.vectors)
