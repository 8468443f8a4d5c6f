"""`sambench prepare`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.auditing import audit_prepared, show_audit
from sambench.cli.options import (
    DATA,
    AuditOption,
    DataOption,
    DropConflictsOption,
    DropDuplicatesOption,
    PluginOption,
)
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.console import Screen
    from sambench.data.preparation import Preparation


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
    name: Annotated[
        str | None,
        typer.Option("--name", help="What to call it, where there are several sets of one kind."),
    ] = None,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Go on without images that cannot be read."),
    ] = False,
    audit: AuditOption = False,
    drop_conflicts: DropConflictsOption = False,
    drop_duplicates: DropDuplicatesOption = False,
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
    from sambench.arguments import parse_settings
    from sambench.console import Screen
    from sambench.data.contact_sheet import write_contact_sheet
    from sambench.data.preparation import prepare as prepare_dataset
    from sambench.data.selection import Drops
    from sambench.data.source import Request, sources

    found = sources.get(dataset)
    _check_name(name, dataset)
    screen = Screen()
    side = size or found.image_size
    drops = Drops(conflicts=drop_conflicts, duplicates=drop_duplicates)
    nothing_new = (xlsx, source, option, drops) == (None, None, None, Drops())
    if audit and nothing_new and audit_prepared(screen, data, name or dataset, side):
        return
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
            side,
            name=name,
            workers=workers,
            skip_unreadable=skip_unreadable,
            drops=drops,
            on_start=screen.outlook,
            on_progress=lambda done, total, file: progress(done, total, "decoding"),
        )
        prepared = done.prepared
        sheet = prepared.folder / "contact_sheet.png"
        if not (done.reused and sheet.exists()):
            write_contact_sheet(prepared, sheet)
    show_prepared(screen, done, sheet)
    if audit:
        show_audit(screen, prepared)


def _check_name(name: str | None, dataset: str) -> None:
    """Refuse a name that is no folder's, or another dataset's.

    Raises:
        ConfigError: If it is.
    """
    from sambench.data.source import sources

    others = {source.name for source in sources.list()} - {dataset}
    if name is not None and (name in others or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name)):
        raise ConfigError(
            f"--name {name!r} is not allowed; allowed: letters, digits and ._- , no other dataset's"
        )


def show_prepared(screen: Screen, done: Preparation, sheet: Path) -> None:
    """Say what was done and what the dataset consists of."""
    from sambench.data.summary import summarize

    if done.reused:
        screen.say(f"{done.prepared.folder} was prepared before from the same files; nothing to do")
    screen.summary(summarize(done.prepared))
    screen.show(f"prepared in {done.prepared.folder}, contact sheet {sheet}")
