"""The report on disk: pages, figures, tables in every form, and the numbers behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.analysis.frame import comparisons_table, predictions_table, runs_table
from sambench.files.atomic import write_bytes, write_text
from sambench.report.document import Document
from sambench.report.forms import (
    document_markdown,
    latex_document,
    numbers_of,
    stem_of,
    templates,
    to_csv,
    to_latex,
    to_xlsx,
)
from sambench.report.table import Table

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

    These are `report.md`, `report.html`, `runs.csv`, `comparisons.csv`, `tables.xlsx`, `figures/`
    with PDF and PNG, `tables/` with LaTeX and CSV of each table, and a PNG of each main table.
    Those of them that a reader opens, and the two folders, are returned.

    Args:
        document: What it says.
        folder: Where.
        every_table: Whether the files of single tables are written however many there are.
        predictions: By the run's id, to be written as `predictions.csv`.

    Raises:
        StoreError: If the folder cannot be written.
    """
    stems = _stems(document.tables)
    some = every_table or len(document.tables) <= MOST_FILES
    shown = {id(t) for part in document.results if part.shown for t in part.tables}
    drawn = {
        id(table): f"tables/{stem}.png"
        for table, stem in zip(document.tables, stems, strict=True)
        if some and id(table) in shown
    }
    drawn = drawn if len(drawn) <= MOST_DRAWN else {}
    files: dict[str, Callable[[], str | bytes]] = {
        "report.md": lambda: document_markdown(document, drawn),
        "report.html": lambda: to_html(document),
        "runs.csv": lambda: to_csv(runs_table(document.study.groups)),
        "comparisons.csv": lambda: to_csv(comparisons_table(document.study.every())),
    }
    if predictions is not None:
        files["predictions.csv"] = lambda: to_csv(
            predictions_table(document.study.groups, predictions)
        )
    top = [*files]
    if some and stems:
        top += ["tables.xlsx", "tables"]
        for table, stem in zip(document.tables, stems, strict=True):
            files[f"tables/{stem}.tex"] = partial(to_latex, table)
            files[f"tables/{stem}.csv"] = partial(to_csv, numbers_of(table))
        files["tables/all-tables.tex"] = partial(latex_document, stems)
        files["tables.xlsx"] = partial(to_xlsx, document.tables)
    if drawn:
        from sambench.report.table_png import table_png  # with matplotlib
    for table in document.tables:
        if id(table) in drawn:
            files[drawn[id(table)]] = partial(table_png, table)
    for picture in document.pictures:
        files[f"figures/{picture.stem}.png"] = partial(getattr, picture, "png")
        files[f"figures/{picture.stem}.pdf"] = partial(getattr, picture, "pdf")
    _write(files, folder)
    return tuple(folder / name for name in (*top, *(["figures"] if document.pictures else [])))


def _write(files: dict[str, Callable[[], str | bytes]], folder: Path) -> None:
    """Write files, and take away those of the folder's last report that are not among them."""
    listing = folder / LISTING
    before: list[str] = []
    if listing.exists():
        try:
            before = list(json.loads(listing.read_text(encoding="utf-8"))["files"])
        except (ValueError, KeyError, TypeError):
            before = []
    elif folder.exists():  # a report of an earlier version, which kept no list
        kinds = ("report.*", "*.png", "figures/figure-*.png", "tables/*.csv", "tables/*.tex",
                 "tables/*.xlsx")  # fmt: skip
        before = [str(p.relative_to(folder)) for kind in kinds for p in folder.glob(kind)]
    for name, content in files.items():
        made = content()
        (write_text if isinstance(made, str) else write_bytes)(folder / name, made)  # type: ignore[arg-type]
    for name in before:
        if name not in files and ".." not in Path(name).parts:
            (folder / name).unlink(missing_ok=True)
    write_text(listing, json.dumps({"version": 1, "files": sorted(files)}, indent=2) + "\n")


def _stems(tables: Sequence[Table]) -> list[str]:
    """Return a file name for each table, without ending, no two alike."""
    names: list[str] = []
    for table in tables:
        stem = stem_of(table)
        same = sum(name == stem or name.startswith(f"{stem}--") for name in names)
        names.append(f"{stem}--{same + 1}" if same else stem)
    return names


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
    return (
        templates()
        .get_template("page.html")
        .render(
            document=document,
            pictures=document.pictures,
            choices=choices,
            sources={name: "\n".join(lines) for name, lines in document.sources.items()},
        )
    )
