"""`sambench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.arguments import sort_settings, with_settings
from sambench.cli.contrast import contrast
from sambench.cli.launching import check_models, image_size, launch, show_table
from sambench.cli.options import (
    DATA,
    RESULTS,
    BatchSizeOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    PluginOption,
    RateOption,
    ResultsOption,
    SetOption,
    SizeOption,
)
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.config import HessianSettings, RunConfig
    from sambench.console import Screen


DESCRIBING = (
    *("dataset", "model", "opt", "seeds", "size", "epochs", "batch_size", "lr"),
    *("settings", "curvature"),
)
"""Parameters of `compare` that a suite file makes meaningless."""


def compare(
    context: typer.Context,
    suite: Annotated[
        Path | None, typer.Argument(help="A suite file, or none with --model and --opt.")
    ] = None,
    other: Annotated[
        str | None,
        typer.Argument(
            help="Compare stored runs of two suites, optimizers, commits or results folders, or "
            "one of these with `published`; nothing is run."
        ),
    ] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="A prepared dataset.")] = "bus",
    model: Annotated[
        str, typer.Option("--model", help="Models, separated by commas.")
    ] = "resnet50",
    opt: Annotated[
        str,
        typer.Option("--opt", help="Optimizers, separated by commas; the first is the baseline."),
    ] = "adam,sam,gcsam",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each combination.")] = 1,
    device: DeviceOption = None,
    size: SizeOption = None,
    epochs: EpochsOption = 50,
    batch_size: BatchSizeOption = 16,
    lr: RateOption = 1e-4,
    settings: SetOption = None,
    curvature: Annotated[
        bool, typer.Option("--hessian", help="Measure curvature too (a suite file says so itself).")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would run, and run nothing.")
    ] = False,
    data: DataOption = DATA,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Run what is missing of a comparison, then show its table.

    Examples: sambench compare suites/demo.yaml;
    sambench compare --dataset phantom --model small-cnn --opt adam,sam,gcsam --seeds 3;
    sambench compare adam sam; sambench compare suites/demo.yaml published
    """
    from sambench.config import HessianSettings
    from sambench.console import Screen
    from sambench.suite import Suite, load_suite

    screen = Screen()
    if suite is not None and other is not None:
        contrast(screen, str(suite), other, data, results)
        return
    if suite is not None:
        _refuse_beside_suite(context)
        study = load_suite(suite)
    else:
        names, models = _names(opt, "--opt"), _names(model, "--model")
        run, for_optimizer = sort_settings(settings, names)
        common: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "lr": lr, **run}
        study = Suite(
            name="comparison",
            defaults={"dataset": dataset, "image_size": size, **common},
            matrix={
                "model": models,
                "optimizer": tuple(with_settings(name, for_optimizer) for name in names),
            },
            seeds=tuple(range(seeds)),
            hessian=HessianSettings() if curvature else None,
            baseline=names[0],
        )
    configs = study.expand(lambda name: image_size(data, name))
    if plan:
        check_models(configs)
        _show_plan(screen, configs, results, study.hessian)
        return
    code = launch(screen, configs, data, results, device, study.name, study.hessian)
    show_table(screen, results, configs, study.baseline)
    raise typer.Exit(code)


def _names(text: str, option: str) -> tuple[str, ...]:
    """Split a list of names at its commas.

    Raises:
        ConfigError: If there is none.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"{option} names nothing; give names separated by commas")
    return names


def _refuse_beside_suite(context: typer.Context) -> None:
    """Refuse options that describe a comparison, where a suite file describes it.

    Raises:
        ConfigError: Names the first.
    """
    for parameter in DESCRIBING:
        source = context.get_parameter_source(parameter)
        if source is not None and source.name == "COMMANDLINE":
            option = "--set" if parameter == "settings" else f"--{parameter.replace('_', '-')}"
            option = "--hessian" if parameter == "curvature" else option
            raise ConfigError(f"{option} does not go with a suite file; write it into the file")


def _show_plan(
    screen: Screen,
    configs: Sequence[RunConfig],
    results: Path,
    hessian: HessianSettings | None,
) -> None:
    from sambench.store import Store

    store = Store(results)
    states = {
        config.name: store.standing(config, curvature=hessian is not None) for config in configs
    }
    rows = [(name, standing.state, standing.action) for name, standing in states.items()]
    screen.listing(("run", "state", "would"), rows, f"{len(rows)} runs")
    open_runs = sum(standing.action != "skip" for standing in states.values())
    screen.show(f"{open_runs} of {len(rows)} runs have something to do; nothing was run")
