"""Reads the table that lists a dataset's images: one sheet of a workbook, or a CSV file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.data.problems import Problems
from sambench.errors import DataError

Cell = object
Grid = list[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: its number as a spreadsheet shows it, and the wanted cells by column name."""

    number: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The wanted columns of a table, without its empty rows."""

    path: Path
    sha256: str
    rows: tuple[Row, ...]

    def texts(self, column: str) -> set[str]:
        """Return what stands in a column that all rows have, blanks left out."""
        return {str(row.cells[column]) for row in self.rows if row.cells[column] is not None}


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read the named columns of a CSV file, or of the first sheet of a workbook.

    Raises:
        DataError: If the file cannot be read, is neither, or lacks a column.
    """
    if _is_text(path):
        return read_csv(path, columns, optional)
    return read_workbook(path, None, columns, optional)


def column_names(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV file, or of the first sheet of a workbook.

    Raises:
        DataError: If the file cannot be read or is neither.
    """
    data = _read(path)
    grid = _csv_grid(path, data) if _is_text(path) else _workbook_grid(path, data, None)[1]
    return tuple(str(cell).strip() for cell in (grid or [()])[0] if cell is not None)


def read_workbook(
    path: Path, sheet: str | None, columns: Sequence[str], optional: Sequence[str] = ()
) -> Table:
    """Read the named columns of one sheet of an xlsx workbook; the first unless it is named.

    Sheet and columns are found whatever their case and surrounding spaces; others are ignored.

    Args:
        path: The workbook.
        sheet: Its title.
        columns: Must be there.
        optional: Are read where they are there.

    Raises:
        DataError: If the file cannot be read, is no workbook, or lacks the sheet or a column.
    """
    data = _read(path)
    title, grid = _workbook_grid(path, data, sheet)
    return _table(path, data, grid, columns, optional, f"sheet {title!r} of {path}")


def read_csv(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read the named columns of a file with a header and commas, semicolons or tabs between cells.

    Raises:
        DataError: If the file cannot be read, is not text, or lacks a column.
    """
    data = _read(path)
    return _table(path, data, _csv_grid(path, data), columns, optional, str(path))


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

    Args:
        table: With both columns.
        id_column: Holds the ids, or names of image files.
        label_column: Holds class names in any case.
        classes: The only ones allowed.
        problems: Receives rows without an id, ids twice, and labels that are no class.
        id_of: Makes an id of what stands in the column.
    """
    spelled = {label.casefold(): label for label in classes}
    rows: dict[str, tuple[str, Row]] = {}
    for row in table.rows:
        cell, label = row.cells[id_column], row.cells[label_column]
        if cell is None:
            problems.add(f"rows of {table.path} without an id", str(row.number), "fill it in")
            continue
        id = id_of(str(cell))
        if _plain(label) not in spelled:
            kind = f"labels in {table.path} that are none of the classes {', '.join(classes)}"
            problems.add(kind, f"{id} has {label!r} (row {row.number})", "correct them")
        elif id in rows:
            thing = f"{id} (rows {rows[id][1].number} and {row.number})"
            problems.add(f"ids twice in {table.path}", thing, "delete one row of each")
        else:
            rows[id] = (spelled[_plain(label)], row)
    return rows


def whole_number(cell: Cell) -> int | None:
    """Return a cell as an integer, or None if it is not one."""
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; check the path and its permissions"
        ) from error


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv", ".txt")


def _csv_grid(path: Path, data: bytes) -> Grid:
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
            return sheet or found.title, [*found.iter_rows(values_only=True)]
    raise DataError(
        f"no sheet {sheet!r} in {path}, which has {_quoted(workbook.sheetnames)}; "
        f"rename the sheet that lists the images to {sheet!r}"
    )


def _table(
    path: Path,
    data: bytes,
    grid: Grid,
    columns: Sequence[str],
    optional: Sequence[str],
    place: str,
) -> Table:
    if not grid:
        raise DataError(f"{place} is empty; give the table that lists the images")
    header = [_plain(cell) for cell in grid[0]]
    missing = [column for column in columns if _plain(column) not in header]
    if missing:
        existing = _quoted([str(cell).strip() for cell in grid[0] if cell is not None])
        raise DataError(
            f"no column {_quoted(missing)} in {place}, which has {existing}; "
            f"name the columns so in its first row"
        )
    present = [column for column in optional if _plain(column) in header]
    places = {column: header.index(_plain(column)) for column in (*columns, *present)}
    rows = (
        Row(
            number=number,
            cells={column: _cell(line, place) for column, place in places.items()},
        )
        for number, line in enumerate(grid[1:], start=2)
    )
    return Table(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        rows=tuple(row for row in rows if any(cell is not None for cell in row.cells.values())),
    )


def _cell(line: Sequence[Cell], place: int) -> Cell:
    """Return a cell, or None where it is blank or the line is too short."""
    cell = line[place] if place < len(line) else None
    return (cell.strip() or None) if isinstance(cell, str) else cell


def _plain(cell: Cell) -> str:
    return "" if cell is None else str(cell).strip().casefold()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
