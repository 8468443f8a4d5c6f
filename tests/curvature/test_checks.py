"""What is refused in one line before its curvature is printed, and what passes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sambench.curvature import HessianOperator, average_sharpness, eigenvalues
from sambench.curvature.krylov import Lanczos
from sambench.errors import CurvatureError, SambenchWarning

from .cases import (
    Attention,
    Batches,
    ConvNet,
    DenseOperator,
    Recurrent,
    batches,
    build,
    difference_product,
    exact_hessian,
    joined,
    mlp,
    random_vector,
)

SIZES = (8, 8, 6)


def operator_of(model: nn.Module, loss: Any = functional.cross_entropy) -> HessianOperator:
    return HessianOperator(model, loss, batches(SIZES, (6,)))


# Second derivatives -------------------------------------------------------------------------------


class Hiding(torch.autograd.Function):
    """tanh with a right gradient that hides from autograd how it depends on the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.slope = 1 - x.detach().tanh() ** 2
        return x.tanh()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.slope


class HidingTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Hiding.apply(x)


def hiding() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), HidingTanh(), nn.Linear(8, 4))


def test_a_custom_function_that_hides_its_input_is_found_and_named() -> None:
    honest, model = build(mlp), build(hiding)
    inputs, targets = joined(batches(SIZES, (6,)))
    losses = [functional.cross_entropy(net(inputs), targets) for net in (honest, model)]
    gradients = [torch.autograd.grad(value, [*net.parameters()]) for value, net in zip(
        losses, (honest, model), strict=True)]  # fmt: skip
    assert all(
        torch.allclose(a, b, rtol=1e-12) for a, b in zip(*gradients, strict=True)
    )  # first order is right
    with pytest.raises(CurvatureError, match=r"wrong second derivative in 1 \(HidingTanh\)"):
        operator_of(model)


class Telling(nn.Module):
    """It is given more than images: words, a number, nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.words, self.head = nn.Flatten(), nn.Embedding(5, 4), nn.Linear(12, 4)
        self.culprit = Told()

    def forward(self, x: Tensor) -> Tensor:
        words = self.words(self.flat(x)).flatten(1)
        return self.head(self.culprit(words, 2, places=x, mask=None))


class Told(nn.Module):
    def forward(self, x: Tensor, times: int, *, places: Tensor, mask: None) -> Tensor:
        return times * Hiding.apply(x)


def test_the_culprit_is_named_whatever_else_it_is_given() -> None:
    data = [(torch.arange(12).reshape(4, 3) % 5, torch.tensor([0, 1, 2, 3]))]
    with pytest.raises(CurvatureError, match=r"wrong second derivative in culprit \(Told\)"):
        HessianOperator(build(Telling), functional.cross_entropy, data)


def test_a_loss_with_a_wrong_second_derivative_is_not_laid_on_a_module() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(Hiding.apply(outputs), targets)

    with pytest.raises(CurvatureError, match="wrong second derivative in the model or its loss"):
        operator_of(build(mlp), loss)


@pytest.mark.parametrize("old", [False, True])
def test_weight_norm_has_right_second_derivatives(old: bool) -> None:
    # the fused operation's own are wrong: gradgradcheck fails on it (torch 2.14, CPU)
    norm = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm

    def network() -> nn.Module:
        return nn.Sequential(norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 4))

    with pytest.warns(FutureWarning) if old else contextlib.nullcontext():
        model = build(network)
    data = batches(SIZES, (6,))
    operator = HessianOperator(model, functional.cross_entropy, data)
    assert operator.derivative_error is not None
    assert operator.derivative_error < 1e-5
    v = random_vector(operator.size)
    expected = difference_product(model, data, v)
    # differences in float64: eps^(2/3)
    assert float((operator.matvec(v) - expected).norm() / expected.norm()) < 1e-7


class HardSigmoidInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        functional.hardsigmoid(inner := x * 1, inplace=True)
        return inner


@pytest.mark.parametrize(
    "layer", [nn.Hardsigmoid, functools.partial(nn.Hardsigmoid, inplace=True), HardSigmoidInPlace]
)
def test_the_hard_sigmoid_has_second_derivatives(layer: Callable[[], nn.Module]) -> None:
    # that of torch 2.14 has none: MobileNetV3 and many of timm's networks have it

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), layer(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))

    model, data = build(network), batches(SIZES, (6,))
    operator = HessianOperator(model, functional.cross_entropy, data)
    v = random_vector(operator.size)
    expected = difference_product(model, data, v)
    # differences in float64: eps^(2/3)
    assert float((operator.matvec(v) - expected).norm() / expected.norm()) < 1e-7


def test_an_embedding_with_sparse_gradients_has_the_products_of_a_dense_one() -> None:
    data = [(torch.arange(12).reshape(4, 3) % 5, torch.tensor([0, 1, 2, 3]))]
    products = []
    for sparse in (True, False):

        def network(sparse: bool = sparse) -> nn.Module:
            words = nn.Embedding(5, 4, sparse=sparse)
            return nn.Sequential(words, nn.Flatten(), nn.Tanh(), nn.Linear(12, 4))

        model = build(network)
        operator = HessianOperator(model, functional.cross_entropy, data)
        products.append((operator.matvec(random_vector(72)), operator.gradient()[1]))
    assert all(map(torch.equal, *products))


def relu() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
    )


@pytest.mark.parametrize(
    ("factory", "shape"),
    [(mlp, (6,)), (relu, (6,)), (ConvNet, (1, 8, 8)), (Attention, (5, 4)), (Recurrent, (5, 4))],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_right_derivatives_pass(factory: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    model = build(factory).to(dtype)
    operator = HessianOperator(model, functional.cross_entropy, batches(SIZES, shape))
    assert operator.derivative_error is not None
    assert operator.derivative_error < 1e-3
    assert next(model.parameters()).dtype == dtype


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_the_rounding_of_products_is_measured(gain: float) -> None:
    """A norm of activations that hardly differ loses digits: products are as wrong as is said."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(functional.layer_norm(gain + torch.tanh(self.first(x)), (8,)))

    data = batches((8,), (6,))
    double = HessianOperator(build(Normed), functional.cross_entropy, data)
    assert double.product_error < 1e-12
    model = build(Normed).float()
    single = HessianOperator(model, functional.cross_entropy, [(x.float(), y) for x, y in data])
    v = random_vector(double.size)
    true = double.matvec(v)
    error = float((single.matvec(v.float()).double() - true).norm() / true.norm())
    assert single.product_error == pytest.approx(error, rel=0.9)  # another direction, same samples
    assert (single.product_error > 1e-5) == (gain == 100.0)


