"""Resumable states on disk: plain tensors, numbers and strings, checksummed, the last two kept."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from sambench.files.atomic import write_bytes

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
FORMAT_VERSION = 1


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state as the folder's latest checkpoint; the one before is kept.

    Raises:
        StoreError: If the folder cannot be written; the earlier checkpoints are intact then.
    """
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **state}, buffer)
    data = buffer.getbuffer()
    latest, previous = folder / NAME, folder / PREVIOUS
    if _digest(latest).exists():  # it is written last, so the latest is whole
        if latest.exists():
            latest.replace(previous)
        _digest(latest).replace(_digest(previous))
    write_bytes(latest, data)
    write_bytes(_digest(latest), hashlib.sha256(data).hexdigest().encode())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the latest state that is whole, or None.

    A file that is truncated, altered or of another format version is passed over.
    """
    paths = [path for name in (NAME, PREVIOUS) if (path := folder / name).exists()]
    # a crash between two renames can leave a file's digest under the other name
    digests = [d.read_bytes() for n in (NAME, PREVIOUS) if (d := _digest(folder / n)).exists()]
    for path in paths:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest().encode() not in digests:
            continue
        state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        if state.pop("format_version", None) == FORMAT_VERSION:
            return state
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints: the run is complete."""
    for name in (NAME, PREVIOUS):
        (folder / name).unlink(missing_ok=True)
        _digest(folder / name).unlink(missing_ok=True)


def _digest(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
