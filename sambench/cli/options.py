"""Options that several commands share, alone and in groups."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import typer

from sambench.cli.grouping import HELP_PANEL, flag, given_options, group, option, spelled
from sambench.errors import ConfigError, SambenchWarning

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.launcher_settings import LauncherSettings
    from sambench.config.settings import Sorted

RUN, PLACE, OUTPUT = "The run", "Where", HELP_PANEL
"""Titles of groups of options in the help."""


def _load_plugins(files: list[Path] | None) -> list[Path] | None:
    from sambench.plugin import load_plugin

    for file in files or ():
        load_plugin(file)
    return files


def _named(name: str | None) -> str | None:
    from sambench.files.definition import check_name

    if name is not None:
        check_name(name, "--name")
    return name


def listed(text: str) -> tuple[str, ...]:
    """Split a list of names at its commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


data = partial(option, "DIR", "Folder of the prepared datasets.", default=Path("data/prepared"))
results = partial(option, "DIR", "Folder of the results.", default=Path("results"))
device = partial(option, "DEVICE", "cpu, cuda or cuda:0.", show_default="a GPU if there is one")
plugin = partial(
    option,
    "FILE",
    "A Python file with optimizers, models, datasets or launchers of your own. Repeatable.",
    callback=_load_plugins,
    is_eager=True,
    rich_help_panel=PLACE,
)


@group(RUN)
class Training:
    """What is trained, on what and how: of one run, and of all that are compared."""

    dataset: str = option("NAME", "A prepared dataset.", default="bus")
    model: str = option("NAME", "One of `sambench list models`, or timm:NAME.", default="resnet50")
    optimizer: str = option("NAME", "One of `sambench list optimizers`.", "--opt", default="adam")
    split: str = option(
        "NAME",
        "How test images are set apart: holdout, folds, authors, kfold-5, grouped-5, patient-5 or "
        "centre:NAME; `sambench list settings` explains them.",
        default="holdout",
    )
    image_size: int | None = option(
        "PIXELS", "Side of the images.", "--size", min=8, show_default="the dataset's own"
    )
    epochs: int = option("EPOCHS", "Maximum number of epochs.", default=50, min=1)
    batch_size: int = option("IMAGES", "Batch size.", default=16, min=1)
    lr: float = option("RATE", "Learning rate of the base optimizer.", default=1e-4)
    pretrained: bool = flag("Start from published weights, which are downloaded once.")
    weights: Path | None = option(
        "FILE",
        "Start from the weights in this safetensors or torch file, all but the last layer. Its "
        "sha256 becomes part of the run.",
    )
    class_weights: str = option(
        "RULE",
        "Weights of the classes in the training loss: none, or balanced, with which rare classes "
        "count as much as others.",
        default="none",
    )
    settings: list[str] | None = option(
        "KEY=VALUE",
        "Any other setting, such as rho=0.1 or schedule=cosine; see `sambench list settings`. "
        "Repeatable.",
        "--set",
    )
    name: str | None = option(
        "NAME",
        "Name of the study that the runs belong to; `sambench report NAME` reports it.",
        "--name",
        callback=_named,
    )

    def given(
        self,
        context: typer.Context,
        optimizers: Sequence[str],
        data: Path,
        elsewhere: Mapping[str, str],
    ) -> Sorted:
        """Return all settings by whom they belong to: those of options, and over them `--set`.

        A setting that has an option, `elsewhere` too, is not given by `--set` beside it. A file of
        weights is kept beside the data.
        """
        from sambench.config.grid import SETTINGS
        from sambench.config.settings import sort_settings
        from sambench.models.weights import keep_weights

        found = sort_settings(self.settings, optimizers)
        own = {field: name for field, name in spelled(self).items() if field in SETTINGS}
        found.refuse(elsewhere, "{setting}: give it by {option} instead")
        beside = given_options(context, own)
        found.refuse(beside, "{option} and {setting} are both given; keep one")
        run: dict[str, Any] = {field: getattr(self, field) for field in own} | found.run
        if self.weights is not None:
            run["weights"] = keep_weights(self.weights, data)
        return replace(found, run=run)