def test_what_cannot_run_in_double_is_said_not_to_be_checked() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.table = mlp(), torch.eye(4)  # no buffer: stays float32

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) @ self.table

    model = build(Fixed).float()
    with pytest.warns(SambenchWarning, match="second derivatives were not checked"):
        assert operator_of(model).derivative_error is None


def test_products_that_are_not_symmetric_are_refused() -> None:
    source = torch.Generator().manual_seed(0)
    matrix = torch.randn(60, 60, generator=source, dtype=torch.float64)
    symmetric = matrix + matrix.T
    assert eigenvalues(DenseOperator(symmetric)).converged
    wrong = DenseOperator(symmetric + 1e-3 * (matrix - matrix.T))
    with pytest.raises(CurvatureError, match=r"not symmetric.*gradgradcheck"):
        eigenvalues(wrong)
    wrong.derivative_error = 1e-8  # as measured: so it is rounding, which counts in every verdict
    assert not eigenvalues(wrong, tol=1e-4).converged
    assert eigenvalues(wrong, tol=1e-2).converged
    single = Lanczos(DenseOperator(symmetric.float()), random_vector(60).float(), 60)
    for _ in range(60):  # rounding is no asymmetry, to the last step
        single.step()


def test_samples_that_are_learnt_to_the_last_digit_are_measured() -> None:
    """At p = 1 - 1e-17 the products are rounding and far from symmetric; nothing is wrong."""
    model = build(mlp)
    x, _ = batches((8,), (6,))[0]
    y = model(x).argmax(1)
    with torch.no_grad():
        model[2].weight.mul_(1000)
        model[2].bias.mul_(1000)
    with HessianOperator(model, functional.cross_entropy, [(x, y)]) as operator:
        found = eigenvalues(operator)
    assert 0 <= float(found.values[0]) < 1e-6


