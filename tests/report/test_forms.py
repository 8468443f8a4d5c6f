"""One table, the same content in every form."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import pytest

from sambench.analysis.statistics import Summary
from sambench.report.document import Document, Section
from sambench.report.html import to_html
from sambench.report.latex import escape, to_latex
from sambench.report.markdown import to_markdown
from sambench.report.picture import Picture
from sambench.report.plain import to_plain
from sambench.report.spreadsheet import to_csv, to_xlsx
from sambench.report.table import Cell, Table

TABLE = Table(
    title="small_cnn on BUS & more",
    headings=("Optimizer", "Test accuracy (%)", "Trace"),
    rows=(
        ("=adam", (Cell(text="80.1 ± 1.2 (6)", summary=Summary(80.1, 1.2, 6)), Cell(text="–"))),
        (
            "sam <rho=0.05>",
            (
                Cell(text="84.0 ± 0.9 (6)*", summary=Summary(84.0, 0.9, 6), bold=True),
                Cell(text="12.0 (1)†‡", summary=Summary(12.0, None, 1), flagged=True),
            ),
        ),
    ),
    notes=("* differs, p < 0.05 & so on.", "– missing."),
)
DOCUMENT = Document(
    title="A <report>",
    answer=("Yes & no.",),
    results=(Section(title="Results", tables=(TABLE,)),),
    pictures=(Picture(stem="a", title="a figure", caption="of <it>", png=b"PNG"),),
    rest=(Section(title="Methods", paragraphs=("As usual.",), items=("adam: lr < 1.",)),),
)
TEXTS = [
    ["Optimizer", "Test accuracy (%)", "Trace"],
    ["=adam", "80.1 ± 1.2 (6)", "–"],
    ["sam <rho=0.05>", "84.0 ± 0.9 (6)*", "12.0 (1)†‡"],
]


class Reader(HTMLParser):
    """Collects the cells, notes and what is outside of its element."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[list[str]] = []
        self.notes: list[str] = []
        self.open: list[str] = []
        self.values: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
            self.values.append(dict(attrs).get("data-value"))
        if tag == "li":
            self.notes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data
        elif "li" in self.open:
            self.notes[-1] += data


def unescaped(text: str) -> str:
    """Undo LaTeX's escapes, independently of how they were made."""
    for written, plain in (
        (r"$\pm$", "±"),
        (r"$^{\dagger}$", "†"),
        (r"$^{\ddagger}$", "‡"),
        (r"\textless{}", "<"),
        (r"\textgreater{}", ">"),
        ("--", "–"),
    ):
        text = text.replace(written, plain)
    text = re.sub(r"\\textbf\{(.*)\}", r"\1", text.strip())
    return re.sub(r"\\([&%$#_{}])", r"\1", text)


def test_html() -> None:
    reader = Reader()
    reader.feed(to_html(DOCUMENT))
    assert reader.open == []
    assert reader.cells == TEXTS
    assert reader.notes == [*TABLE.notes, "adam: lr < 1."]
    assert [value for value in reader.values if value] == ["80.1", "84.0", "12.0"]


def test_html_needs_no_other_file() -> None:
    page = to_html(DOCUMENT)
    assert "http" not in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {
        *("data:,", "#results", "#figures", "#methods"),
        "data:image/png;base64,UE5H",
    }
    assert "<h1>A &lt;report&gt;</h1>" in page
    assert "<b>84.0 ± 0.9 (6)*</b>" in page
    assert page.index("<p>Yes &amp; no.</p>") < page.index("<table>") < page.index("<figure>")
    assert page.index("<figure>") < page.index('id="methods"')


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = to_html(DOCUMENT)
    targets = re.findall(r'href="#([^"]*)"', page)
    assert targets
    assert set(targets) == set(re.findall(r'id="([^"]*)"', page))


def test_every_heading_is_a_button_that_the_keyboard_reaches() -> None:
    page = to_html(DOCUMENT)
    assert page.count('<th scope="col"><button type="button">') == len(TABLE.headings)


def test_plain_values() -> None:
    plain = json.loads(json.dumps(to_plain(DOCUMENT, [Path("report.md")])))
    assert (plain["answer"], plain["written"]) == (["Yes & no."], ["report.md"])
    (table,) = plain["results"][0]["tables"]
    rows = [[row["label"], *(cell["text"] for cell in row["cells"])] for row in table["rows"]]
    assert [table["headings"], *rows] == TEXTS
    assert table["rows"][1]["cells"][1] == {
        **{"text": "12.0 (1)†‡", "best": False, "flagged": True},
        **{"value": 12.0, "mean": 12.0, "sd": None, "n": 1},
    }
    assert "value" not in table["rows"][0]["cells"][1]


def test_latex() -> None:
    text = to_latex(TABLE)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line.strip().removesuffix(r" \\") for line in body.splitlines() if "&" in line]
    assert [[unescaped(c) for c in re.split(r"(?<!\\) & ", line)] for line in lines] == TEXTS
    assert r"\caption{small\_cnn on BUS \& more}" in text
    assert r"\textbf{84.0 $\pm$ 0.9 (6)*}" in text
    assert all(escape(note) in text for note in TABLE.notes)
    assert text.isascii()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b 5% & {x}", r"a\_b 5\% \& \{x\}"),
        ("\\alpha~^", r"\textbackslash{}alpha\textasciitilde{}\textasciicircum{}"),
        ("p < 0.05", r"p \textless{} 0.05"),
    ],
)
def test_latex_escapes(text: str, written: str) -> None:
    assert escape(text) == written


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows[:3] == TEXTS
    assert rows[3:] == [[], *([note] for note in TABLE.notes)]


def test_equal_tables_are_equal_workbooks_whenever_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A workbook is a zip file with a time for each part and two more in its properties."""
    first = to_xlsx(TABLE)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *given: time.gmtime(2e9))
    assert to_xlsx(TABLE) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {part.date_time for part in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None
        assert b"1980-01-01T00:00:00Z</dcterms:modified>" in archive.read("docProps/core.xml")


def test_xlsx() -> None:
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx(TABLE)))
    printed = [[cell for cell in row if cell] for row in book["table"].iter_rows(values_only=True)]
    assert printed == [[TABLE.title], *TEXTS, *([note] for note in TABLE.notes)]
    assert book["table"]["A3"].data_type == "s"  # no formula
    assert book["table"]["B4"].font.bold
    assert [list(row) for row in book["numbers"].iter_rows(values_only=True)] == [
        ["Optimizer", "column", "mean", "sd", "n"],
        ["=adam", "Test accuracy (%)", 80.1, 1.2, 6],
        ["sam <rho=0.05>", "Test accuracy (%)", 84.0, 0.9, 6],
        ["sam <rho=0.05>", "Trace", 12.0, None, 1],
    ]


def test_markdown() -> None:
    lines = [line for line in to_markdown(TABLE).splitlines() if line.startswith("| ")]
    found = [[cell.strip("* ") for cell in line.strip("| ").split(" | ")] for line in lines]
    assert found[0] == TEXTS[0]
    assert found[2:] == [[cell.strip("* ") for cell in row] for row in TEXTS[1:]]
