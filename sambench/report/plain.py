"""A report as plain values, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sambench.report.document import Document, Section
from sambench.report.table import Cell, Table

VERSION = 1


def to_plain(document: Document, written: Sequence[Path]) -> dict[str, Any]:
    """Return what JSON can hold: the answer, every section with its tables, the figures, the files.

    A cell has `text` as printed and, where a number is behind it, `value`; cells of runs have
    `mean`, `sd` (null for one run) and `n` besides.
    """
    return {
        "version": VERSION,
        "title": document.title,
        "answer": list(document.answer),
        "results": [_section(section) for section in document.results],
        "figures": [
            {"name": picture.stem, "title": picture.title, "caption": picture.caption}
            for picture in document.pictures
        ],
        "rest": [_section(section) for section in document.rest],
        "written": [str(path) for path in written],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "paragraphs": list(section.paragraphs),
        "items": list(section.items),
        "tables": [_table(table) for table in section.tables],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "headings": list(table.headings),
        "rows": [
            {"label": label, "cells": [_cell(cell) for cell in cells]}
            for label, cells in table.rows
        ],
        "notes": list(table.notes),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    plain: dict[str, Any] = {"text": cell.text, "best": cell.bold, "flagged": cell.flagged}
    if cell.number is not None:
        plain["value"] = cell.number
    if cell.summary is not None:
        plain |= {"mean": cell.summary.mean, "sd": cell.summary.sd, "n": cell.summary.n}
    return plain