# Losses, networks, batches ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (functools.partial(functional.cross_entropy, reduction="sum"), 'use reduction="mean"'),
        (functools.partial(functional.cross_entropy, reduction="none"), 'use reduction="mean"'),
        (nn.CrossEntropyLoss(reduction="sum"), "2 times as large"),
        (lambda out, y: functional.cross_entropy(out, y) / len(y), "it is no mean"),
        (
            lambda out, y: functional.cross_entropy(out, y, weight=torch.ones(4)),
            "make them .double()",
        ),
    ],
)
def test_a_loss_that_is_no_mean_is_refused(loss: Any, message: str) -> None:
    with pytest.raises(CurvatureError) as caught:
        operator_of(build(mlp), loss)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_single_precision_class_weights_are_cast() -> None:
    weight, data = torch.tensor([1.0, 2.0, 3.0, 4.0]), batches((22,), (6,))
    exact = functools.partial(functional.cross_entropy, weight=weight.double())
    top = float(torch.linalg.eigvalsh(exact_hessian(build(mlp), data, exact))[-1])
    module = nn.CrossEntropyLoss(weight=weight)
    for loss in (module, functools.partial(functional.cross_entropy, weight=weight)):
        found = eigenvalues(HessianOperator(build(mlp).float(), loss, data), tol=1e-4)
        assert float(found.values[0]) == pytest.approx(top, rel=1e-4)
    assert module.weight.dtype == torch.float32  # the caller's own is left as it is


@pytest.mark.parametrize("way", ["weight", "ignore_index"])
def test_a_loss_that_divides_by_the_weights_of_its_batch_is_refused(way: str) -> None:
    """Its Hessian over all samples is one thing, and the mean over batches another."""
    inputs, targets = joined(batches(SIZES, (6,)))
    targets = targets.sort().values
    loss = {
        "weight": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0, 20.0])),
        "ignore_index": nn.CrossEntropyLoss(ignore_index=3),
    }[way]
    for size in (8, 1):
        cut = [*zip(inputs.split(size), targets.split(size), strict=True)]
        with pytest.raises(CurvatureError, match="so the Hessian would depend on how the data is"):
            HessianOperator(build(mlp), loss, cut)
    whole = [(inputs, targets)]
    model, weight = build(mlp), torch.tensor([1.0, 2.0, 5.0, 20.0]).double()
    if way == "weight":
        exact = functools.partial(functional.cross_entropy, weight=weight)
        wanted = torch.linalg.eigvalsh(exact_hessian(model, whole, exact))[-1]
        found = eigenvalues(HessianOperator(model, loss, whole), tol=1e-6).values[0]
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_a_weight_of_a_rare_class_is_noticed() -> None:
    inputs, targets = joined(batches(SIZES, (6,)))
    targets = torch.zeros_like(targets)
    targets[5] = 3  # one of 22
    cut = [*zip(inputs.split(8), targets.split(8), strict=True)]
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0, 20.0]))
    with pytest.raises(CurvatureError, match="so the Hessian would depend on how the data is"):
        HessianOperator(build(mlp), loss, cut)


def test_a_network_may_return_several_rows_for_a_sample() -> None:
    """As one that returns the logits of all words of all texts, one after the other."""
    data = [
        (torch.arange(3 * n).reshape(n, 3) % 5, torch.arange(3 * n).reshape(n, 3) % 4)
        for n in (4, 3)
    ]

    def network() -> nn.Module:
        return nn.Sequential(nn.Embedding(5, 4), nn.Flatten(0, 1), nn.Tanh(), nn.Linear(4, 4))

    def loss(outputs: Tensor, words: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, words.flatten())

    model = build(network)
    found = HessianOperator(model, loss, data).matmat(torch.eye(40).double())
    torch.testing.assert_close(found, exact_hessian(model, data, loss), rtol=0, atol=1e-12)


def test_a_penalty_on_the_models_own_weights_is_refused() -> None:
    """The Hessian is of copies, which it would leave out."""
    model = build(mlp)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        penalty = sum((weight**2).sum() for weight in model.parameters())
        return functional.cross_entropy(outputs, targets) + 0.5 * penalty

    with pytest.raises(CurvatureError, match=r"reads the model's weights itself.*give l2="):
        operator_of(model, loss)


class Merging(nn.Linear):
    """An adapter that is added to the weights in `eval()` and taken off in `train()`."""

    def train(self, mode: bool = True) -> Merging:
        if mode != self.training:
            self.weight.data += 0.5 if self.training else -0.5
        return super().train(mode)


@pytest.mark.parametrize("training", [True, False])
def test_weights_that_an_adapter_is_merged_into_are_refused(training: bool) -> None:
    model = build(lambda: Merging(4, 4)).train(training)
    before = model.weight.clone()
    with pytest.raises(CurvatureError, match=r"changes its weights in eval\(\)"):
        HessianOperator(model, functional.cross_entropy, batches((8, 8), (4,)))
    torch.testing.assert_close(model.weight, before)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.inner(x)}


