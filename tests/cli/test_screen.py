"""Tables on terminals of any width."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from sambench.cli.screen import Screen
from sambench.report.table import Cell, Table


def table(rows: int, columns: int) -> Table:
    cells = tuple(Cell(text=f"{column}.00 ± 0.10 (3)") for column in range(columns))
    return Table(
        title="A title",
        headings=("Optimizer", *(f"Column {column}" for column in range(columns))),
        rows=tuple((f"optimizer-{row}", cells) for row in range(rows)),
        notes=(),
    )


def lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, shown: Table
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    Screen().table(shown)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_table_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, 200, table(2, 8))
    assert len(found) == 1 + 1 + 2
    assert found[1].startswith("Optimizer")


def test_a_width_of_no_columns_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(monkeypatch, capsys, 0, table(2, 8)) == lines(
        monkeypatch, capsys, 160, table(2, 8)
    )
    Screen().listing(("name", "state"), [("a", "completed")])
    assert capsys.readouterr().out.split() == ["name", "state", "a", "completed"]


def test_a_wide_table_of_few_rows_lies_on_its_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, 80, table(2, 8))
    assert re.split(r"\s{2,}", found[1]) == ["Optimizer", "optimizer-0", "optimizer-1"]
    assert len(found) == 1 + 1 + 8


def test_a_wide_table_of_many_rows_comes_in_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(monkeypatch, capsys, 80, table(18, 8))
    heads = [line for line in found if line.startswith("Optimizer")]
    assert len(heads) > 1
    assert [name for head in heads for name in re.findall(r"Column \d", head)] == [
        f"Column {column}" for column in range(8)
    ]
    assert len(found) == 1 + len(heads) * (1 + 18)
    assert all(len(line) <= 80 for line in found)


@pytest.mark.parametrize(("columns", "shortened"), [(60, True), (120, False)])
def test_what_all_names_begin_with_is_said_once_where_room_is_short(
    columns: int, shortened: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen()
    screen.out = Console(width=columns)
    names = [f"breast-ultrasound-efficientnet-{end}" for end in ("adam-s0-1a2b", "sam-s0-3c4d")]
    screen.listing(("run", "top eigenvalue"), [(n, "4.437e+04 ± 2600") for n in names], "curvature")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    if shortened:
        assert lines[-1] == "… is breast-ultrasound-efficientnet-"
        assert lines[2].startswith("…adam-s0-1a2b ")
    else:
        assert lines[2].startswith(f"{names[0]} ")


def test_headings_are_shown_as_they_are_and_numbers_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Screen().listing(("", "[red]", "all"), [("fold 1", "2", "10"), ("all", "3", "4")], numbers=True)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "        [red]  all",
        "fold 1      2   10",
        "all         3    4",
    ]


def test_a_long_listing_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sambench.cli.screen.LONG_LISTING", 2)
    Screen().listing(("name", "state"), [(f"run-{n}", "bad\x1b[2J") for n in (8, 9, 10)], "runs")
    assert capsys.readouterr().out.splitlines() == [
        *("runs", "name    state"),
        *(f"run-{n:<2}  bad\\x1b[2J" for n in (8, 9, 10)),
    ]
    Screen(quiet=True).listing(("name",), [("a",)] * 3)
    assert capsys.readouterr().out == ""


def test_letters_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.show("split centre:A: none")
    screen.warn("split centre:A: none")
    screen.listing(["split :x: of"], [["centre:A:"]])
    out, err = capsys.readouterr()
    assert err == "split centre:A: none\n"
    assert [line.strip() for line in out.splitlines()] == [err.strip(), "split :x: of", "centre:A:"]


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "5 +- 1~ -"), ("latin-1", "5 ± 1~ -")])
def test_a_terminal_that_lacks_characters_shows_others(encoding: str, shown: str) -> None:
    code = (
        "import sys; sys.argv = ['sambench', '--version']\n"
        "from sambench.cli import main\n"
        "try: main()\n"
        "except SystemExit: print('5 ± 1≈ –', chr(0x4e2d))\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode(encoding).splitlines()[-1] == f"{shown} ?"


def test_what_programs_read_keeps_every_letter_whatever_the_terminal_has() -> None:
    code = (
        "from sambench.cli import Output\n"
        "Output.keep_file(); print('gr\\u00f6\\u00dfe', file=Output.file, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode() == "gr\u00f6\u00dfe\n"


@pytest.mark.parametrize(
    ("variables", "name", "remedy"),
    [
        ({"PYTHONUTF8": "1"}, b"r\xfc", "rename it"),
        (
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            "r\u00fc".encode(),
            "this locale is not UTF-8: `export PYTHONUTF8=1`, then give the same command",
        ),
        ({"LC_ALL": "C", "PYTHONUTF8": "1"}, "r\u00fc".encode(), ""),
    ],
)
def test_a_name_that_no_record_can_hold_is_refused_before_anything_is_done(
    tmp_path: Path, variables: dict[str, str], name: bytes, remedy: str
) -> None:
    command = [sys.executable, "-m", "sambench", "list", "runs", "--results", name]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if remedy else 0)
    assert done.stderr.endswith(f"is not UTF-8; {remedy}\n" if remedy else "")


@pytest.mark.parametrize("rows", [1, 600])
def test_a_terminal_obeys_nothing_that_stands_in_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    evil = "a\x1b[2J\x1b]8;;http://x\x07b\x9b31m\u202ec\x08\r"
    screen = Screen()
    for show in (screen.say, screen.warn, screen.fail, screen.show):
        show(evil)
    screen.table(Table(title=evil, headings=(evil,), rows=((evil, ()),), notes=(evil,)))
    screen.listing([evil, "b"], [[evil, "x"]] * rows)
    said = "".join(capsys.readouterr())
    left = re.sub(r"\x1b\[[\d;]*m", "", said)  # our own styles
    assert r"a\x1b[2J\x1b]8;;http://x" in left
    assert r"b\x9b31m\u202ec" in left
    assert left.replace("\n", "").isprintable()


@pytest.mark.parametrize(("ends", "end"), [(os.pipe, SystemExit), (os.openpty, OSError)])
def test_messages_that_nobody_reads_any_more_end_nothing(
    ends: Callable[[], tuple[int, int]], end: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of `sambench compare ... 2>&1 | tee log` once Ctrl-C has ended `tee`; results do."""
    for name in ("stderr", "stdout"):
        reading, writing = ends()
        monkeypatch.setattr(sys, name, os.fdopen(writing, "w"))
        os.close(reading)
    Screen().say("cancelling the jobs")
    Screen().warn("again")
    with pytest.raises(end):
        Screen().show("a result")
