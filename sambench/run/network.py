"""A run's network and optimizer, as built and as the run left it, and its tests under shifts."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sambench.config.run_config import RunConfig
from sambench.errors import CurvatureError, DataError, ModelError
from sambench.models.model import build_model
from sambench.optim import build
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.plugin import is_foreign
from sambench.run.images import Parts, load_parts
from sambench.run.network_check import check_network
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store
from sambench.training.evaluate import robust_accuracy
from sambench.training.seeding import derive_seed

EMBEDDED = re.compile("pos_embed|position_bias_table|class_token|cls_token")
"""Position embeddings and tokens by name: unlike timm's models, torchvision's do not list them."""


def build_network(config: RunConfig, classes: int, device: torch.device) -> nn.Module:
    """Build the run's network as its seed initialises it; one of one's own is tried.

    Raises:
        UserError: If it cannot be built, or is none that can be trained here.
    """
    side, pretrained = config.image_size, config.pretrained
    build_it = partial(build_model, config.model, classes=classes, image_size=side)
    torch.manual_seed(seed := derive_seed(config.seed, "initialisation"))
    model = build_it(pretrained=pretrained).to(device)
    if is_foreign("model", config.model):
        torch.manual_seed(seed)
        again = build_it(pretrained=pretrained).to(device)
        check_network(model, again, config.model, classes=classes, side=side)
    return model


def build_optimizer(
    config: RunConfig, model: nn.Module, parallel: DistributedDataParallel | None = None
) -> SharpnessAware:
    """Build the run's optimizer over the network's parameters; `parallel` has them too."""
    settings = dict(config.optimizer)
    name, base = str(settings.pop("name")), str(settings.pop("base"))
    apart = parallel if config.perturbation == "per-replica" else None
    parameters: Any = model.parameters()
    if config.decayed == "matrices":
        from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

        decay: Any = settings["weight_decay"]
        spared: set[str] = {*getattr(model, "no_weight_decay", set)()}  # beside norms and biases
        spared |= {name for name, _ in model.named_parameters() if EMBEDDED.search(name)}
        parameters = param_groups_weight_decay(model, decay, no_weight_decay_list=spared)
    return build(name, parameters, base, model=model, per_replica=apart, **settings)


def restore_parts(record: RunRecord, data: Path, device: torch.device) -> Parts:
    """Return a run's images, where those that it was trained on are prepared; else a UserError."""
    parts = load_parts(record.config, data, device)
    then, now = record.data, parts.prepared
    if then and (then["fingerprint"], tuple(then["classes"])) != (now.fingerprint, now.classes):
        raise DataError(
            f"run {record.name} was trained on other data than {parts.prepared.folder} holds now; "
            "prepare the data as it was, or train again"
        )
    return parts


def restore_network(
    record: RunRecord, store: Store, classes: int, device: torch.device
) -> nn.Module:
    """Return a run's network with its weights; a UserError where these or its file changed."""
    config = record.config
    check_code(record)
    with torch.random.fork_rng([]):  # what its state_dict lacks is drawn as it was for training
        torch.default_generator.manual_seed(derive_seed(config.seed, "initialisation"))
        model = build_model(
            config.model,
            classes=classes,
            image_size=config.image_size,
            pretrained=config.pretrained,
            filled=False,
        ).to(device)
    stored = store.read_weights(record)
    try:
        model.load_state_dict(stored)
    except RuntimeError as error:
        raise CurvatureError(
            f"the weights {store.weights(config)} do not fit their model "
            f"({' '.join(str(error).split())[:150]}); train the run again"
        ) from error
    return model


def check_code(record: RunRecord) -> None:
    """Refuse a run whose model is of a file of one's own that was changed since."""
    if name := record.changed_plugin(network=True):
        raise ModelError(
            f"run {record.name} was trained with another version of {name}, which brings its model "
            f"{record.config.model}; put the file back as it was, or train the run again"
        )


def with_shifts(
    record: RunRecord, config: RunConfig, store: Store, data: Path, device: torch.device
) -> RunRecord:
    """Return a record whose `final.test.robust` is what the configuration asks for.

    The record is of the same run, perhaps with other disturbances. One that has them already or is
    not completed is returned as it is. The stored final weights are tested: no run is trained
    again for this. Raises as `restore_parts`, `restore_network` and `Store.save` do.
    """
    if record.status != COMPLETED or record.final is None or record.has_shifts(config.shifts):
        return record
    parts = restore_parts(record, data, device)
    model = restore_network(record, store, len(parts.prepared.classes), device)
    ids = [parts.prepared.ids[index] for index in parts.split.test]
    robust = robust_accuracy(model, parts.test, ids, config.shifts)
    final = {**record.final, "test": {**record.final["test"], "robust": robust}}
    tested = replace(record, config=config).with_sections(final=final)
    store.save(tested)
    return tested
