"""Image classifiers by name: how each is built at an image size; and the small one of our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sambench.errors import ModelError, reason_of
from sambench.registry import Registry

if TYPE_CHECKING:
    from torch import nn

Statistics = tuple[float, ...]
IMAGENET: tuple[Statistics, Statistics] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and SD of ImageNet's channels, which torchvision's published weights were trained with."""

CHANNELS = 3
"""All models take three channels, as the papers' do; grey images repeat theirs."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """An entry of `sambench list models`."""

    name: str  # as on the command line
    summary: str  # one line: architecture and where it comes from
    build: Callable[[int, int, bool], nn.Module]
    """Takes (classes, image size, pretrained) and returns the network, which takes (B, 3, H, W)
    float32 and returns logits (B, classes)."""
    blank: Callable[[int, int], nn.Module] | None = None
    """Takes (classes, image size) and returns the network that published weights are loaded into,
    without them; None where it is the one that is trained from scratch."""
    weights: str = ""
    """Name of the published weights that `pretrained` loads; empty where there are none."""
    image_size: int = 8  # smallest side in pixels it accepts
    multiple: int = 1  # the side must be a multiple of this
    reference: str = ""  # the paper
    pixels: Callable[[], tuple[Statistics, Statistics]] = lambda: IMAGENET
    """Returns mean and SD of each channel, pixels in [0, 1], that its weights were trained with."""
    address: Callable[[], str] = str
    """Returns where those weights can be downloaded; empty where that is not known."""

    def check(self, image_size: int, pretrained: bool) -> None:
        """Refuse by a ModelError images of a size it cannot take, and weights where it has none."""
        if pretrained and not self.weights:
            raise ModelError(
                f"model {self.name!r} has no published weights; leave out --pretrained, "
                "or `pretrained: true` in a suite"
            )
        if image_size < self.image_size or image_size % self.multiple:
            rule = f"at least {self.image_size} pixels"
            rule += f" and a multiple of {self.multiple}" if self.multiple > 1 else ""
            raise ModelError(
                f"model {self.name!r} cannot take {image_size}x{image_size} images (needs {rule}); "
                "prepare the data at another --size or choose another model"
            )


models: Registry[Model] = Registry("model", "sambench.models")

families: dict[str, Callable[[str], Model]] = {}
"""Whole libraries of models by the prefix of their names; each makes the entry of a name."""


def build_model(
    name: str, *, classes: int, image_size: int, pretrained: bool, filled: bool = True
) -> nn.Module:
    """Build a network; a random initialisation is drawn from torch's global generator.

    Its name is one of the registry, or `timm:NAME` for any timm model. It has `classes` outputs and
    takes images of a side of `image_size` pixels; `pretrained` loads published weights, unless it
    is not to be `filled`, since a trained one's are at hand. A name that is not known is an
    UnknownNameError; a model that does not take this size, whose weights cannot be had, or that
    is none, is a ModelError.
    """
    from torch import nn

    model = find_model(name)
    model.check(image_size, pretrained)
    try:
        if pretrained and not filled and model.blank is not None:
            network = model.blank(classes, image_size)
        else:
            network = model.build(classes, image_size, pretrained and filled)
    except OSError as error:
        if not model.weights:
            raise
        reason = reason_of(error, 200)
        raise ModelError(
            f"the weights {model.weights} of model {name!r} are not available here ({reason}); "
            f"download {model.address() or 'them'} on a machine with a network and give the file "
            "by --weights in place of --pretrained"
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"the build of model {name!r} returns a {type(network).__name__}; have it return the "
            "network, a torch.nn.Module"
        )
    return network


def find_model(name: str) -> Model:
    """Return the entry of a registered name or a family's `timm:NAME`; else an UnknownNameError."""
    prefix, colon, rest = name.partition(":")
    if colon and models.list() and prefix in families:
        return families[prefix](rest)
    return models.get(name)


WIDTHS = (16, 32, 64, 96)
"""Channels of the four layers of a network small enough to train in seconds on a CPU."""


def _small_cnn(classes: int, image_size: int, pretrained: bool) -> nn.Module:
    """Four batch-normalised 3x3 convolutions halve the side, the first twice from 64 pixels on."""
    from torch import nn

    layers: list[nn.Module] = []
    width_in = CHANNELS
    for depth, width in enumerate(WIDTHS):
        stride = 2 if depth == 0 and image_size >= 64 else 1
        layers += [
            nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        layers += [nn.MaxPool2d(2)] if depth < len(WIDTHS) - 1 else []
        width_in = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, classes)
    )


models.register(
    Model(
        name="small-cnn",
        summary="four 3x3 convolutions with batch normalisation, 80k parameters",
        build=_small_cnn,
    )
)
