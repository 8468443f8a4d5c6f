"""Tables as CSV and as an Excel workbook: what is printed, and the numbers behind it."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.writer.excel import ExcelWriter

from sambench.report.table import Table


def to_csv(table: Table) -> str:
    """Return headings and cells as printed, then a line for each note after an empty one."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.headings)
    writer.writerows([label, *(cell.text for cell in cells)] for label, cells in table.rows)
    if table.notes:
        writer.writerow([])
        writer.writerows([note] for note in table.notes)
    return buffer.getvalue()


def to_xlsx(table: Table) -> bytes:
    """Return a workbook: the printed table, and a second sheet with the numbers behind it.

    Text that begins like a formula stays text.
    """
    book = Workbook()
    printed = book.active
    assert printed is not None
    printed.title = "table"
    printed.append([table.title])
    printed.append(list(table.headings))
    for row, (label, cells) in enumerate(table.rows, start=3):
        for place, text in enumerate([label, *(cell.text for cell in cells)], start=1):
            written = printed.cell(row=row, column=place, value=text)
            written.data_type = "s"
            if place > 1 and cells[place - 2].bold:
                written.font = Font(bold=True)
    for note in table.notes:
        printed.append([note])
    numbers = book.create_sheet("numbers")
    numbers.append([table.headings[0], "column", "mean", "sd", "n"])
    for label, cells in table.rows:
        for heading, cell in zip(table.headings[1:], cells, strict=False):
            if cell.summary is not None:
                summary = cell.summary
                numbers.append([label, heading, summary.mean, summary.sd, summary.n])
            elif cell.value is not None:
                numbers.append([label, heading, cell.value])
    return _without_the_time(book)


def _without_the_time(book: Workbook) -> bytes:
    """Return a workbook's file with one date for all, so that equal tables are equal files."""
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
