"""Tables and reports as LaTeX, Markdown, CSV, Excel and plain values for programs."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from sambench.analysis.frame import plain_comparison
from sambench.report.document import Document, Section
from sambench.report.table import Cell, Table, slug

if TYPE_CHECKING:
    from openpyxl import Workbook

VERSION = 2
"""Of `--json`."""

WIDE = 5
"""Columns from which on a table spans both columns of a paper."""

_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "–": "--", "“": "``", "”": "''",
        "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$", "§": r"$^{\S}$", "≈": r"$^{\approx}$",
        "*": r"$^{*}$", "×": r"$\times$", "÷": r"$\div$", "≥": r"$\geq$", "≤": r"$\leq$",
    }
)  # fmt: skip

PREAMBLE = r"""\documentclass[10pt,twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
"""


def to_latex(table: Table) -> str:
    r"""Return a float that needs `\usepackage{booktabs,graphicx}`, in one or two columns.

    Many columns span the page (`table*`), and what is wider still is shrunk. The number of units is
    in the caption where it is one number; the notes stand below the rules.
    """
    star = "*" if len(table.headings) > WIDE else ""
    units = table.units
    alignment = "l" + "r" * (len(table.headings) - 1)
    body = [
        _line([escape(label), *(_latex_cell(cell, units) for cell in cells)])
        for label, cells in table.rows
    ]
    caption = escape(table.title) + (f" ($n = {units}$)" if units is not None else "")
    notes = [rf"  \par\raggedright\footnotesize {escape(note)}" for note in table.notes]
    return "\n".join(
        [
            rf"\begin{{table{star}}}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{stem_of(table)}}}",
            r"  \resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%",
            rf"  \begin{{tabular}}{{{alignment}}}",
            r"    \toprule",
            _line(map(_latex_heading, table.headings)),
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}}",
            *([r"  \par\smallskip", *notes] if notes else []),
            rf"\end{{table{star}}}",
            "",
        ]
    )


def latex_document(stems: Iterable[str]) -> str:
    """Return a document that compiles by itself and shows every table."""
    inputs = "\n".join(rf"\input{{{stem}}}" + "\n\\clearpage" for stem in stems)
    return f"{PREAMBLE}{inputs}\n\\end{{document}}\n"


def escape(text: str) -> str:
    """Return the text with every character that LaTeX reads otherwise written out."""
    return text.translate(_ESCAPES)


def _line(cells: Iterable[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"


def _latex_heading(text: str) -> str:
    lines = textwrap.wrap(text, 13) or [""]
    joined = r"\\".join(map(escape, lines))
    return rf"\shortstack[b]{{{joined}}}" if len(lines) > 1 else joined


def _latex_cell(cell: Cell, units: int | None) -> str:
    text = escape(cell.text if units is None else cell.short)
    text = re.sub(r"(?<!\w)-(?=\d)", "$-$", text)
    return rf"\textbf{{{text}}}" if cell.bold else text


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown with its notes."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    body = [
        line([label, *(f"**{c.text}**" if c.bold else c.text for c in cells)])
        for label, cells in table.rows
    ]
    rule = line(["---", *["---:"] * (len(table.headings) - 1)])
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"### {table.title}", "", line(table.headings), rule, *body, "", *notes, ""])


def document_markdown(document: Document, drawn: Mapping[int, str]) -> str:
    """Return a whole report; `drawn` is each table's picture, by the table's place in it."""
    places = {id(table): place for place, table in enumerate(document.tables)}

    def section(part: Section) -> Iterator[str]:
        yield f"## {part.title}\n"
        yield from (f"{text}\n" for text in part.paragraphs)
        if part.items:
            yield "".join(f"- {item}\n" for item in part.items)
        for table in part.tables:
            file = drawn.get(places[id(table)])
            yield to_markdown(table) + (f"\n![{table.title}]({file})\n" if file else "")

    figures = [
        f"![{picture.title}](figures/{picture.stem}.png)\n\n*{picture.title}.* {picture.caption}\n"
        for picture in document.pictures
    ]
    return "\n".join(
        [
            *(f"# {document.title}\n", *(f"{text}\n" for text in document.answer)),
            *(block for part in document.results for block in section(part)),
            *(["## Figures\n", *figures] if figures else []),
            *(block for part in document.rest for block in section(part)),
        ]
    )


def numbers_of(table: Table) -> list[list[Any]]:
    """Return headings and rows in numbers: mean, sd, n, low, high ... a column each; words as such.

    A column of the table without any number has its text.
    """
    columns: list[tuple[int, str | None, str]] = []
    for place, heading in enumerate(table.headings[1:]):
        keys = dict.fromkeys(
            key for _, cells in table.rows if place < len(cells) for key in cells[place].numbers
        )
        columns += [(place, key, f"{heading}: {key}") for key in keys] or [(place, None, heading)]
    rows: list[list[Any]] = [[table.headings[0], *(name for _, _, name in columns)]]
    for label, cells in table.rows:
        row: list[Any] = [label]
        for place, key, _ in columns:
            cell = cells[place] if place < len(cells) else Cell(text="")
            row.append(cell.text if key is None else cell.numbers.get(key))
        rows.append(row)
    return rows


def to_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as a CSV file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def to_xlsx(tables: Sequence[Table]) -> bytes:
    """Return a workbook with a sheet for each table: its numbers, then its notes.

    Text that begins like a formula stays text.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    bold = Font(bold=True)
    for number, table in enumerate(tables, start=1):
        sheet = book.create_sheet(re.sub(r"[^\w .-]+", " ", f"{number} {table.title}")[:31])

        def cell(value: Any, strong: bool = False, sheet: Any = sheet) -> Any:
            made = WriteOnlyCell(sheet, value=value)
            if isinstance(value, str):
                made.data_type = "s"
            if strong:
                made.font = bold
            return made

        sheet.append([cell(table.title, True)])
        head, *rows = numbers_of(table)
        sheet.append([cell(value, True) for value in head])
        for row in rows:
            sheet.append([cell(value) for value in row])
        for note in table.notes:
            sheet.append([cell(note)])
    return _without_the_time(book)


def _without_the_time(book: Workbook) -> bytes:
    """Return a workbook's file with one date for all, so that equal tables are equal files."""
    from openpyxl.writer.excel import ExcelWriter

    written, dated = io.BytesIO(), io.BytesIO()
    book.properties.created = book.properties.modified = datetime(*_DATE)
    with ZipFile(written, "w") as archive:
        ExcelWriter(book, archive).save()
    with ZipFile(written) as archive, ZipFile(dated, "w") as copy:
        for name in archive.namelist():
            copy.writestr(ZipInfo(name, _DATE), archive.read(name), ZIP_DEFLATED)
    return dated.getvalue()


_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip file, which a workbook is, can have."""


def stem_of(table: Table) -> str:
    """Return the name of a table's files, without ending."""
    return table.stem or slug(table.title)


def to_plain(document: Document, written: Sequence[Path]) -> dict[str, Any]:
    """Return what JSON can hold: answer, every statement, tables, figures, files.

    A cell has `text` as printed and, where numbers are behind it, these: `mean`, `sd`, `n` ...
    """
    return {
        "version": VERSION,
        "title": document.title,
        "answer": list(document.answer),
        "statements": [plain_comparison(one) for one in document.study.every()],
        "results": [_plain_section(section) for section in document.results],
        "figures": [
            {"name": picture.stem, "title": picture.title, "caption": picture.caption}
            for picture in document.pictures
        ],
        "rest": [_plain_section(section) for section in document.rest],
        "written": [str(path) for path in written],
    }


def _plain_section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "paragraphs": list(section.paragraphs),
        "items": list(section.items),
        "tables": [
            {
                "title": table.title,
                "headings": list(table.headings),
                "rows": [
                    {
                        "label": label,
                        "cells": [{"text": c.text, "best": c.bold, **c.numbers} for c in cells],
                    }
                    for label, cells in table.rows
                ],
                "notes": list(table.notes),
            }
            for table in section.tables
        ],
    }
