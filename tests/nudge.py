"""A pytest plug-in that simulates other processors: `pytest -p tests.nudge`.

How sums, products and functions like the exponential are rounded is up to the processor, the
library and the number of threads. Here a quarter of their results moves by a unit in the last
place, one way or the other. Which ones follows from the bits of the result and from the shapes of
the operands, so that equal computations stay equal, and computations of other shapes do not round
alike. What IEEE 754 fixes (a sum of two numbers, a product, a root) is left as it is.

A test that fails under it alone holds on this processor by luck.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

OPERATIONS = """
mm bmm addmm baddbmm mv addmv dot vdot sum mean cumsum var std var_mean norm linalg_vector_norm
convolution convolution_backward native_batch_norm native_batch_norm_backward native_layer_norm
native_layer_norm_backward avg_pool2d _adaptive_avg_pool2d upsample_bilinear2d logsumexp
_softmax _softmax_backward_data _log_softmax _log_softmax_backward_data nll_loss_forward
exp log tanh sigmoid erf erfinv sin cos pow rsqrt gelu gelu_backward silu randn
linalg_qr _linalg_eigh linalg_inv_ex
"""
UNSURE = frozenset(OPERATIONS.split())
"""Operations whose rounding differs between processors."""

INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}


def nudge(result: Tensor, salt: int) -> Tensor:
    """Move a quarter of the numbers by a unit in the last place; whole numbers stay."""
    if result.dtype not in INTEGERS or result.device.type != "cpu":
        return result
    bits = result.view(INTEGERS[result.dtype])
    drawn = (bits * 40503 + salt) >> 5 & 7
    step = (drawn == 0).to(bits.dtype) - (drawn == 1).to(bits.dtype)
    free = torch.isfinite(result) & (result.abs() > 1e-30) & (result != result.round())
    return torch.where(free, (bits + step).view(result.dtype), result)


class Nudged(TorchDispatchMode):
    """Nudges what the processor rounds in its own way."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function._schema.name.removeprefix("aten::") not in UNSURE or "out" in (kwargs or {}):
            return result
        shapes = [tuple(leaf.shape) for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        salt = zlib.crc32(repr(shapes).encode()) & 0xFFFF
        return tree_map_only(Tensor, lambda tensor: nudge(tensor, salt), result)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what does not run operation by operation in this process."""
    if item.get_closest_marker("not_nudged"):
        pytest.skip("compiles its operations, or compares with other processes")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Run a test with its operations nudged."""
    with Nudged():
        yield
