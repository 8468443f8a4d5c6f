"""Which runs a suite has, and what is looked at before they begin: data, models and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from sambench.cli.screen import Screen
from sambench.config.remarks import remarks
from sambench.config.run_config import RunConfig
from sambench.config.suite import Suite
from sambench.config.suite_file import prepare_lines
from sambench.data.audit.tears import leak_warning
from sambench.data.prepared import Prepared, check_pixels, only_at, open_prepared, prepared_datasets
from sambench.data.source import Request, sources
from sambench.data.splits import make_split
from sambench.errors import ConfigError, DataError, UnknownNameError, UnpreparedError, UserError
from sambench.launch.launcher import launchers
from sambench.models.model import find_model
from sambench.models.weights import find_weights
from sambench.store.tree import Store


def expanded(suite: Suite, data: Path, store: Store | None = None) -> tuple[RunConfig, ...]:
    """Return the runs of a suite; its datasets tell their folds, or else the records of `store`."""

    def folds(name: str, side: int) -> Sequence[int]:
        try:
            found = open_prepared(data, name, side).column("fold")
            return sorted({int(fold) for fold in found if fold is not None})
        except DataError:
            configs = [record.config for record in store.records()[0]] if store else []
            there = {c.fold for c in configs if (c.dataset, c.image_size) == (name, side)}
            if kept := sorted(fold for fold in there if fold is not None):
                return kept
            raise

    return suite.expand(folds)


def check_launcher(suite: Suite) -> None:
    """Refuse a suite's launcher that does not exist or has no such option; names the place."""
    if suite.launcher is None:
        return
    try:
        launchers.get(suite.launcher.name).refuse_unknown(suite.launcher.options)
    except UserError as error:
        raise ConfigError(f"{suite.place('launcher')}: {error}") from None


def check_datasets(configs: Sequence[RunConfig], data: Path, suite: Suite | None = None) -> None:
    """Refuse a dataset that is neither listed nor prepared, or that the suite says how to prepare.

    A listed one that its suite says nothing of may be made or found when its runs begin.
    """
    there = prepared_datasets(data)
    known = {*(source.name for source in sources.list()), *there}
    for name in sorted({config.dataset for config in configs} - {*there}):
        lines = [f"`{line}`" for line in prepare_lines(suite, name)] if suite else []
        if lines:
            said = f"dataset {name!r} is not prepared in {data}"
            raise UnpreparedError(f"{said}; run {' and '.join(lines)}")
        if name not in known:
            own = f"`sambench prepare folder --source DIR --name {name}`"
            remedy = f"`sambench list datasets` shows all; {own} prepares images of your own"
            raise UnknownNameError("dataset", name, known, remedy)


def say_remarks(screen: Screen, configs: Sequence[RunConfig]) -> None:
    """Say which settings of runs do nothing, or not what one would expect."""
    found = remarks(configs)
    for name in sorted({c.model for c in configs if c.normalization == "pretrained"}):
        if not (model := find_model(name)).weights:
            mean, sd = (", ".join(f"{value:g}" for value in told) for told in model.pixels())
            found.append(
                f"model {name!r} has no published weights; normalization=pretrained scales its "
                f"pixels by the means {mean} and the standard deviations {sd} all the same"
            )
    screen.warn(*(f"note: {said}" for said in found))


def check_models(configs: Sequence[RunConfig]) -> None:
    """Refuse runs whose model does not exist, does not take the images or has no weights."""
    for name, side, pretrained in sorted({(c.model, c.image_size, c.pretrained) for c in configs}):
        find_model(name).check(side, pretrained)


def check_weights(configs: Sequence[RunConfig], data: Path) -> None:
    """Refuse runs that start from weights whose file is not kept here."""
    for sha256 in sorted({config.weights for config in configs if config.weights}):
        find_weights(sha256, data)


