"""The papers' models, from torchvision: ResNet50, VGG16, ViT-B/16, Swin-T; and ResNet18."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sambench.models.model import Model, models

if TYPE_CHECKING:
    from torch import nn


def _with_head(name: str, head: str, classes: int, image_size: int, pretrained: bool) -> Any:
    """Return a network whose last layer, at `head`, is drawn after all others."""
    from torch import nn
    from torchvision.models import get_model

    network = get_model(name, weights="DEFAULT" if pretrained else None)
    network.set_submodule(head, nn.Linear(network.get_submodule(head).in_features, classes))
    return network


def _resnet18(classes: int, image_size: int, pretrained: bool) -> nn.Module:
    """ResNet18; from scratch at up to 64 pixels with a 3x3 stem and no pooling.

    The published 7x7 stem divides the side by four, which leaves nothing of a small image. The
    small stem keeps 32x32 positions: stride 1 at 32 pixels, 2 at 64.
    """
    from torch import nn

    network = _with_head("resnet18", "fc", classes, image_size, pretrained)
    if image_size <= 64 and not pretrained:
        stride = 2 if image_size > 32 else 1
        network.conv1 = nn.Conv2d(3, 64, 3, stride=stride, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    return network


def _vgg(name: str, classes: int, image_size: int, pretrained: bool) -> nn.Module:
    from torchvision.models import get_model

    if pretrained:
        return _with_head(name, "classifier.6", classes, image_size, pretrained)
    return get_model(name, num_classes=classes)


def _vit(classes: int, image_size: int, pretrained: bool) -> nn.Module:
    from torch import nn
    from torchvision.models import ViT_B_16_Weights, vit_b_16
    from torchvision.models.vision_transformer import interpolate_embeddings

    if not pretrained:
        return vit_b_16(image_size=image_size, num_classes=classes)
    state = ViT_B_16_Weights.DEFAULT.get_state_dict(progress=True, check_hash=True)
    network = vit_b_16(image_size=image_size)
    network.load_state_dict(interpolate_embeddings(image_size, 16, state))
    network.heads.head = nn.Linear(network.hidden_dim, classes)
    return network


def _swin(classes: int, image_size: int, pretrained: bool) -> nn.Module:
    from torch import nn

    network = _with_head("swin_t", "head", classes, image_size, pretrained)
    if not pretrained:
        nn.init.trunc_normal_(network.head.weight, std=0.02)
        nn.init.zeros_(network.head.bias)
    return network


def _address(weights: str) -> str:
    """Return where published weights lie, as `torchvision ResNet50_Weights.DEFAULT`."""
    from torchvision.models import get_weight

    return str(get_weight(weights.removeprefix("torchvision ")).url)


for _model in (
    Model(
        name="resnet18",
        summary="ResNet18 of torchvision, 11M parameters; 3x3 stem up to 64 pixels",
        build=_resnet18,
        blank=partial(_with_head, "resnet18", "fc", pretrained=False),
        weights="torchvision ResNet18_Weights.DEFAULT",
        image_size=16,
        reference="He et al., 2016, arXiv 1512.03385",
    ),
    Model(
        name="resnet50",
        summary="ResNet50 of torchvision, 24M parameters",
        build=partial(_with_head, "resnet50", "fc"),
        weights="torchvision ResNet50_Weights.DEFAULT",
        image_size=32,
        reference="He et al., 2016, arXiv 1512.03385",
    ),
    Model(
        name="vgg16",
        summary="VGG16 of torchvision, without batch normalisation, 134M parameters",
        build=partial(_vgg, "vgg16"),
        weights="torchvision VGG16_Weights.DEFAULT",
        image_size=32,
        reference="Simonyan & Zisserman, 2015, arXiv 1409.1556",
    ),
    Model(
        name="vgg16-bn",
        summary="VGG16 of torchvision, with batch normalisation, 134M parameters",
        build=partial(_vgg, "vgg16_bn"),
        weights="torchvision VGG16_BN_Weights.DEFAULT",
        image_size=32,
        reference="Simonyan & Zisserman, 2015, arXiv 1409.1556",
    ),
    Model(
        name="vit",
        summary="ViT-B/16 of torchvision, 86M parameters",
        build=_vit,
        weights="torchvision ViT_B_16_Weights.DEFAULT",
        image_size=32,
        multiple=16,
        reference="Dosovitskiy et al., 2021, arXiv 2010.11929",
    ),
    Model(
        name="swin",
        summary="Swin-T of torchvision, 28M parameters",
        build=_swin,
        weights="torchvision Swin_T_Weights.DEFAULT",
        image_size=32,
        reference="Liu et al., 2021, arXiv 2103.14030",
    ),
):
    models.register(replace(_model, address=partial(_address, _model.weights)))
