"""How a network is evaluated, exactly and so that nothing is left behind, and on which batches."""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from sambench.errors import CurvatureError

Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
LOOKED_AT = 4096  # numbers of a batch, evenly spaced, by which it is known again


@contextmanager
def isolated(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate in eval mode, with right second derivatives; restore modules and random state.

    `functional_call` leaves other weights in a module that the network holds twice. What a module
    keeps of its weights in eval mode, as timm's LeViT does, it lets go in `train()`.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(exact_arithmetic(device))
        # fused attention has no second derivative, nor have cuDNN's recurrent layers
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(_PlainFunctions())
        if "torch._dynamo" in sys.modules:  # parts that are compiled have no second derivatives
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for own in (vars(module) for module in model.modules()):
            for held in (own, *(value for value in own.values() if isinstance(value, dict))):
                stack.callback(_put_back, held, dict(held))
        stack.callback(model.train, model.training)
        model.train()
        model.eval()
        yield


def _put_back(held: dict[str, Any], before: dict[str, Any]) -> None:
    for name in held.keys() - before.keys():
        del held[name]
    held.update(before)


class _PlainFunctions(TorchFunctionMode):
    """Ordinary operations in place of three that torch 2.14 cannot differentiate twice.

    Fused weight normalisation fails gradgradcheck on the CPU; the hard sigmoid (in MobileNetV3) and
    an embedding with sparse gradients are refused.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        plain = {torch._weight_norm: _weight_norm, nn.functional.hardsigmoid: _hard_sigmoid}
        if function is nn.functional.embedding:
            kwargs = {**kwargs, "sparse": False}
        return plain.get(function, function)(*args, **(kwargs or {}))


def _hard_sigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    found = nn.functional.relu6(input + 3) / 6
    return input.copy_(found) if inplace else found


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    axes = [axis for axis in range(v.dim()) if axis != dim % v.dim()] if dim != -1 else None
    length: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return v * (g / length)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network that `torch.compile` or data parallelism was given, whose names are plain.

    A compiled one has no second derivatives, and one in DataParallel takes no other weights.
    """
    parallel = isinstance(model, nn.DataParallel | DistributedDataParallel)
    inner: Any = getattr(model, "module" if parallel else "_orig_mod", None)
    return model if inner is None else unwrapped(inner)


def tracking_layers(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch normalisation layers whose eval mode uses running statistics."""
    layers = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [layer for layer in layers if layer.running_mean is not None]


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Turn off autocast, TF32 and reduced-precision float32 kernels, and restore them on leaving.

    TF32 is on by default for cuDNN convolutions and has 10 bits of mantissa: enough for a gradient,
    not for its derivative. PyTorch keeps older switches beside newer per-operation settings and
    refuses to read an older one where they disagree, so both are moved together.
    """
    cudnn, kinds = torch.backends.cudnn, ("matmul", "conv", "rnn")
    backends = (torch.backends.cuda, cudnn, torch.backends.mkldnn)
    candidates: list[Any] = [getattr(backend, kind, None) for backend in backends for kind in kinds]
    # those that this release of PyTorch has
    operations = [node for node in candidates if hasattr(node, "fp32_precision")]
    with ExitStack() as stack:
        for node in operations:
            stack.callback(setattr, node, "fp32_precision", node.fp32_precision)
        # an older switch is left alone where the user has moved to the per-operation settings
        with suppress(RuntimeError):
            matmul = torch.get_float32_matmul_precision()
            stack.callback(torch.set_float32_matmul_precision, matmul)
            torch.set_float32_matmul_precision("highest")
        with suppress(RuntimeError):
            stack.callback(setattr, cudnn, "allow_tf32", cudnn.allow_tf32)
            cudnn.allow_tf32 = False
        for node in operations:
            node.fp32_precision = "ieee"
        # it would act on backward passes too
        stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


class Batches:
    """Pairs (inputs, targets), the same at every pass: a sequence, or else collected into one."""

    def __init__(self, given: Iterable[Batch]) -> None:
        pairs, sizes, self._seen = list[Batch](), list[int](), list[tuple[bytes, ...]]()
        for index, given_pair in enumerate(given):
            pair = _pair(given_pair, index)
            pairs += [] if isinstance(given, Sequence) else [pair]
            sizes.append(len(pair[0]))
            self._seen.append(_glance(pair))
        self._pairs = given if isinstance(given, Sequence) else pairs
        self.sizes = tuple(sizes)
        if not sizes:
            raise CurvatureError("no batches: the Hessian of a mean loss needs at least one sample")
        if 0 in self.sizes:
            raise CurvatureError(f"batch {self.sizes.index(0)} has no samples: leave it out")

    def __getitem__(self, index: int) -> Batch:
        """Return a batch; one that is not what it was before is refused."""
        pair = _pair(self._pairs[index], index)
        if _glance(pair) != self._seen[index]:
            raise CurvatureError(
                f"batch {index} is not the same when it is read again: switch shuffling and "
                "augmentation off, or give a list of copies of the batches"
            )
        return pair


def _pair(given: Any, index: int) -> Batch:
    parts = () if isinstance(given, Mapping | Tensor) else tuple(given)
    if len(parts) != 2 or not all(isinstance(part, Tensor) for part in parts):
        raise CurvatureError(
            f"batch {index} is a {type(given).__name__}: batches are pairs of tensors, (inputs, "
            "targets); for other inputs wrap the model in a module that takes one tensor"
        )
    return parts[0], parts[1]


def _glance(pair: Batch) -> tuple[bytes, ...]:
    """Return some numbers of a batch, by which another one is told apart."""
    flat = [tensor.detach().reshape(-1) for tensor in pair]
    few = [part[:: max(1, len(part) // LOOKED_AT)].cpu().contiguous() for part in flat]
    return tuple(part.view(torch.uint8).numpy().tobytes() for part in few)


def in_double(loss: Loss) -> Loss:
    """Return the loss with its own floating tensors, such as class weights, in float64."""
    if isinstance(loss, nn.Module):
        return copy.deepcopy(loss).double()
    if isinstance(loss, functools.partial):
        args = [_doubled(value) for value in loss.args]
        named = {key: _doubled(value) for key, value in loss.keywords.items()}
        return functools.partial(loss.func, *args, **named)
    return loss


def _doubled(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