def check_data(screen: Screen, configs: Sequence[RunConfig], data: Path) -> None:
    """Make data that are simulated; refuse runs whose data, split or fold are not there or unsound.

    Warns where a split tears patients or copies apart, and where a batch is all images.
    """
    for name, side in _images(configs):
        _make_data(screen, data, name, side)
        prepared = open_prepared(data, name, side)
        check_pixels(prepared)
        _check_splits(screen, prepared, configs)


def _check_splits(screen: Screen, prepared: Prepared, configs: Sequence[RunConfig]) -> None:
    """Refuse runs whose split or fold cannot be made of their data, and warn as `check_data`."""
    name, side = prepared.name, prepared.image_size
    mine = [config for config in configs if (config.dataset, config.image_size) == (name, side)]
    of_split = attrgetter("split", "split_seed", "validation")
    for split, seed, validation in sorted(set(map(of_split, mine))):
        asked = (config for config in mine if of_split(config) == (split, seed, validation))
        known = sorted({one.fold for one in asked}, key=lambda fold: (fold is None, fold))
        for warning in leak_warning(prepared, split, known, seed=seed, validation=validation):
            screen.warn(f"{name}: {warning}")
    for said in dict.fromkeys(_of_training(prepared, mine)):
        screen.warn(f"{name}: {said}")


def _of_training(prepared: Prepared, configs: Sequence[RunConfig]) -> Iterator[str]:
    """Yield a line for noise that leaves no label to learn, idle images, and batches of all."""
    idle = list(prepared.columns.get("part", ())).count("validation")
    if idle and any(c.split == "authors" and not c.validation for c in configs):
        yield (
            f"split authors leaves {idle} images out, which the source has for validation; with "
            "`--set validation=0.1`, or any other share, runs validate on them"
        )
    number = len(prepared.classes)
    for noise in sorted({config.label_noise for config in configs}):
        if noise >= 1 - 1 / number:
            yield (
                f"label_noise={noise:g} leaves the right label no more frequent than a wrong one, "
                "so a network learns nothing, or what is wrong; with "
                f"{number} classes set it below {number - 1}/{number}"
            )
    of_batches = attrgetter("batch_size", "split", "fold", "split_seed", "validation")
    for size, split, fold, seed, validation in dict.fromkeys(map(of_batches, configs)):
        few = 0 < validation * len({*prepared.groups}) < 10
        if few or 2 * size > len(prepared):  # or no part can be empty or less than a batch
            parts = make_split(prepared, split, fold=fold, seed=seed, validation=validation)
            if size > (number := len(parts.train)):
                yield (
                    f"batch_size={size} is more than the {number} training images, so each step "
                    "takes them all"
                )


def foresee(screen: Screen, configs: Sequence[RunConfig], data: Path) -> None:
    """Say what runs would be refused for or warned of, as far as their data are prepared."""
    for name, side in _images(configs):
        try:
            if side in (sizes := prepared_datasets(data).get(name, ())):
                _check_splits(screen, open_prepared(data, name, side), configs)
            elif sizes:
                screen.warn(f"{name} is needed at {side} pixels but prepared {only_at(sizes)}")
        except UserError as error:
            screen.warn(f"{name}: {error}")
    try:
        check_weights(configs, data)
    except UserError as error:
        screen.warn(str(error))


def _images(configs: Sequence[RunConfig]) -> list[tuple[str, int]]:
    return sorted({(config.dataset, config.image_size) for config in configs})


def _make_data(screen: Screen, data: Path, dataset: str, image_size: int) -> None:
    """Simulate and prepare a dataset that is made on the spot, where no size of it is prepared.

    One that is prepared at another size may have been made with settings of its own, so that is
    left to `sambench prepare`.
    """
    source = next((s for s in sources.list() if s.name == dataset and s.simulated), None)
    if source is None or dataset in prepared_datasets(data):
        return
    from sambench.cli.preparing import decode

    screen.say(f"dataset {dataset!r} is not prepared; making it in {data}")
    request = Request(raw=data.parent / "raw", options=source.resolve({}))
    decode(screen, source, request, data, image_size)
