"""Reads the table that lists a dataset's images, and finds the images of its rows."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain, islice, zip_longest
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from sambench.data.folders import natural, part_of, same_name
from sambench.data.source import Fact, Sample
from sambench.errors import DataError, Problems, SambenchWarning, did_you_mean, some
from sambench.files.checksums import read_whole, sha256_of

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

Grid = list[Sequence[object]]
Row = Mapping[str, str | None]  # the cells of a row by column, None where blank

GRADES = ("0", "1", "2", "3", "4", "4A", "4B", "4C", "5", "6")  # the categories of BI-RADS

MOST_LOOKED_AT = 100_000  # files among which one is looked for that is not where it was said to be

BLANK = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none"})
BLANK |= {"#ref!", "#value!", "#name?", "#div/0!", "#num!", "#null!"}  # of formulas that failed
"""What programs write into cells without a value, in lower case."""

NOBODY = BLANK | {"-", "--", "?", "missing", "not available", "unk", "unknown"}
NOBODY |= {"anon", "anonymized", "anonymised", "anonymous"}
"""What people, and programs that remove names, write in place of a patient's id, in lower case."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as text, without its empty rows, by their numbers as a spreadsheet shows them."""

    path: Path
    place: str  # names it in messages
    sha256: str
    columns: tuple[str, ...]
    rows: Mapping[int, Row]

    def find(self, *names: str) -> str | None:
        """Return the first of the names that is a column's, whatever its case, as spelled here."""
        spelled = {_plain(column): column for column in self.columns}
        return next((spelled[_plain(name)] for name in names if _plain(name) in spelled), None)

    def need(self, *names: str, remedy: str = "name the column so in its first row") -> str:
        """Return a column by any of its names; a `DataError` says which come nearest."""
        found = self.find(*names)
        if found is None:
            existing = ", ".join(repr(column) for column in self.columns) or "none"
            raise DataError(
                f"no column {names[0]!r} in {self.place}, which has {existing}"
                f"{did_you_mean(names[0], self.columns)}; {remedy}"
            )
        return found

    def select(self, columns: Mapping[str, str]) -> Table:
        """Return columns that it needs by new names, and the rows in which not all are blank."""
        found = {name: self.need(column) for name, column in columns.items()}
        cells = {n: {k: row[c] for k, c in found.items()} for n, row in self.rows.items()}
        rows = {n: row for n, row in cells.items() if any(row.values())}
        return replace(self, columns=tuple(columns), rows=rows)


def read_table(path: Path, sheet: str | None = None) -> Table:
    """Read a CSV file or a sheet of a workbook: the first unless it is named.

    `DataError` if the file cannot be read, is neither, has two columns of one name, or rows that
    are longer than the first.
    """
    try:
        data = read_whole(path)
    except OSError as error:
        found = _nearby(path) if isinstance(error, FileNotFoundError) else []
        remedy = "check the path (an & in it needs quotes in a shell) and its permissions"
        if found:
            remedy = " or ".join(f"`--xlsx {quote(str(file))}`" for file in found[:3]) + " is there"
        raise DataError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        place, grid = str(path), _csv_grid(path, data)
    else:
        place, grid = _workbook_grid(path, data, sheet)
    if not grid:
        raise DataError(f"{place} is empty; give the table that lists the images")
    header = [text_of(cell) or "" for cell in grid[0]]
    twice = [name for name, count in Counter(map(_plain, header)).items() if name and count > 1]
    if twice:
        raise DataError(f"columns of one name in {place}: {some(twice)}; rename one of each")
    lines = [[text_of(cell) for cell in line] for line in grid[1:]]
    numbers = tuple(map(str, range(len(lines))))  # as pandas writes its index
    nameless = [
        str(place)
        for place, (name, *own) in enumerate(zip_longest(header, *lines), 1)
        if not name and any(own) and (place > 1 or tuple(own) != numbers)
    ]
    if nameless:
        said = f"values in {place} without a name in the first row are left out: column"
        remedy = "name the columns to use them"
        warnings.warn(f"{said} {some(nameless)}; {remedy}", SambenchWarning, stacklevel=2)
    cells = (zip_longest(header, line[: len(header)]) for line in lines)
    rows = enumerate(({str(name): text for name, text in row if name} for row in cells), start=2)
    return Table(
        path=path,
        place=place,
        sha256=sha256_of(data),
        columns=tuple(filter(None, header)),
        rows={number: row for number, row in rows if any(row.values())},
    )


