from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from sambench.errors import StoreError
from sambench.report.markdown import to_markdown
from sambench.report.page import MOST_TABLES, write_report
from sambench.report.table import Cell, Table
from sambench.report.tables import build_tables

if TYPE_CHECKING:
    from conftest import RecordMaker


def table(title: str = "small-cnn on phantom") -> Table:
    rows = (("adam", (Cell(text="80.0 (1)"),)),)
    return Table(title=title, headings=("Optimizer", "Accuracy"), rows=rows, notes=("A note.",))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_whole_report(tmp_path: Path) -> None:
    written = write_report([table()], tmp_path / "reports")
    assert written == (
        tmp_path / "reports" / "report.md",
        tmp_path / "reports" / "report.html",
        tmp_path / "reports" / "small-cnn-on-phantom.png",
        tmp_path / "reports" / "tables",
    )
    assert written[0].read_text() == (
        "# sambench report\n"
        "\n"
        "## small-cnn on phantom\n"
        "\n"
        "| Optimizer | Accuracy |\n"
        "| --- | ---: |\n"
        "| adam | 80.0 (1) |\n"
        "\n"
        "- A note.\n"
        "\n"
        "![small-cnn on phantom](small-cnn-on-phantom.png)\n"
    )
    assert names(tmp_path / "reports") == [
        "report.html",
        "report.md",
        "small-cnn-on-phantom.png",
        "tables",
    ]
    assert names(tmp_path / "reports" / "tables") == [
        "small-cnn-on-phantom.csv",
        "small-cnn-on-phantom.tex",
        "small-cnn-on-phantom.xlsx",
    ]


def test_the_pictures_open(tmp_path: Path) -> None:
    _, _, picture, _ = write_report([table()], tmp_path)
    with Image.open(picture) as image:
        image.load()
        assert image.format == "PNG"


def test_every_table_has_its_picture(tmp_path: Path) -> None:
    titles = ["a on b", "A on B", "c on d", "a on b", "timm:x/y.z on b"]
    written = write_report([table(title) for title in titles], tmp_path)
    assert [path.name for path in written] == [
        "report.md",
        "report.html",
        "a-on-b.png",
        "a-on-b--2.png",
        "c-on-d.png",
        "a-on-b--3.png",
        "timm-x-y-z-on-b.png",
        "tables",
    ]
    text = written[0].read_text()
    assert all(f"({path.name})" in text for path in written[2:-1])
    assert text.count("\n## ") == 5


def test_tables_of_records(tmp_path: Path, make_record: RecordMaker) -> None:
    tables = build_tables([make_record("adam"), make_record("sam", accuracy=0.9)])
    report, *_ = write_report(tables, tmp_path)
    assert to_markdown(tables[0]) in report.read_text()


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    write_report([table("first")], tmp_path)
    report, *_ = write_report([table("second")], tmp_path)
    assert "first" not in report.read_text()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "reports").touch()
    with pytest.raises(StoreError, match="a file is in the way of a folder"):
        write_report([table()], tmp_path / "reports")


def test_many_tables_are_two_pages_only(tmp_path: Path) -> None:
    many = [table(f"t{number}") for number in range(MOST_TABLES + 1)]
    written = write_report(many, tmp_path)
    assert names(tmp_path) == ["report.html", "report.md"]
    assert written == (tmp_path / "report.md", tmp_path / "report.html")
    assert "name a suite or runs to have them" in written[0].read_text()
