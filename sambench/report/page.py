"""The report on disk: pages, figures, tables in every form, and the numbers behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.files.atomic import write_bytes, write_text
from sambench.files.checksums import read_whole
from sambench.report import forms
from sambench.report.table import Document

if TYPE_CHECKING:
    from sambench.analysis.predictions import Predictions

MOST_FILES = 300
"""Of more tables than these, and no suite, only the pages and the numbers are written."""

MOST_DRAWN = 60
"""Of more tables than these no pictures are made."""

LISTING = "files.json"
"""What a report wrote, so that the next one takes away what it does not write again."""


def write_report(
    document: Document,
    folder: Path,
    *,
    every_table: bool = True,
    predictions: Mapping[str, Predictions] | None = None,
) -> tuple[Path, ...]:
    """Write a report in every form, and remove what an earlier one left in its folder.

    Those of its files that a reader opens, and its folders of figures and tables, are returned.
    With `every_table` the files of single tables are written however many there are; predictions
    are by the run's id. A StoreError is raised if the folder cannot be written.
    """
    tables = {document.stems[id(table)]: table for table in document.tables}
    some = every_table or len(tables) <= MOST_FILES
    shown = {id(t) for part in document.results if some and part.shown for t in part.tables}
    drawn = {id(t): f"tables/{stem}.png" for stem, t in tables.items() if id(t) in shown}
    drawn = drawn if len(drawn) <= MOST_DRAWN else {}
    files: dict[str, Callable[[], str | bytes]] = {
        "report.md": lambda: forms.document_markdown(document, drawn),
        "report.html": lambda: to_html(document),
        "runs.csv": lambda: forms.to_csv(forms.runs_table(document.study.groups)),
        "comparisons.csv": lambda: forms.to_csv(forms.comparisons_table(document.study.every())),
    }
    if predictions is not None:
        files["predictions.csv"] = lambda: forms.to_csv(
            forms.predictions_table(document.study.groups, predictions)
        )
    top = [*files]
    if some and tables:
        top += ["tables.xlsx", "tables"]
        for stem, table in tables.items():
            files[f"tables/{stem}.tex"] = partial(forms.to_latex, table, stem)
            files[f"tables/{stem}.csv"] = partial(forms.to_csv, forms.numbers_of(table))
        files["tables/all-tables.tex"] = partial(forms.latex_document, tables)
        files["tables.xlsx"] = partial(forms.to_xlsx, document.tables)
    if drawn:
        from sambench.report.table_png import table_png  # with matplotlib

        files |= {drawn[id(t)]: partial(table_png, t) for t in document.tables if id(t) in drawn}
    for picture in document.pictures:
        files[f"figures/{picture.stem}.png"] = partial(getattr, picture, "png")
        files[f"figures/{picture.stem}.pdf"] = partial(getattr, picture, "pdf")
    _write(files, folder)
    return tuple(folder / name for name in (*top, *(["figures"] if document.pictures else [])))


def _write(files: dict[str, Callable[[], str | bytes]], folder: Path) -> None:
    """Write files, and take away those of the folder's last report that are not among them."""
    listing, inside = folder / LISTING, folder.resolve()
    before: list[str] = []
    if listing.exists():
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            before = [*map(str, json.loads(read_whole(listing))["files"])]
    for name, content in files.items():
        made = content()
        (write_text if isinstance(made, str) else write_bytes)(folder / name, made)  # type: ignore[arg-type]
        del made  # it may be large, and the next one is made before the name is given away
    for name in before:
        old = folder / name  # which somebody else's list may say to lie anywhere
        if name not in files and old.is_file() and old.parent.resolve().is_relative_to(inside):
            old.unlink()
    write_text(listing, json.dumps({"version": 1, "files": sorted(files)}, indent=2) + "\n")


def to_html(document: Document) -> str:
    """Return the page, in one file: columns sort, rows hide, numbers explain themselves."""
    keys: dict[str, str] = {}
    for table in document.tables:
        for key, (label, _) in zip(table.keys, table.rows, strict=False):
            keys.setdefault(key, label)
    settings = dict.fromkeys(table.setting for table in document.tables if table.setting)
    choices = (
        ("optimizer", "Show or hide optimizers", list(keys.items())),
        ("setting", "Show or hide settings", [(title, title) for title in settings]),
    )
    return forms.pages().get_template("page.html").render(document=document, choices=choices)
