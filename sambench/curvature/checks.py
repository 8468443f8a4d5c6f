"""What must hold of a model, its loss and its data before their curvature means anything."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.functional import vhp, vjp
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_unflatten

from sambench.curvature.evaluation import Batch, exact_arithmetic
from sambench.curvature.graph import naming_the_operation
from sambench.curvature.objective import Objective
from sambench.curvature.vectors import CHECK_STREAM, gaussian, generator
from sambench.errors import CurvatureError, SambenchWarning

SAMPLES = 8  # of the first batch: what the checks look at

STEPS = (1e-7, 1e-8, 1e-9, 1e-6, 1e-5, 1e-4)
"""Of the differences, beside the length of the weights: the most useful first."""

AGREEMENT = 1e-3  # of a tensor's part of a product
NEGLIGIBLE = 1e-5  # of the whole product: less in one tensor is lost in the differences' rounding
OUTPUTS = 1 << 16  # of samples whose losses are compared
RANDOM = 1e-3  # of the largest output: more is no rounding
SEEDS = (1, 2, 3)
Function = Callable[..., Tensor]
Tensors = tuple[Tensor, ...]
Passage = tuple[str, list[Tensor], list[Tensor]]  # a module's name, what it is given, its results
Note = TypeVar("Note")


def check_function(objective: Objective) -> None:
    """Refuse a loss that is not a mean over samples, and a network that is random in eval mode.

    With several batches, a network whose outputs for a sample depend on its batch is refused too,
    unless `batch_norm="train"` takes each batch by itself. Costs six forward passes over eight
    samples.
    """
    inputs, targets = objective.sample(SAMPLES)
    with objective.isolated(), torch.no_grad():
        outputs = objective.outputs(inputs)
        loss = objective.loss_of(outputs, targets)
        twice = objective.loss_of(torch.cat([outputs] * 2), torch.cat([targets] * 2))
    if bool(torch.isfinite(loss)) and not torch.allclose(twice, loss, rtol=1e-6, atol=0):
        ratio = float(twice / loss)
        kind = 'sums over samples: use reduction="mean"' if abs(ratio - 2) < 1e-6 else "is no mean"
        raise CurvatureError(
            f"the loss of twice the same samples is {ratio:.4g} times as large, so it {kind}; the "
            "Hessian is that of a mean over samples"
        )
    _refuse_merged_weights(objective)
    _refuse_hidden_weights(objective, outputs, targets)
    if len(objective.batch_sizes) > 1:
        _refuse_shares_of_the_batch(objective, outputs)
    if (culprit := _random_module(objective, inputs)) is not None:
        raise CurvatureError(
            f"the outputs of {culprit} are random in evaluation mode, as of a dropout that stays "
            "on: pass training=self.training to it"
        )
    if len(objective.batch_sizes) > 1 and objective.batch_norm != "train":
        _refuse_dependence_on_the_batch(objective, inputs)


def _refuse_merged_weights(objective: Objective) -> None:
    """Refuse a network that computes its weights anew in `train()` and `eval()`."""
    sums = []
    with objective.isolated(), torch.no_grad():
        for change in (objective.model.train, objective.model.eval):
            change()
            sums.append(str([weight.sum().item() for weight in objective.model.parameters()]))
    if sums[0] != sums[1]:
        raise CurvatureError(
            "the model changes its weights in eval(), as adapters do that are merged into them: "
            "switch merging off (merge_weights=False)"
        )


def _refuse_hidden_weights(objective: Objective, outputs: Tensor, targets: Tensor) -> None:
    """Refuse a loss that reads the model's own weights, of which H has copies."""
    weights = [weight for weight in objective.model.parameters() if weight.requires_grad]
    with torch.inference_mode(False), torch.enable_grad():
        loss = objective.loss_of(outputs.clone(), targets.clone())
        found = loss.requires_grad and torch.autograd.grad(loss, weights, allow_unused=True)
    if found and any(gradient is not None for gradient in found):
        raise CurvatureError(
            "the loss reads the model's weights itself, as a penalty on them does, which would be "
            "left out of the Hessian: give l2= in its place, or have the model return the penalty"
        )


