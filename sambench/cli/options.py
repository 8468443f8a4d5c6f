"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[Path, typer.Option("--data", help="Folder of the prepared datasets.")]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:0, mps. By default a GPU if there is one."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting: a hyperparameter of the optimizer (rho=0.1) or of the run "
        "(selection=best-validation, split=folds, fold=1, schedule=cosine ...). Repeatable.",
    ),
]
SizeOption = Annotated[
    int | None, typer.Option("--size", min=8, help="Image size, where several are prepared.")
]
AuditOption = Annotated[
    bool, typer.Option("--audit", help="Look for copies, conflicting labels and shortcuts.")
]
DropConflictsOption = Annotated[
    bool, typer.Option("--drop-conflicts", help="Leave out copies with different labels.")
]
DropDuplicatesOption = Annotated[
    bool, typer.Option("--drop-duplicates", help="Keep one of each image and its copies.")
]
EpochsOption = Annotated[int, typer.Option("--epochs", min=1, help="Most epochs to train.")]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Images per step.")]
RateOption = Annotated[float, typer.Option("--lr", help="Learning rate of the base optimizer.")]


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
        help="A Python file with an optimizer, model or dataset of your own. Repeatable.",
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option("--devices", help="Several devices at once, as cuda:0,cuda:1; a worker each."),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--runs-per-device",
        "--workers",
        metavar="N|auto",
        help="Runs packed on each device at once; auto: as many as fit on a GPU.",
    ),
]
LauncherOption = Annotated[
    str, typer.Option("--launcher", help="Who does the runs; see `sambench list launchers`.")
]
WithOption = Annotated[
    str | None,
    typer.Option("--with", metavar="KEY=VALUE,...", help="Options of the launcher."),
]
SlurmOption = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Launch on Slurm, as partition=gpu,gpus_per_node=1,timeout_min=600.",
    ),
]
CaptureOption = Annotated[
    bool | None,
    typer.Option(
        "--capture/--no-capture",
        help="Record whole steps as CUDA graphs; by default where that is possible and pays.",
    ),
]
CompileOption = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Put the network through torch.compile; by default in long runs on a GPU that ask "
        "for the fastest kernels (--set kernels=fastest).",
    ),
]
EXECUTION = {None: "auto", True: "always", False: "never"}
"""What a run's configuration calls these answers."""

DATA, RESULTS = Path("data/prepared"), Path("results")
