"""Filter norms, what stays where it is, and that a seed means one draw."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from sambench.curvature import HessianOperator, filter_normalised, random_landscape
from sambench.errors import CurvatureError

from .cases import Attention, ConvNet, Recurrent, batches, build, mlp


def moved(model: nn.Module) -> set[str]:
    return {name for name, d in filter_normalised(model, 0).items() if bool(d.any())}


def test_every_filter_has_the_networks_norm() -> None:
    model = build(ConvNet)
    direction = filter_normalised(model, 0)
    for name in ("features.0.weight", "head.1.weight"):
        weight = model.get_parameter(name)
        for filter_of_direction, filter_of_network in zip(direction[name], weight, strict=True):
            torch.testing.assert_close(filter_of_direction.norm(), filter_of_network.norm())
    assert moved(model) == {"features.0.weight", "head.1.weight"}


@pytest.mark.parametrize("groups", [1, 2])
def test_filters_of_a_transposed_convolution_are_its_outputs(groups: int) -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups)
    direction = filter_normalised(layer, 0)["weight"]
    per_group = 6 // groups
    for group in range(groups):
        inputs = slice(group * 4 // groups, (group + 1) * 4 // groups)
        for output in range(per_group):
            lengths = [t[inputs, output].norm() for t in (direction, layer.weight)]
            torch.testing.assert_close(*lengths)


def test_a_filter_of_zeros_stays() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight[1] = 0
    direction = filter_normalised(layer, 0)["weight"]
    assert bool(direction[0].any())
    assert not bool(direction[1].any())


def test_tokens_positions_and_tables_stay() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=2)
    assert {"pos_embed", "cls_token"} <= dict(vit.named_parameters()).keys()
    assert moved(vit) == {
        "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.proj.weight",
        "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight", "head.weight",
    }  # fmt: skip
    swin = torchvision.models.SwinTransformer([4, 4], 8, [2], [1], [2, 2], num_classes=2)
    names = moved(swin)
    assert any("relative_position_bias_table" in name for name, _ in swin.named_parameters())
    assert not any("table" in name or "norm" in name or "bias" in name for name in names)
    assert "features.1.0.attn.qkv.weight" in names


def test_weights_by_other_names_move() -> None:
    assert "block.self_attn.in_proj_weight" in moved(build(Attention))
    assert moved(build(Recurrent)) == {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "head.weight"}
    assert moved(weight_norm(nn.Linear(3, 2))) == {
        "parametrizations.weight.original0", "parametrizations.weight.original1",
    }  # fmt: skip
    assert moved(nn.Sequential(nn.LayerNorm((3, 4)), nn.Linear(4, 2))) == {"1.weight"}


def test_a_model_without_filters_has_no_flat_landscape() -> None:
    """Its matrices have other names, so that no direction would move them."""
    data = batches((4,), (6,))
    for attribute in ("matrix", "weight_1"):
        model = nn.Module()
        setattr(model, attribute, nn.Parameter(torch.ones(6, 4)))
        model.forward = lambda x, at=attribute, m=model: x @ getattr(m, at)  # type: ignore[method-assign]
        if attribute == "matrix":
            with pytest.raises(CurvatureError, match="the model has none: name"):
                random_landscape(model, nn.functional.cross_entropy, data, points=3)
        else:
            line = random_landscape(model, nn.functional.cross_entropy, data, points=3)
            assert line.loss[0] != line.loss[1]


def test_a_seed_is_one_draw_for_all_networks_of_an_architecture() -> None:
    one, other = build(ConvNet, seed=1), build(ConvNet, seed=2)
    first, second = filter_normalised(one, 5), filter_normalised(other, 5)
    for name in moved(one):
        cosines = [
            nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))
            for a, b in [(first[name], second[name])]
        ]
        torch.testing.assert_close(cosines[0], torch.ones_like(cosines[0]))
    single = filter_normalised(build(ConvNet, seed=1).float(), 5)
    assert all(torch.allclose(first[n].float(), single[n], rtol=1e-6) for n in first)


def test_a_compiled_network_moves_as_the_one_that_it_was_made_of() -> None:
    """The names that it gives its weights are not those of the Hessian, which would not move."""
    model = build(mlp)
    plain, compiled = (filter_normalised(m, 0) for m in (model, torch.compile(model)))
    assert list(plain) == list(compiled)
    assert all(torch.equal(plain[name], compiled[name]) for name in plain)
    data = batches((4,), (6,))
    with HessianOperator(torch.compile(model), nn.functional.cross_entropy, data) as H:
        v = torch.ones(H.size, dtype=H.dtype)
        assert not torch.equal(H.displaced(compiled, 0.1).matvec(v), H.matvec(v))


def test_a_seed_is_one_draw_under_any_default_type() -> None:
    model = build(mlp)
    expected = filter_normalised(model, 0)
    torch.set_default_dtype(torch.float64)
    try:
        found = filter_normalised(model, 0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[name], direction) for name, direction in expected.items())


def test_draws_differ_and_leave_the_global_generator() -> None:
    model, state = build(ConvNet), torch.get_rng_state()
    name = "features.0.weight"
    draws = [filter_normalised(model, *which)[name] for which in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(draws[0], draws[3])
    assert not any(torch.equal(draws[0], other) for other in draws[1:3])
    assert torch.equal(state, torch.get_rng_state())


def test_frozen_weights_are_left_out() -> None:
    model = build(ConvNet)
    model.get_parameter("head.1.weight").requires_grad_(False)
    assert "head.1.weight" not in filter_normalised(model, 0)
