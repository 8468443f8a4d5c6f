"""Options that several commands share, alone and in groups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.grouping import HELP_PANEL
from sambench.errors import SambenchWarning

if TYPE_CHECKING:
    from sambench.cli.screen import Screen

DATA, RESULTS = Path("data/prepared"), Path("results")

RUN, PLACE, OUTPUT = "The run", "Where", HELP_PANEL
"""Titles of groups of options in the help."""

DataOption = Annotated[
    Path,
    typer.Option(
        "--data", metavar="DIR", help="Folder of the prepared datasets.", rich_help_panel=PLACE
    ),
]
ResultsOption = Annotated[
    Path,
    typer.Option("--results", metavar="DIR", help="Folder of the results.", rich_help_panel=PLACE),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda, cuda:0 or mps.",
        show_default="a GPU if there is one",
        autocompletion=completion.devices,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting, as rho=0.1 or schedule=cosine; see `sambench list settings`. "
        "Repeatable.",
        autocompletion=completion.settings,
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=8,
        metavar="PIXELS",
        help="Side of the images, where several sizes are prepared.",
        show_default="the one prepared",
    ),
]
EpochsOption = Annotated[
    int, typer.Option("--epochs", min=1, metavar="EPOCHS", help="Maximum number of epochs.")
]
DatasetOption = Annotated[
    str,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="A prepared dataset.",
        autocompletion=completion.datasets,
    ),
]
BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="IMAGES", help="Batch size.")
]
PretrainedOption = Annotated[
    bool,
    typer.Option("--pretrained", help="Start from published weights, which are downloaded once."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Start from the weights in this file, all but the last layer; a safetensors file, or "
        "one of torch. Its sha256 becomes part of the run.",
    ),
]
RateOption = Annotated[
    float, typer.Option("--lr", metavar="RATE", help="Learning rate of the base optimizer.")
]


def _load_plugins(files: list[Path] | None) -> list[Path] | None:
    from sambench.plugin import load_plugin

    for file in files or ():
        load_plugin(file)
    return files


PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        callback=_load_plugins,
        is_eager=True,
        metavar="FILE",
        help="A Python file with optimizers, models or datasets of your own. Repeatable.",
        rich_help_panel=PLACE,
    ),
]
LogOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="SINK",
        help="Also log the training to tensorboard or wandb. Repeatable.",
        rich_help_panel=OUTPUT,
        autocompletion=completion.sinks,
    ),
]
CaptureOption = Annotated[
    bool | None,
    typer.Option(
        "--capture/--no-capture",
        help="Record training steps as CUDA graphs.",
        show_default="where it pays",
        rich_help_panel=PLACE,
    ),
]
CompileOption = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the network with torch.compile; by default in long runs on a GPU with "
        "kernels=fastest.",
        show_default="where it pays",
        rich_help_panel=PLACE,
    ),
]
EXECUTION = {None: "auto", True: "always", False: "never"}
"""What a run's configuration calls these answers."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where files lie, and code of one's own."""

    panel: ClassVar[str] = PLACE
    data: DataOption = DATA
    results: ResultsOption = RESULTS
    plugin: PluginOption = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a command says, and in which form."""

    panel: ClassVar[str] = OUTPUT
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object in place of tables.")
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only; exit codes stay the same.")
    ] = False

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
