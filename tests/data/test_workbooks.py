"""Workbooks and CSV files as people keep them: merged, hidden and computed cells, odd quotes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from sambench.data.tables import read_table
from sambench.errors import DataError, SambenchWarning
from tests.data.conftest import Plant, Refused, Sheet

ROWS = [(f"{n}.png", "pq"[n % 2], f"P{n // 2}") for n in range(6)]
PATIENTS = ["P0", "P0", "P1", "P1", "P2", "P2"]
Change = Callable[[Any, Any], object]


@pytest.fixture
def table(sheet: Sheet, tmp_path: Path) -> Callable[[Change], Path]:
    """Write a workbook of six images and three patients, with some change to it."""

    def write(change: Change) -> Path:
        path = sheet(tmp_path / "t.xlsx", ("file", "label", "patient"), *ROWS)
        book = openpyxl.load_workbook(path)
        change(book, book.active)
        book.save(path)
        return path

    return write


def column(path: Path, name: str = "patient") -> list[str | None]:
    return [row[name] for row in read_table(path).rows.values()]


def test_merged_cells_are_of_each_of_their_rows(table) -> None:
    def merge(book: Any, page: Any) -> None:
        for row in (2, 4, 6):
            page.merge_cells(f"C{row}:C{row + 1}")

    assert column(table(merge)) == PATIENTS


def test_cells_that_are_merged_sideways_stay_one(table) -> None:
    def merge(book: Any, page: Any) -> None:
        page.append(["6.png", "p"])
        page.merge_cells("B8:C8")

    assert [*read_table(table(merge)).rows.values()][-1] == {
        "file": "6.png",
        "label": "p",
        "patient": None,
    }


def test_formulas_that_nothing_computed_are_refused(table) -> None:
    """Their cells are empty: all patients would be unknown, and split apart without a word."""

    def compute(book: Any, page: Any) -> None:
        for row in range(2, 8):
            page[f"C{row}"] = f"=LEFT(A{row},1)"

    with pytest.raises(DataError) as caught:
        read_table(path := table(compute))
    assert str(caught.value) == (
        f"formulas in sheet 'clinical data' of {path} without a value: C2, C3, C4, C5, C6 ... and "
        "1 more; open it in a spreadsheet and save it, which computes them"
    )


def test_formulas_are_what_they_were_computed_to_be(table, monkeypatch) -> None:
    """Also nothing at all: a text without letters, as a spreadsheet writes `=IF(A2="", "", A2)`."""
    path = table(lambda book, page: page.__setitem__("C2", '=IF(A2="","",A2)'))
    load = openpyxl.load_workbook

    def computed(file: Any, data_only: bool = False) -> Any:
        book = load(file, data_only=data_only)
        if data_only:
            book.active["C2"].data_type = "str"
        return book

    monkeypatch.setattr(openpyxl, "load_workbook", computed)
    assert column(path) == [None, *PATIENTS[1:]]


def test_a_hidden_sheet_is_not_taken_for_the_first(table) -> None:
    def old(book: Any, page: Any) -> None:
        older = book.create_sheet("old", 0)
        older.append(["file", "label"])
        older.sheet_state = "hidden"
        book.active = 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert column(table(old)) == PATIENTS


def test_other_sheets_and_hidden_rows_are_told(table) -> None:
    def more(book: Any, page: Any) -> None:
        book.create_sheet("new")
        page.insert_rows(4)
        for number in (3, 4, 99):  # only the first has values
            page.row_dimensions[number].hidden = True

    path = table(more)
    with pytest.warns(SambenchWarning) as told:
        assert column(path) == PATIENTS
    place = f"sheet 'clinical data' of {path}"
    assert [str(one.message) for one in told] == [
        f"{place} is read, not 'new'; put another one first to have that",
        f"{place} has hidden rows, which are read as well: 3; delete them to leave them out",
    ]


@pytest.mark.parametrize("error", ["#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"])
def test_a_formula_that_failed_is_no_class(table, refused: Refused, plant: Plant, error) -> None:
    path = table(lambda book, page: page.__setitem__("B3", error))
    root = plant(*(file for file, _, _ in ROWS))
    said = f"rows of {path} without a label: 1.png has '{error}' (row 3)"
    assert refused("folder", root, path).startswith(said)


@pytest.mark.parametrize(
    "text",
    ['a.png,p,"large\nb.png,q,5" probe\n', 'a.png,p,"large\nb.png,q,"small"\n', 'a.png,p,"x\n'],
)
def test_rows_that_a_lone_quote_would_swallow(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"file,label,note\n{text}")
    with pytest.raises(DataError, match=r"t\.csv is not a CSV file \(.*; save it as UTF-8 CSV"):
        read_table(path)


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_first_line_that_tells_the_separator_is_no_row(tmp_path: Path, sign: str) -> None:
    """As Excel and R write it."""
    path = tmp_path / "t.csv"
    lines = [f"sep={sign}", *(sign.join(row) for row in (("file", "label", "patient"), *ROWS))]
    path.write_text("\r\n".join(lines), newline="")
    assert column(path) == PATIENTS
