"""`sambench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sambench.arguments import parse_settings
from sambench.cli.options import DATA, DataOption, PluginOption


def prepare(
    dataset: Annotated[str, typer.Argument(help="A dataset of `sambench list datasets`.")],
    xlsx: Annotated[
        Path | None, typer.Option("--xlsx", help="The workbook (or CSV) that lists the images.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--source", help="Folder that holds the dataset's files.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=8, help="Side of the prepared images in pixels.")
    ] = None,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Go on without images that cannot be read."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Decoding threads; all cores by default.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the dataset (normal=drop)."),
    ] = None,
    raw: Annotated[
        Path, typer.Option("--raw", help="Where datasets that download or make files put them.")
    ] = Path("data/raw"),
    data: DataOption = DATA,
    plugin: PluginOption = None,
) -> None:
    """Read a dataset once and keep it ready for training, with a summary and a contact sheet.

    Examples: sambench prepare phantom --size 64;
    sambench prepare bus --xlsx "BIRADS&FOLD.xlsx"; sambench prepare busi --source DIR
    """
    from sambench.console import Screen
    from sambench.data.contact_sheet import write_contact_sheet
    from sambench.data.preparation import prepare as prepare_dataset
    from sambench.data.source import Request, sources
    from sambench.data.summary import summarize

    found = sources.get(dataset)
    screen = Screen()
    with screen.progress() as progress:
        done = prepare_dataset(
            found,
            Request(
                table=xlsx,
                folder=source,
                raw=raw,
                options=found.resolve(parse_settings(option)),
                progress=progress,
            ),
            data,
            size or found.image_size,
            workers=workers,
            skip_unreadable=skip_unreadable,
            on_start=screen.outlook,
            on_progress=lambda done, total, file: progress(done, total, "decoding"),
        )
        prepared = done.prepared
        sheet = prepared.folder / "contact_sheet.png"
        if not (done.reused and sheet.exists()):
            write_contact_sheet(prepared, sheet)
    if done.reused:
        screen.say(f"{prepared.folder} was prepared before from the same files; nothing to do")
    screen.summary(summarize(prepared))
    screen.show(f"prepared in {prepared.folder}, contact sheet {sheet}")
