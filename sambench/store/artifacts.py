"""What lies beside a run's record: its weights and its test predictions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sambench.errors import CurvatureError
from sambench.files.atomic import write_bytes
from sambench.store.tree import PREDICTIONS, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor, nn


def write_predictions(
    folder: Path, ids: Sequence[str], probabilities: NDArray[Any], labels: NDArray[Any]
) -> None:
    """Write each test image's id, probabilities (a column for each class) and label.

    Raises:
        StoreError: If the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, version=1, ids=np.array(ids), probabilities=probabilities, labels=labels
    )
    write_bytes(folder / PREDICTIONS, buffer.getvalue())


def write_weights(folder: Path, model: nn.Module) -> None:
    """Write the network's weights and buffers.

    Raises:
        StoreError: If the folder cannot be written.
    """
    from safetensors.torch import save

    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(weights, metadata={"version": "1"}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a network's stored state.

    Raises:
        CurvatureError: If the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CurvatureError(f"the weights {path} cannot be read; train the run again") from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load what `write_weights` wrote into a network.

    Raises:
        CurvatureError: If the weights are another network's or cannot be read.
    """
    stored = read_weights(path)
    try:
        model.load_state_dict(stored)
    except RuntimeError as error:
        raise CurvatureError(
            f"the weights {path} do not fit their model ({' '.join(str(error).split())[:150]}); "
            "train the run again"
        ) from error
