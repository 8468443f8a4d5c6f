from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from sambench.errors import StoreError
from sambench.report.document import Document, Section
from sambench.report.markdown import to_markdown
from sambench.report.page import MOST_TABLES, write_report
from sambench.report.picture import Picture
from sambench.report.plots import table_png
from sambench.report.table import Cell, Table
from sambench.report.tables import build_tables

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def table(title: str = "small-cnn on phantom") -> Table:
    rows = (("adam", (Cell(text="80.0 (1)"),)),)
    return Table(title=title, headings=("Optimizer", "Accuracy"), rows=rows, notes=("A note.",))


def document(*tables: Table, drawn: bool = True) -> Document:
    section = Section(title="Results", tables=tables or (table(),), drawn=drawn)
    return Document(title="A report", answer=("Yes.",), results=(section,))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_whole_report(tmp_path: Path) -> None:
    picture = Picture(
        stem="accuracy", title="Accuracy", caption="Of one run.", png=table_png(table())
    )
    methods = Section(title="Methods", paragraphs=("As usual.",), items=("adam: lr 1.",))
    whole = Document(
        title="A report",
        answer=("Yes.", "And no."),
        results=(Section(title="Results", tables=(table(),), drawn=True),),
        pictures=(picture,),
        rest=(methods,),
    )
    folder = tmp_path / "reports"
    written = write_report(whole, folder)
    assert written == (
        folder / "report.md",
        folder / "report.html",
        folder / "small-cnn-on-phantom.png",
        folder / "tables",
        folder / "figures",
    )
    assert written[0].read_text() == (
        "# A report\n\nYes.\n\nAnd no.\n\n## Results\n\n"
        "### small-cnn on phantom\n\n| Optimizer | Accuracy |\n| --- | ---: |\n"
        "| adam | 80.0 (1) |\n\n- A note.\n\n![small-cnn on phantom](small-cnn-on-phantom.png)\n\n"
        "## Figures\n\n![Accuracy](figures/accuracy.png)\n\n*Accuracy.* Of one run.\n\n"
        "## Methods\n\nAs usual.\n\n- adam: lr 1.\n"
    )
    assert names(folder) == [
        *("figures", "report.html", "report.md", "small-cnn-on-phantom.png", "tables")
    ]
    assert names(folder / "tables") == [
        "small-cnn-on-phantom.csv",
        "small-cnn-on-phantom.tex",
        "small-cnn-on-phantom.xlsx",
    ]
    assert names(folder / "figures") == ["accuracy.png"]


def test_the_pictures_open(tmp_path: Path) -> None:
    _, _, picture, _ = write_report(document(), tmp_path)
    with Image.open(picture) as image:
        image.load()
        assert image.format == "PNG"


def test_tables_of_other_sections_have_files_but_no_picture(tmp_path: Path) -> None:
    write_report(document(drawn=False), tmp_path)
    assert names(tmp_path) == ["report.html", "report.md", "tables"]
    assert "![" not in (tmp_path / "report.md").read_text()


def test_every_table_has_its_picture(tmp_path: Path) -> None:
    titles = ["a on b", "A on B", "c on d", "a on b", "timm:x/y.z on b"]
    written = write_report(document(*map(table, titles)), tmp_path)
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
    assert text.count("\n### ") == 5


def test_tables_of_records(tmp_path: Path, make_record: RecordMaker) -> None:
    tables = build_tables([make_record("adam"), make_record("sam", accuracy=0.9)])
    report, *_ = write_report(document(*tables), tmp_path)
    assert to_markdown(tables[0]) in report.read_text()


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    write_report(document(table("first")), tmp_path)
    report, *_ = write_report(document(table("second")), tmp_path)
    assert "first" not in report.read_text()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "reports").touch()
    with pytest.raises(StoreError, match="a file is in the way of a folder"):
        write_report(document(), tmp_path / "reports")


def test_many_tables_are_two_pages_only(tmp_path: Path) -> None:
    many = [table(f"t{number}") for number in range(MOST_TABLES + 1)]
    written = write_report(document(*many), tmp_path)
    assert names(tmp_path) == ["report.html", "report.md"]
    assert written == (tmp_path / "report.md", tmp_path / "report.html")
    assert "name a suite or runs to have them" in written[0].read_text()
