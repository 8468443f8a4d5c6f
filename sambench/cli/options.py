"""Options that several commands share, alone and in groups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sambench.cli import completion
from sambench.cli.grouping import HELP_PANEL, flag, group, option
from sambench.errors import ConfigError, SambenchWarning

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.launcher_settings import LauncherSettings

DATA, RESULTS = Path("data/prepared"), Path("results")

RUN, PLACE, OUTPUT = "The run", "Where", HELP_PANEL
"""Titles of groups of options in the help."""

EXECUTION = {None: "auto", True: "always", False: "never"}
"""What a run's configuration calls the answers to `--capture` and `--compile`."""


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


data = partial(option, "DIR", "Folder of the prepared datasets.", default=DATA)
results = partial(option, "DIR", "Folder of the results.", default=RESULTS)
device = partial(
    option,
    "DEVICE",
    "cpu, cuda, cuda:0 or mps.",
    show_default="a GPU if there is one",
    autocompletion=completion.devices,
)
settings = partial(
    option,
    "KEY=VALUE",
    "Any other setting, as rho=0.1 or schedule=cosine; see `sambench list settings`. Repeatable.",
    "--set",
    autocompletion=completion.settings,
)
dataset = partial(
    option, "NAME", "A prepared dataset.", default="bus", autocompletion=completion.datasets
)
split = partial(
    option,
    "NAME",
    "How test images are set apart: holdout, folds, authors, kfold-5, grouped-5, patient-5 or "
    "centre:NAME.",
    default="holdout",
    autocompletion=completion.splits,
)
size = partial(
    option, "PIXELS", "Side of the images.", "--size", min=8, show_default="the dataset's own"
)
epochs = partial(option, "EPOCHS", "Maximum number of epochs.", default=50, min=1)
batch_size = partial(option, "IMAGES", "Batch size.", default=16, min=1)
rate = partial(option, "RATE", "Learning rate of the base optimizer.", default=1e-4)
pretrained = partial(flag, "Start from published weights, which are downloaded once.")
weights = partial(
    option,
    "FILE",
    "Start from the weights in this file, all but the last layer; a safetensors file, or one of "
    "torch. Its sha256 becomes part of the run.",
)
class_weights = partial(
    option,
    "RULE",
    "Of the training loss: none, or balanced, so that rare classes count as much as others.",
    default="none",
)
study = partial(
    option,
    "NAME",
    "Name of the study that the runs belong to, as `sambench report NAME` takes it.",
    "--name",
    callback=_named,
)
plugin = partial(
    option,
    "FILE",
    "A Python file with optimizers, models or datasets of your own. Repeatable.",
    callback=_load_plugins,
    is_eager=True,
    rich_help_panel=PLACE,
)
workers = partial(
    option,
    "RUNS",
    "Runs at once on this machine.",
    min=1,
    show_default="on CPUs one a core, as far as the memory allows",
)
threads = partial(
    option,
    "N|all",
    "Threads of each run on a CPU; another number gives other rounding.",
    show_default="OMP_NUM_THREADS, or 1",
)
launcher = partial(
    option,
    "NAME",
    "Where runs execute: local, slurm or ray; see `sambench list launchers`.",
    show_default="the suite's, else local",
    autocompletion=completion.launchers,
)
given = partial(option, "KEY=VALUE,...", "Options of the launcher. Repeatable.", "--with")
slurm = partial(
    option,
    "KEY=VALUE,...",
    "Launch on Slurm, as partition=gpu,timeout_min=600 (minutes); any option of sbatch. "
    "Repeatable.",
)


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
        "KEY=VALUE",
        "Only runs with this setting, as optimizer=sam or rho=0.1. Repeatable.",
        autocompletion=completion.settings,
    )


@group(OUTPUT)
class Output:
    """What a command says, and in which form."""

    as_json: bool = flag("Print one JSON object in place of tables.", "--json")
    quiet: bool = flag("Print errors only; exit codes stay the same.", "--quiet", "-q")

    def screen(self) -> Screen:
        """Return where the command shows things: results only where they are not JSON."""
        from sambench.cli.screen import Screen

        if self.quiet:
            warnings.simplefilter("ignore", SambenchWarning)
        return Screen(quiet=self.quiet, results=not self.as_json)

    def answer(self, content: Mapping[str, Any]) -> None:
        """Write what a program reads (`sambench.cli.answers`), if it asked for it."""
        if self.as_json:
            typer.echo(json.dumps(content, indent=2, allow_nan=False))


@group(OUTPUT)
class LoggedOutput(Output):
    """The same of a command that trains."""

    log: list[str] | None = option(
        "SINK",
        "Also log the training to tensorboard or wandb. Repeatable.",
        autocompletion=completion.sinks,
    )


@group("Devices and launchers")
class Launching:
    """Where runs execute, and on which devices."""

    device: str | None = device()
    devices: str | None = option(
        "DEVICE,...",
        "Several devices at once, as cuda:0,cuda:1; a worker each.",
        autocompletion=completion.devices_in_list,
    )
    runs_per_device: int | None = option(
        "RUNS", "Runs at once on each device.", min=1, show_default="1 on a GPU"
    )
    workers: int | None = workers()
    threads: str | None = threads()
    minutes: float | None = option(
        "MINUTES",
        "Stop after this many minutes and save progress; run the same command again to continue.",
        show_default="no limit",
    )
    launcher: str | None = launcher()
    given: list[str] | None = given()
    slurm: list[str] | None = slurm()
    sbatch: Path | None = option("FILE", "Write the Slurm job script; submit and run nothing.")
    runs_per_job: int | None = option("RUNS", "Runs of a Slurm job.", min=1, show_default="1")
    retries: int | None = option(
        "N",
        "Times that a cluster does a run again whose node or process was lost.",
        min=0,
        show_default="2",
    )

    def chosen(self, suites: LauncherSettings | None) -> LauncherSettings:
        """Return the launcher and its options; those of the suite where the user says no other."""
        more = {name: getattr(self, name) for name in OF_THE_SAME_NAME}
        return choose_launcher(self.launcher, self.given or (), self.slurm, more, suites)


OF_THE_SAME_NAME = (
    *("devices", "runs_per_device", "workers", "threads", "minutes"),
    *("sbatch", "runs_per_job", "retries"),
)
"""The fields that are options of the launcher of the same name."""


def choose_launcher(
    name: str | None,
    given: Sequence[str],
    slurm: Sequence[str] | None,
    more: Mapping[str, object],
    suites: LauncherSettings | None = None,
) -> LauncherSettings:
    """Return the launcher and its options: of `--with`, of `--slurm`, and options of ours (more).

    They go before those of the suite, where that names the same launcher, and these before those of
    the site's file.

    Raises:
        ConfigError: If an option is not KEY=VALUE or contradicts another.
    """
    from sambench.config.launcher_settings import (
        LOCAL,
        LauncherSettings,
        read_options,
        site_options,
    )

    if slurm is not None or more.get("sbatch") is not None:
        if name not in (None, "local", "slurm"):
            raise ConfigError(f"--slurm contradicts --launcher {name}; give one of them")
        name = "slurm"
    suites = suites or LOCAL
    name = name or suites.name
    found = LauncherSettings(name=name, options=site_options() if name == "slurm" else {})
    found = found.with_options(suites.options if name == suites.name else {})
    found = found.with_options(read_options(given, "--with"))
    found = found.with_options(read_options(slurm or (), "--slurm"))
    return found.with_options({key: f"{text}" for key, text in more.items() if text is not None})
