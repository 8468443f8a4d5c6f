"""Preparing a dataset and looking through it, for `sambench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.cli.answers import prepared_answer
from sambench.cli.options import Output
from sambench.cli.screen import Screen
from sambench.data.audit.examine import examine
from sambench.data.audit.pages import sections, write_audit
from sambench.data.drawing import write_contact_sheet
from sambench.data.preparation import Preparation, prepare
from sambench.data.prepared import Prepared, open_prepared, prepared_sizes
from sambench.data.source import Request, Source, sources
from sambench.data.summary import summarize
from sambench.data.writing import Drops
from sambench.errors import ConfigError
from sambench.files.definition import check_name

if TYPE_CHECKING:
    from sambench.cli.prepare import Files, Making

CONTACT_SHEET = "contact_sheet.png"


def prepare_dataset(dataset: str, data: Path, files: Files, making: Making, output: Output) -> None:
    """Prepare a dataset, show what it consists of, and audit it where that is asked for."""
    found, screen = sources.get(dataset), output.screen()
    side, folder = making.size or found.image_size, making.name or dataset
    check_name(folder, "--name")
    if folder != dataset and folder in {one.name for one in sources.list()}:
        raise ConfigError(f"--name {folder} is another dataset's; choose a name of your own")
    drops = Drops(conflicts=making.drop_conflicts, duplicates=making.drop_duplicates)
    as_it_is = making.audit and not (files.given or drops.conflicts or drops.duplicates)
    if as_it_is and side in prepared_sizes(data, folder):
        prepared = open_prepared(data, folder, side)
        sheet = prepared.folder / CONTACT_SHEET
        output.answer(prepared_answer(prepared, sheet, _audit(screen, prepared), reused=True))
        return
    done = decode(
        screen,
        found,
        data,
        side,
        files.request(found),
        name=making.name,
        workers=making.workers,
        skip_unreadable=making.skip_unreadable,
        drops=drops,
    )
    prepared, sheet = done.prepared, done.prepared.folder / CONTACT_SHEET
    if not (done.reused and sheet.exists()):
        write_contact_sheet(prepared, sheet)
    if done.reused:
        screen.say(f"{prepared.folder} was prepared before from the same files; nothing to do")
    screen.summary(summarize(prepared))
    screen.show(f"prepared in {prepared.folder}, contact sheet {sheet}")
    written = _audit(screen, prepared) if making.audit else []
    output.answer(prepared_answer(prepared, sheet, written, reused=done.reused))


def decode(
    screen: Screen, source: Source, data: Path, side: int, files: dict[str, Any], **more: Any
) -> Preparation:
    """Decode what is not decoded yet, and show how it goes.

    The files are fields of a `Request`; `more` goes to `sambench.data.preparation.prepare`.
    """
    with screen.progress() as progress:
        return prepare(
            source,
            Request(**files, progress=progress),
            data,
            side,
            on_start=screen.outlook,
            on_progress=lambda done, total, file: progress(done, total, "decoding"),
            **more,
        )


def _audit(screen: Screen, prepared: Prepared) -> list[Path]:
    """Audit a prepared dataset, show what was found, keep it beside the data; return the files."""
    with screen.progress() as progress:
        found = examine(prepared, progress)
    screen.show(f"\naudit of {prepared.folder}")
    for section in sections(found):
        screen.show(f"\n{section.title}")
        for sentence in section.text:
            screen.show(sentence)
        if section.rows:
            screen.listing(section.headings, section.rows)
    written = write_audit(prepared, found)
    screen.show(f"\nwrote {', '.join(map(str, written))}")
    return written
