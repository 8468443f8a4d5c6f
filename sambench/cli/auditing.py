"""Showing an audit, for `sambench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.cli.answers import prepared_answer

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.data.prepared import Prepared

CONTACT_SHEET = "contact_sheet.png"


def audit_prepared(screen: Screen, data: Path, dataset: str, size: int) -> dict[str, Any] | None:
    """Audit a dataset if it is prepared at this size.

    Returns:
        What a program reads of it; None if it is not prepared.
    """
    from sambench.data.prepared import open_prepared, prepared_sizes

    if size not in prepared_sizes(data, dataset):
        return None
    prepared = open_prepared(data, dataset, size)
    written = show_audit(screen, prepared)
    return prepared_answer(prepared, prepared.folder / CONTACT_SHEET, written, reused=True)


def show_audit(screen: Screen, prepared: Prepared) -> list[Path]:
    """Audit a prepared dataset, show what was found, keep it beside the data; return the files."""
    from sambench.data.audit.examine import examine
    from sambench.data.audit.pages import sections, write_audit

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
