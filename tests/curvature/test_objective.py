"""The objective leaves no trace, and refuses what has no Hessian."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature import (
    HessianOperator,
    density,
    eigenvalues,
    interpolation,
    random_landscape,
    trace,
)
from sambench.errors import CurvatureError

from .cases import Batches, ConvNet, batches, build, joined, mlp, random_vector

SIZES = (8, 8, 6)


def snapshot(model: nn.Module) -> list[object]:
    state = [tensor.clone() for tensor in model.state_dict().values()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    flags = [module.training for module in model.modules()]
    flags += [p.requires_grad for p in model.parameters()]
    arithmetic = [torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()]
    arithmetic += [torch.is_grad_enabled(), torch.backends.cuda.flash_sdp_enabled()]
    return [*state, *gradients, *flags, *arithmetic, torch.get_rng_state()]


def same(left: list[object], right: list[object]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        for a, b in pairs
    )


def test_leaves_the_model_and_the_process_as_they_were() -> None:
    model = build(ConvNet).train()
    model.head.eval()  # a mixture of flags
    model.head[1].bias.grad = torch.ones(4).double()
    model.head[1].bias.register_hook(lambda gradient: pytest.fail("a hook of the user's was run"))
    before = snapshot(model)
    with HessianOperator(model, functional.cross_entropy, batches(SIZES, (1, 8, 8))) as operator:
        operator.matvec(random_vector(operator.size))
        operator.batch(0).matvec(random_vector(operator.size))
        assert same(before, snapshot(model))
    assert same(before, snapshot(model))


class Twice(nn.Module):
    """A layer, its normalisation and its weight are each held under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)
        self.last.weight = self.first.weight
        self.features = nn.Sequential(self.first, self.norm, nn.Tanh())

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(inputs))
        return logits


def test_a_layer_that_has_two_names_stays_the_model_s_own() -> None:
    model, data = build(Twice), batches(SIZES, (4,))
    held = [*model.parameters(), *model.buffers()]
    with HessianOperator(model, functional.cross_entropy, data) as operator:
        products = operator.matmat(torch.eye(operator.size).double())
    assert all(a is b for a, b in zip(held, [*model.parameters(), *model.buffers()], strict=True))
    assert model.get_parameter("last.weight") is model.get_parameter("first.weight")
    inputs, targets = joined(data)
    weights = list(model.eval().parameters())
    loss = functional.cross_entropy(model(inputs), targets)
    rows = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, create_graph=True)])
    for row, product in zip(rows, products, strict=True):
        parts = torch.autograd.grad(row, weights, retain_graph=True, materialize_grads=True)
        torch.testing.assert_close(product, torch.cat([part.flatten() for part in parts]))


