"""Weights from a file of one's own: the backbone is loaded, the head starts anew.

A file that runs start from is kept beside the prepared datasets under its sha256, so that a run
means the same wherever the file came from, and every worker finds it.
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.errors import ModelError, SambenchWarning, did_you_mean
from sambench.files.atomic import write_bytes
from sambench.files.checksums import read_whole, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network", "teacher", "student")
"""Keys under which training scripts put a network's state in a checkpoint."""

LEAST_SHARE = 0.9
"""Smallest share of the backbone's numbers that a file must hold to be taken for its weights."""

COUNTER = "num_batches_tracked"
"""Buffer of batch normalisation that files of old versions of torch lack; it changes no output."""

FOLDER = ".weights"  # in the folder of the prepared datasets; no dataset's name begins with a dot

SAFE, OF_TORCH = ".safetensors", ".pt"

State = Mapping[str, "Tensor"]


def keep_weights(file: Path, data: Path) -> str:
    """Keep a file of weights beside the prepared datasets, and return its sha256.

    One that cannot be read is a ModelError, one that cannot be kept a StoreError.
    """
    try:
        content = read_whole(file)
    except OSError as error:
        raise ModelError(f"the weights {file} cannot be read: {error.strerror}") from error
    sha256, suffix = sha256_of(content), SAFE if file.suffix == SAFE else OF_TORCH
    if not _kept(data / FOLDER, sha256):
        read_state(file)  # what cannot be used is refused by its own name
        write_bytes(data / FOLDER / f"{sha256}{suffix}", content)
    return sha256


def find_weights(sha256: str, data: Path) -> Path:
    """Return the kept file of that sha256; a ModelError if it is not kept here."""
    if (found := _kept(data / FOLDER, sha256)) is None:
        raise ModelError(
            f"the weights of sha256 {sha256} are not kept in {data / FOLDER}; give their file once "
            "with --weights FILE"
        )
    return found


