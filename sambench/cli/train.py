"""`sambench train`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sambench.cli.launching import image_size, launch, show_table
from sambench.cli.options import (
    DATA,
    EXECUTION,
    RESULTS,
    BatchSizeOption,
    CaptureOption,
    CompileOption,
    DataOption,
    DeviceOption,
    DevicesOption,
    EpochsOption,
    PluginOption,
    RateOption,
    ResultsOption,
    SetOption,
    SizeOption,
)


def train(
    dataset: Annotated[str, typer.Option("--dataset", help="A prepared dataset.")] = "bus",
    model: Annotated[str, typer.Option("--model", help="See `sambench list models`.")] = "resnet50",
    opt: Annotated[str, typer.Option("--opt", help="See `sambench list optimizers`.")] = "adam",
    device: DeviceOption = None,
    devices: DevicesOption = None,
    size: SizeOption = None,
    epochs: EpochsOption = 50,
    batch_size: BatchSizeOption = 16,
    lr: RateOption = 1e-4,
    stop: Annotated[
        str,
        typer.Option(
            "--stop",
            help="epochs, train-accuracy[=1.0], patience[=10], gradient-evaluations=N or "
            "minutes=N; --epochs caps them all.",
        ),
    ] = "epochs",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of weights, order, draws.")] = 0,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Start from published weights.")
    ] = False,
    capture: CaptureOption = None,
    compiled: CompileOption = None,
    settings: SetOption = None,
    data: DataOption = DATA,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Train one model with one optimizer and test it once, at the end.

    Ctrl-C keeps a checkpoint; the same command resumes it.

    Several --devices train the run together, each on its share of every batch, as
    torchrun --nproc-per-node 2 -m sambench train does.

    Example: sambench train --opt gcsam --model resnet50 --device cuda:0
    """
    from sambench.arguments import sort_settings
    from sambench.config import RunConfig
    from sambench.console import Screen
    from sambench.launch import together

    names = [name.strip() for name in (devices or "").split(",") if name.strip()]
    if len(names) > 1 and together.processes() == 1:
        raise typer.Exit(together.start(len(names), sys.argv[1:]))
    run, for_optimizer = sort_settings(settings, [opt])
    config = RunConfig.from_dict(
        {
            "dataset": dataset,
            "image_size": size or image_size(data, dataset),
            "model": model,
            "optimizer": {"name": opt, **for_optimizer},
            "lr": lr,
            "batch_size": batch_size,
            "epochs": epochs,
            "stop": stop,
            "seed": seed,
            "pretrained": pretrained,
            "replicas": together.processes(),
            "capture": EXECUTION[capture],
            "compile": EXECUTION[compiled],
            **run,
        }
    )
    screen = Screen()
    again = ("failed", "diverged", "stale")
    with together.joined(names, device) as (place, leads):
        if not leads:
            together.follow(config, data, results, place)
            return
        code = launch(screen, [config], data, results, place, None, None, retry=again)
    show_table(screen, results, [config], baseline=opt)
    raise typer.Exit(code)
