"""Showing an audit, for `sambench prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sambench.console import Screen
    from sambench.data.prepared import Prepared


def audit_prepared(screen: Screen, data: Path, dataset: str, size: int) -> bool:
    """Audit a dataset if it is prepared at this size; else return False."""
    from sambench.data.prepared import open_prepared, prepared_sizes

    if size not in prepared_sizes(data, dataset):
        return False
    show_audit(screen, open_prepared(data, dataset, size))
    return True


def show_audit(screen: Screen, prepared: Prepared) -> None:
    """Audit a prepared dataset, show what was found and keep it beside the data."""
    from sambench.data.audit.examine import examine, write_audit
    from sambench.data.audit.pages import sections

    found = examine(prepared)
    screen.show(f"\naudit of {prepared.folder}")
    for section in sections(found):
        screen.show(f"\n{section.title}")
        for sentence in section.text:
            screen.show(sentence)
        if section.rows:
            screen.listing(section.headings, section.rows)
    screen.show(f"\nwrote {', '.join(map(str, write_audit(prepared, found)))}")
