"""`sambench train`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.answers import run_answer
from sambench.cli.grouping import given_options, grouped
from sambench.cli.launching import check_datasets, launch, show_table
from sambench.cli.options import (
    DATA,
    EXECUTION,
    PLACE,
    RESULTS,
    RUN,
    BatchSizeOption,
    CaptureOption,
    CompileOption,
    DatasetOption,
    DeviceOption,
    EpochsOption,
    LogOption,
    Output,
    PluginOption,
    PretrainedOption,
    RateOption,
    SetOption,
    WeightsOption,
)

if TYPE_CHECKING:
    from sambench.config.run_config import RunConfig

OPTIONS = {
    **{key: f"--{key}" for key in ("dataset", "model", "epochs", "lr", "seed", "stop")},
    **{"optimizer": "--opt", "batch_size": "--batch-size", "image_size": "--size"},
    **{"pretrained": "--pretrained", "weights": "--weights"},
    **{"capture": "--capture", "compile": "--compile"},
}
"""The options of the run by the setting that each stands for."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is trained, on what, and how."""

    panel: ClassVar[str] = RUN
    dataset: DatasetOption = "bus"
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            help="One of `sambench list models`, or timm:NAME.",
            autocompletion=completion.models,
        ),
    ] = "resnet50"
    optimizer: Annotated[
        str,
        typer.Option(
            "--opt",
            metavar="NAME",
            help="One of `sambench list optimizers`.",
            autocompletion=completion.optimizers,
        ),
    ] = "adam"
    epochs: EpochsOption = 50
    batch_size: BatchSizeOption = 16
    lr: RateOption = 1e-4
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, metavar="N", help="Of initial weights, data order and augmentation."
        ),
    ] = 0
    pretrained: PretrainedOption = False
    weights: WeightsOption = None
    settings: SetOption = None
    capture: CaptureOption = None
    compile: CompileOption = None
    stop: Annotated[str, typer.Option("--stop", hidden=True)] = "epochs"
    image_size: Annotated[int | None, typer.Option("--size", min=8, hidden=True)] = None

    def config(self, context: typer.Context, data: Path, replicas: int) -> RunConfig:
        """Return the run that the options describe.

        Raises:
            UserError: If a setting is unknown, not allowed, or given twice.
        """
        from sambench.config.arguments import OPTIMIZER, sort_settings
        from sambench.config.run_config import RunConfig
        from sambench.data.source import default_size
        from sambench.models.weights import keep_weights

        found = sort_settings(self.settings, [self.optimizer])
        found.refuse_beside(given_options(context, OPTIONS))
        found.refuse({OPTIMIZER: "--opt", "replicas": "--devices"})
        values: dict[str, Any] = {key: getattr(self, key) for key in OPTIONS}
        values |= {key: EXECUTION[values[key]] for key in ("capture", "compile")} | found.run
        if self.weights is not None:
            values["weights"] = keep_weights(self.weights, data)
        values["image_size"] = values["image_size"] or default_size(values["dataset"])
        values[OPTIMIZER] = {"name": self.optimizer, **found.optimizer}
        return RunConfig.from_dict({**values, "replicas": replicas})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where it is trained, and where its files lie."""

    panel: ClassVar[str] = PLACE
    device: DeviceOption = None
    plugin: PluginOption = None
    devices: Annotated[str | None, typer.Option("--devices", hidden=True)] = None
    data: Annotated[Path, typer.Option("--data", hidden=True)] = DATA
    results: Annotated[Path, typer.Option("--results", hidden=True)] = RESULTS


@grouped
def train(
    context: typer.Context, run: Run, place: Place, output: Output, log: LogOption = None
) -> None:
    """Train one model with one optimizer and test it once, at the end.

    Ctrl-C keeps a checkpoint; the same command resumes it.

    Examples:
      sambench train --dataset phantom --model small-cnn --opt gcsam
      sambench train --opt sam --set rho=0.1 --set stop.patience=5

    Not listed below: --devices cuda:0,cuda:1 trains on several devices together; --data and
    --results name folders other than data/prepared and results; --stop and --size are short for
    settings.
    """
    from sambench.launch import together
    from sambench.run.sinks import check_sinks
    from sambench.store.tree import Store

    names = [name.strip() for name in (place.devices or "").split(",") if name.strip()]
    if len(names) > 1 and together.processes() == 1:
        raise typer.Exit(together.start(len(names), sys.argv[1:]))
    config = run.config(context, place.data, together.processes())
    sinks = check_sinks(log or ())
    screen = output.screen()
    check_datasets([config], place.data)
    again = ("failed", "diverged", "damaged", "stale")
    with together.joined(names, place.device) as (device, leads):
        if not leads:
            together.follow(config, place.data, place.results, device)
            return
        code = launch(
            *(screen, [config], place.data, place.results, device, None, None),
            retry=again,
            launcher=("local", {"threads": "all"}),
            log=sinks,
        )
    show_table(screen, place.results, [config], baseline=run.optimizer)
    output.answer(run_answer(Store(place.results), config))
    raise typer.Exit(code)
