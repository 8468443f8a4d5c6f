"""`sambench train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sambench.cli import completion, options
from sambench.cli.answers import run_answer
from sambench.cli.grouping import given_options, group, grouped, option, spelled

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.run_config import RunConfig
    from sambench.store.record import RunRecord


@group(options.RUN)
class Run:
    """What is trained, on what, and how."""

    dataset: str = options.dataset()
    model: str = option(
        "NAME",
        "One of `sambench list models`, or timm:NAME.",
        default="resnet50",
        autocompletion=completion.models,
    )
    optimizer: str = option(
        "NAME",
        "One of `sambench list optimizers`.",
        "--opt",
        default="adam",
        autocompletion=completion.optimizers,
    )
    split: str = options.split()
    epochs: int = options.epochs()
    batch_size: int = options.batch_size()
    lr: float = options.rate()
    seed: int = option("N", "Of initial weights, data order and augmentation.", default=0, min=0)
    pretrained: bool = options.pretrained()
    weights: Path | None = options.weights()
    class_weights: str = options.class_weights()
    settings: list[str] | None = options.settings()
    name: str | None = options.study()
    capture: bool | None = option(
        None,
        "Record training steps as CUDA graphs.",
        "--capture/--no-capture",
        show_default="where it pays",
        rich_help_panel=options.PLACE,
    )
    compile: bool | None = option(
        None,
        "Compile the network with torch.compile; by default in long runs on a GPU with "
        "kernels=fastest.",
        "--compile/--no-compile",
        show_default="where it pays",
        rich_help_panel=options.PLACE,
    )
    stop: str = option(
        "RULE",
        "When to stop before the last epoch, as train-accuracy or patience=5; see "
        "`sambench list settings`.",
        default="epochs",
    )
    image_size: int | None = options.size()

    def config(self, context: typer.Context, data: Path, replicas: int) -> RunConfig:
        """Return the run that the options describe."""
        from sambench.config.arguments import OPTIMIZER, sort_settings
        from sambench.config.run_config import RunConfig
        from sambench.data.source import default_size
        from sambench.models.weights import keep_weights

        found = sort_settings(self.settings, [self.optimizer])
        own = {k: name for k, name in spelled(Run).items() if k not in ("settings", "name")}
        names = {k: name.partition("/")[0] for k, name in own.items()}
        found.refuse_beside(given_options(context, names))
        found.refuse({OPTIMIZER: "--opt", "replicas": "--devices"})
        values: dict[str, Any] = {key: getattr(self, key) for key in names}
        values |= {key: options.EXECUTION[values[key]] for key in ("capture", "compile")}
        values |= found.run
        if self.weights is not None:
            values["weights"] = keep_weights(self.weights, data)
        values["image_size"] = values["image_size"] or default_size(values["dataset"])
        values[OPTIMIZER] = {"name": self.optimizer, **found.optimizer}
        return RunConfig.from_dict({**values, "replicas": replicas})


@group(options.PLACE)
class Place:
    """Where it is trained, and where its files lie."""

    device: str | None = options.device()
    plugin: list[Path] | None = options.plugin()
    devices: str | None = option(
        "DEVICE,...", "Train one run on several devices together, as cuda:0,cuda:1."
    )
    data: Path = options.data()
    results: Path = options.results()


@grouped
def train(context: typer.Context, run: Run, place: Place, output: options.LoggedOutput) -> None:
    """Train one model with one optimizer and test it once, at the end.

    Ctrl-C keeps a checkpoint; the same command resumes it.

    Examples:
      sambench train --dataset phantom --model small-cnn --opt gcsam
      sambench train --opt sam --set rho=0.1 --set stop.patience=5
    """
    from sambench.cli.checking import check_datasets
    from sambench.cli.launching import Request, launch, show_table
    from sambench.config.launcher_settings import LauncherSettings
    from sambench.config.suite import ReportSettings
    from sambench.launch import together
    from sambench.run.sinks import check_sinks
    from sambench.store.tree import Store

    names = [name.strip() for name in (place.devices or "").split(",") if name.strip()]
    if len(names) > 1 and together.processes() == 1:
        raise typer.Exit(together.start(len(names), sys.argv[1:]))
    config = run.config(context, place.data, together.processes())
    sinks = check_sinks(output.log or ())
    screen = output.screen()
    check_datasets([config], place.data)
    with together.joined(names, place.device) as (device, leads):
        if not leads:
            together.follow(config, place.data, place.results, device)
            return
        request = Request(
            data=place.data,
            results=place.results,
            device=device,
            retry=("failed", "diverged", "damaged", "stale"),
            launcher=LauncherSettings(name="local", options={"threads": "all"}),
            log=sinks,
        )
        code = launch(screen, [config], request, run.name)
    store = Store(place.results)
    show_table(screen, place.results, [config], ReportSettings(baseline=run.optimizer))
    if code == 0 and (record := store.completed(config)) is not None:
        _say_more(screen, record)
    output.answer(run_answer(store, config))
    raise typer.Exit(code)


def _say_more(screen: Screen, record: RunRecord) -> None:
    """Say what a clinician asks for beside the accuracy, and what one does next."""
    test = (record.final or {})["test"]
    screen.say(
        ", ".join(
            f"{name} {test[key]:.3f}"
            for name, key in (
                ("test AUROC", "auroc"),
                ("sensitivity", "sensitivity"),
                ("specificity", "specificity"),
            )
            if test[key] is not None
        )
    )
    screen.say(
        f"next: `sambench hessian {record.name}` measures how sharp its minimum is; `sambench "
        f"compare --dataset {record.config.dataset} --model {record.config.model} --opt adam,sam` "
        "compares optimizers"
    )
