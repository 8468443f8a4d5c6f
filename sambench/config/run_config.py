"""Everything that affects a run's numbers, frozen, checked, and named by a hash of its own content.

Device, paths, workers and display are not here: they must not change what a run is called.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import fields, replace

from sambench.config.optimizer import Settings, resolve_optimizer, resolve_stored
from sambench.config.stop import Stop
from sambench.errors import ConfigError
from sambench.files.definition import (
    LARGEST,
    Count,
    Definition,
    Name,
    Sha256,
    Share,
    Whole,
    build,
    plain,
    unit,
)

BESIDE_OPTIMIZER = ("base", "lr", "weight_decay")
"""Settings of the optimizer that may stand beside it."""

PAPERS = "papers"
PAPERS_AUGMENTATION: Mapping[str, str] = {"cifar10": "pad-crop-flip", "cifar100": "pad-crop-flip"}
"""What `augmentation: papers` stands for, by dataset; "none" elsewhere: the papers name none."""

EXECUTION = ("capture", "compile")
"""Fields that say how steps are executed, not what they compute: they are no part of the id."""

AFTERWARDS = ("shifts",)
"""Fields that say what is measured on the final weights: they are no part of the id."""

BEFORE = ("label_noise", "kernels")
"""Fields that are no part of the id at their default: runs were stored before there were any."""

LATER = ("weights", "warmup", "label_smoothing", "class_weights", "sampler", "decayed", "average")
"""Likewise, and a record does not have them then: stored ones keep their text."""

OF_REPLICAS = ("replicas", "perturbation", "batch_norm")
"""Fields that a stored run has only where several processes trained it."""

USUAL_VALIDATION = 0.1
"""Share of the training part that is set aside where a rule selects on it and none is given."""

_A_NAME = {"allowed": "a name"}
ModelName = Annotated[str, Meta(pattern=r"^[ -~]+$(?!\n)", max_length=100, extra=_A_NAME)]
SplitName = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]+$(?!\n)", max_length=100, extra=_A_NAME)]
Choice = Literal["auto", "always", "never"]


class RunConfig(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One training run: everything that affects its numbers."""

    dataset: Annotated[Name, "Name of a prepared dataset."]
    image_size: Annotated[
        Annotated[int, Meta(ge=8, le=LARGEST)], "Side of its images in pixels.", unit("pixels")
    ]
    model: Annotated[ModelName, "Name of a model."]
    optimizer: Annotated[
        Settings,
        "Its name, its base and every hyperparameter, on one level.",
        Meta(
            extra_json_schema={
                "required": ["name", "base"],
                "properties": {"name": {"type": "string"}, "base": {"type": "string"}},
            }
        ),
    ]
    split: Annotated[
        SplitName,
        'Which images are for testing. "holdout": a fifth of each class, at random. "kfold-K": K '
        'parts, each tested once. "grouped-K": the same, with copies of an image and images of a '
        'patient in one part. "patient-K": as "grouped-K", and refused where patients are not '
        'known. "folds", "authors": the folds, or the test images, that come with the dataset. '
        '"centre:NAME": the images of one centre.',
    ] = "holdout"
    fold: Annotated[Count | None, "Which fold is the test part, where a split has several."] = None
    split_seed: Annotated[
        Count,
        "Seed of the split. It does not vary with `seed`, so that all runs share their test "
        "images.",
    ] = 0
    validation: Annotated[
        Share,
        "Share of the training images that is set aside for validation; by default 0.1 where "
        "`stop` or `selection` looks at validation images, else 0. With `split: authors` a "
        "validation part that comes with the dataset is taken instead, whatever the share; where "
        "none is asked for it is left out.",
        unit("fraction"),
    ] = 0.0
    pretrained: Annotated[bool, "Start from published weights instead of random ones."] = False
    weights: Annotated[
        Sha256 | None,
        "sha256 of a file of weights to start from, all but the last layer. `--weights FILE` "
        "sets it, and keeps a copy of the file beside the prepared datasets.",
    ] = None
    batch_size: Annotated[
        Whole,
        "Batch size: images in each step. A single one that is left over joins the last batch.",
        unit("images"),
    ] = 16
    epochs: Annotated[Whole, "Maximum number of epochs.", unit("epochs")] = 50
    stop: Annotated[Stop, "Rule that may end training before the last epoch."] = Stop()
    selection: Annotated[
        Literal["last", "best-validation"],
        "Which weights are tested: the last, or those of the epoch with the best validation "
        "accuracy.",
    ] = "last"
    schedule: Annotated[
        Literal["constant", "cosine", "step", "onecycle"],
        '"cosine" falls from `lr` to 0 along half a cosine; "step" divides the rate by 10 '
        'after half and after three quarters of the epochs; "onecycle" rises from `lr` / 25 '
        "to `lr` over the first 30 % of the steps and falls to almost 0, as torch's OneCycleLR.",
    ] = "constant"
    warmup: Annotated[
        Count,
        "Epochs over which the learning rate rises in equal steps to `lr`; the schedule takes the "
        "other epochs.",
        unit("epochs"),
    ] = 0
    label_smoothing: Annotated[
        Share,
        "Share of each training label that is spread evenly over all classes; test labels stay "
        "as they are.",
        unit("fraction"),
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        '"balanced" gives a class with n of the N images in K classes the weight N / (K n) in the '
        "training loss, so that a rare class counts as much as a frequent one. With "
        "`label_smoothing` each class's share of an image's target has the weight of that class.",
    ] = "none"
    sampler: Annotated[
        Literal["shuffled", "balanced"],
        '"shuffled" takes every training image once an epoch; "balanced" draws as many with '
        "replacement, each class equally often on average.",
    ] = "shuffled"
    decayed: Annotated[
        Literal["all", "matrices"],
        'What the weight decay acts on: "matrices" leaves out biases, norms and position '
        "embeddings, as transformers are usually trained.",
    ] = "all"
    average: Annotated[
        Literal["none", "ema"],
        '"ema" tests the exponential moving average of the weights: those of a step count 0.999 '
        "times as much as those of the next step (less at the start of a run).",
    ] = "none"
    augmentation: Annotated[
        Literal["none", "flip-shift", "pad-crop-flip", "standard"],
        'Random changes to training images; "papers" is replaced by what the papers do on the '
        "dataset.",
        Meta(extra={"also": [PAPERS]}),
    ] = "none"
    normalization: Annotated[
        Literal["unit", "standard", "imagenet", "pretrained"],
        '"unit" scales to [0, 1], as the papers do; "standard" also to mean 0 and SD 1 of the '
        'training images; "imagenet" by the means and SDs of ImageNet\'s channels; '
        '"pretrained" by those that the model\'s published weights were trained with, which '
        "are ImageNet's for torchvision's models and often 0.5 for timm's.",
    ] = "unit"
    precision: Annotated[
        Literal["fp32", "tf32", "bf16"], "Arithmetic of forward and backward passes."
    ] = "fp32"
    seed: Annotated[Count, "Seed of initial weights, data order and augmentation."] = 0
    label_noise: Annotated[
        Share,
        "Share of the training images that get a wrong label, each of the other classes "
        "equally likely; validation and test labels stay as they are. The same images for all "
        "runs of a `split_seed`.",
        unit("fraction"),
    ] = 0.0
    shifts: Annotated[
        Literal["none", "ultrasound", "xray"],
        "Also test the final weights on disturbed images: with the noise, blur, contrast and the "
        "like of ultrasound or of X-ray images.",
    ] = "none"
    kernels: Annotated[
        Literal["deterministic", "fastest"],
        '"deterministic" kernels give the same bits again wherever torch has such kernels; '
        '"fastest" ones are chosen by timing.',
    ] = "deterministic"
    capture: Annotated[
        Choice, 'Record steps as CUDA graphs; "auto": where that is possible and saves time.'
    ] = "auto"
    compile: Annotated[
        Choice,
        'Compile the network with torch.compile; "auto": where that is possible and saves time.',
    ] = "auto"
    replicas: Annotated[
        Whole,
        "Processes that train the run together, each on its share of every batch.",
        unit("processes"),
    ] = 1
    perturbation: Annotated[
        Literal["synchronized", "per-replica"],
        'Of several replicas: "synchronized" perturbs all by the gradient of the whole batch; '
        '"per-replica" perturbs each by that of its share (m-sharpness), another algorithm.',
    ] = "synchronized"
    batch_norm: Annotated[
        Literal["per-replica", "synchronized"],
        "Of several replicas: normalise by the statistics of each one's share, or of the whole "
        "batch.",
    ] = "per-replica"

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> RunConfig:
        """Check and complete settings from a suite, the command line or a record.

        `optimizer` may be a name or a mapping with its hyperparameters; `base`, `lr` and
        `weight_decay` beside it apply where the mapping does not set them. A key that is unknown or
        missing, or a value of the wrong type or range, is a ConfigError, an optimizer that does not
        exist an UnknownNameError.
        """
        settings = {str(name): value for name, value in given.items()}
        for_optimizer: dict[str, object] = {
            k: settings.pop(k) for k in BESIDE_OPTIMIZER if k in settings
        }
        if settings.get("augmentation") == PAPERS:
            settings["augmentation"] = PAPERS_AUGMENTATION.get(str(settings.get("dataset")), "none")
        if settings.get("optimizer") is not None:
            settings["optimizer"] = resolve_optimizer(settings["optimizer"], for_optimizer)
        if "stop" in settings:
            settings["stop"] = Stop.parse(settings["stop"])
        config = build(cls, settings, what="a run")
        config.check_combinations()
        best = "selection=best-validation" if config.selection == "best-validation" else ""
        selecting = best or ("stop=patience" if config.stop.rule == "patience" else "")
        if selecting and config.validation == 0 and "validation" in settings:
            raise ConfigError(
                f"validation=0 leaves no image for {selecting}; give a share, or leave it out for "
                f"{USUAL_VALIDATION}"
            )
        share = config.validation or (USUAL_VALIDATION if selecting else 0.0)
        return replace(config, validation=share)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, in field order; what concerns replicas if there are any."""
        found = plain(self)
        found["optimizer"] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in self.optimizer.items()
        }
        for name in OF_REPLICAS if self.replicas == 1 else ():
            del found[name]
        for name in LATER:
            if found[name] == DEFAULTS[name]:
                del found[name]
        return found

    @functools.cached_property
    def id(self) -> str:
        """Ten hex digits of the sha256 of the canonical form: sorted keys, no spaces."""
        named = self.to_dict()
        for name in (*EXECUTION, *AFTERWARDS):
            del named[name]
        for name in BEFORE:
            if named[name] == DEFAULTS[name]:
                del named[name]
        canonical = json.dumps(named, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:10]

    @functools.cached_property
    def name(self) -> str:
        """Folder name of the run: `<dataset>-<model>-<optimizer>-s<seed>-<id>`."""
        parts = (self.dataset, self.model, str(self.optimizer["name"]), f"s{self.seed}", self.id)
        return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))

    def checked(self) -> RunConfig:
        """Return a stored configuration, its optimizer's settings checked and complete."""
        complete = resolve_stored(tuple(self.optimizer.items()))
        return self if complete == self.optimizer else replace(self, optimizer=complete)

    def check_combinations(self) -> None:
        """Refuse, by a ConfigError, settings that contradict each other."""
        if self.weights and self.pretrained:
            raise ConfigError("pretrained and weights both say where to start; keep one")
        if self.decayed == "matrices" and not self.optimizer.get("weight_decay"):
            raise ConfigError("decayed=matrices needs a weight decay; set weight_decay too")
        for name, value in (("sampler", "balanced"), ("average", "ema")):
            if getattr(self, name) == value and self.replicas > 1:
                raise ConfigError(f"{name}={value} is for one process; leave out --devices")
        if self.warmup and self.schedule == "onecycle":
            raise ConfigError("schedule=onecycle warms up by itself; leave out warmup")
        if self.warmup and self.warmup >= self.epochs:
            raise ConfigError(
                f"warmup={self.warmup} is not allowed with epochs={self.epochs}; allowed: less "
                "than these"
            )
        together = (self.perturbation, self.batch_norm) != ("synchronized", "per-replica")
        if self.replicas == 1 and together:
            raise ConfigError("perturbation and batch_norm are for several replicas; set them too")
        if self.batch_size < 2 * self.replicas > 2:
            raise ConfigError(
                f"batch_size={self.batch_size} is not allowed with replicas={self.replicas}; "
                f"allowed: {2 * self.replicas} or more, two images for each"
            )


DEFAULTS = {field.name: field.default for field in fields(RunConfig) if not field.required}