@group(PLACE)
class Place:
    """Where files lie, and code of one's own."""

    data: Path = data()
    results: Path = results()
    plugin: list[Path] | None = plugin()


@group("Which runs")
class Filter:
    """Which of the runs are looked at."""

    where: list[str] | None = option(
        "KEY=VALUE", "Only runs with this setting, such as optimizer=sam or rho=0.1. Repeatable."
    )


@group(OUTPUT)
class Output:
    """What a command says, and in which form."""

    as_json: bool = flag("Print one JSON object in place of tables.", "--json")
    quiet: bool = flag("Print errors only; exit codes stay the same.", "--quiet", "-q")

    file: ClassVar[IO[str] | None] = None  # standard output as it was, where it is kept for JSON

    @classmethod
    def keep_file(cls) -> None:
        """Have what else is printed, by code of one's own or in C, go to standard error."""
        with suppress(OSError, AttributeError):  # it is closed, or no file of the system's
            if sys.stdout.fileno() == 1:
                cls.file = os.fdopen(os.dup(1), "w", 1, "utf-8", "sambench")
                os.dup2(2, 1)

    def screen(self) -> Screen:
        """Return where the command shows things: results only where they are not JSON."""
        from sambench.cli.screen import Screen

        if self.quiet:
            warnings.simplefilter("ignore", SambenchWarning)
        return Screen(quiet=self.quiet, results=not self.as_json)

    def answer(self, content: Mapping[str, Any]) -> None:
        """Write what a program reads, as the beginning of this file has it, if it asked for it."""
        if self.as_json:
            typer.echo(json.dumps(content, indent=2, allow_nan=False), self.file)


@group(OUTPUT)
class LoggedOutput(Output):
    """The same of a command that trains."""

    log: list[str] | None = option("SINK", "Also log training to tensorboard or wandb. Repeatable.")


@group("Devices and launchers")
class Launching:
    """Where runs execute, and on which devices."""

    device: str | None = device()
    workers: int | None = option(
        "RUNS",
        "Runs at once on this machine.",
        min=1,
        show_default="on a CPU one for each core, as far as the memory allows",
    )
    threads: str | None = option(
        "N|all",
        "Threads of each run on a CPU; another number changes the rounding.",
        show_default="OMP_NUM_THREADS, or 1",
    )
    launcher: str | None = option(
        "NAME",
        "Where runs execute: local, slurm or ray; see `sambench list launchers`.",
        show_default="the suite's, else local",
    )
    given: list[str] | None = option(
        "KEY=VALUE,...",
        "Options of the launcher; see `sambench list launchers`. Repeatable.",
        "--with",
    )
    slurm: list[str] | None = option(
        "KEY=VALUE,...",
        "Launch on Slurm with any options of sbatch, such as partition=gpu,timeout_min=600 "
        "(minutes). Repeatable.",
    )

    def chosen(self, suites: LauncherSettings | None, **more: object) -> LauncherSettings:
        """Return the launcher and its options: of `--with`, of `--slurm`, and options of ours.

        Ours are all but those that are none of a launcher, and there may be `more`. They go before
        those of the suite, where that names the same launcher, and these before those of the
        site's file. One that is not KEY=VALUE or contradicts another is a ConfigError.
        """
        from sambench.config.launcher_settings import (
            LOCAL,
            LauncherSettings,
            read_options,
            site_options,
        )

        name, suites = self.launcher, suites or LOCAL
        not_of_a_launcher = ("device", "launcher", "given", "slurm")
        ours = {k: v for k, v in (more | vars(self)).items() if k not in not_of_a_launcher}
        if self.slurm is not None or ours.get("sbatch") is not None:
            if name not in (None, "local", "slurm"):
                raise ConfigError(f"--slurm contradicts --launcher {name}; give one of them")
            name = "slurm"
        name = name or suites.name
        found = LauncherSettings(name=name, options=site_options() if name == "slurm" else {})
        for given in (
            suites.options if name == suites.name else {},
            read_options(self.given or (), "--with"),
            read_options(self.slurm or (), "--slurm"),
            {key: f"{value}" for key, value in ours.items() if value is not None},
        ):
            found = found.with_options(given)
        return found
