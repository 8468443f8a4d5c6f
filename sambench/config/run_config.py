"""Everything that affects a run's numbers, frozen, checked, and named by a hash of its own content.

Device, paths, workers and display are not here: they must not change what a run is called.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

from sambench.errors import ConfigError, did_you_mean
from sambench.optim.base import Setting
from sambench.optim.method import optimizers

STOP_RULES: Mapping[str, float | None] = {
    "epochs": None,
    "train-accuracy": 1.0,
    "patience": 10.0,
    "gradient-evaluations": None,
    "minutes": None,
}
"""Stop rules with the default of their value; None where there is no default."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "selection": ("last", "best-validation"),
    "schedule": ("constant", "cosine"),
    "augmentation": ("none", "flip-shift", "pad-crop-flip", "standard"),
    "normalization": ("unit", "standard", "imagenet"),
    "precision": ("fp32", "tf32", "bf16"),
    "kernels": ("deterministic", "fastest"),
    "capture": ("auto", "always", "never"),
    "compile": ("auto", "always", "never"),
    "shifts": ("none", "ultrasound", "xray"),
    "perturbation": ("synchronized", "per-replica"),
    "batch_norm": ("per-replica", "synchronized"),
}

LEARNING_RATE = 1e-4
"""The papers'; of every optimizer that is given none."""

PAPERS = "papers"
PAPERS_AUGMENTATION: Mapping[str, str] = {"cifar10": "pad-crop-flip", "cifar100": "pad-crop-flip"}
"""What `augmentation: papers` stands for, by dataset; "none" elsewhere: the papers name none."""

_ADDED = {"added": True}
"""Of a field that came after runs were stored: at its default it is no part of the id, so that
these keep theirs."""

_AFTERWARDS = {"afterwards": True}
"""Of a field that says what is measured on the final weights: it is no part of the id at all."""

