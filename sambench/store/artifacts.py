"""What lies beside a run's record: its weights and its test predictions.

A file that is not what the run wrote is a DamagedError, one that cannot be written a StoreError.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sambench.errors import CurvatureError
from sambench.files.atomic import write_bytes
from sambench.files.checksums import read_checked, sha256_of
from sambench.store.tree import PREDICTIONS, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor, nn


def write_predictions(
    folder: Path, ids: Sequence[str], probabilities: NDArray[Any], labels: NDArray[Any]
) -> str:
    """Write each test image's id, probability of each class and label; return the file's sha256."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, version=1, ids=np.array(ids), probabilities=probabilities, labels=labels
    )
    write_bytes(folder / PREDICTIONS, buffer.getvalue())
    return sha256_of(buffer.getvalue())


def write_weights(folder: Path, model: nn.Module) -> str:
    """Write the network's weights and buffers; return the file's sha256."""
    from safetensors.torch import save

    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    data = save(weights, metadata={"version": "1"})
    write_bytes(folder / WEIGHTS, data)
    return sha256_of(data)


def read_weights(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Return a network's stored state, of that checksum if told; a CurvatureError if unreadable."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(read_checked(path, sha256))
    except (SafetensorError, OSError) as error:
        raise CurvatureError(f"the weights {path} cannot be read; train the run again") from error


def load_weights(model: nn.Module, path: Path, sha256: str | None) -> None:
    """Load what `write_weights` wrote; a CurvatureError if it is not to be read, or another's."""
    stored = read_weights(path, sha256)
    try:
        model.load_state_dict(stored)
    except RuntimeError as error:
        raise CurvatureError(
            f"the weights {path} do not fit their model ({' '.join(str(error).split())[:150]}); "
            "train the run again"
        ) from error
