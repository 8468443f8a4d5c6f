"""The page of suites: the YAML of a study."""

from __future__ import annotations

from msgspec import Struct

from docs.generator.docstrings import docstring
from docs.generator.markdown import Page, anchor, code
from sambench.config import grid, search
from sambench.config import suite_file as file
from sambench.config.search import Search
from sambench.config.suite import ReportSettings, Suite, TableReference
from sambench.config.suite_file import load_suite, shipped_suites
from sambench.files.description import described

INTRODUCTION = """
A suite is a YAML file that `sambench compare` runs, or the name of one that comes with the package.
Everything is expanded and checked before anything runs. An error message names file and line, and
`sambench compare FILE --plan` shows what would run. [Your first study](first-study.md) explains a
suite.
"""
EXAMPLE = """
name: my-study
defaults: {dataset: phantom, model: small-cnn, epochs: 10, batch_size: 32, lr: 0.001}
matrix:
  optimizer: [adam, sam, {name: gcsam, rho: [0.05, 0.1]}]
seeds: 3
hessian: {samples: 256}
report: {baseline: adam}
"""
SEARCH = """
Each dataset, network and fold is searched by itself, in its own training images, so that no test
image plays a role. Final runs are done as given and with the chosen values; a report shows them
as `Adam (as given)` and `Adam (tuned)`, although the values may differ between folds, compares all
with the tuned baseline, and says which values lie at an end of what was tried. Trials are in no
report and no comparison, unless they are named. Points of an optimizer's own grid that the run's
other settings forbid are left out; in `grids` they are refused.

Chosen values are for their fold alone: they were chosen with images on which the other folds are
tested. So the shipped suite [`breast-ultrasound-tuned`](#breast-ultrasound-tuned), which is this
file, searches in each of five folds anew:
"""
TUNED = "breast-ultrasound-tuned"
LINKS = {
    "defaults": "[settings](settings.md)",
    "matrix": "[below](#grids)",
    "search": "[below](#search)",
    "hessian": "[curvature](curvature.md#settings)",
    "tables": "[below](#tables)",
    "report": "[below](#report)",
    "extends": "[below](#extends)",
    "launcher": "[clusters](clusters.md)",
}


def page() -> str:
    """Return the page."""
    page = Page("Suites")
    page.text(INTRODUCTION)
    page.code(EXAMPLE, "yaml")
    page.table(
        ("Key", "Meaning", "More"),
        [(f"`{f.name}`", f.meaning, LINKS.get(f.name, "")) for f in described(Suite)],
    )
    page.heading("Grids")
    page.text(
        "Values of `matrix`, and of each grid under `include`, may be lists; every combination "
        "is run."
    )
    page.text(docstring(grid.product).body)
    page.text(f"Patterns leave runs out, or pick them for a table. A pattern {_text(grid.Pattern)}")
    page.heading("Extends")
    page.text(docstring(file).body)
    page.heading("Search")
    page.text(docstring(search).body)
    _settings(page, Search)
    page.text(SEARCH)
    tuned = shipped_suites()[TUNED].read_text(encoding="utf-8").splitlines()
    page.code("\n".join(line for line in tuned if not line.startswith("#")), "yaml")
    page.heading("Tables")
    page.text(docstring(TableReference).summary)
    page.table(
        ("Key", "Meaning"),
        [(f"`{f.name}`", f.meaning) for f in described(TableReference)],
    )
    page.heading("Report")
    page.text("Of the block `report`:")
    _settings(page, ReportSettings)
    _shipped(page)
    return str(page)


def _settings(page: Page, of: type[Struct]) -> None:
    page.table(
        ("Key", "Default", "Allowed", "Meaning"),
        [(f"`{f.name}`", code(f.default), f.allowed, f.meaning) for f in described(of)],
    )


def _text(of: object) -> str:
    said = docstring(of)
    return f"{said.summary[0].lower()}{said.summary[1:]} {said.body}"


def _shipped(page: Page) -> None:
    """Add the suites of the package, each with what its file says of it."""
    page.heading("Shipped suites")
    shipped = shipped_suites()
    page.bullets(f"[`{name}`](#{anchor(name)})" for name in shipped)
    for name, path in shipped.items():
        page.heading(name, depth=3)
        comments = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            comments.append(line.removeprefix("#").removeprefix(" "))
        page.text("\n".join(comments))
        where = f"[suites/{path.name}](../suites/{path.name})"
        page.text(f"`sambench compare {load_suite(path).name}`: {where}")
