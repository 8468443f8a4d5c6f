"""What the pages quote of the published studies stands in their reports."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.test_commands import call

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reading-a-report.md").read_text(encoding="utf-8")
QUOTED = {
    "small-study": ("529 ×÷ 1.37", "+0.6 to +2.1", "loses at most 0.4 points", "0.32x"),
    "breast-ultrasound": ("-3.5 to +3.9", "loses at most 6.5 points"),
}


def words(text: str) -> str:
    return " ".join(text.split())


def report_of(study: str) -> str:
    path = ROOT / "results" / "published" / study / "reports" / study / "report.md"
    return words(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("study", QUOTED)
def test_numbers_of_the_page_are_those_of_the_report(study: str) -> None:
    for number in QUOTED[study]:
        assert number in words(PAGE)
        assert number in report_of(study)


def test_the_readme_quotes_the_report() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quotes = re.findall(r"(?:^> .*\n)+", readme, re.MULTILINE)
    assert quotes
    for quote in quotes:
        first, *rest = words(quote.replace("> ", "")).split(" Over 2 settings, any ")
        assert first in report_of("breast-ultrasound")
        for last in rest:
            assert f"Over 2 settings, any {last}" in report_of("breast-ultrasound")


def test_its_command_explains_a_number() -> None:
    (command,) = re.findall(r"^    sambench (.*)$", PAGE, re.MULTILINE)
    said = call(ROOT, *shlex.split(command))
    assert said.code == 0, said.err
    assert "field of the record: hessian.top.value" in said.out
