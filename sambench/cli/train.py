"""`sambench train`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sambench.cli import options
from sambench.cli.grouping import group, grouped, option

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.run_config import RunConfig
    from sambench.store.record import RunRecord

EXECUTION = {None: "auto", True: "always", False: "never"}
"""What a run's configuration calls the answers to `--capture` and `--compile`."""

where_it_pays = partial(option, None, show_default="where it pays", rich_help_panel=options.PLACE)


@group(options.RUN)
class Run(options.Training):
    """What is trained, on what, and how."""

    seed: int = option("N", "Seed of initial weights, order and augmentation.", default=0, min=0)
    stop: str = option(
        "RULE",
        "When to stop before the last epoch, such as train-accuracy or patience=5; see "
        "`sambench list settings`.",
        default="epochs",
    )
    capture: bool | None = where_it_pays("Record steps as CUDA graphs.", "--capture/--no-capture")
    compile: bool | None = where_it_pays(
        "Compile the network with torch.compile; by default in long runs on a GPU with "
        "kernels=fastest.",
        "--compile/--no-compile",
    )

    def config(self, context: typer.Context, data: Path, replicas: int) -> RunConfig:
        """Return the run that the options describe."""
        from sambench.config.run_config import RunConfig
        from sambench.data.source import default_size

        elsewhere = {"optimizer": "--opt", "replicas": "--devices"}
        found = self.given(context, [self.optimizer], data, elsewhere)
        run = found.run
        for name in ("capture", "compile"):
            if run[name] is None or isinstance(run[name], bool):
                run[name] = EXECUTION[run[name]]
        if run["image_size"] is None:
            run["image_size"] = default_size(str(run["dataset"]))
        run["optimizer"] = {"name": self.optimizer, **found.optimizer}
        return RunConfig.from_dict({**run, "replicas": replicas})


@group(options.PLACE)
class Place(options.Place):
    """Where it is trained, and where its files lie."""

    device: str | None = options.device()
    devices: str | None = option(
        "DEVICE,...", "Train one run on several devices together, such as cuda:0,cuda:1."
    )


@grouped
def train(context: typer.Context, run: Run, place: Place, output: options.LoggedOutput) -> None:
    """Train one model with one optimizer and test it once, at the end.

    Ctrl-C keeps a checkpoint; the same command resumes it.

    Examples:
      sambench train --dataset phantom --model small-cnn --opt gcsam
      sambench train --opt sam --set rho=0.1 --set stop.patience=5
    """
    from sambench.cli.checking import check_datasets, say_remarks
    from sambench.cli.launching import Request, check_runs, launch, run_answer, show_table
    from sambench.config.launcher_settings import LauncherSettings
    from sambench.config.suite import ReportSettings
    from sambench.launch import together
    from sambench.launch.launchers.local import named_devices
    from sambench.launch.manifest import Manifest
    from sambench.run.sinks import check_sinks
    from sambench.store.study_plan import StudyPlan
    from sambench.store.tree import Store

    names = named_devices({"devices": place.devices or ""}, place.device)
    config = run.config(context, place.data, max(len(names), together.processes()))
    sinks = check_sinks(output.log or ())
    screen = output.screen()
    check_datasets([config], place.data)
    if len(names) > 1 and together.processes() == 1:
        check_runs(screen, [config], place.data, names)
    with together.joined(names, place.device, sys.argv[1:]) as (device, leads):
        if not leads:
            together.follow(config, place.data, place.results, device)
            return
        say_remarks(screen, [config])
        request = Request(
            manifest=Manifest(
                data=place.data, results=place.results, suite=run.name, device=device, log=sinks
            ),
            plan=StudyPlan(suite=run.name, runs=[config]) if run.name else None,
            joins=True,
            retry=("failed", "diverged", "damaged", "stale"),
            launcher=LauncherSettings(name="local", options={"threads": "all"}),
        )
        code = launch(screen, request.standings([config]), request)
    done = show_table(screen, place.results, [config], ReportSettings(baseline=run.optimizer))
    if code == 0 and done:
        _say_more(screen, done[0])
    output.answer(run_answer(Store(place.results), config))
    raise typer.Exit(code)


def _say_more(screen: Screen, record: RunRecord) -> None:
    """Say what a clinician asks for beside the accuracy, and what one does next."""
    from sambench.data.source import default_size

    test = (record.final or {})["test"]
    classes = (record.data or {})["classes"]
    of = [f" (of {name})" for name in classes] if len(classes) == 2 else ["", ""]
    names = {"auroc": "test AUROC", "sensitivity": f"sensitivity{of[1]}"}
    names["specificity"] = f"specificity{of[0]}"
    known = {name: test[key] for key, name in names.items() if test[key] is not None}
    screen.say(", ".join(f"{name} {value:.3f}" for name, value in known.items()))
    config = record.config
    usual = config.image_size == default_size(config.dataset)
    size = "" if usual else f" --size {config.image_size}"
    screen.say(
        f"next: `sambench hessian {record.name}` measures how sharp its minimum is; `sambench "
        f"compare --dataset {config.dataset} --model {config.model}{size} --opt adam,sam` "
        "compares optimizers"
    )