class Total(Named):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.inner(x).sum()


def test_what_network_and_loss_must_return_is_said() -> None:
    with pytest.raises(CurvatureError, match="the model returns a dict: wrap it in a module"):
        operator_of(build(Named))
    with pytest.raises(CurvatureError, match="the model returns a single number: wrap it in"):
        operator_of(build(Total))
    with pytest.raises(CurvatureError, match="the loss is a float, not a tensor of one number"):
        operator_of(build(mlp), lambda outputs, targets: 1.0)
    with pytest.raises(CurvatureError, match="complex64: keep them as pairs of real numbers"):
        operator_of(build(lambda: nn.Linear(6, 4, dtype=torch.complex64)))


class StaysOn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)  # training=True is its default


def test_dropout_that_stays_on_is_named() -> None:
    model = build(lambda: nn.Sequential(nn.Linear(6, 8), nn.Sequential(StaysOn()), nn.Linear(8, 4)))
    with pytest.raises(CurvatureError, match=r"outputs of 1\.0 \(StaysOn\) are random in eval"):
        operator_of(model)
    with pytest.raises(CurvatureError, match=r"training=self\.training"):
        average_sharpness(model, functional.cross_entropy, batches(SIZES, (6,)))


class Between(nn.Module):
    """Does something of its own between two layers, which are not to blame."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.head, self.change = nn.Linear(6, 8), nn.Linear(8, 4), change

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.change(self.body(x)))


@pytest.mark.parametrize(
    ("change", "said"),
    [(functional.dropout, "are random"), (lambda z: z - z.mean(0), "for a sample depend")],
)
def test_the_layer_after_the_culprit_is_not_blamed(change: Any, said: str) -> None:
    with pytest.raises(CurvatureError, match=f"outputs of Between {said}"):
        operator_of(build(lambda: Between(change)))


def test_a_culprit_that_overwrites_what_it_is_given_is_found() -> None:
    model = build(lambda: nn.Sequential(nn.Linear(6, 4), InPlace()))
    with pytest.raises(CurvatureError, match=r"outputs of .* are random"):
        operator_of(model)


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, inplace=True)


class OwnStatistics(nn.Module):
    """Batch normalisation that takes each batch's own statistics, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.SiLU()
        )
        self.head = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 16])
def test_a_network_that_mixes_the_samples_of_a_batch_is_refused(
    size: int, dtype: torch.dtype
) -> None:
    inputs, targets = joined(batches((16, 16), (1, 8, 8)))
    cut = [*zip(inputs.split(size), targets.split(size), strict=True)]
    model, loss = build(OwnStatistics).to(dtype), functional.cross_entropy
    message = r"outputs of body\.1 \(BatchNorm2d\) for a sample depend on.*one batch$"
    for measure in (HessianOperator, average_sharpness):
        with pytest.raises(CurvatureError, match=message):
            measure(model, loss, cut)
    with pytest.raises(CurvatureError, match=message):
        HessianOperator(model, loss, cut, batch_norm="recalibrate")
    HessianOperator(model, loss, cut, batch_norm="train")
    HessianOperator(model, loss, [(inputs, targets)])
    mixing = build(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Centred()))
    with pytest.raises(CurvatureError, match=r"outputs of 2 \(Centred\) for a sample"):
        HessianOperator(mixing.to(dtype), loss, cut)


def test_samples_of_other_shapes_are_compared_within_a_batch() -> None:
    data = [*batches((8,), (1, 8, 8)), *batches((8,), (1, 6, 9))]
    with pytest.raises(CurvatureError, match=r"outputs of body\.1 \(BatchNorm2d\) for a sample"):
        HessianOperator(build(OwnStatistics), functional.cross_entropy, data)
    model = build(OwnStatistics)
    model.body[1] = nn.GroupNorm(3, 3).double()
    HessianOperator(model, functional.cross_entropy, data)


def test_kernels_that_round_by_the_size_of_the_batch_mix_nothing() -> None:
    class Rounding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1e-2 * len(x) * (x.dtype == torch.float32)

    model = build(lambda: nn.Sequential(nn.Linear(6, 8), Rounding(), nn.Tanh(), nn.Linear(8, 4)))
    HessianOperator(model.float(), functional.cross_entropy, batches(SIZES, (6,)))


class Restless(Sequence[Any]):
    """Batches that are shuffled whenever they are read."""

    def __init__(self, data: Batches) -> None:
        self._inputs, self._targets = joined(data)
        self._source = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        if index > 1:
            raise IndexError
        order = torch.randperm(len(self._inputs), generator=self._source)[:8]
        return self._inputs[order], self._targets[order]


