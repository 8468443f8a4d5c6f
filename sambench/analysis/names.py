"""How optimizers, models and datasets are called in print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import field

from sambench.errors import ConfigError
from sambench.files.definition import Definition, build
from sambench.files.yaml_text import read_yaml

PRINTED: Mapping[str, Mapping[str, str]] = {
    "optimizers": {
        "adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "sam": "SAM", "asam": "ASAM",
        "gsam": "GSAM", "wsam": "WSAM", "crsam": "CR-SAM", "gcsam": "GCSAM", "fsam": "F-SAM",
        "vasso": "VaSSO", "stablesam": "StableSAM", "usam": "USAM", "looksam": "LookSAM",
        "esam": "ESAM", "aesam": "AE-SAM", "interval-sam": "Interval-SAM", "msam": "M-SAM",
        "sam-on": "SAM-ON", "xsam": "XSAM", "focal-sam": "Focal-SAM",
    },
    "models": {
        "resnet18": "ResNet-18", "resnet50": "ResNet-50", "vgg16": "VGG-16",
        "vgg16-bn": "VGG-16 with batch norm", "vit": "ViT", "vit-small": "ViT-S",
        "swin": "Swin Transformer", "timm:tf_efficientnet_lite0": "EfficientNet-Lite0",
    },
    "datasets": {
        "bus": "GDPH & SYSUCC", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100",
        "breast-ultrasound": "breast ultrasound",
    },
}  # fmt: skip
"""Names as the papers print them, by kind; what is not here is printed by its own name."""


Printed = dict[str, str]
"""Each name to its print."""
EMPTY: Printed = field(default_factory=dict)


class Names(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of display, those of a file before our own."""

    optimizers: Annotated[Printed, "Of names, or labels with settings."] = EMPTY
    models: Annotated[Printed, "Of names."] = EMPTY
    datasets: Annotated[Printed, "Of names."] = EMPTY

    def optimizer(self, label: str) -> str:
        """Return how an optimizer is printed, its settings in parentheses kept."""
        name, bracket, rest = label.partition(" (")
        whole = self.optimizers.get(label)
        return (whole or self._printed("optimizers", name)) + bracket + rest

    def model(self, name: str) -> str:
        """Return how a model is printed."""
        return self._printed("models", name)

    def dataset(self, name: str) -> str:
        """Return how a dataset is printed."""
        return self._printed("datasets", name)

    def _printed(self, kind: str, name: str) -> str:
        return getattr(self, kind).get(name) or PRINTED[kind].get(name, name)


def read_names(path: Path) -> Names:
    """Read a YAML file of names.

    Raises:
        ConfigError: If the file is missing, is no such file, or has another key.
    """
    try:
        return build(Names, read_yaml(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give a YAML file") from None
