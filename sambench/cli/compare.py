"""`sambench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli.contrast import contrast
from sambench.cli.options import (
    DATA,
    RESULTS,
    BatchSizeOption,
    DataOption,
    DeviceOption,
    DevicesOption,
    EpochsOption,
    LauncherOption,
    PluginOption,
    RateOption,
    ResultsOption,
    SetOption,
    SizeOption,
    SlurmOption,
    WithOption,
    WorkersOption,
)
from sambench.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from sambench.suite.suite import Suite


DESCRIBING = (
    *("dataset", "model", "opt", "seeds", "size", "epochs", "batch_size", "lr"),
    *("settings", "curvature"),
)
"""Parameters of `compare` that a suite file makes meaningless."""


def compare(
    context: typer.Context,
    suite: Annotated[
        Path | None,
        typer.Argument(help="A suite file or a shipped suite, or none with --model and --opt."),
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
        bool,
        typer.Option("--plan", help="Show what is done, what would run and how long; run nothing."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="PATTERN", help="Runs by name (shell pattern) or id."),
    ] = None,
    retry: Annotated[
        str,
        typer.Option(
            "--retry",
            metavar="STATES",
            help="Do these again: failed, diverged, stale, separated by commas. Interrupted runs "
            "are resumed in any case.",
        ),
    ] = "",
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End with the first run that fails or diverges.")
    ] = False,
    devices: DevicesOption = None,
    workers: WorkersOption = None,
    launcher: LauncherOption = "local",
    given: WithOption = None,
    slurm: SlurmOption = None,
    data: DataOption = DATA,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Run what is missing of a comparison, then show its table.

    Examples: sambench compare suites/demo.yaml; sambench compare paper-bus --plan;
    sambench compare --dataset phantom --model small-cnn --opt adam,sam,gcsam --seeds 3;
    sambench compare adam sam; sambench compare suites/demo.yaml published
    """
    from sambench.arguments import sort_settings, with_settings
    from sambench.cli.launching import launch_options
    from sambench.cli.study import Request, Study
    from sambench.console import Screen

    screen = Screen()
    if suite is not None and other is not None:
        contrast(screen, str(suite), other, data, results)
        return
    if suite is not None:
        _refuse_beside_suite(context)
        from sambench.suite.file import load_suite

        chosen = load_suite(suite)
    else:
        names, models = _names(opt, "--opt"), _names(model, "--model")
        run, for_optimizer = sort_settings(settings, names)
        common: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "lr": lr, **run}
        chosen = _suite(
            defaults={"dataset": dataset, "image_size": size, **common},
            models=models,
            optimizers=[with_settings(name, for_optimizer) for name in names],
            seeds=seeds,
            curvature=curvature,
        )
    request = Request(
        data=data,
        results=results,
        device=device,
        only=only or (),
        retry=_states(retry),
        fail_fast=fail_fast,
        launcher=launch_options(launcher, given, slurm, devices, workers),
    )
    study = Study(chosen, request, screen)
    if plan:
        study.plan()
        return
    raise typer.Exit(study.carry_out())


def _suite(
    *,
    defaults: dict[str, Any],
    models: Sequence[str],
    optimizers: Sequence[dict[str, Any]],
    seeds: int,
    curvature: bool,
) -> Suite:
    """Return the suite that the options describe."""
    from sambench.minimum.measurement import Measurement
    from sambench.suite.suite import Suite

    return Suite(
        name="comparison",
        defaults=defaults,
        matrix={"model": tuple(models), "optimizer": tuple(optimizers)},
        seeds=tuple(range(seeds)),
        hessian=Measurement() if curvature else None,
        baseline=optimizers[0]["name"],
    )


def _states(text: str) -> tuple[str, ...]:
    """Read the states to do again.

    Raises:
        ConfigError: If one is none or cannot be done again.
    """
    from sambench.status import REPEATABLE

    states = tuple(state.strip() for state in text.split(",") if state.strip())
    for state in states:
        if state not in REPEATABLE:
            raise ConfigError(
                f"--retry: no state {state!r}{did_you_mean(state, REPEATABLE)}; "
                f"states: {', '.join(REPEATABLE)}"
            )
    return states


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
