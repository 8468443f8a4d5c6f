"""Preparing a dataset and looking through it, for `sambench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sambench.cli.answers import prepared_answer
from sambench.cli.options import Output
from sambench.cli.screen import Screen
from sambench.config.arguments import parse_settings
from sambench.data.audit.examine import examine
from sambench.data.audit.pages import sections, write_audit
from sambench.data.drawing import draw_contact_sheet, write_png
from sambench.data.preparation import Preparation, prepare
from sambench.data.prepared import Prepared, open_prepared, prepared_sizes
from sambench.data.source import Request, Source, sources
from sambench.data.summary import summarize
from sambench.data.writing import Drops
from sambench.errors import ConfigError
from sambench.files.definition import check_name

CONTACT_SHEET = "contact_sheet.png"


def prepare_dataset(
    dataset: str,
    data: Path,
    output: Output,
    *,
    xlsx: Path | None,
    source: Path | None,
    test_source: Path | None,
    pages: str | None,
    raw: Path,
    settings: list[str] | None,
    size: int | None,
    name: str | None,
    skip_unreadable: bool,
    drop_conflicts: bool,
    drop_duplicates: bool,
    audit: bool,
    workers: int | None,
) -> None:
    """Prepare a dataset, show what it consists of, and audit it where that is asked for."""
    found, screen = sources.get(dataset), output.screen()
    others = {one.name for one in sources.list()} - {dataset}
    side, folder = size or found.image_size, name or dataset
    check_name(folder, "--name")
    if name in others:
        raise ConfigError(f"--name {name} is another dataset's; choose a name of your own")
    as_it_is = not any(
        (xlsx, source, test_source, settings, pages, drop_conflicts, drop_duplicates)
    )
    if audit and as_it_is and side in prepared_sizes(data, folder):
        prepared = open_prepared(data, folder, side)
        sheet = prepared.folder / CONTACT_SHEET
        output.answer(prepared_answer(prepared, sheet, _audit(screen, prepared), reused=True))
        return
    options = found.resolve(parse_settings(settings) | ({"pages": pages} if pages else {}))
    done = decode(
        screen,
        found,
        data,
        side,
        {"table": xlsx, "folder": source, "test": test_source, "raw": raw, "options": options},
        name=name,
        workers=workers,
        skip_unreadable=skip_unreadable,
        drops=Drops(conflicts=drop_conflicts, duplicates=drop_duplicates),
    )
    prepared, sheet = done.prepared, done.prepared.folder / CONTACT_SHEET
    if not (done.reused and sheet.exists()):
        write_png(draw_contact_sheet(prepared), sheet)
    if done.reused:
        screen.say(f"{prepared.folder} was prepared before from the same files; nothing to do")
    screen.summary(summarize(prepared))
    screen.show(f"prepared in {prepared.folder}, contact sheet {sheet}")
    written = _audit(screen, prepared) if audit else []
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