def _refuse_shares_of_the_batch(objective: Objective, outputs: Tensor) -> None:
    """Refuse a loss that divides by what the samples of its batch weigh together.

    Class weights and `ignore_index` do in torch's losses. The loss of some samples, with targets of
    up to eight batches, is compared with the mean of its parts: one of them, and the others. There
    are as many of them as have few outputs together, since a class may be rare.
    """
    number = len(objective.batch_sizes)
    loaded = [objective.load(i)[1] for i in range(0, number, math.ceil(number / SAMPLES))]
    rows = outputs.unflatten(0, (min(SAMPLES, objective.batch_sizes[0]), -1))  # of each sample
    most = max(SAMPLES, OUTPUTS // max(1, rows[0].numel())) // len(loaded)
    alike = [part for part in loaded if part.shape[1:] == loaded[0].shape[1:]]
    targets = torch.cat([part[:: math.ceil(len(part) / most)] for part in alike])
    count = len(targets)
    rows = rows[torch.arange(count, device=rows.device) % len(rows)]
    with objective.isolated(), torch.no_grad():
        whole, first, others = (
            objective.loss_of(rows[part].flatten(0, 1), targets[part])
            for part in (slice(None), slice(1), slice(1 if count > 1 else 0, None))
        )
    mean = (first + (count - 1) * others) / count
    if bool(torch.isfinite(whole)) and not torch.allclose(mean, whole, rtol=1e-6, atol=1e-12):
        raise CurvatureError(
            "the loss of a batch is not the mean of its samples' losses, as where class weights or "
            "ignore_index divide by what the batch weighs, so the Hessian would depend on how the "
            'data is cut: use reduction="none" and the mean, or give all samples as one batch'
        )


def _refuse_dependence_on_the_batch(objective: Objective, inputs: Tensor) -> None:
    """Refuse a network whose outputs for a sample depend on the other samples of its batch.

    Samples of two batches are run together and apart, so never fewer at once than a batch has; of
    batches whose samples differ in shape, those of one. What single precision tells apart must
    differ in double precision too: kernels for other numbers of samples round otherwise.
    """
    parts = [objective.load(index)[0][: SAMPLES // 2] for index in (0, 1)]
    if parts[0].shape[1:] != parts[1].shape[1:]:
        parts = list(inputs.tensor_split(2))
        if len(inputs) < SAMPLES:
            return
    culprit = _mixing_module(objective, parts)
    if culprit is not None and objective.dtype != torch.float64:
        parts = [part.double() if part.is_floating_point() else part for part in parts]
        with suppress(RuntimeError, TypeError):  # tensors of the model's own that stay float32
            culprit = _mixing_module(objective.in_double(1), parts)
    if culprit is not None:
        raise CurvatureError(
            f"the outputs of {culprit} for a sample depend on the other samples of its batch, as "
            "of batch normalisation without running statistics, so the Hessian would depend on how "
            'the data is cut: give batch_norm="train" if each batch is meant by itself, or all '
            "samples as one batch"
        )


@torch.inference_mode(False)
def check_derivatives(objective: Objective) -> tuple[float | None, float]:
    r"""Compare one Hessian-vector product with a difference of gradients, in float64.

    Along a random direction v, tensor by tensor, on up to eight samples: a product built on a wrong
    second derivative disagrees. Through a kink, such as ReLU's, a difference
    :math:`(g(w + hv) - g(w - hv)) / 2h` itself is wrong at some h, so a product is refused only
    where two steps agree with each other and not with it. Outputs are scaled to a spread of one,
    since a difference says nothing of a loss that is almost zero. Costs two to twelve gradients of
    those samples, and about seven more for products, in float64.

    Returns:
        The largest relative difference over the tensors; None where no two steps agreed, or the
        model does not run in float64, of which a warning tells. And how far the same product in
        the objective's own precision is off, beside its length: in single precision 1e-5 for a
        small network, 4e-3 for a ResNet-50; 0 where float64 does not run.

    Raises:
        CurvatureError: If they disagree, with the name of the module where it is found.
    """
    double = objective.in_double(SAMPLES)
    inputs, targets = double.load(0)
    rounding, reason = 0.0, "differences of gradients do not settle here"
    try:
        double.graph(0)  # refuses operations that have no second derivative, by name
        with double.isolated(), torch.no_grad():
            spread = float(double.outputs(inputs).std(correction=0))
        scale = 1 / spread if 1 < spread < math.inf else 1.0
        function = _loss(double, (inputs, targets), scale)
        start = _start(double.parameters.values())
        product = _product(function, *start)
        error = _disagreement(function, *start, product)
        own = _loss(objective, objective.sample(SAMPLES), scale)
        single = _product(own, *_start(objective.parameters.values()))
        if bool((size := _norms(product).norm()) > 0):
            rounding = float(_norms(torch._foreach_sub(product, single)).norm() / size)
    except CurvatureError:
        raise
    except (RuntimeError, TypeError) as failure:  # tensors of the model's own that stay float32
        error, reason = None, str(failure).splitlines()[0]
    if error is None:
        warnings.warn(f"second derivatives were not checked: {reason}", SambenchWarning, 2)
    elif error > AGREEMENT:
        raise CurvatureError(
            f"wrong second derivative in {_wrong_module(double) or 'the model or its loss'}: a "
            f"product with the Hessian is {100 * error:.2g} % off a difference of gradients; "
            "torch.autograd.gradgradcheck shows it, ordinary PyTorch operations mend it; "
            "activation checkpoints must be switched off"
        )
    return error, rounding


def _loss(objective: Objective, batch: Batch, scale: float) -> Function:
    """Return the loss of a batch as a function of the weights, its outputs scaled."""

    def function(*weights: Tensor) -> Tensor:
        named = dict(zip(objective.parameters, weights, strict=True))
        with objective.isolated():
            return objective.loss_of(scale * objective.outputs(batch[0], named), batch[1])

    return function


def _start(point: Iterable[Tensor]) -> tuple[Tensors, Tensors]:
    """Return a point, and a random direction that is the same in any precision."""
    here = tuple(tensor.detach() for tensor in point)
    source = generator(here[0].device, 0, CHECK_STREAM)
    return here, tuple(gaussian(tensor.double(), source).to(tensor) for tensor in here)


def _disagreement(
    function: Function, point: Tensors, along: Tensors, product: Tensors
) -> float | None:
    """Return how far a product with the second derivative is off differences of the first."""
    unit = max(float(_norms(point).norm()), 1.0) / float(_norms(along).norm())
    before: Tensors = ()
    for step in STEPS:
        h = step * unit
        ahead, behind = (
            vjp(function, tuple(w + s * v for w, v in zip(point, along, strict=True)))[1]
            for s in (h, -h)
        )
        difference = tuple((a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True))
        error = _relative(product, difference)
        if error <= AGREEMENT or (before and _relative(before, difference) <= AGREEMENT / 4):
            return error
        before = difference
    return None


def _product(function: Function, point: Tensors, along: Tensors) -> Tensors:
    with exact_arithmetic(point[0].device), naming_the_operation():
        product: Tensors = vhp(function, point, along)[1]
    return product


def _relative(found: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Return the largest difference of two products in one tensor, beside its part of them."""
    sizes, apart = _norms(other), _norms(torch._foreach_sub(list(found), list(other)))
    floor = NEGLIGIBLE / AGREEMENT * max(sizes.norm(), _norms(found).norm())
    return float((apart / sizes.clamp_min(floor)).max()) if bool(floor > 0) else 0.0


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors]))


def _noted(
    objective: Objective,
    inputs: Tensor,
    note: Callable[[str, nn.Module, Any, Any], Note],
    seed: int,
) -> list[Note]:
    """Return what is noted of name, module, arguments and result of each call, inner ones first."""
    notes: list[Note] = []

    def hear(name: str, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        kind = type(module).__name__
        notes.append(note(f"{name} ({kind})" if name else kind, module, (args, kwargs), result))

    with ExitStack() as stack, objective.isolated(), torch.no_grad():
        for name, module in objective.model.named_modules():
            hook = module.register_forward_hook(partial(hear, name), with_kwargs=True)
            stack.enter_context(hook)
        torch.manual_seed(seed)
        objective.outputs(inputs)
    return notes


def _tensors(nested: Any) -> list[Tensor]:
    """Return the floating tensors of a nested structure."""
    leaves = tree_flatten(nested)[0]
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def _random_module(objective: Objective, inputs: Tensor) -> str | None:
    """Return the innermost module whose outputs depend on the state of the random generator."""
    run = partial(_noted, objective, inputs, _passage)
    first = run(SEEDS[0])
    found = (_origin([first, run(seed)], lambda a, b: not _same(a, b)) for seed in SEEDS[1:])
    return next(filter(None, found), None)


def _mixing_module(objective: Objective, parts: Sequence[Tensor]) -> str | None:
    """Return the innermost module that makes two parts otherwise together than apart, or None."""
    runs = (torch.cat(list(parts)), *parts)
    with objective.isolated(), torch.no_grad():
        if not _mixed(*map(objective.outputs, runs)):
            return None
    notes = [_noted(objective, run, _passage, SEEDS[0]) for run in runs]
    return _origin(notes, _mixed) or "the model"


def _origin(runs: Sequence[list[Passage]], differ: Callable[..., bool]) -> str | None:
    """Return the first module whose results differ, of those that are given the same if any is."""
    found = [
        (any(map(differ, *given)), name[0])
        for name, given, results in (zip(*calls, strict=True) for calls in zip(*runs, strict=False))
        if any(map(differ, *results))
    ]
    return min(found, key=lambda one: one[0])[1] if found else None


def _mixed(together: Tensor, first: Tensor, other: Tensor) -> bool:
    """Whether rows of samples differ from those apart; other layouts than rows say nothing."""
    if not together.dim() or not together.shape[1:] == first.shape[1:] == other.shape[1:]:
        return False
    apart = torch.cat([first, other])
    return apart.shape == together.shape and not _same(together, apart)


def _passage(name: str, module: nn.Module, given: Any, result: Any) -> Passage:
    return name, _tensors(given), [tensor.clone() for tensor in _tensors(result)]


def _same(tensor: Tensor, other: Tensor) -> bool:
    if tensor.shape != other.shape or not tensor.numel():
        return tensor.shape == other.shape
    scale = tensor.abs().max()
    return not bool(torch.isfinite(scale)) or bool((tensor - other).abs().max() <= RANDOM * scale)


def _wrong_module(double: Objective) -> str | None:
    """Return the innermost module whose own second derivative is wrong, from its own inputs."""
    for name, function, point in _noted(double, double.load(0)[0], _alone, SEEDS[0]):
        if not point:
            continue
        try:
            with double.isolated():
                start = _start(point)
                error = _disagreement(function, *start, _product(function, *start))
        except (CurvatureError, RuntimeError, TypeError):
            continue
        if error is not None and error > AGREEMENT:
            return name
    return None


def _alone(
    name: str, module: nn.Module, given: Any, result: Any
) -> tuple[str, Function, list[Tensor]]:
    """Return a scalar function of a module's weights and floating inputs, and where it is."""
    weights = {n: p.detach().clone() for n, p in module.named_parameters()}
    fixed = {n: b.detach().clone() for n, b in module.named_buffers()}
    leaves, structure = tree_flatten(given)
    copied = [x.detach().clone() if isinstance(x, Tensor) else x for x in leaves]
    places = [place for place, leaf in enumerate(copied) if _tensors([leaf])]

    def function(*moving: Tensor) -> Tensor:
        flat = list(copied)
        for place, tensor in zip(places, moving[len(weights) :], strict=True):
            flat[place] = tensor
        args, kwargs = tree_unflatten(flat, structure)
        named = dict(zip(weights, moving, strict=False))
        parts = [
            torch.dot(result.flatten(), torch.cos(torch.arange(result.numel()).to(result)))
            for result in _tensors(functional_call(module, {**fixed, **named}, args, kwargs))
        ]
        return torch.stack(parts).sum()

    return name, function, [*weights.values(), *(copied[place] for place in places)]
