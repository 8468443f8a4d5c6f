"""A trained run for use: its network, its classes, and images prepared as its own were."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from sambench.data.batches import Images, Scaling
from sambench.data.decoding import Decoded, Recipe, UnreadableError, decode
from sambench.errors import DataError, DeviceError, ModelError, SambenchWarning, UnknownNameError
from sambench.files.atomic import write_bytes
from sambench.models.model import CHANNELS
from sambench.plugin import load_plugin
from sambench.run.network import restore_network, restore_parts
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store
from sambench.training.engine import layout_of
from sambench.training.evaluate import predict

File = str | Path


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainedRun:
    """A completed run whose network predicts.

    Attributes:
        record: The run: its settings, how it ended, its metrics.
        network: With the weights that were tested, in evaluation mode; takes (B, 3, H, W) float32.
        classes: Their names, in the order of the outputs.
    """

    record: RunRecord
    network: nn.Module
    classes: tuple[str, ...]
    device: torch.device
    _channels: int
    _recipe: Recipe
    _scaling: Scaling

    def __str__(self) -> str:
        accuracy = (self.record.final or {})["test"]["accuracy"]
        return (
            f"{self.record.name}: {', '.join(self.classes)}; test accuracy {100 * accuracy:.1f} %"
        )

    __repr__ = __str__

    def predict(self, images: Iterable[File] | File | NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probability of each class, shape (N, K).

        Files are decoded, resized and scaled as the run's images were. For the test images, all at
        once and in order, these are the probabilities of `predictions.npz`; in other batches the
        last digits may differ.

        Args:
            images: Files, or pixels 0..255 of shape (N, H, W, 1 or 3) at the run's image size. Of a
                file with several pages the first is taken; `FILE#2` is the second.

        Raises:
            DataError: If a file cannot be read or has more bits than the run's images had, or
                pixels are of another shape or type.
        """
        if isinstance(images, str | Path):
            images = [images]
        pixels = images if isinstance(images, np.ndarray) else self._decoded([*images])
        side = self.record.config.image_size
        shapes = [(len(pixels), side, side, channels) for channels in (1, CHANNELS)]
        if pixels.dtype != np.uint8 or pixels.shape not in shapes or not len(pixels):
            raise DataError(
                f"pixels of type {pixels.dtype} and shape {pixels.shape} are not uint8 of shape "
                f"(N, {side}, {side}, 1 or 3); or give files"
            )
        if pixels.shape[3] != self._channels:
            pixels = np.stack([*map(self._as_trained, pixels)])
        labels = np.zeros(len(pixels), dtype=np.int64)
        return predict(self.network, Images(pixels, labels, self.device, self._scaling))

    def export(self, path: File) -> None:
        """Write the run as an ONNX file that any runtime executes without this package.

        Its input `pixels` is uint8 of shape (N, H, W, C) at the run's image size, as files of it
        are decoded; its output `probabilities` (N, K). Its metadata name the classes.

        Args:
            path: Ends in .onnx.

        Raises:
            DataError: If the packages onnx and onnxscript are not installed.
            StoreError: If the file cannot be written.
        """
        if find_spec("onnxscript") is None:
            raise DataError("export needs onnx; `pip install 'sambench[onnx]'` has it")
        side = self.record.config.image_size
        example = torch.zeros((2, side, side, self._channels), dtype=torch.uint8)
        made = torch.onnx.export(
            _FromPixels(self.network, self._scaling).cpu().eval(),
            (example,),
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("images")}},
            dynamo=True,
            verbose=False,
        )
        assert made is not None, "the exporter with dynamo=True returns its program"
        told = {"run": self.record.name, "classes": json.dumps(self.classes)}
        made.model.metadata_props.update(told)
        write_bytes(Path(path), made.model_proto.SerializeToString())

    def _decoded(self, files: Sequence[File]) -> NDArray[np.uint8]:
        if not all(isinstance(file, str | Path) for file in files):
            raise DataError("images are files, or pixels in one array, not a list of anything else")
        squares = [self._square(Path(file)) for file in files]
        side = self.record.config.image_size
        return np.stack(squares) if squares else np.empty((0, side, side, 1), dtype=np.uint8)

    def _square(self, file: Path) -> NDArray[np.uint8]:
        """Return an image as the run's were made."""
        name, _, page = str(file).rpartition("#")  # as in samples.csv, unless a file is called so
        paged = page.isdecimal() and int(page) > 0 and not file.exists()
        place, number = (Path(name), int(page) - 1) if paged else (file, 0)
        try:
            found = decode(place, self.record.config.image_size, self._recipe, number)
        except UnreadableError as error:
            raise DataError(f"{file} {error}") from error
        if not isinstance(found, Decoded):
            raise DataError(
                f"{file} has more than 8 bits, and the record of {self.record.name} has no depth: "
                "its images had 8 bits, or were prepared before depths were kept; give pixels "
                "(uint8), scaled as the run's images were"
            )
        if found.frames > 1 and not paged:
            said = "of a file with several pages predict() takes the first; FILE#2 is the second"
            warnings.warn(said, SambenchWarning, stacklevel=4)
        return self._as_trained(found.pixels)

    def _as_trained(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image with as many channels as the run's have; colour becomes its luma."""
        if pixels.shape[2] < self._channels:
            return np.repeat(pixels, self._channels, axis=2)
        if pixels.shape[2] > self._channels:
            return np.asarray(Image.fromarray(pixels).convert("L"))[..., np.newaxis]
        return pixels


class _FromPixels(nn.Module):
    """A network behind the scaling of pixels, with probabilities as its output."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for name in ("mean", "std"):
            value = 255 * torch.tensor(getattr(scaling, name), dtype=torch.float32)
            self.register_buffer(name, value.reshape(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        values = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        logits: Tensor = self.network(values.expand(-1, CHANNELS, -1, -1))
        return logits.softmax(dim=1)


def load_run(
    name: File,
    *,
    results: File = "results",
    data: File = "data/prepared",
    device: str | torch.device = "cpu",
    plugins: Sequence[File] | File = (),
) -> TrainedRun:
    """Load a completed run by name, id or pattern.

    Args:
        name: Name, id or pattern of one run, as in `sambench list runs`, or its folder.
        results: Folder of the results.
        data: Folder of the prepared datasets; read only for runs whose record does not yet say how
            pixels were scaled.
        device: Where the network goes.
        plugins: Python files with models of your own, as for `--plugin`.

    Raises:
        UserError: If there is no such run or device, the run is not completed, its files are
            damaged or gone, or its model comes from a file that is not given.
    """
    for file in [plugins] if isinstance(plugins, str | Path) else plugins:
        load_plugin(Path(file))
    store, where = Store(Path(results)), _there(device)
    record = store.find_one(str(name))
    if record.status != COMPLETED or record.data is None:
        raise DataError(f"run {record.name} is {record.status}; complete it first")
    pixels: Any = record.data.get("pixels")
    if pixels is None:
        pixels = restore_parts(record, Path(data), where).describe()["pixels"]
    classes = tuple(record.data["classes"])
    try:
        network = restore_network(record, store, len(classes), where)
    except UnknownNameError as error:
        names = [*(record.environment or {}).get("plugins", {})] or ["FILE"]
        raise ModelError(
            f"run {record.name} has a model of one's own, {record.config.model!r}; give the path "
            f"of its file to load_run: plugins={names}"
        ) from error
    network.to(memory_format=layout_of(network, where))
    return TrainedRun(
        record=record,
        network=network.eval(),
        classes=classes,
        device=where,
        _channels=pixels["channels"],
        _recipe=Recipe(fit=pixels["fit"], depth=pixels["depth"]),
        _scaling=Scaling(tuple(pixels["mean"]), tuple(pixels["std"])),
    )


def _there(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # the latter where torch has no CUDA
        reason = str(error).partition(".")[0]
        raise DeviceError(f"device {device} is not there ({reason}); use cpu or another") from None
