"""The report on disk: one Markdown file, one HTML file, the figures, and tables in every form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sambench.files.atomic import write_bytes, write_text
from sambench.report.document import Document
from sambench.report.html import to_html
from sambench.report.latex import to_latex
from sambench.report.markdown import document_markdown
from sambench.report.table import Table

MOST_TABLES = 24
"""Of more tables than these only the two pages are written."""

MANY = (
    f"More than {MOST_TABLES} tables: pictures and files of each are left out; name a suite or "
    "runs to have them."
)


def write_report(document: Document, folder: Path) -> tuple[Path, ...]:
    """Write a report in every form.

    These are `report.md`, `report.html`, `figures/`, `tables/` with LaTeX, CSV and xlsx of every
    table, and a PNG of each table of the sections that are drawn.

    Returns:
        The pages, the tables' pictures, and the folders of tables and figures.

    Raises:
        StoreError: If the folder cannot be written.
    """
    many = len(document.tables) > MOST_TABLES
    stems = _stems(document.tables)
    chosen = [] if many else _drawn(document)
    files = {place: f"{stems[place]}.png" for place in chosen}
    if files:
        from sambench.report.plots import table_png

        for place, file in files.items():
            write_bytes(folder / file, table_png(document.tables[place]))
    for picture in document.pictures:
        write_bytes(folder / "figures" / f"{picture.stem}.png", picture.png)
    figures = {picture.stem: f"figures/{picture.stem}.png" for picture in document.pictures}
    text = document_markdown(document, figures, files) + (f"\n{MANY}\n" if many else "")
    markdown, html = folder / "report.md", folder / "report.html"
    write_text(markdown, text)
    write_text(html, to_html(document))
    written = [markdown, html, *(folder / file for file in files.values())]
    if document.tables and not many:
        for table, stem in zip(document.tables, stems, strict=True):
            _write_forms(table, folder / "tables", stem)
        written.append(folder / "tables")
    return (*written, *([folder / "figures"] if document.pictures else []))


def _drawn(document: Document) -> list[int]:
    """Return the places of the tables that get a picture."""
    wanted = {id(t) for part in document.results if part.drawn for t in part.tables}
    return [place for place, table in enumerate(document.tables) if id(table) in wanted]


def _write_forms(table: Table, folder: Path, stem: str) -> None:
    from sambench.report.spreadsheet import to_csv, to_xlsx

    write_text(folder / f"{stem}.tex", to_latex(table))
    write_text(folder / f"{stem}.csv", to_csv(table))
    write_bytes(folder / f"{stem}.xlsx", to_xlsx(table))


def _stems(tables: Sequence[Table]) -> list[str]:
    """Return a file name for each table, without ending, no two alike."""
    names: list[str] = []
    for table in tables:
        stem = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
        same = sum(name == stem or name.startswith(f"{stem}--") for name in names)
        names.append(f"{stem}--{same + 1}" if same else stem)
    return names