def _nearby(missing: Path) -> list[Path]:
    """Return files nearby whose names are that of a missing one but for case and signs."""

    def letters(name: str) -> str:
        return "".join(filter(str.isalnum, same_name(name)))

    beside, raw = missing.parent, Path("data/raw")
    places = (Path(), "*"), (beside, "*"), (beside, "*/*"), (beside.parent, "*"), (raw, "*/*")
    there = chain.from_iterable(folder.glob(pattern) for folder, pattern in places)
    looked_at, name = islice(there, MOST_LOOKED_AT), letters(missing.name)
    alike = (file for file in looked_at if letters(file.name) == name)
    return list({file.resolve(): file for file in alike if file.is_file()}.values())


def match(
    table: Table,
    images: Mapping[str, Sample],
    classes: Sequence[str],
    problems: Problems,
    *,
    id_of: Callable[[str], str] = str,
    complete: bool = False,
) -> tuple[list[Sample], dict[str, str]]:
    """Return the images of a table's rows, in natural order, and the class of each id without one.

    The table has the columns "id" and "label"; all others are facts. `id_of` makes the keys of
    `images` of what is written as id; class names may be in any case. What is wrong goes to
    `problems`, and so does an image without a row if the table should be `complete`.
    """
    spelled = {same_name(label): label for label in classes}
    numbers: dict[str, int] = {}
    found: list[Sample] = []
    missing: dict[str, str] = {}
    for number, row in table.rows.items():
        id, label = id_of(row["id"] or ""), spelled.get(_plain(row["label"]))
        if row["id"] is None:
            problems.add(f"rows of {table.path} without an id", str(number), "fill it in")
        elif label is None:
            kind = f"labels in {table.path} that are none of the classes {', '.join(classes)}"
            thing = f"{id} has {show_cell(row['label'])} (row {number})"
            problems.add(kind, thing, "correct them")
        elif id in numbers:
            thing = f"{id} (rows {numbers[id]} and {number})"
            problems.add(f"ids twice in {table.path}", thing, "delete one row of each")
        else:
            numbers[id] = number
            names = (name for name in row if name not in ("id", "label"))
            facts = {name: read_fact(name, number, table, problems) for name in names}
            if id in images:
                facts = {**images[id].facts, **facts}
                found.append(replace(images[id], label=label, facts=facts))
            else:
                missing[id] = label
    if complete:
        listed = {id_of(row["id"] or "") for row in table.rows.values()}
        for id in sorted(images.keys() - listed, key=natural):
            kind = f"image files without a row in {table.path}"
            problems.add(kind, images[id].file, "add the rows or move the files away")
    return sorted(found, key=lambda sample: natural(sample.id)), missing


def read_fact(name: str, number: int, table: Table, problems: Problems) -> Fact:
    """Return what a cell tells; one that makes no sense becomes a problem.

    Folds are whole numbers, parts those of `PARTS`, categories of BI-RADS in capital letters; what
    is no category stays as written. What stands in place of an id is no patient.
    """
    row = table.rows[number]
    text, thing = row[name], f"{row['id']} has {show_cell(row[name])} (row {number})"
    if name == "fold":
        if (fold := whole_number(text)) is None:
            kind = f"folds in {table.path} that are no integer"
            problems.add(kind, thing, "give a whole number")
        return fold
    if name == "part":
        if (part := part_of(text or "")) is None:
            kind = f"parts in {table.path} that are none of train, validation and test"
            problems.add(kind, thing, "correct them, or rename the column if it tells other things")
        return part
    if name == "patient" and is_nobody(text):
        return None
    grade = (text or "").upper()
    return grade if name.startswith("birads") and grade in GRADES else text


def show_cell(cell: str | None) -> str:
    """Return what a cell holds as a message shows it."""
    return "nothing" if cell is None else repr(cell)


def is_nobody(patient: str | None) -> bool:
    """Whether a patient's id is left out, or tells only that it was."""
    return _plain(patient) in NOBODY


