"""The report on disk: one Markdown file, one HTML file, and each table in every form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sambench.atomic import write_bytes, write_text
from sambench.report.html import to_html
from sambench.report.latex import to_latex
from sambench.report.markdown import to_markdown
from sambench.report.table import Table

MOST_TABLES = 24
"""Of more tables than these only the two pages are written."""


def write_report(
    tables: Sequence[Table], folder: Path, title: str = "sambench report"
) -> tuple[Path, ...]:
    """Write `report.md`, `report.html`, a PNG for each table, and `tables/` with LaTeX, CSV, xlsx.

    Returns:
        The pages, the pictures, and the folder of tables.

    Raises:
        StoreError: If the folder cannot be written.
    """
    stems = _stems(tables)
    if len(tables) > MOST_TABLES:
        return _write_pages(tables, stems, {}, folder, title)
    from sambench.report.plots import table_png
    from sambench.report.spreadsheet import to_csv, to_xlsx

    drawn = {stem: table_png(table) for table, stem in zip(tables, stems, strict=True)}
    pages = _write_pages(tables, stems, drawn, folder, title)
    for stem, picture in drawn.items():
        write_bytes(folder / f"{stem}.png", picture)
    for table, stem in zip(tables, stems, strict=True):
        write_text(folder / "tables" / f"{stem}.tex", to_latex(table))
        write_text(folder / "tables" / f"{stem}.csv", to_csv(table))
        write_bytes(folder / "tables" / f"{stem}.xlsx", to_xlsx(table))
    return (*pages, *(folder / f"{stem}.png" for stem in stems), folder / "tables")


def _stems(tables: Sequence[Table]) -> list[str]:
    """Return a file name for each table, without ending, no two alike."""
    names: list[str] = []
    for table in tables:
        stem = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
        same = sum(name == stem or name.startswith(f"{stem}--") for name in names)
        names.append(f"{stem}--{same + 1}" if same else stem)
    return names


def _write_pages(
    tables: Sequence[Table],
    stems: Sequence[str],
    drawn: Mapping[str, bytes],
    folder: Path,
    title: str,
) -> tuple[Path, Path]:
    sections = []
    for table, stem in zip(tables, stems, strict=True):
        picture = f"\n![{table.title}]({stem}.png)\n" if stem in drawn else ""
        sections.append(to_markdown(table) + picture)
    if len(tables) > MOST_TABLES:
        sections.append(
            f"More than {MOST_TABLES} tables: pictures and files of each are left out; name a "
            "suite or runs to have them.\n"
        )
    markdown, html = folder / "report.md", folder / "report.html"
    write_text(markdown, f"# {title}\n\n" + "\n".join(sections))
    captions = [
        (table.title, drawn[s]) for table, s in zip(tables, stems, strict=True) if s in drawn
    ]
    write_text(html, to_html(title, tables, captions))
    return markdown, html