EXECUTION = ("capture", "compile")
"""Fields that say how steps are executed, not what they compute: they are no part of the id."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """When training ends, besides the cap on epochs.

    Attributes:
        rule: One of `STOP_RULES`.
        value: `train-accuracy` (fraction): as good as that; `patience` (epochs): so long without a
            better validation loss; `gradient-evaluations` (passes) and `minutes` (minutes): the
            budget is spent.
    """

    rule: str = "epochs"
    value: float | None = None

    @classmethod
    def parse(cls, given: object) -> Stop:
        """Read "train-accuracy", "patience=10" or {rule: patience, value: 10}.

        Raises:
            ConfigError: If the rule is unknown or its value missing or out of range.
        """
        if isinstance(given, Stop):
            return given
        if isinstance(given, str):
            rule, _, text = given.partition("=")
            given = {"rule": rule, **({"value": _number(text, "stop")} if text else {})}
        if not isinstance(given, Mapping):
            raise ConfigError(f"stop={given!r} is not a rule; rules: {', '.join(STOP_RULES)}")
        _refuse_unknown(given, ("rule", "value"), "stop")
        rule = str(given.get("rule", "epochs"))
        if rule not in STOP_RULES:
            raise ConfigError(
                f"unknown stop rule {rule!r}{did_you_mean(rule, STOP_RULES)}; "
                f"rules: {', '.join(STOP_RULES)}"
            )
        value = given.get("value")
        return cls(rule=rule, value=_stop_value(rule, STOP_RULES[rule] if value is None else value))


def _stop_value(rule: str, value: object) -> float | None:
    if rule == "epochs":
        if value is not None:
            raise ConfigError("stop rule epochs takes no value; set `epochs` itself")
        return None
    if value is None:
        raise ConfigError(f"stop rule {rule} needs a value, as in {rule}=100")
    number = _number(value, f"stop rule {rule}")
    if number <= 0 or (rule == "train-accuracy" and number > 1):
        raise ConfigError(
            f"stop rule {rule}={number:g} is not allowed; allowed: above 0"
            + (", at most 1" if rule == "train-accuracy" else "")
        )
    return number


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. A number is annotated with its unit.

    Attributes:
        dataset: Name of a prepared dataset.
        image_size: Side of its images in pixels.
        split: "holdout", "folds", "authors", "kfold-K", "grouped-K", "patient-K" or
            "centre:NAME".
        fold: Which fold is the test part, where the split has several.
        split_seed: Seed of the split; not varied with `seed`, so that all runs share test images.
        validation: Fraction of the training part set aside; by default 0.1 where a rule selects on
            it, else 0.
        model: Name of a model.
        pretrained: Start from published weights instead of a random initialisation.
        optimizer: Name, base and every hyperparameter, flat.
        batch_size: Images per step.
        epochs: Epochs to train, and the cap of every other stop rule.
        stop: When to stop before that.
        selection: Which weights are tested: the last, or the best on validation.
        schedule: Learning rate over time.
        augmentation: Random changes to training images; "papers" is replaced by what the papers
            do on the dataset.
        normalization: "unit" scales to [0, 1] (the papers'); "standard" also to the training
            images' mean 0 and SD 1; "imagenet" to what pretrained weights were trained with.
        precision: Arithmetic of forward and backward passes.
        kernels: "deterministic" repeats bits where torch can; "fastest" is chosen by timing.
        capture: Record steps as CUDA graphs: "auto" where that is possible and pays.
        compile: Put the network through torch.compile: likewise.
        seed: Initialisation, data order and augmentation.
        label_noise: Share of the training images that get a wrong label, each of the other classes
            equally likely; validation and test labels stay as they are. The same images for all
            runs of a `split_seed`.
        shifts: Family of disturbances under which the final weights are tested too.
        replicas: Processes that train the run together, each on its share of every batch.
        perturbation: Of several replicas: "synchronized" perturbs all by the gradient of the whole
            batch, "per-replica" each by that of its share (m-sharpness): another algorithm.
        batch_norm: Of several replicas: statistics of each one's share, or of the whole batch.
    """

    dataset: str
    image_size: Annotated[int, "pixels"]
    model: str
    optimizer: Mapping[str, Setting]
    split: str = "holdout"
    fold: int | None = None
    split_seed: int = 0
    validation: Annotated[float, "fraction"] = 0.0
    pretrained: bool = False
    batch_size: Annotated[int, "images"] = 16
    epochs: Annotated[int, "epochs"] = 50
    stop: Stop = field(default_factory=Stop)
    selection: str = "last"
    schedule: str = "constant"
    augmentation: str = "none"
    normalization: str = "unit"
    precision: str = "fp32"
    seed: int = 0
    label_noise: Annotated[float, "fraction"] = field(default=0.0, metadata=_ADDED)
    shifts: str = field(default="none", metadata=_AFTERWARDS)
    kernels: str = field(default="deterministic", metadata=_ADDED)
    capture: str = "auto"
    compile: str = "auto"
    replicas: Annotated[int, "processes"] = 1
    perturbation: str = "synchronized"
    batch_norm: str = "per-replica"

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> RunConfig:
        """Check and complete settings from a suite, the command line or a record.

        `optimizer` may be a name or a mapping with its hyperparameters; `base`, `lr` and
        `weight_decay` beside it apply where the mapping does not set them.

        Raises:
            ConfigError: If a key is unknown or missing, or a value of the wrong type or range.
            UnknownNameError: If the optimizer does not exist.
        """
        settings = dict(given)
        for_optimizer: dict[str, object] = {
            k: settings.pop(k) for k in ("base", "lr", "weight_decay") if k in settings
        }
        _refuse_unknown(settings, _FIELDS, "run")
        for name in ("dataset", "image_size", "model", "optimizer"):
            if settings.get(name) is None:
                raise ConfigError(f"a run needs {name!r}")
            _typed(name, settings[name])
        settings["optimizer"] = _optimizer(settings["optimizer"], for_optimizer)
        settings["stop"] = Stop.parse(settings.get("stop", "epochs"))
        if settings.get("augmentation") == PAPERS:
            settings["augmentation"] = PAPERS_AUGMENTATION.get(settings["dataset"], "none")
        config = cls(**{k: _typed(k, v) for k, v in settings.items()})
        config._check_replicas()
        return config._with_validation()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, in field order; what concerns replicas if there are any."""
        left_out = ("replicas", "perturbation", "batch_norm") if self.replicas == 1 else ()
        plain = {name: getattr(self, name) for name in _FIELDS if name not in left_out}
        plain["stop"] = {"rule": self.stop.rule, "value": self.stop.value}
        plain["optimizer"] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in self.optimizer.items()
        }
        return plain

    @functools.cached_property
    def id(self) -> str:
        """Ten hex digits of the sha256 of the canonical form: sorted keys, no spaces."""
        plain = self.to_dict()
        for name, default in _UNNAMED.items():
            if default is None or plain[name] == default:
                del plain[name]
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:10]

    @functools.cached_property
    def name(self) -> str:
        """Folder name of the run: `<dataset>-<model>-<optimizer>-s<seed>-<id>`."""
        parts = (self.dataset, self.model, str(self.optimizer["name"]), f"s{self.seed}", self.id)
        return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))

    def _check_replicas(self) -> None:
        together = (self.perturbation, self.batch_norm) != ("synchronized", "per-replica")
        if self.replicas == 1 and together:
            raise ConfigError("perturbation and batch_norm are for several replicas; set them too")
        if self.batch_size < 2 * self.replicas > 2:
            raise ConfigError(
                f"batch_size={self.batch_size} is not allowed with replicas={self.replicas}; "
                f"allowed: {2 * self.replicas} or more, two images for each"
            )

    def _with_validation(self) -> RunConfig:
        """Set the validation fraction that the rules need, where none is given."""
        needed = self.selection == "best-validation" or self.stop.rule == "patience"
        return replace(self, validation=0.1) if needed and not self.validation else self


_FIELDS = tuple(f.name for f in fields(RunConfig))
_UNNAMED = {
    f.name: f.default if f.metadata == _ADDED else None
    for f in fields(RunConfig)
    if f.metadata or f.name in EXECUTION
}
"""Fields that the id leaves out: at this default, or always where it is None."""


def _optimizer(given: object, beside: Mapping[str, object]) -> dict[str, Setting]:
    named = {"name": given} if isinstance(given, str) else given
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str):
        raise ConfigError(f"optimizer={given!r} needs a name, as in {{name: sam, rho: 0.05}}")
    settings = {"lr": LEARNING_RATE, **beside, **{k: v for k, v in named.items() if k != "name"}}
    base = settings.pop("base", None)
    info = optimizers.get(named["name"])
    return info.resolve(info.base or (None if base is None else str(base)), settings)


MINIMUM = {
    "image_size": 8,
    **dict.fromkeys(("batch_size", "epochs", "replicas"), 1),
    **dict.fromkeys(("seed", "split_seed", "fold"), 0),
}
"""Least values of whole numbers."""


def choices_of(name: str) -> tuple[str, ...]:
    """Return what a user may write for a setting of `CHOICES`."""
    return (*CHOICES[name], *([PAPERS] if name == "augmentation" else []))


def _typed(name: str, value: Any) -> Any:
    """Check a value against its field's type and range."""
    if name in MINIMUM:
        if name == "fold" and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < MINIMUM[name]:
            raise ConfigError(
                f"{name}={value!r} is not allowed; allowed: a whole number >= {MINIMUM[name]}"
            )
    elif name == "pretrained":
        if not isinstance(value, bool):
            raise ConfigError(f"pretrained={value!r} is not allowed; allowed: true or false")
    elif name in ("validation", "label_noise"):
        value = _number(value, name)
        if not 0 <= value < 1:
            raise ConfigError(f"{name}={value:g} is not allowed; allowed: [0, 1)")
    elif name in CHOICES:
        if value not in CHOICES[name]:
            allowed = choices_of(name)
            raise ConfigError(
                f"{name}={value!r} is not allowed{did_you_mean(str(value), allowed)}"
                f"; allowed: {', '.join(allowed)}"
            )
    elif name in ("dataset", "model", "split") and not (isinstance(value, str) and value):
        raise ConfigError(f"{name}={value!r} is not allowed; allowed: a name")
    return value


def _number(value: object, what: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
        if isinstance(value, bool) or not math.isfinite(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{what}: {value!r} is not a finite number") from None
    return number


def _refuse_unknown(given: Mapping[str, Any], known: Any, where: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(
                f"unknown key {str(key)!r} in {where}{did_you_mean(str(key), known)}; "
                f"known: {', '.join(known)}"
            )
