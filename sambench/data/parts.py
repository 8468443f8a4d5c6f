"""The images of a run: prepared, split, and on their device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sambench.config import RunConfig
from sambench.data.batches import Images, Scaling
from sambench.data.prepared import Prepared, open_prepared
from sambench.data.splits import Split
from sambench.data.stored_splits import stored_split


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The prepared images of a run, split and on their device."""

    prepared: Prepared
    split: Split
    split_sha256: str
    train: Images
    validation: Images | None
    test: Images

    def describe(self) -> dict[str, Any]:
        """Return the record's data section."""
        return {
            "fingerprint": self.prepared.fingerprint,
            "classes": list(self.prepared.classes),
            "train": len(self.split.train),
            "validation": len(self.split.validation),
            "test": len(self.split.test),
            "split_sha256": self.split_sha256,
        }


def load_parts(config: RunConfig, data: Path, device: torch.device) -> Parts:
    """Open the prepared images of a run, split them and put them on the device.

    Raises:
        UserError: If the data are not prepared or cannot be split as asked.
    """
    prepared = open_prepared(data, config.dataset, config.image_size)
    split, checksum = stored_split(
        prepared,
        config.split,
        fold=config.fold,
        seed=config.split_seed,
        validation=config.validation,
    )
    scaling = Scaling()
    if config.normalization == "standard":
        scaling = Scaling.of(prepared.images[split.train])

    def part(indices: np.ndarray[Any, np.dtype[np.int64]]) -> Images:
        return Images(prepared.images[indices], prepared.labels[indices], device, scaling)

    return Parts(
        prepared=prepared,
        split=split,
        split_sha256=checksum,
        train=part(split.train),
        validation=part(split.validation) if len(split.validation) else None,
        test=part(split.test),
    )