def _kept(folder: Path, sha256: str) -> Path | None:
    paths = (folder / f"{sha256}{suffix}" for suffix in (SAFE, OF_TORCH))
    return next((path for path in paths if path.is_file()), None)


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What of a file went into a network."""

    tensors: int  # those of the network, the counters of batch normalisation left out
    new: tuple[str, ...]
    """Names of those that kept their random initialisation: the head, and what the file lacks."""
    unused: tuple[str, ...]  # names in the file that the network has no place for

    def __str__(self) -> str:
        """Say what was loaded and what was not, by module: "245 of 247 tensors; new: fc"."""
        new = dict.fromkeys(name.rpartition(".")[0] or name for name in self.new)
        return f"{self.tensors - len(self.new)} of {self.tensors} tensors; new: {', '.join(new)}"


def load_backbone(network: nn.Module, path: Path, sha256: str | None = None) -> LoadedWeights:
    """Load a file's weights into a network, except into its last layer, and say what fitted.

    The last layer is several in timm's models for distillation. Names may have a prefix that the
    network's lack, as `module.` or `backbone.`; the one under which most tensors fit is taken off.
    Position embeddings of transformers are interpolated to the network's image size.

    The network is freshly initialised and changed in place. The file is one of safetensors, or of
    torch that holds tensors and plain values only; one that cannot be read, is not of `sha256`,
    where that is known, or holds another network's weights is a ModelError.
    """
    import torch

    own = network.state_dict()
    given = _resized(network, own, _without_prefix(read_state(path, sha256), own))
    *_, last = (name for name, _ in network.named_parameters())
    told: Any = getattr(network, "pretrained_cfg", {}).get("classifier")
    heads = told if isinstance(told, tuple) else (last.rpartition(".")[0],)
    head = tuple(f"{module}." for module in heads)
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in own
        and own[name].shape == tensor.shape
        and own[name].is_floating_point() == tensor.is_floating_point()  # not quantised, complex
        and not name.startswith(head)
    }
    backbone = [k for k in own if not k.startswith(head) and not k.endswith(COUNTER)]
    held = sum(own[name].numel() for name in backbone if name in fitting)
    share = held / max(1, sum(own[name].numel() for name in backbone))
    if share < LEAST_SHARE:
        missing = next(name for name in backbone if name not in fitting)
        found, near = given.get(missing), did_you_mean(missing, given)
        raise ModelError(
            f"the weights {path} are another network's: they fill {100 * share:.0f} % of its "
            f"backbone; it has no {missing!r} of shape {tuple(own[missing].shape)}"
            + (near if found is None else f", but one of {tuple(found.shape)} and {found.dtype}")
        )
    if unlike := [name for name in backbone if name in given and name not in fitting]:
        here, there = (tuple(of[unlike[0]].shape) for of in (own, given))
        said = f"{unlike[0]} has the shape {there} in {path} and {here} in this network"
        remedy = "it keeps its random values; another image size may fit"
        warnings.warn(f"{said}, so {remedy}", SambenchWarning, stacklevel=2)
    with torch.no_grad():
        network.load_state_dict({**own, **fitting})
    counted = [name for name in own if not name.endswith(COUNTER)]
    return LoadedWeights(
        tensors=len(counted),
        new=tuple(name for name in counted if name not in fitting),
        unused=tuple(k for k in given if k not in own),
    )


def read_state(path: Path, sha256: str | None = None) -> State:
    """Return the tensors of a file by name; the bytes checked are those that are read.

    One that cannot be read without running code from it, holds no tensors, or is not of that
    sha256, where one is given, is a ModelError.
    """
    import torch
    from safetensors.torch import load

    try:
        data = path.read_bytes()
        if sha256 is not None and sha256_of(data) != sha256:
            raise ModelError(
                f"the weights {path} are damaged; remove this file and give --weights FILE once "
                "more"
            )
        if data[8:9] == b"{":  # of safetensors, whatever the file is called
            return load(data)
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"the weights {path} are not there; check --weights") from None
    except pickle.UnpicklingError:
        raise ModelError(
            f"the weights {path} hold Python objects that could run code; save the state_dict "
            "alone, best with safetensors"
        ) from None
    except ModelError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        reason = " ".join(str(error).split())[:150]
        raise ModelError(f"the weights {path} cannot be read ({reason})") from error
    if found := _state_in(content):
        return found
    raise ModelError(
        f"the weights {path} hold no state_dict; looked at its top and under {', '.join(WRAPPERS)}"
    )


def _state_in(content: Any) -> State:
    """Return the tensors that lie under a known key of a checkpoint, else those at its top."""
    from torch import Tensor

    if not isinstance(content, Mapping):
        return {}
    for key in WRAPPERS:
        if found := _state_in(content.get(key)):
            return found
    return {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _without_prefix(given: State, own: State) -> State:
    """Take off the prefix under which most tensors of the file are the network's, or the first."""

    def stripped(prefix: str) -> State:
        return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}

    prefixes = {"": None} | {
        ".".join(names[:depth]) + ".": None
        for names in (name.split(".") for name in given)
        for depth in range(1, min(4, len(names)))
    }
    fits = {prefix: len(own.keys() & stripped(prefix).keys()) for prefix in prefixes}
    best, *others = sorted(fits, key=fits.__getitem__, reverse=True)
    if others and fits[others[0]] == fits[best] > len(own) / 2:
        said = f"the weights hold this network under {best!r} and under {others[0]!r}"
        remedy = "the first is loaded; for the other one, give a file that holds it alone"
        warnings.warn(f"{said}: {remedy}", SambenchWarning, stacklevel=3)
    return stripped(best)


def _resized(network: Any, own: State, given: State) -> State:
    """Interpolate position embeddings to the number of patches that the network has."""
    resized, name = dict(given), "pos_embed"  # of timm
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if grid and name in own and name in given and given[name].ndim == own[name].ndim == 3:
        from timm.layers.pos_embed import resample_abs_pos_embed

        # A class's or register's token is among them in some models only.
        tokens = own[name].shape[1] - math.prod(grid)
        patches = given[name].shape[1] - tokens
        if tokens >= 0 and patches > 0 and math.isqrt(patches) ** 2 == patches:
            resized[name] = resample_abs_pos_embed(
                given[name], new_size=grid, num_prefix_tokens=tokens
            )
    name = "encoder.pos_embedding"
    if name in own and name in given and own[name].shape != given[name].shape:  # torchvision
        from torchvision.models.vision_transformer import interpolate_embeddings

        place = {name: given[name]}
        resized.update(interpolate_embeddings(network.image_size, network.patch_size, place))
    return resized
