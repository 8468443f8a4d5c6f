"""Options that several commands share, alone and in groups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sambench.cli import completion
from sambench.cli.grouping import HELP_PANEL, flag, group, option
from sambench.errors import SambenchWarning

if TYPE_CHECKING:
    from sambench.cli.screen import Screen

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


data = partial(option, "DIR", "Folder of the prepared datasets.", default=DATA)
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
plugin = partial(
    option,
    "FILE",
    "A Python file with optimizers, models or datasets of your own. Repeatable.",
    callback=_load_plugins,
    is_eager=True,
    rich_help_panel=PLACE,
)


@group(PLACE)
class Place:
    """Where files lie, and code of one's own."""

    data: Path = data()
    results: Path = option("DIR", "Folder of the results.", default=RESULTS)
    plugin: list[Path] | None = plugin()


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
