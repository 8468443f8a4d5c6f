"""Every model of the registry builds, fits the images and says what it cannot do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from sambench.errors import ModelError, UnknownNameError
from sambench.models.model import Model, build_model, find_model, models

PARAMETERS = {
    "small-cnn": 79_378,
    "resnet18": 11_169_858,
    "resnet50": 23_512_130,
    "swin": 27_520_892,
    "vit-small": 21_597_314,
}
"""At 64 pixels and two classes; resnet50 and swin as published, less 998 outputs."""


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_it_takes_images_and_has_the_size_it_should(name: str) -> None:
    model = build_model(name, classes=2, image_size=64, pretrained=False)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"), [("vit", 85_661_954), ("vgg16", 134_268_738), ("vgg16-bn", 134_277_186)]
)
def test_large_models_too(name: str, parameters: int) -> None:
    model = build_model(name, classes=2, image_size=64, pretrained=False)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_every_model_is_tried_here() -> None:
    assert {m.name for m in models.list()} == set(PARAMETERS) | {"vit", "vgg16", "vgg16-bn"}


@pytest.mark.parametrize("size", [32, 64])
def test_the_small_stem_leaves_positions_for_the_residual_blocks(size: int) -> None:
    model = build_model("resnet18", classes=2, image_size=size, pretrained=False)
    features = model.conv1(torch.zeros(1, 3, size, size))
    assert features.shape[-2:] == (32, 32)


@pytest.mark.parametrize(("size", "sides"), [(32, [16, 8, 4, 4]), (64, [16, 8, 4, 4])])
def test_the_small_network_halves_the_side(size: int, sides: list[int]) -> None:
    model = build_model("small-cnn", classes=2, image_size=size, pretrained=False)
    x, found = torch.zeros(1, 3, size, size), []
    for layer in model.eval():
        x = layer(x)
        found += [x.shape[-1]] if isinstance(layer, nn.MaxPool2d) else []
    assert [*found, model[:-3](torch.zeros(1, 3, size, size)).shape[-1]] == sides


@pytest.mark.parametrize("name", ["timm:resnet10t", "timm:vit_tiny_patch16_224"])
def test_any_timm_model(name: str) -> None:
    model = build_model(name, classes=5, image_size=64, pretrained=False)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet1888", "resnet18"),
        ("vit_tiny_patch16_224.augreg_in22k", "vit_tiny_patch16_224.augreg_in21k"),
    ],
)
def test_an_unknown_timm_model(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"model '{name}': did you mean .*'{near}'"):
        find_model(f"timm:{name}")


@pytest.mark.parametrize("name", ["resnet5", "tim:resnet50"])
def test_an_unknown_model(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown model '{name}': did you mean 'resnet50'"):
        find_model(name)


@pytest.mark.parametrize(
    ("name", "size", "rule"),
    [("resnet50", 16, "at least 32 pixels"), ("vit", 72, "a multiple of 16")],
)
def test_images_that_a_model_cannot_take(name: str, size: int, rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        build_model(name, classes=2, image_size=size, pretrained=False)


@pytest.mark.parametrize(
    ("name", "reason", "usual"),
    [
        ("inception_v3", "Calculated padded .*", 299),
        ("halonet26t", "AssertionError", 256),
        ("gcvit_xxtiny", "division by zero", 224),
    ],
)
def test_a_timm_model_that_refuses_the_size(name: str, reason: str, usual: int) -> None:
    said = rf"'{name}' cannot take 28x28 images \({reason}\); .* --size, such as its own {usual},"
    with pytest.raises(ModelError, match=said):
        build_model(f"timm:{name}", classes=2, image_size=28, pretrained=False)


@pytest.mark.parametrize("blank", [None, lambda classes, size: nn.Identity()])
def test_a_network_that_is_filled_later_asks_for_no_published_weights(
    monkeypatch: pytest.MonkeyPatch, blank: Any
) -> None:
    asked: list[bool] = []

    def build(classes: int, size: int, pretrained: bool) -> nn.Module:
        asked.append(pretrained)
        return nn.Linear(1, 1)

    entry = Model(name="own", summary="", weights="own", build=build, blank=blank)
    monkeypatch.setitem(models._entries, "own", entry)
    for pretrained, filled in ((True, False), (True, True), (False, False)):
        build_model("own", classes=2, image_size=64, pretrained=pretrained, filled=filled)
    assert asked == ([False, True, False] if blank is None else [True, False])


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    def offline(*args: object, **settings: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"are not available here \(no network\)") as refused:
        build_model("resnet18", classes=2, image_size=64, pretrained=True)
    assert (
        "download https://download.pytorch.org/models/resnet18-f37072fd.pth on a machine with a "
        "network and give the file by --weights" in str(refused.value)
    )


@pytest.mark.parametrize(
    ("name", "middle", "address"),
    [
        ("timm:tf_efficientnet_lite0", 0.5, "huggingface.co/timm/tf_efficientnet_lite0.in1k/"),
        ("timm:legacy_seresnet18", 0.485, "github.com/.*/seresnet18-4bb0ce65.pth"),
        ("resnet50", 0.485, "download.pytorch.org/models/resnet50-.*"),
        ("vit-small", 0.5, "huggingface.co/timm/vit_small_patch16_224.augreg_in21k_ft_in1k/"),
    ],
)
def test_pixels_are_scaled_as_the_published_weights_expect(
    name: str, middle: float, address: str
) -> None:
    model = find_model(name)
    assert model.pixels()[0][0] == middle
    assert re.match(f"https://{address}", model.address())


@pytest.mark.parametrize("name", ["small-cnn", "timm:darknet17"])
def test_a_model_without_published_weights(name: str) -> None:
    with pytest.raises(ModelError, match=f"'{name}' has no published weights; leave out --pretr"):
        build_model(name, classes=2, image_size=64, pretrained=True)