def test_batches_that_change_are_refused() -> None:
    with pytest.raises(CurvatureError, match="batch 0 is not the same when it is read again"):
        HessianOperator(build(mlp), functional.cross_entropy, Restless(batches(SIZES, (6,))))
    data = batches(SIZES, (6,))
    operator = HessianOperator(build(mlp), functional.cross_entropy, data, graph_bytes=0)
    operator.matvec(random_vector(92))
    data[2][0].neg_()  # such as an augmentation in place
    with pytest.raises(CurvatureError, match="batch 2 is not the same"):
        operator.matvec(random_vector(92))


def test_a_loader_that_fills_the_same_tensors_anew_is_refused() -> None:
    data = batches((8, 8), (6,))
    inputs, targets = (torch.empty_like(tensor) for tensor in data[0])

    def loader() -> Iterator[tuple[Tensor, Tensor]]:
        for pair in data:
            yield inputs.copy_(pair[0]), targets.copy_(pair[1])

    with pytest.raises(CurvatureError, match=r"batch 0 is not the same.*copies"):
        HessianOperator(build(mlp), functional.cross_entropy, loader())


@pytest.mark.parametrize(
    "batch",
    [
        {"inputs": torch.zeros(4, 6), "labels": torch.zeros(4).long()},
        (torch.zeros(4, 6),),
        ((torch.zeros(4, 6), torch.zeros(4, 6)), torch.zeros(4).long()),
        torch.zeros(2, 4, 6),
    ],
)
def test_batches_that_are_no_pairs_are_refused(batch: Any) -> None:
    with pytest.raises(CurvatureError, match=r"batch 0 is a .*pairs of tensors, \(inputs, targets"):
        HessianOperator(build(mlp), functional.cross_entropy, [batch])


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_are_refused(reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.net[0](x)
            return checkpoint(self.net[1:], hidden, use_reentrant=reentrant)

    model = build(Checkpointed)
    # those that are not reentrant recompute with the model's own weights, not the operator's
    with pytest.raises(CurvatureError, match=r"switch(ed)? (checkpoints )?off"):
        operator_of(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_checkpoint_that_computes_again_in_another_mode_is_refused(dtype: torch.dtype) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.net = nn.BatchNorm1d(6), mlp()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(nn.Sequential(self.norm, self.net), x, use_reentrant=False)

    with pytest.raises(CurvatureError, match="the model uses activation checkpoints"):
        operator_of(build(Checkpointed).to(dtype).train())


def test_a_checkpoint_around_all_weights_is_no_flat_minimum() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.net, x.detach().requires_grad_(), use_reentrant=True)

    with pytest.raises(CurvatureError, match="switch checkpoints off"):
        operator_of(build(Checkpointed))


@pytest.fixture(autouse=True)
def the_same_random_state() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


# Wrapped and unfinished networks ------------------------------------------------------------------


def in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="aot_eager")
    return model


WRAPPED: dict[str, Any] = {
    "compiled": lambda model: torch.compile(model, backend="aot_eager"),
    "compiled in place": in_place,
    "compiled inside": lambda model: nn.Sequential(
        torch.compile(model[0], backend="aot_eager"), *model[1:]
    ),
    "parallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="aot_eager")),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_a_wrapped_network_has_the_curvature_of_its_own(case: str) -> None:
    """What torch.compile makes with this backend has no second derivatives."""
    plain, wrapped = build(mlp), WRAPPED[case](build(mlp))
    expected, operator = operator_of(plain), operator_of(wrapped)
    v = random_vector(expected.size)
    assert torch.equal(operator.matvec(v), expected.matvec(v))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.jit.script(mlp()), "made by torch.jit.*give the network that was scr"),
        (
            lambda: nn.Sequential(torch.jit.trace(nn.Linear(6, 4), torch.zeros(2, 6)), nn.Tanh()),
            "made by torch.jit",
        ),
        (lambda: nn.LazyLinear(4), "the model is lazy: weight has no shape yet; run the model on"),
        (
            lambda: nn.Sequential(nn.Linear(6, 4), nn.LazyBatchNorm1d(affine=False)),
            "the model is lazy: 1.running_mean has no shape yet",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_network_that_takes_no_other_weights_is_refused(make: Any, message: str) -> None:
    with pytest.raises(CurvatureError, match=message):
        operator_of(build(make))
