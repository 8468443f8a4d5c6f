"""The papers' claims and what our runs say of each, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.analysis.comparison import LEAST_PAIRS
from sambench.analysis.findings import HELD, NOT_HELD, UNDECIDED, Evidence, Finding
from sambench.report.table import MISSING, Cell, Table

HEADINGS = ("Claim", "Our runs", "Inequalities held", "not held", "undecided", "Largest n")


def claims_table(findings: Sequence[Finding]) -> Table:
    """Return a row for each claim; below, every inequality that our runs speak to, with numbers."""
    rows = tuple((found.claim.sentence, _cells(found)) for found in findings)
    notes = [
        "A claim is held if each of its inequalities is shown by paired runs, not held if the "
        f"opposite of one is, and else undecided; under {LEAST_PAIRS} pairs nothing is shown.",
        *(_sentence(one) for found in findings for one in found.evidence if one.comparison.n),
    ]
    sources = ", ".join(dict.fromkeys(f.claim.source.partition(",")[0] for f in findings))
    return Table(title=f"Claims of {sources}", headings=HEADINGS, rows=rows, notes=tuple(notes))


def _cells(found: Finding) -> tuple[Cell, ...]:
    standings = [evidence.standing for evidence in found.evidence]
    most = max(evidence.comparison.n for evidence in found.evidence)
    counts = [str(standings.count(kind)) for kind in (HELD, NOT_HELD, UNDECIDED)]
    return tuple(
        Cell(text=text) for text in (found.standing, *counts, str(most) if most else MISSING)
    )


def _sentence(evidence: Evidence) -> str:
    found, expectation = evidence.comparison, evidence.expectation
    unit = f" {found.metric.unit}" if found.metric.unit else ""
    interval = (
        f" ({found.interval.low:+.3g} to {found.interval.high:+.3g})" if found.interval else ""
    )
    p = "" if found.p is None else f", p = {found.p:.2g}"
    printed = "" if evidence.printed is None else f"; printed {evidence.printed:+.3g}"
    factor = f" (by a factor of {expectation.factor:g})" if expectation.factor else ""
    return (
        f"{evidence.standing}: {expectation.candidate} {expectation.expected}{factor} than "
        f"{expectation.baseline} by {found.metric.title}: {found.difference:+.3g}{unit}{interval}, "
        f"{found.n} pairs{p}{printed}."
    )
