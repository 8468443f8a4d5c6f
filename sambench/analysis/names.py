"""How optimizers, models and datasets are called in print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sambench.errors import ConfigError, did_you_mean
from sambench.files.yaml_text import read_yaml

PRINTED: Mapping[str, Mapping[str, str]] = {
    "optimizers": {
        "adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "sam": "SAM", "asam": "ASAM",
        "gsam": "GSAM", "wsam": "WSAM", "crsam": "CR-SAM", "gcsam": "GCSAM", "fsam": "F-SAM",
        "vasso": "VaSSO", "stablesam": "StableSAM", "usam": "USAM", "looksam": "LookSAM",
        "esam": "ESAM", "aesam": "AE-SAM", "interval-sam": "Interval-SAM", "msam": "M-SAM",
        "sam-on": "SAM-ON",
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


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of display, those of a file before our own."""

    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def optimizer(self, label: str) -> str:
        """Return how an optimizer is printed, its settings in parentheses kept."""
        name, bracket, rest = label.partition(" (")
        whole = self.given.get("optimizers", {}).get(label)
        return (whole or self._printed("optimizers", name)) + bracket + rest

    def model(self, name: str) -> str:
        """Return how a model is printed."""
        return self._printed("models", name)

    def dataset(self, name: str) -> str:
        """Return how a dataset is printed."""
        return self._printed("datasets", name)

    def _printed(self, kind: str, name: str) -> str:
        return self.given.get(kind, {}).get(name) or PRINTED[kind].get(name, name)


def read_names(path: Path) -> Names:
    """Read a YAML file of names: `optimizers`, `models` and `datasets`, each name to its print.

    Raises:
        ConfigError: If the file is missing, is no such file, or has another key.
    """
    try:
        given: Any = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give a YAML file") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{path} holds no names; write e.g. `optimizers: {{sam: SAM}}`")
    for kind, names in given.items():
        if kind not in PRINTED:
            known = ", ".join(PRINTED)
            raise ConfigError(
                f"{path}: unknown key {str(kind)!r}{did_you_mean(str(kind), PRINTED)}; "
                f"known: {known}"
            )
        if not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
            raise ConfigError(f"{path}: {kind} must give each name one text")
    return Names(given=given)
