"""Reads the table that lists a dataset's images: one sheet of a workbook, or a CSV file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import zip_longest
from pathlib import Path

from sambench.data.problems import Problems, some
from sambench.errors import DataError, did_you_mean

Grid = list[Sequence[object]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: its number as a spreadsheet shows it, and its cells by column, None where blank."""

    number: int
    cells: Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as text, without its empty rows; `place` names it in messages."""

    path: Path
    place: str
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def find(self, *names: str) -> str | None:
        """Return the first of the names that is a column's, whatever its case, as spelled here."""
        spelled = {_plain(column): column for column in self.columns}
        return next((spelled[_plain(name)] for name in names if _plain(name) in spelled), None)

    def need(self, *names: str) -> str:
        """Return a column by any of its names; a `DataError` says which come nearest."""
        found = self.find(*names)
        if found is None:
            existing = ", ".join(repr(column) for column in self.columns) or "none"
            raise DataError(
                f"no column {names[0]!r} in {self.place}, which has {existing}"
                f"{did_you_mean(names[0], self.columns)}; name the column so in its first row"
            )
        return found


def read_table(path: Path, sheet: str | None = None) -> Table:
    """Read a CSV file or a sheet of a workbook: the first unless it is named.

    Raises:
        DataError: If the file cannot be read, is neither, or has two columns of one name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; check the path and its permissions"
        ) from error
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        place, grid = str(path), _csv_grid(path, data)
    else:
        place, grid = _workbook_grid(path, data, sheet)
    if not grid:
        raise DataError(f"{place} is empty; give the table that lists the images")
    header = [_text(cell) or "" for cell in grid[0]]
    twice = [name for name, count in Counter(map(_plain, header)).items() if name and count > 1]
    if twice:
        raise DataError(f"columns of one name in {place}: {some(twice)}; rename one of each")
    rows = []
    for number, line in enumerate(grid[1:], start=2):
        told = zip_longest(header, map(_text, line[: len(header)]))
        cells = {str(column): text for column, text in told if column}
        if any(text is not None for text in cells.values()):
            rows.append(Row(number=number, cells=cells))
    return Table(
        path=path,
        place=place,
        sha256=hashlib.sha256(data).hexdigest(),
        columns=tuple(filter(None, header)),
        rows=tuple(rows),
    )


def labelled_rows(
    table: Table,
    id_column: str,
    label_column: str,
    classes: Sequence[str],
    problems: Problems,
    *,
    id_of: Callable[[str], str] = str,
) -> dict[str, tuple[str, Row]]:
    """Return class and row of each id; what is wrong with a row goes to `problems`.

    Ids may be names of files, of which `id_of` makes ids, and class names in any case.
    """
    spelled = {label.casefold(): label for label in classes}
    rows: dict[str, tuple[str, Row]] = {}
    for row in table.rows:
        cell, label = row.cells[id_column], row.cells[label_column]
        if cell is None:
            problems.add(f"rows of {table.path} without an id", str(row.number), "fill it in")
            continue
        id = id_of(cell)
        if _plain(label) not in spelled:
            kind = f"labels in {table.path} that are none of the classes {', '.join(classes)}"
            problems.add(kind, f"{id} has {label!r} (row {row.number})", "correct them")
        elif id in rows:
            thing = f"{id} (rows {rows[id][1].number} and {row.number})"
            problems.add(f"ids twice in {table.path}", thing, "delete one row of each")
        else:
            rows[id] = (spelled[_plain(label)], row)
    return rows


def read_fold(row: Row, column: str, name: str, table: Table, problems: Problems) -> int | None:
    """Return the fold of a row; one that is no integer becomes a problem."""
    fold = whole_number(row.cells[column])
    if fold is None:
        thing = f"{name} has {row.cells[column]!r} (row {row.number})"
        problems.add(f"folds in {table.path} that are no integer", thing, "give a whole number")
    return fold


def whole_number(cell: str | None) -> int | None:
    """Return a cell as an integer, or None if it is not one."""
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _csv_grid(path: Path, data: bytes) -> Grid:
    """Return the cells of a CSV file with commas, semicolons or tabs."""
    try:
        text = data.decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        return [*csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file ({error}); save it as UTF-8 CSV") from error


def _workbook_grid(path: Path, data: bytes, sheet: str | None) -> tuple[str, Grid]:
    import openpyxl

    try:
        workbook = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
    except Exception as error:  # openpyxl lets through whatever its zip and XML readers raise
        raise DataError(
            f"{path} is not an xlsx workbook; open it in a spreadsheet and save it as .xlsx"
        ) from error
    for found in workbook.worksheets:
        if sheet is None or _plain(found.title) == _plain(sheet):
            title = sheet or found.title
            return f"sheet {title!r} of {path}", [*found.iter_rows(values_only=True)]
    titles = ", ".join(repr(title) for title in workbook.sheetnames)
    raise DataError(
        f"no sheet {sheet!r} in {path}, which has {titles}; "
        f"rename the sheet that lists the images to {sheet!r}"
    )


def _text(cell: object) -> str | None:
    """Return a cell as text, whole numbers without a fraction; None where it is blank."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, datetime | date):
        cell = cell.isoformat().removesuffix("T00:00:00")
    return (str(cell).strip() or None) if cell is not None else None


def _plain(cell: object) -> str:
    return "" if cell is None else str(cell).strip().casefold()
