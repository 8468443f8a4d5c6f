"""Full precision inside, the user's settings outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

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
