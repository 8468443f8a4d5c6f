"""The images of a run: prepared, split, and on their device."""

from __future__ import annotations

import gc
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sambench.config.run_config import RunConfig
from sambench.data.augment import Labels, with_wrong_labels
from sambench.data.batches import Images, Scaling
from sambench.data.decoding import Recipe
from sambench.data.prepared import Prepared, check_pixels, open_prepared
from sambench.data.splits import Indices, Split, stored_split, trained_though_apart
from sambench.models.model import IMAGENET, find_model


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The prepared images of a run, split and on their device."""

    prepared: Prepared
    split: Split
    split_sha256: str
    wrong_labels: int
    scaling: Scaling
    train: Images
    validation: Images | None
    test: Images

    def images_by_class(self) -> dict[str, list[int]]:
        """Return how many images of each class are in the training, validation and test part."""
        parts = (self.split.train, self.split.validation, self.split.test)
        labels, classes = self.prepared.labels, self.prepared.classes
        counts = [np.bincount(labels[part], minlength=len(classes)) for part in parts]
        return {name: [int(count[k]) for count in counts] for k, name in enumerate(classes)}

    def describe(self) -> dict[str, Any]:
        """Return the record's data section."""
        manifest = self.prepared.manifest
        asked = {k: v for k, v in manifest.changed.items() if k in ("fit", "depth")}
        if manifest.depth:  # that was found, where none was asked for
            asked["depth"] = manifest.depth
        recipe = replace(Recipe(), **asked)  # type: ignore[arg-type]
        return {
            "fingerprint": self.prepared.fingerprint,
            "classes": list(self.prepared.classes),
            "train": len(self.split.train),
            "validation": len(self.split.validation),
            "test": len(self.split.test),
            "split_sha256": self.split_sha256,
            "wrong_labels": self.wrong_labels,
            "leaked": self.split.leaked(np.array(self.prepared.groups)),
            "set_apart": trained_though_apart(self.prepared, self.split.train),
            "pixels": {
                "channels": manifest.channels,
                **asdict(recipe),
                "mean": np.atleast_1d(self.scaling.mean).tolist(),
                "std": np.atleast_1d(self.scaling.std).tolist(),
            },
        }


def load_parts(config: RunConfig, data: Path, device: torch.device, runs: int = 1) -> Parts:
    """Open the prepared images of a run, split them and put them on the device of so many runs.

    Data that are not prepared, or damaged (every byte is checked), are an UnpreparedError; those
    that cannot be split as asked another UserError.
    """
    prepared = open_prepared(data, config.dataset, config.image_size)
    check_pixels(prepared)
    if device.type == "cuda":
        gc.collect()  # what an earlier run has left on the device is in cycles of closures
    split, checksum = stored_split(
        prepared,
        config.split,
        fold=config.fold,
        seed=config.split_seed,
        validation=config.validation,
    )
    scaling = _scaling(config, prepared, split)
    right_labels, ids = prepared.labels[split.train], [prepared.ids[i] for i in split.train]
    noise = (len(prepared.classes), config.label_noise, config.split_seed)
    train_labels = with_wrong_labels(right_labels, ids, *noise)

    def part(indices: Indices, labels: Labels | None = None) -> Images:
        chosen = prepared.labels[indices] if labels is None else labels
        return Images(prepared.images, chosen, device, scaling, rows=indices, runs=runs)

    return Parts(
        prepared=prepared,
        split=split,
        split_sha256=checksum,
        scaling=scaling,
        wrong_labels=int((train_labels != right_labels).sum()),
        train=part(split.train, train_labels),
        validation=part(split.validation) if len(split.validation) else None,
        test=part(split.test),
    )


def _scaling(config: RunConfig, prepared: Prepared, split: Split) -> Scaling:
    match config.normalization:
        case "standard":
            return Scaling.of(prepared.images[row] for row in split.train)
        case "imagenet":
            return Scaling(*IMAGENET)
        case "pretrained":
            return Scaling(*find_model(config.model).pixels())
    return Scaling()
