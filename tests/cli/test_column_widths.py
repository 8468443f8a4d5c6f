from __future__ import annotations

import io

from rich.console import Console

from sambench.cli.column_widths import Entry, in_parts, laid_out


def plain(*row: str) -> list[Entry]:
    return [(text, False) for text in row]


GRID = [plain("Optimizer", "Gradient evaluations", "p"), plain("adam", "100", "0.5 ± 0.1")]


def test_headings_are_broken_at_words_and_numbers_stand_to_the_right() -> None:
    assert laid_out("a table", GRID).plain == (
        "a table\n"
        "              Gradient\n"
        "Optimizer  evaluations          p\n"
        "adam               100  0.5 ± 0.1"
    )


def test_the_narrowest_terminal_that_it_fits() -> None:
    (upright,) = in_parts("", GRID, 33)
    assert upright == laid_out("", GRID)
    (aside,) = in_parts("", GRID, 32)
    assert aside.plain.splitlines()[-1] == "p                     0.5 ± 0.1"


def test_wide_characters_take_two_places() -> None:
    assert laid_out("", [plain("名前", "b"), plain("x", "1")]).plain == "\n名前  b\nx     1"


def test_bold_and_brackets_reach_the_terminal() -> None:
    text = laid_out("t", [plain("a", "b"), [("[red]x", False), ("1", True)]])
    out = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    out.print(text, soft_wrap=True)
    assert isinstance(out.file, io.StringIO)
    said = out.file.getvalue()
    assert "[red]x  \x1b[1m1\x1b[0m" in said
    assert said.startswith("\x1b[3mt\x1b[0m\n")
