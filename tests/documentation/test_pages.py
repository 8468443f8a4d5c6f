"""The committed pages are those that the package makes, and their links lead somewhere."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from docs.generator.docstrings import docstring, field_meanings
from docs.generator.identities import identities
from docs.generator.markdown import Page, anchor
from docs.generator.pages import pages
from sambench.analysis.metrics import METRICS
from sambench.config.suite_file import read_suite, shipped_suites
from sambench.errors import INTERRUPTED
from sambench.optim.method import optimizers
from sambench.store.status import REPEATABLE, STATES

DOCS = Path(__file__).parents[2] / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PAGES = pages()
SUITES = re.findall(r"```yaml\n(.*?)```", PAGES["suites.md"], re.DOTALL)


def test_the_pages_are_those_that_the_package_makes() -> None:
    differing = [
        name
        for name, text in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    assert differing == [], "run `make docs` and commit"


def test_columns_of_runs_that_the_record_has_otherwise_are_explained() -> None:
    text = (DOCS / "using-a-run.md").read_text(encoding="utf-8")
    own = [
        m for m in METRICS if m.from_predictions or m.scale not in (1, 100) or m.two_classes != 1
    ]
    other = {one.name for one in own}
    assert other >= {"sensitivity_at_90", "calibration_slope", "peak_memory", "brier"}
    assert [name for name in sorted(other) if f"`{name}`" not in text] == []


WRITTEN = {
    "clusters.md",
    "coming-from-another-library.md",
    "design.md",
    "first-study.md",
    "glossary.md",
    "plugins.md",
    "questions.md",
    "reading-a-report.md",
    "using-a-run.md",
}
"""Pages that are written by hand."""


def test_no_page_is_left_of_what_is_no_more() -> None:
    found = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    found |= {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.json")}
    assert found == set(PAGES) | WRITTEN


def headings(text: str) -> list[str]:
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [anchor(line.lstrip("#").strip()) for line in re.findall(r"^#+ .*$", without_code, re.M)]


ROOT = DOCS.parent
READ = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *ROOT.glob("results/published/*/README.md"),
        ROOT / "benchmarks" / "results" / "README.md",
    )
)
"""All pages that people read, the reports apart."""


@pytest.mark.parametrize("name", READ)
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in LINK.findall(text):
        if link.startswith("https://"):
            continue
        file, _, fragment = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        assert target.exists(), f"{name} links to {link}"
        if fragment:
            assert Counter(headings(target.read_text(encoding="utf-8")))[fragment] == 1, link


@pytest.mark.parametrize("name", [info.name for info in optimizers.list()])
def test_an_optimizers_page_has_its_equation_its_reference_and_its_tests(name: str) -> None:
    info, page = optimizers.get(name), PAGES[f"optimizers/{name}.md"]
    assert page.count("```math") >= 1
    assert info.reference.split(",")[0] in page
    for hyperparameter in info.hyperparameters:
        assert f"| `{hyperparameter}` |" in page
    assert f"]({name}.md)" in PAGES["optimizers/README.md"]


def test_identities_are_read_off_the_tests() -> None:
    found = {
        name: {(identity.says, identity.cases) for identity in tested}
        for name, tested in identities().items()
    }
    assert ("asam", "eta = 0, 0.01; scope = weights, all") in found["asam"]
    assert "on sgd, adam; sigma = 0" in dict(found["fsam"])["what is sam in a limit"]
    assert "baselines are torchs own" in {says for says, _ in found["sgd"]}
    own = {says for says, _ in found["adam"]}
    assert not any("sam" in says.split() for says in own), "tests of others that run on Adam"
    assert all(found.values())


def test_docstrings_become_markdown() -> None:
    class Example:
        r"""Its first line, with :math:`x^2`.

        .. math:: y = \|x\|
                  + 1

        Text goes on.

        Attributes:
            one: The first, a: b,
                on two lines.
            two: The second.
        """

    said = docstring(Example)
    assert said.summary == "Its first line, with $`x^2`$."
    assert said.body == "```math\ny = \\|x\\|\n+ 1\n```\n\nText goes on."
    assert said.meanings == {"one": "The first, a: b, on two lines.", "two": "The second."}


def test_what_has_no_docstring_is_named() -> None:
    with pytest.raises(ValueError, match="has no docstring"):
        docstring(type("Silent", (), {}))


class Commented:
    """A class whose fields are commented below."""

    first: int
    """The first."""
    second: int
    third: int = 3
    """The third."""


def test_strings_below_fields_are_their_meaning() -> None:
    meanings = {"first": "The first.", "second": "", "third": "The third."}
    assert field_meanings(Commented) == meanings


def test_a_table_escapes_what_would_end_its_cells() -> None:
    page = Page("Title")
    page.table(("a",), [("|x|\ny",)])
    page.table(("none",), [])
    assert str(page) == "# Title\n\n| a |\n| --- |\n| \\|x\\| y |\n"


def test_the_page_on_questions_knows_the_states_and_what_is_retried() -> None:
    page = (DOCS / "questions.md").read_text(encoding="utf-8")
    states = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert states == {*STATES, "collapsed"} - {"missing", "running", "completed"}
    assert set(re.findall(r"`--retry (\w+)`", page)) <= set(REPEATABLE)


def test_the_page_on_output_has_the_exit_codes() -> None:
    codes = re.findall(r"\b(\d+) (?:all is well|a run|the command cannot|it was)", PAGES["json.md"])
    assert codes == ["0", "1", "2", str(INTERRUPTED)]


def test_the_suite_of_the_page_on_suites_is_one() -> None:
    suite = read_suite(yaml.safe_load(SUITES[0]), "suites.md")
    assert suite.name not in shipped_suites()
    assert len(suite.expand(lambda *_: ())) == (2 + 2) * 3


def test_the_search_of_the_page_on_suites_is_the_shipped_one() -> None:
    path = shipped_suites()["breast-ultrasound-tuned"]
    assert yaml.safe_load(SUITES[1]) == yaml.safe_load(path.read_text(encoding="utf-8"))
