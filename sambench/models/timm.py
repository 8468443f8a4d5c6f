"""Any model of the timm library, as `timm:NAME`."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from sambench.errors import ModelError, UnknownNameError, reason_of
from sambench.models.model import CHANNELS, IMAGENET, Model, Statistics, families, models

if TYPE_CHECKING:
    from torch import nn


def build(name: str, classes: int, image_size: int, pretrained: bool) -> nn.Module:
    """Build a timm model and try it on one blank image; a ModelError if it refuses this size."""
    import timm
    import torch

    # Without a network it warns of each of twelve attempts; what it fails of in the end is said.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    create = partial(timm.create_model, name, num_classes=classes, in_chans=CHANNELS)
    try:
        try:
            network = create(pretrained=pretrained, img_size=image_size)
        except TypeError:  # it has no such setting
            network = create(pretrained=pretrained)
        with torch.no_grad():
            network.eval()(torch.zeros(1, CHANNELS, image_size, image_size))
        return network.train()
    except (ArithmeticError, AssertionError, ValueError, RuntimeError) as error:
        reason = reason_of(error, 200)
        told = timm.get_pretrained_cfg(name)
        usual = f", such as its own {told.input_size[-1]}," if told else ""
        raise ModelError(
            f"timm model {name!r} cannot take {image_size}x{image_size} images ({reason}); "
            f"prepare the data at another --size{usual} or choose another model"
        ) from error


def pixel_statistics(name: str) -> tuple[Statistics, Statistics]:
    """Return mean and SD of each channel that a timm model's published weights expect."""
    import timm

    found = timm.get_pretrained_cfg(name)
    return IMAGENET if found is None else (tuple(found.mean), tuple(found.std))


def address(name: str) -> str:
    """Return where a timm model's published weights lie; empty where timm does not know."""
    import timm

    found = timm.get_pretrained_cfg(name)
    if found is None or not found.hf_hub_id:
        return "" if found is None else str(found.url or "")
    return f"https://huggingface.co/{found.hf_hub_id}/resolve/main/model.safetensors"


def timm_model(name: str) -> Model:
    """Return an entry for a timm model; an UnknownNameError if timm has no such model."""
    import timm

    base, _, tag = name.partition(".")
    tagged = timm.list_models(f"{base}.*", pretrained=True) if tag else []
    if name not in (known := tagged or timm.list_models()):
        listing = "list_pretrained" if tagged else "list_models"
        remedy = f"`python -c 'import timm; print(timm.{listing}())'` shows all"
        raise UnknownNameError("timm model", name, known, remedy)
    return Model(
        name=f"timm:{name}",
        summary=f"{name} of timm",
        build=partial(build, name),
        weights=f"timm {name}" if timm.is_model_pretrained(name) else "",
        pixels=partial(pixel_statistics, name),
        address=partial(address, name),
        reference="Wightman, PyTorch Image Models, doi 10.5281/zenodo.4414861",
    )


families["timm"] = timm_model
models.register(
    Model(
        name="vit-small",
        summary="ViT-S/16 of timm, 22M parameters",
        build=partial(build, "vit_small_patch16_224"),
        weights="timm vit_small_patch16_224",
        pixels=partial(pixel_statistics, "vit_small_patch16_224"),
        address=partial(address, "vit_small_patch16_224"),
        image_size=16,
        multiple=16,
        reference="Dosovitskiy et al., 2021, arXiv 2010.11929",
    )
)