class Remembering(nn.Module):
    """In eval mode it keeps what it makes of its weights until `train()`, as timm's LeViT does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.kept: dict[str, Tensor] = {}
        self.positions: Tensor | None = None

    def train(self, mode: bool = True) -> Remembering:
        super().train(mode)
        if mode and self.kept:
            self.kept = {}
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training and "bias" not in self.kept:
            self.kept["bias"] = self.first.weight.sum(0)
        if self.positions is None:
            self.positions = torch.arange(4).to(inputs)
        bias = self.first.weight.sum(0) if self.training else self.kept["bias"]
        logits: Tensor = self.last(torch.tanh(self.first(inputs) + bias + self.positions))
        return logits


@pytest.mark.parametrize("training", [True, False])
def test_what_a_network_keeps_of_its_weights_stays_its_own(training: bool) -> None:
    model, data = build(Remembering).float().train(training), batches(SIZES, (4,))
    inputs = joined(data)[0].float()
    before = model(inputs).detach()
    model.positions = None
    matrices = []
    for kept in (model, build(Remembering).float()):
        line = random_landscape(kept, functional.cross_entropy, data, points=3)
        with HessianOperator(kept, functional.cross_entropy, data) as operator:
            matrices += [operator.matmat(torch.eye(operator.size)), torch.tensor(line.loss)]
        reference = kept.get_parameter("first.weight")
        displaced = operator.displaced({"first.weight": torch.ones_like(reference)}, 0.1)
        assert displaced.gradient()[0] != operator.gradient()[0]
    assert model.positions is None
    assert all(tensor.requires_grad for tensor in model.kept.values())
    torch.testing.assert_close(matrices[0], matrices[2])
    torch.testing.assert_close(matrices[1], matrices[3])
    torch.testing.assert_close(model.train(False)(inputs), before)


def test_leaves_the_training_flags_after_an_error() -> None:
    model = build(mlp).train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        HessianOperator(model, functional.cross_entropy, batches(SIZES, (5,))).matvec(
            torch.zeros(92)
        )
    assert model.training


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_works_in_any_gradient_mode(mode: Callable[[], torch.no_grad]) -> None:
    model, data, v = build(mlp), batches(SIZES, (6,)), random_vector(92)
    expected = HessianOperator(model, functional.cross_entropy, data).matvec(v)
    with mode():
        product = HessianOperator(model, functional.cross_entropy, data).matvec(v)
    assert torch.equal(product, expected)
    assert not product.requires_grad


def test_inference_mode_changes_nothing_wherever_it_is_on() -> None:
    """Around the measurement, where each product takes memory again, or around the batches."""
    model, data = build(mlp), batches(SIZES, (6,))
    with HessianOperator(model, functional.cross_entropy, data) as H:
        expected, whole, curve = eigenvalues(H), trace(H), density(H, 2, 5)
    with torch.inference_mode():
        made = [(inputs * 1, targets + 0) for inputs, targets in data]
        with HessianOperator(model, functional.cross_entropy, data) as H:
            assert torch.equal(eigenvalues(H).values, expected.values)
            assert trace(H).estimate == whole.estimate
            assert density(H, 2, 5).mean == curve.mean
    with HessianOperator(model, functional.cross_entropy, made) as H:
        assert torch.equal(eigenvalues(H).values, expected.values)


def test_statistics_are_measured_in_inference_mode_too() -> None:
    model, data = build(ConvNet), batches((8, 6), (1, 8, 8))
    other = build(ConvNet, seed=1).state_dict()
    losses = []
    for mode in (True, False):
        with torch.inference_mode(mode):
            way = interpolation(model, other, functional.cross_entropy, data, points=3)
            line = random_landscape(
                model, functional.cross_entropy, data, points=3, batch_norm="recalibrate"
            )
        losses.append([*way.loss, *way.kept_loss, *line.loss])
    assert losses[0] == losses[1]


def test_autocast_around_it_changes_nothing() -> None:
    model, data, v = build(mlp).float(), batches(SIZES, (6,)), random_vector(92)
    expected = HessianOperator(model, functional.cross_entropy, data).matvec(v)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(
            HessianOperator(model, functional.cross_entropy, data).matvec(v), expected
        )


def test_operators_alive_together_are_independent() -> None:
    model, v = build(mlp), random_vector(92)
    first_data, second_data = batches((8,), (6,)), batches((8, 8), (6,))[1:]
    first = HessianOperator(model, functional.cross_entropy, first_data)
    second = HessianOperator(model, functional.cross_entropy, second_data)
    together = second.matvec(v), first.matvec(v)
    alone = [
        HessianOperator(model, functional.cross_entropy, d).matvec(v)
        for d in (second_data, first_data)
    ]
    assert torch.equal(together[0], alone[0])
    assert torch.equal(together[1], alone[1])


@pytest.mark.parametrize("graph_bytes", [None, 0])
def test_training_on_does_not_move_the_matrix(graph_bytes: int | None) -> None:
    model, data, v = build(ConvNet), batches(SIZES, (1, 8, 8)), random_vector(145)
    operator = HessianOperator(model, functional.cross_entropy, data, graph_bytes=graph_bytes)
    before = operator.matvec(v)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    functional.cross_entropy(model(data[0][0]), data[0][1]).backward()
    optimizer.step()
    assert torch.equal(operator.matvec(v), before)


def test_a_model_without_trainable_weights_is_refused() -> None:
    with pytest.raises(CurvatureError, match="no trainable parameter"):
        HessianOperator(
            build(mlp).requires_grad_(False), functional.cross_entropy, batches(SIZES, (6,))
        )


def test_half_precision_weights_are_refused() -> None:
    with pytest.raises(CurvatureError, match=r"bfloat16.*\.float\(\)"):
        HessianOperator(build(mlp).bfloat16(), functional.cross_entropy, batches(SIZES, (6,)))


@pytest.mark.parametrize(("data", "message"), [((), "no batches"), ((4, 0), "batch 1 has no sam")])
def test_missing_data_is_refused(data: tuple[int, ...], message: str) -> None:
    with pytest.raises(CurvatureError, match=message):
        HessianOperator(build(mlp), functional.cross_entropy, batches(data, (6,)))


def test_a_loss_that_is_not_finite_names_its_batch() -> None:
    data: Batches = batches(SIZES, (6,))
    data[1][0][3, 2] = torch.nan
    with pytest.raises(CurvatureError, match="loss of batch 1 is nan"):
        HessianOperator(build(mlp), functional.cross_entropy, data).matvec(torch.zeros(92))


def test_a_loss_of_nothing_trainable_is_refused() -> None:
    def loss(out: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(out.detach(), y)

    with pytest.raises(CurvatureError, match="loss of batch 0 depends on no trainable"):
        HessianOperator(build(mlp), loss, batches(SIZES, (6,)))
