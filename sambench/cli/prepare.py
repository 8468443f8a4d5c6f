"""`sambench prepare`."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli import completion, options
from sambench.cli.answers import prepared_answer
from sambench.cli.auditing import CONTACT_SHEET, audit_prepared, show_audit
from sambench.cli.grouping import flag, group, grouped, option
from sambench.errors import ConfigError
from sambench.files.definition import NAME

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.data.preparation import Preparation
    from sambench.data.selection import Drops
    from sambench.data.source import Source


@group("The files")
class Files:
    """Where the images come from."""

    xlsx: Path | None = option("FILE", "The workbook (or CSV) that lists the images.")
    source: Path | None = option("DIR", "Folder that holds the dataset's files.")
    test_source: Path | None = option("DIR", "Another folder, of the test images.")
    pages: str | None = option(
        "first|all", "Of files with several pages or frames.", show_default="first"
    )
    raw: Path = option(
        "DIR", "Where datasets that download or make files put them.", default=Path("data/raw")
    )
    settings: list[str] | None = option(
        "KEY=VALUE",
        "A setting of the dataset, as normal=drop; see `sambench list datasets`. Every dataset has "
        "fit=squash|letterbox|crop and depth=auto|8|10|12|14|16. Repeatable.",
        "--set",
        autocompletion=completion.options_of_source,
    )


@group("The prepared dataset")
class Making:
    """What is made of them."""

    size: int | None = option(
        "PIXELS", "Side of the prepared images.", min=8, show_default="the dataset's own"
    )
    name: str | None = option(
        "NAME",
        "What to call it, where there are several sets of one kind.",
        show_default="the dataset's own",
    )
    skip_unreadable: bool = flag("Go on without images that cannot be read.")
    drop_conflicts: bool = flag("Leave out copies with different labels.")
    drop_duplicates: bool = flag("Keep one of each image and its copies.")
    audit: bool = flag("Look for copies, conflicting labels and shortcuts.")
    workers: int | None = option("THREADS", "Decoding threads.", min=1, show_default="all cores")

    @property
    def drops(self) -> Drops:
        """Return which images are left out."""
        from sambench.data.selection import Drops

        return Drops(conflicts=self.drop_conflicts, duplicates=self.drop_duplicates)


@group(options.PLACE)
class Place:
    """Where it is kept, and code of one's own."""

    data: Path = options.data()
    plugin: list[Path] | None = options.plugin()


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
    output: options.Output,
    place: Place,
) -> None:
    """Read a dataset once and keep it ready for training, with a summary and a contact sheet.

    Examples:
      sambench prepare phantom --size 64
      sambench prepare bus --xlsx "BIRADS&FOLD.xlsx"
      sambench prepare folder --name ours --source DIR --audit
    """
    from sambench.data.source import sources

    found, screen, data = sources.get(dataset), output.screen(), place.data
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
    from sambench.data.contact_sheet import write_contact_sheet
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
