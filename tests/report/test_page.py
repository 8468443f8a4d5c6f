"""A report on disk: every form, nothing left over, and a page that works."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import openpyxl
import pytest
from fontTools.ttLib import TTFont
from markdown_it import MarkdownIt

from sambench.analysis.grouping import build_groups
from sambench.analysis.predictions import Predictions
from sambench.analysis.study import build_study
from sambench.config.suite import ReportSettings
from sambench.report.forms import (
    document_markdown,
    escape,
    latex_document,
    numbers_of,
    runs_table,
    to_csv,
    to_latex,
    to_plain,
    to_xlsx,
)
from sambench.report.page import to_html, write_report
from sambench.report.style import Picture, sheet
from sambench.report.table import Cell, Document, Section, Table
from sambench.report.tables import result_sections
from tests.analysis.conftest import StudyMaker
from tests.analysis.test_wrong_statements import EIGHT, up

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

TABLE = Table(
    title="small_cnn & more",
    headings=("Optimizer", "Test accuracy (%)", "Said"),
    rows=(
        ("Adam", (Cell(text="80.0 ± 1.0 (8)", numbers={"mean": 80.0, "sd": 1.0, "n": 8}),
                  Cell(text="=1+1"))),
        ("SAM", (Cell(text="-1.0 ± 0.1 (8)*", numbers={"mean": -1.0, "sd": 0.1, "n": 8}, bold=True,
                      source="x/sam/accuracy"), Cell(text="50 %"))),
    ),
    notes=("A note with `code`.",),
    setting="x",
    keys=("adam", "sam"),
)  # fmt: skip


@pytest.fixture
def document(make_runs: StudyMaker) -> Document:
    top = {"adam": [100.0] * 8, "sam": [30.0 + k for k in range(8)]}
    study = build_study(
        make_runs({"adam": EIGHT, "sam": up(EIGHT, 3)}, top=top), ReportSettings(baseline="adam")
    )
    figure = sheet(2.0)
    figure.subplots().plot([0, 1], [0, 1])
    return Document(
        title="sambench report x",
        study=study,
        answer=("SAM was shown to be more accurate than Adam.", "Run `--seeds 9`."),
        results=(
            Section(title="Results", tables=(TABLE,), shown=True),
            *result_sections(study)[1:],
        ),
        pictures=(Picture(stem="figure-x", title="A figure", caption="Of `x`.", figure=figure),),
        rest=(Section(title="What went wrong", items=("`nothing`",)),),
        sources={"x/sam/accuracy": "first line\nsecond <line>"},
    )


def test_every_form_is_written(document: Document, tmp_path: Path) -> None:
    written = write_report(document, tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {
        *("report.md", "report.html", "runs.csv", "comparisons.csv", "tables.xlsx"),
        *("figures/figure-x.png", "figures/figure-x.pdf", "tables/small-cnn-more.tex"),
        *("tables/small-cnn-more.csv", "tables/small-cnn-more.png", "tables/all-tables.tex"),
    } <= names
    assert tmp_path / "report.html" in written
    assert tmp_path / "figures" in written
    assert tmp_path / "figures" not in write_report(replace(document, pictures=()), tmp_path)


def test_a_row_for_each_run_and_each_comparison(document: Document, tmp_path: Path) -> None:
    write_report(document, tmp_path)
    runs = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text())))
    assert len(runs) == 16
    assert {run["optimizer.name"] for run in runs} == {"adam", "sam"}
    assert [float(run["accuracy"]) for run in runs if run["optimizer.name"] == "adam"] == EIGHT
    found = list(csv.DictReader(io.StringIO((tmp_path / "comparisons.csv").read_text())))
    accuracy = next(row for row in found if row["metric"] == "accuracy")
    assert (accuracy["verdict"], float(accuracy["p"]), accuracy["n"]) == ("better", 2 / 2**8, "8")


def test_every_setting_of_any_run_is_a_column(make_record: RecordMaker) -> None:
    records = [make_record("adam"), make_record("sam", label_smoothing=0.1, seed=1)]
    names, *rows = map(tuple, runs_table(build_groups(records, None)))
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert columns["label_smoothing"] == (0.0, 0.1)
    assert columns["seed"] == (0, 1)
    assert "warmup" not in columns  # of none of them
    names, *_ = map(tuple, runs_table(build_groups(records[:1], None)))
    assert "label_smoothing" not in names


def test_predictions_are_a_row_for_each_image_of_each_run(
    document: Document, tmp_path: Path
) -> None:
    first, second, *_ = document.study.groups[0].records
    found = {
        run.id: Predictions(
            ids=np.array(["a", "b"]),
            probabilities=np.array([[0.75, 0.25], [0.5, 0.5]]),
            labels=np.array([0, 1]),
        )
        for run in (first, second)
    }
    write_report(document, tmp_path, predictions=found)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "predictions.csv").read_text())))
    assert [row["run"] for row in rows] == [first.name] * 2 + [second.name] * 2
    assert [row["image"] for row in rows[:2]] == ["a", "b"]
    assert [row["label"] for row in rows[:2]] == ["benign", "malignant"]
    assert [row["predicted"] for row in rows[:2]] == ["benign", "benign"]
    assert [float(row["probability malignant"]) for row in rows[:2]] == [0.25, 0.5]
    write_report(document, tmp_path)
    assert not (tmp_path / "predictions.csv").exists()


def test_tables_of_like_titles_have_names_of_their_own(document: Document, tmp_path: Path) -> None:
    like = (TABLE, replace(TABLE, title="small-cnn, more"))
    made = replace(document, results=(Section(title="A", tables=like),))
    write_report(made, tmp_path)
    stems, page = ["small-cnn-more", "small-cnn-more--2"], to_html(made)
    for stem in stems:
        assert rf"\label{{tab:{stem}}}" in (tmp_path / "tables" / f"{stem}.tex").read_text()
    assert re.findall(r"\\label\{tab:(.*?)\}", page) == stems
    assert re.findall(r'<table aria-labelledby="table-(.*?)"', page) == stems
    names = re.findall(r' id="(.*?)"', page)
    assert len(names) == len(set(names))


def test_what_an_earlier_report_left_is_removed_and_nothing_else(
    document: Document, tmp_path: Path
) -> None:
    write_report(document, tmp_path)
    mine = tmp_path / "tables" / "mine.txt"
    mine.write_text("mine")
    other = Document(title="another", study=document.study)
    write_report(other, tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        *("report.md", "report.html", "runs.csv", "comparisons.csv", "files.json"),
        "tables/mine.txt",
    }


def test_a_list_from_somebody_else_removes_nothing_outside(
    document: Document, tmp_path: Path
) -> None:
    mine, folder = tmp_path / "mine.txt", tmp_path / "report"
    write_report(document, folder)
    mine.write_text("mine")
    (folder / "link").symlink_to(tmp_path)
    names = [str(mine), "../mine.txt", "link/mine.txt", ".", "tables", "a\0", "x" * 99, 7, None]
    for content in ({"files": names}, {"files": 7}, [], "["):
        (folder / "files.json").write_text(json.dumps(content))
        write_report(document, folder)
        assert mine.read_text() == "mine"
    assert (folder / "tables" / "all-tables.tex").exists()


def test_where_no_report_was_written_nothing_is_removed(document: Document, tmp_path: Path) -> None:
    own = [tmp_path / name for name in ("tables/mine.csv", "figures/figure-mine.png", "photo.png")]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    write_report(document, tmp_path)
    assert all(path.exists() for path in own)


def test_many_tables_are_written_for_a_suite(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sambench.report.page.MOST_FILES", 1)
    write_report(document, tmp_path / "all", every_table=False)
    write_report(document, tmp_path / "suite")
    assert not (tmp_path / "all" / "tables").exists()
    assert (tmp_path / "all" / "comparisons.csv").exists()
    assert (tmp_path / "suite" / "tables" / "small-cnn-more.tex").exists()


def test_latex_escapes_says_n_once_and_spans_columns() -> None:
    text = to_latex(TABLE, "small-cnn-more")
    assert text.startswith("% needs \\usepackage{booktabs,graphicx}\n\\begin{table}")
    assert r"\caption{small\_cnn \& more ($n = 8$)}" in text
    assert r"\label{tab:small-cnn-more}" in text
    assert r"SAM & \textbf{$-$1.0 $\pm$ 0.1$^{*}$} & 50 \% \\" in text
    wide = Table(title="t", headings=tuple("abcdef"), rows=(), notes=())
    assert r"\begin{table*}" in to_latex(wide, "t")
    assert escape("a_b×÷") == r"a\_b$\times$$\div$"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("name", ["SAM", r"[b] ^~\{}$_% ورم 良性 ρ"])
def test_latex_compiles(document: Document, tmp_path: Path, name: str) -> None:
    rows = ((name, TABLE.rows[0][1]), (name, TABLE.rows[1][1]))
    table = replace(TABLE, title=name, rows=rows, notes=(name,))
    write_report(replace(document, results=(Section(title="A", tables=(table,)),)), tmp_path)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all-tables.tex"],
        cwd=tmp_path / "tables",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_latex_of_all_tables() -> None:
    text = latex_document({"x": TABLE, "y": TABLE})
    assert "ifPDFTeX" not in text
    assert text.startswith(r"\documentclass[10pt,twocolumn]{article}")
    assert text.endswith("\\input{x}\n\\clearpage\n\\input{y}\n\\clearpage\n\\end{document}\n")


def test_letters_that_pdflatex_lacks_are_declared() -> None:
    text = latex_document({"x": replace(TABLE, title="良 – “é”")})
    assert r"\DeclareUnicodeCharacter{826F}" in text
    assert text.count("Declare") == 1
    assert r"\usepackage{fontspec}" in text
    assert "{[}b]" in to_latex(replace(TABLE, title="[b]"), "b")


def test_a_class_is_no_formula_of_a_spreadsheet() -> None:
    names = ["=1+1", "@SUM(A1)", "+cmd|x", "-a", "-1.5", "+2", "a=b", -2, None]
    (line,) = csv.reader([to_csv([names]).strip()])
    assert line == ["'=1+1", "'@SUM(A1)", "'+cmd|x", "'-a", "-1.5", "+2", "a=b", "-2", ""]


def test_csv_and_xlsx_hold_numbers() -> None:
    head, adam, sam = numbers_of(TABLE)
    assert head == [
        "Optimizer",
        *(f"Test accuracy (%): {key}" for key in ("mean", "sd", "n")),
        "Said",
    ]
    assert adam == ["Adam", 80.0, 1.0, 8, "=1+1"]
    assert to_csv(numbers_of(TABLE)).splitlines()[2] == "SAM,-1.0,0.1,8,50 %"
    book = openpyxl.load_workbook(io.BytesIO(to_xlsx([TABLE])))
    (sheet,) = book.worksheets
    assert sheet["B3"].value == 80.0
    assert sheet["E3"].value == "=1+1"
    assert sheet["E3"].data_type == "s"  # text, no formula
    assert sam[1] == sheet["B4"].value


def test_markdown(document: Document) -> None:
    text = document_markdown(document, {})
    assert "| SAM | **-1.0 ± 0.1 (8)*** | 50 % |" in text
    assert "\n\n### small_cnn & more\n\n" in text


def test_markdown_shows_the_html_of_names_as_text(document: Document) -> None:
    table = replace(TABLE, title="S&amp;M <b>x</b> <i", notes=("p < 0.05, `--names <b>`",))
    made = replace(document, results=(Section(title="<u>", tables=(table,)),), answer=("<b>SAM",))
    text = document_markdown(made, {})
    assert "&lt;b>SAM" in text
    assert "### S&amp;amp;M &lt;b>x&lt;/b> &lt;i" in text
    assert "- p < 0.05, `--names <b>`" in text
    assert "<u>" not in text


@pytest.mark.parametrize(
    "name",
    [
        "* differs", "_a_ *b* **c**", "__init__", "a_b_c", r"C:\_x\*y", "$x$ and $y$", "[a](b)",
        "[red]", "<script>", "&lt; 5 * 3 * 2", "(6)* and (7)*", "a|b",
    ],
)  # fmt: skip
def test_markdown_shows_names_as_they_are(document: Document, name: str) -> None:
    table = replace(TABLE, title=name, rows=((name, ()),), headings=("A",), notes=(name,))
    made = replace(document, results=(Section(title="A", tables=(table,)),), answer=(name,))
    page = MarkdownIt("commonmark").enable("table").render(document_markdown(made, {}))
    text = html.escape(name, quote=False)
    assert f"<p>{text}</p>" in page
    assert f"<h3>{text}</h3>" in page
    assert f"<td>{text}</td>" in page
    assert f"<li>{text}</li>" in page


def test_json_has_every_statement_in_numbers(document: Document) -> None:
    plain = json.loads(json.dumps(to_plain(document, [Path("a")]), allow_nan=False))
    (accuracy,) = (s for s in plain["statements"] if s["metric"] == "accuracy")
    (top,) = (s for s in plain["statements"] if s["metric"] == "top")
    assert (accuracy["verdict"], top["scale"], top["verdict"]) == ("better", "ratio", "better")
    assert plain["results"][0]["tables"][0]["rows"][1]["cells"][0]["mean"] == -1.0
    explained = re.findall(r"\w+", (Path(__file__).parents[2] / "docs" / "json.md").read_text())
    assert {*accuracy, *plain} <= {*explained}


def test_figures_for_papers_have_no_type_3_fonts(document: Document) -> None:
    (picture,) = document.pictures
    assert b"/Type3" not in picture.pdf
    assert b"/FontFile2" in picture.pdf
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", picture.pdf, re.DOTALL)
    unpacked = (zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    font = next(data for data in unpacked if data.startswith(b"\0\1\0\0"))
    tables = set(TTFont(io.BytesIO(font)).keys())
    assert {"glyf", "hmtx", "cvt "} <= tables and not {"GPOS", "GSUB", "GDEF"} & tables
    assert '<g id="' not in picture.svg


def test_the_page_is_one_file(document: Document) -> None:
    page = to_html(document)
    assert '<svg role="img"' in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]+"', page)
    assert "<code>nothing</code>" in page
    shown = re.sub(r"<template>.*?</template>", "", page, flags=re.DOTALL)
    assert "`" not in shown[: shown.index("<script")]
    assert r"\u003cline\u003e" in page  # an explanation cannot end its script
    assert page.count('data-optimizer="sam"') >= 1
    assert "A click on a number shows its runs" in page
    many = to_html(replace(document, sources={}))
    assert "<code>sambench report --explain CELL</code> does it." in many
    assert dict(mpl.rcParams)["svg.fonttype"] == "path"  # not touched


CHECK = """
<iframe id="page" src="report.html" style="width:{width}px;height:900px;border:0"></iframe>
<pre id="out"></pre>
<script>
document.getElementById("page").addEventListener("load", () => {{
  const frame = document.getElementById("page"), page = frame.contentDocument;
  const wide = page.documentElement.scrollWidth;
  const pictures = [...page.querySelectorAll("figure svg")]
    .filter((one) => one.getBoundingClientRect().width > 50).length;
  const table = page.querySelector("table"), rows = () => [...table.tBodies[0].rows];
  const labels = () => rows().map((row) => row.cells[0].textContent);
  const before = labels();
  table.querySelectorAll("th button")[1].click();
  const after = labels();
  table.querySelectorAll("th button")[1].click();
  table.querySelectorAll("th button")[1].click();
  const restored = labels();
  page.querySelector("td button").click();
  const told = page.querySelector("dialog[open] pre").textContent;
  page.querySelector("dialog").close();
  const box = page.querySelector(".choose input[value=sam]");
  box.click();
  const hidden = rows().filter((row) => row.hidden).length;
  const said = [table.caption, page.getElementById("hidden")].map((one) => one.textContent);
  box.click();
  said.push(String(table.caption), page.getElementById("hidden").textContent);
  const found = {{wide, pictures, before, after, restored, told, hidden, said}};
  document.getElementById("out").textContent = JSON.stringify(found);
}});
</script>
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_works_in_a_browser(document: Document, tmp_path: Path, width: int) -> None:
    write_report(document, tmp_path)
    (tmp_path / "check.html").write_text(CHECK.format(width=width))
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom"),
            f"--user-data-dir={tmp_path / 'profile'}",
            (tmp_path / "check.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    shown = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert shown is not None, done.stdout[-500:]
    text = shown.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    found: dict[str, Any] = json.loads(text)
    assert found["wide"] <= width
    assert found["pictures"] == 1
    assert (found["before"], found["after"]) == (["Adam", "SAM"], ["SAM", "Adam"])
    assert found["restored"] == ["Adam", "SAM"]
    assert found["said"] == [
        "Hidden: SAM. Bold, marks and LaTeX are of all rows.",
        "Hidden in the tables: SAM. The answer, figures, bold numbers and marks are of all.",
        *("null", ""),
    ]
    assert found["told"] == "first line\nsecond <line>"
    assert found["hidden"] == 1
