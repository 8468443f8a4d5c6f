"""`sambench prepare`."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.answers import prepared_answer
from sambench.cli.auditing import CONTACT_SHEET, audit_prepared, show_audit
from sambench.cli.grouping import grouped
from sambench.cli.options import DATA, DataOption, Output, PluginOption
from sambench.errors import ConfigError
from sambench.files.definition import NAME

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.data.preparation import Preparation
    from sambench.data.source import Source
    from sambench.data.writing import Drops


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the images come from."""

    panel: ClassVar[str] = "The files"
    xlsx: Annotated[
        Path | None,
        typer.Option("--xlsx", metavar="FILE", help="The workbook (or CSV) that lists the images."),
    ] = None
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="DIR", help="Folder that holds the dataset's files."),
    ] = None
    test_source: Annotated[
        Path | None,
        typer.Option("--test-source", metavar="DIR", help="Another folder, of the test images."),
    ] = None
    pages: Annotated[
        str | None,
        typer.Option(
            "--pages",
            metavar="first|all",
            help="Of files with several pages or frames.",
            show_default="first",
        ),
    ] = None
    raw: Annotated[
        Path,
        typer.Option(
            "--raw", metavar="DIR", help="Where datasets that download or make files put them."
        ),
    ] = Path("data/raw")
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the dataset, as normal=drop; see `sambench list datasets`. "
            "Every dataset has fit=squash|letterbox|crop and depth=auto|8|10|12|14|16. Repeatable.",
            autocompletion=completion.options_of_source,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Making:
    """What is made of them."""

    panel: ClassVar[str] = "The prepared dataset"
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=8,
            metavar="PIXELS",
            help="Side of the prepared images.",
            show_default="the dataset's own",
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What to call it, where there are several sets of one kind.",
            show_default="the dataset's own",
        ),
    ] = None
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Go on without images that cannot be read."),
    ] = False
    drop_conflicts: Annotated[
        bool, typer.Option("--drop-conflicts", help="Leave out copies with different labels.")
    ] = False
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep one of each image and its copies.")
    ] = False
    audit: Annotated[
        bool, typer.Option("--audit", help="Look for copies, conflicting labels and shortcuts.")
    ] = False
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="THREADS",
            help="Decoding threads.",
            show_default="all cores",
        ),
    ] = None

    @property
    def drops(self) -> Drops:
        """Return which images are left out."""
        from sambench.data.writing import Drops

        return Drops(conflicts=self.drop_conflicts, duplicates=self.drop_duplicates)


@grouped
def prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="One of `sambench list datasets`.",
            autocompletion=completion.sources,
        ),
    ],
    files: Files,
    making: Making,
    output: Output,
    data: DataOption = DATA,
    plugin: PluginOption = None,
) -> None:
    """Read a dataset once and keep it ready for training, with a summary and a contact sheet.

    Examples:
      sambench prepare phantom --size 64
      sambench prepare bus --xlsx "BIRADS&FOLD.xlsx"
      sambench prepare folder --name ours --source DIR --audit
    """
    from sambench.data.source import sources

    found, screen = sources.get(dataset), output.screen()
    _check_name(making.name, dataset)
    side = making.size or found.image_size
    nothing_new = not any(
        (files.xlsx, files.source, files.test_source, files.settings, files.pages)
    )
    if making.audit and nothing_new and not any(astuple(making.drops)):
        already = audit_prepared(screen, data, making.name or dataset, side)
        if already is not None:
            output.answer(already)
            return
    done, sheet = _prepare(screen, found, files, making, data, side)
    show_prepared(screen, done, sheet)
    written = show_audit(screen, done.prepared) if making.audit else ()
    output.answer(prepared_answer(done.prepared, sheet, written, reused=done.reused))


def _prepare(
    screen: Screen, found: Source, files: Files, making: Making, data: Path, side: int
) -> tuple[Preparation, Path]:
    """Decode what is not decoded yet; return what was done and where the contact sheet is."""
    from sambench.config.arguments import parse_settings
    from sambench.data.drawing import write_contact_sheet
    from sambench.data.preparation import prepare as prepare_dataset
    from sambench.data.source import Request

    settings = {**parse_settings(files.settings), **({"pages": files.pages} if files.pages else {})}
    with screen.progress() as progress:
        done = prepare_dataset(
            found,
            Request(
                table=files.xlsx,
                folder=files.source,
                test=files.test_source,
                raw=files.raw,
                options=found.resolve(settings),
                progress=progress,
            ),
            data,
            side,
            name=making.name,
            workers=making.workers,
            skip_unreadable=making.skip_unreadable,
            drops=making.drops,
            on_start=screen.outlook,
            on_progress=lambda done, total, file: progress(done, total, "decoding"),
        )
        sheet = done.prepared.folder / CONTACT_SHEET
        if not (done.reused and sheet.exists()):
            write_contact_sheet(done.prepared, sheet)
    return done, sheet


def _check_name(name: str | None, dataset: str) -> None:
    """Refuse a name that is no folder's, or another dataset's.

    Raises:
        ConfigError: If it is.
    """
    from sambench.data.source import sources

    others = {source.name for source in sources.list()} - {dataset}
    if name is not None and (name in others or not re.search(NAME, name)):
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