def whole_number(cell: str | None) -> int | None:
    """Return a cell as an integer, or None if it is not one."""
    try:
        number = float(str(cell))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _csv_grid(path: Path, data: bytes) -> Grid:
    """Return the cells of a CSV file with commas, semicolons or tabs.

    A longer row than the first is refused: one value was taken for two, and what is behind it for
    that of other columns. A comma behind the last name makes no column.
    """
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise csv.Error("it has zero bytes")
        if told := re.match(r"sep=([,;\t])\r?\n", text):  # a line that spreadsheets do not show
            text = text[told.end() :]
        delimiter = told[1] if told else max(",;\t", key=text.partition("\n")[0].count)
        rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file ({error}); save it as UTF-8 CSV") from error
    width = max((n for n, name in enumerate(rows[0], 1) if name.strip()), default=0) if rows else 0
    if long := [str(n) for n, row in enumerate(rows, 1) if any(map(str.strip, row[width:]))]:
        raise DataError(
            f"rows of {path} with more cells than the first row has columns: {some(long, limit=5)}"
            f"; name all columns in the first row, and quote values that contain {delimiter!r}"
        )
    return [*rows]


def _workbook_grid(path: Path, data: bytes, sheet: str | None) -> tuple[str, Grid]:
    """Return the name of a sheet for messages, and its cells: merged ones in each of their rows.

    It is the first sheet that is not hidden, unless one is named. Of formulas it is what the
    spreadsheet computed last.
    """
    found, *others = _fitting_sheets(path, data, sheet)
    place = f"sheet {sheet or found.title!r} of {path}"
    found = _computed(found, data, place)
    grid, rows = _unmerged(found), found.row_dimensions
    hidden = [str(n) for n, line in enumerate(grid, 1) if any(line) and rows[n].hidden]
    for said, things, remedy in (
        ("is read, not", [repr(one.title) for one in others], "put another one first to have that"),
        ("has hidden rows, which are read as well:", hidden, "delete them to leave them out"),
    ):
        if things:
            text = f"{place} {said} {some(things, limit=5)}; {remedy}"
            warnings.warn(text, SambenchWarning, stacklevel=3)
    return place, grid


def _fitting_sheets(path: Path, data: bytes, sheet: str | None) -> Sequence[Worksheet]:
    """Return the sheets of that name, or all that are not hidden; `DataError` if there is none."""
    import openpyxl

    try:
        workbook = openpyxl.load_workbook(io.BytesIO(data))
    except Exception as error:  # openpyxl lets through whatever its zip and XML readers raise
        remedy = "open it in a spreadsheet and save it as .xlsx"
        raise DataError(f"{path} is not an xlsx workbook; {remedy}") from error
    shown = [one for one in workbook.worksheets if sheet or one.sheet_state == "visible"]
    fitting = [one for one in shown if sheet is None or _plain(one.title) == _plain(sheet)]
    if not fitting:
        titles = ", ".join(repr(title) for title in workbook.sheetnames)
        what = f"sheet {sheet!r}" if sheet else "visible sheet"
        remedy = f"rename the sheet that lists the images to {sheet!r}" if sheet else "add one"
        raise DataError(f"no {what} in {path}, which has {titles}; {remedy}")
    return fitting


def _computed(sheet: Worksheet, data: bytes, place: str) -> Worksheet:
    """Return a sheet with values in place of its formulas; `DataError` where none was computed."""
    import openpyxl

    formulas = [c.coordinate for line in sheet.iter_rows() for c in line if c.data_type == "f"]
    if formulas:
        sheet = openpyxl.load_workbook(io.BytesIO(data), data_only=True)[sheet.title]
    cells = (sheet[name] for name in formulas)
    if never := [c.coordinate for c in cells if c.value is None and c.data_type != "str"]:
        remedy = "open it in a spreadsheet and save it, which computes them"
        raise DataError(f"formulas in {place} without a value: {some(never, limit=5)}; {remedy}")
    return sheet


def _unmerged(sheet: Worksheet) -> Grid:
    """Return the cells of a sheet, a merged one in each of its rows."""
    grid = [list(line) for line in sheet.iter_rows(values_only=True)]
    for merged in sheet.merged_cells.ranges:
        for line in grid[merged.min_row : merged.max_row]:
            line[merged.min_col - 1] = grid[merged.min_row - 1][merged.min_col - 1]
    return [*grid]


def text_of(cell: object) -> str | None:
    """Return a cell as text, whole numbers without a fraction; None where it is blank."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, datetime | date):
        cell = cell.isoformat().removesuffix("T00:00:00")
    return (str(cell).strip() or None) if cell is not None else None


def _plain(cell: object) -> str:
    return "" if cell is None else same_name(str(cell))
