"""`sambench compare`."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli import options
from sambench.cli.grouping import argument, flag, given_options, group, grouped, option, spelled
from sambench.errors import ConfigError, SambenchWarning, did_you_mean

if TYPE_CHECKING:
    from sambench.config.suite import Suite

LISTED = {
    "model": "--model",
    "optimizer": "--opt",
    "seed": "--seeds",
    "replicas": "train --devices",
}
"""Settings that a comparison varies, or cannot have."""


@group("The comparison, without a suite file")
class Described(options.Training):
    """A comparison without a suite file."""

    model: str = option("NAME,...", "Models; see `sambench list models`.", default="resnet50")
    optimizer: str = option(
        "NAME,...",
        "Optimizers to compare; the first is the baseline.",
        "--opt",
        default="adam,sam,gcsam",
    )
    seeds: int = option("N", "Number of seeds, each a run of its own.", default=1, min=1)
    curvature: bool = flag("Also measure curvature; a suite file has `hessian:`.", "--hessian")

    def suite(self, context: typer.Context, data: Path) -> Suite:
        """Return the suite that the options describe."""
        from sambench.config.measurement import Measurement
        from sambench.config.optimizer import hyperparameters_of
        from sambench.config.settings import with_settings
        from sambench.config.suite import ReportSettings, Suite
        from sambench.data.splits import folds_of
        from sambench.optim.method import optimizers

        names, models = _names(self.optimizer, "--opt"), _names(self.model, "--model")
        found = self.given(context, names, data, LISTED)
        run = {key: value for key, value in found.run.items() if key not in LISTED}
        base = run.get("base")
        methods = [name for name in names if optimizers.get(name).hyperparameters]
        for key in found.optimizer:
            if without := [name for name in methods if key not in hyperparameters_of(name, base)]:
                said = f"{', '.join(without)} has no {key} and keeps its own settings"
                warnings.warn(f"--set {key}: {said}", SambenchWarning, stacklevel=2)
        lines = tuple(with_settings(name, found.optimizer, base) for name in names)
        compared = "-".join((self.dataset, *models, *names))  # so that no two share a report
        return Suite(
            name=self.name or re.sub(r"[^A-Za-z0-9._-]+", "_", compared)[:80],
            defaults=run,
            matrix={"model": models, "optimizer": lines},
            seeds=tuple(range(self.seeds)),
            folds=None if "fold" in run or folds_of(str(run["split"])) == () else "all",
            hessian=Measurement() if self.curvature else None,
            report=ReportSettings(baseline=names[0]),
        )


@group("Which runs")
class Choice:
    """Which of the runs are done."""

    plan: bool = flag("Show which runs are done, which would run and how long; run nothing.")
    measure: bool = flag("With --plan: time a few steps where no completed run tells how long.")
    only: list[str] | None = option(
        "PATTERN", "Only these runs, by name (shell pattern) or id. Repeatable.", show_default="all"
    )
    retry: str = option(
        "STATE,...",
        "Run these states again: failed, diverged, damaged, stale. Interrupted runs always resume.",
        default="",
        show_default="none",
    )
    fail_fast: bool = flag("Stop at the first run that fails or diverges.")


@group("Devices and launchers")
class Launching(options.Launching):
    """Where runs execute, on which devices, for how long."""

    devices: str | None = option(
        "DEVICE,...", "Use several devices at once, such as cuda:0,cuda:1, with one worker each."
    )
    runs_per_device: int | None = option(
        "RUNS", "Runs at once on each device.", min=1, show_default="1 on a GPU"
    )
    minutes: float | None = option(
        "MINUTES",
        "Stop after this many minutes and save progress; run the same command again to continue.",
        show_default="no limit",
    )
    sbatch: Path | None = option("FILE", "Write the Slurm job script; submit and run nothing.")
    runs_per_job: int | None = option("RUNS", "Runs in each Slurm job.", min=1, show_default="1")
    retries: int | None = option(
        "N",
        "How often a cluster repeats a run whose node or process was lost.",
        min=0,
        show_default="2",
    )


@grouped
def compare(
    context: typer.Context,
    described: Described,
    choice: Choice,
    launching: Launching,
    place: options.Place,
    output: options.LoggedOutput,
    suite: Annotated[
        Path | None,
        argument(
            "SUITE",
            "A suite file, or the name of a shipped suite; leave it out to use the options below.",
        ),
    ] = None,
    other: Annotated[
        str | None,
        argument(
            "OTHER",
            "What to compare SUITE with. Both are then suites, optimizers, commits or results "
            "folders with stored runs, or one is `published`. Nothing is run.",
        ),
    ] = None,
) -> None:
    """Do the missing runs of a comparison, then show its table.

    Examples:
      sambench compare demo
      sambench compare paper-bus --plan
      sambench compare --dataset phantom --model small-cnn --opt adam,sam
      sambench compare --dataset bus --opt adam,sam --split folds --seeds 2
      sambench compare adam sam
      sambench compare paper-bus published
    """
    from sambench.cli.checking import check_launcher
    from sambench.cli.contrast import contrast
    from sambench.cli.launching import Request
    from sambench.cli.study import Study
    from sambench.launch.manifest import Manifest
    from sambench.run.sinks import check_sinks

    screen = output.screen()
    if suite is not None and other is not None:
        idle = spelled(Described) | spelled(Choice) | spelled(Launching)
        for name in given_options(context, idle).values():
            raise ConfigError(
                f"{name} does not go with two sides, of which all stored runs are compared; "
                "`sambench report --where KEY=VALUE` compares some of them"
            )
        contrast(screen, str(suite), other, place.data, place.results)
        output.answer(screen.answer())
        return
    if choice.measure and not choice.plan:
        raise ConfigError("--measure is for --plan; give both, or neither")
    asked = _asked(context, described, suite, place.data)
    check_launcher(asked)
    request = Request(
        manifest=Manifest(
            data=place.data,
            results=place.results,
            suite=asked.name,
            curvature=asked.hessian,
            device=launching.device,
            fail_fast=choice.fail_fast,
            log=check_sinks(output.log or ()),
        ),
        only=choice.only or (),
        retry=_states(choice.retry),
        launcher=launching.chosen(asked.launcher),
    )
    study = Study(asked, request, screen)
    if choice.plan:
        output.answer(study.plan(measure=choice.measure))
        return
    code = study.carry_out()
    if code == 0:
        study.say_what_is_next(None if suite is None else str(suite))
    if output.as_json:  # which reads every record again
        output.answer(study.answer())
    raise typer.Exit(code)


def _states(text: str) -> tuple[str, ...]:
    """Read the states to do again."""
    from sambench.store.status import REPEATABLE

    states = options.listed(text)
    for state in states:
        if state not in REPEATABLE:
            raise ConfigError(
                f"--retry: no state {state!r}{did_you_mean(state, REPEATABLE)}; "
                f"states: {', '.join(REPEATABLE)}"
            )
    return states


def _names(text: str, option: str) -> tuple[str, ...]:
    """Return the names of a list, each of which may stand there once."""
    names = options.listed(text)
    if not names:
        raise ConfigError(f"{option} names nothing; give names separated by commas")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{option} names {name} twice; keep one")
    return names


def _asked(context: typer.Context, described: Described, file: Path | None, data: Path) -> Suite:
    """Return the suite of a file, whose weights an option may give, or that of the options."""
    from sambench.cli.checking import expanded
    from sambench.config.suite_file import load_suite
    from sambench.models.weights import keep_weights

    if file is None:
        return described.suite(context, data)
    names = spelled(Described)
    del names["weights"]  # the suite names them by their sha256; the option says where they are
    for name in given_options(context, names).values():
        raise ConfigError(f"{name} does not go with a suite file; write it into the file")
    suite = load_suite(file)
    if described.weights is not None:
        sha256 = keep_weights(described.weights, data)
        named = sorted({run.weights for run in expanded(suite, data) if run.weights})
        if sha256 not in named:
            raise ConfigError(
                f"--weights {described.weights} has sha256 {sha256}, which suite {suite.name} does "
                f"not name; it names {', '.join(named) or 'none'}"
            )
    return suite
