"""Preparing a dataset, showing what it consists of and looking through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sambench.cli.screen import Screen
from sambench.data.audit.examine import examine
from sambench.data.audit.pages import sections, write_audit
from sambench.data.preparation import Outlook, Preparation, prepare
from sambench.data.prepared import Prepared
from sambench.data.source import Request, Source
from sambench.errors import some
from sambench.files.atomic import human
from sambench.report.table import counted

MOST_CLASSES = 12
"""Classes that get a column of their own; the images of more are told in a line."""


def decode(
    screen: Screen, source: Source, request: Request, data: Path, side: int, **more: Any
) -> Preparation:
    """Decode what is not decoded yet, and show how it goes; `more` is for `prepare`."""

    def begin(outlook: Outlook) -> None:
        resumed = f", {outlook.resumed:,} of them decoded before" if outlook.resumed else ""
        (screen.warn if outlook.most > outlook.free else screen.say)(
            f"preparing {outlook.images:,} images{resumed}: up to {human(outlook.most)} in "
            f"{outlook.folder}, up to {human(outlook.kept)} of it kept; {human(outlook.free)} free"
        )
        if before := outlook.replaces:
            screen.warn(
                f"{before.folder} is replaced: its {len(before):,} images were prepared from other "
                "files or with other settings, and runs on it become stale where images or labels "
                "differ; `--name NAME` keeps both"
            )

    with screen.progress() as progress:
        return prepare(
            source,
            replace(request, progress=progress),
            data,
            side,
            on_start=begin,
            on_progress=lambda done, total, file: progress(done, total, "decoding"),
            **more,
        )


def show_summary(screen: Screen, summary: Mapping[str, Any]) -> None:
    """Show what a prepared dataset consists of."""
    channels = "grey" if summary["channels"] == 1 else "colour"
    screen.show(
        f"{summary['name']}: {summary['images']:,} images, {summary['image_size']}x"
        f"{summary['image_size']} {channels}, from {summary['layout']}"
    )
    classes = summary["classes"]
    if len(classes) > MOST_CLASSES:
        each = [f"{label} ({summary['by_class'][label]})" for label in classes]
        screen.show(f"{len(each)} classes (and images): {some(each)}")
        classes = ()
    parts = {
        "all": summary["by_class"],
        **{f"centre {name}": counts for name, counts in summary["by_centre"].items()},
        **{f"fold {number}": counts for number, counts in summary["by_fold"].items()},
    }
    rows = [
        [part, *(str(counts.get(label, 0)) for label in classes), str(sum(counts.values()))]
        for part, counts in parts.items()
    ]
    screen.listing(("", *classes, "all"), rows, numbers=True)
    width, height, copies = summary["width"], summary["height"], summary["duplicates"]
    screen.show(
        f"sizes on disk: width {width['min']}-{width['max']} (median {width['median']}), "
        f"height {height['min']}-{height['max']} (median {height['median']})",
        f"duplicates: {copies['images']} images in {counted(copies['groups'], 'group')} of "
        f"identical files, {copies['conflicting']} with conflicting labels"
        if copies["groups"]
        else "duplicates: no two files are identical",
    )
    for first, second in copies["examples"]:
        screen.warn(f"conflict: {first} and {second} are the same image with different labels")
    screen.show(*(f"note: {note}" for note in summary["notes"]))
    screen.warn(*summary["warnings"])


def audit(screen: Screen, prepared: Prepared) -> list[Path]:
    """Audit a prepared dataset, show what was found, keep it beside the data; return the files."""
    with screen.progress() as progress:
        found = examine(prepared, progress)
    screen.show(f"\naudit of {prepared.folder}")
    for section in sections(found):
        screen.show(f"\n{section.title}", *section.text)
        screen.listing(section.headings, section.rows)
    written = write_audit(prepared, found)
    screen.show(f"\nwrote {', '.join(map(str, written))}")
    return written
