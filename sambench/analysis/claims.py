"""The papers' claims, and what our runs say of each: held, refuted, not reproduced, undecided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.special import stdtrit

from sambench.analysis.comparison import BETTER, EQUIVALENT, WORSE, Comparison
from sambench.analysis.families import compare
from sambench.analysis.groups import Group, Line, by_key
from sambench.analysis.inference import ALPHA
from sambench.analysis.metrics import Metric, find_metric
from sambench.analysis.published import FAMILIES, family, lines_of, printed_rows
from sambench.analysis.ranks import RankCorrelation
from sambench.analysis.units import rank_together, with_accuracy
from sambench.files.yaml_text import read_own_yaml

HELD, REFUTED, NOT_REPRODUCED = "held", "refuted", "not reproduced"
UNDECIDED, NOT_TESTED = "undecided", "not tested here"
STANDINGS = (HELD, REFUTED, NOT_REPRODUCED, UNDECIDED, NOT_TESTED)
NOT_BETTER = "not better"
OF_LINES = ("base", "lr")
"""What a claim asks of an optimizer; all else it asks of the setting."""

Cell = tuple[str, str]
"""Architecture and optimizer."""
Where = Mapping[str, Sequence[Any]]
"""What a paper's own data and protocol are: the allowed values of settings."""


@dataclass(frozen=True, kw_only=True)
class Inequality:
    """One inequality of a claim, and what our runs say of it."""

    paper: str
    datasets: tuple[str, ...]  # on which the claim is made
    candidate: Cell  # what the claim is about
    baseline: Cell  # what it is compared with
    metric: Metric
    expected: str  # "better", "worse" or "not better"
    factor: float = 1.0  # least ratio of the baseline to the candidate that "better" asks for
    ranked: bool = False  # runs with a better metric are more accurate, by ranks
    standing: str = NOT_TESTED  # one of `STANDINGS`
    comparison: Comparison | None = None  # corrected over the claim; None where there is none
    alone: float | None = None  # p of the inequality by itself, which is what "held" asks for
    correlation: RankCorrelation | None = None  # of a claim about ranks, of all runs
    within: RankCorrelation | None = None  # and of runs of the same optimizer
    why: str = ""  # nothing is said, where that is so

    @property
    def printed(self) -> float | None:
        """The papers' own difference, or ratio; None where it was not printed or has no sense."""
        rows = {
            (row.model, row.optimizer): row
            for row in printed_rows()
            if row.paper == self.paper and row.dataset in self.datasets
        }
        one, other = (
            rows[cell].of(self.metric.name) if cell in rows else None
            for cell in (self.candidate, self.baseline)
        )
        if one is None or other is None or self.ranked:
            return None
        if self.metric.ratio:
            return one / other if min(one, other) > 0 else None
        return round(one - other, 9)

    @property
    def other_size(self) -> bool:
        """Whether the printed difference lies outside of 95 % of such differences of ours.

        It is of one run a side: mean ± t sd sqrt(1 + 1 / n), all of the claim by a metric at once.
        """
        printed, found = self.printed, self.comparison
        if printed is None or found is None or found.estimate is None or found.sd is None:
            return False
        there = math.log if self.metric.ratio else float
        sd = max(found.sd, found.least_sd) * math.sqrt(1 + 1 / found.n)
        reach = float(stdtrit(found.n - 1, 1 - ALPHA / (2 * found.family))) * sd
        return found.enough and abs(there(printed) - there(found.estimate)) > reach


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What our runs say of a claim, a sentence of a paper, and of each of its inequalities."""

    name: str
    paper: str
    sentence: str
    source: str  # place in the paper
    evidence: tuple[Inequality, ...]

    @property
    def standing(self) -> str:
        """The worst of its inequalities'; held only if all are, not tested if none is."""
        standings = {found.standing for found in self.evidence}
        worst = next((one for one in (REFUTED, NOT_REPRODUCED) if one in standings), UNDECIDED)
        return standings.pop() if standings in ({NOT_TESTED}, {HELD}) else worst


def _expectations(item: Mapping[str, Any], paper: Mapping[str, Any]) -> Iterable[Inequality]:
    ranked = "correlation" in item
    optimizer = item.get("optimizer", "adam")
    for model in item.get("models", FAMILIES):
        for metric in [item["correlation"]] if ranked else item["metrics"]:
            yield Inequality(
                paper=paper["paper"],
                datasets=tuple(paper["where"]["dataset"]),
                candidate=(model, optimizer),
                baseline=(item.get("against_model", model), item.get("against", optimizer)),
                metric=find_metric(metric),
                expected=item["expected"],
                factor=float(item.get("factor", 1)),
                ranked=ranked,
            )


def examine(groups: Sequence[Group]) -> tuple[Finding, ...]:
    """Say of each claim of `claims.yaml` what the runs show, those of the paper's protocol alone.

    The note below the table of claims says what each standing means. A claim asks for all of its
    inequalities, so that for "held" no correction is due.
    """
    findings = []
    for paper in read_own_yaml("sambench.analysis", "claims.yaml")["papers"]:
        where = paper["where"]
        fitting = [group for group in groups if _fits(group, where)]
        for claim in paper["claims"]:
            asked = [e for item in claim["expect"] for e in _expectations(item, paper)]
            told = {key: claim[key] for key in ("name", "sentence", "source")}
            evidence = tuple(_judged(asked, fitting, where))
            findings.append(Finding(paper=paper["paper"], evidence=evidence, **told))
    return tuple(findings)


def _fits(group: Group, where: Where) -> bool:
    """Whether a group is of a claim's data and protocol, base and learning rate apart."""
    setting = group.setting
    values = {name: getattr(setting, name, None) for name in where}
    values |= {"stop": setting.stop.rule} if "stop" in values else {}
    return family(setting.model) is not None and all(
        values[name] in allowed for name, allowed in where.items() if name not in OF_LINES
    )


def _lines(cell: Cell, groups: Sequence[Group], where: Where) -> list[tuple[Group, Line]]:
    asked = {name: where[name] for name in OF_LINES if name in where}
    return [
        (group, line)
        for group, line in lines_of(groups, *cell)
        if all(line.optimizer.get(name) in allowed for name, allowed in asked.items())
    ]


def _judged(asked: Sequence[Inequality], groups: Sequence[Group], where: Where) -> list[Inequality]:
    found = [(one, _pair(one, groups, where)) for one in asked]
    judged = {one: made for one, made in found if isinstance(made, Inequality)}
    pairs = [(one, made) for one, made in found if isinstance(made, Group)]
    for metric, some in by_key(pairs, lambda pair: pair[0].metric).items():
        together, _ = compare([group for _, group in some], metric)
        for (one, group), (corrected,) in zip(some, together, strict=True):
            ((alone,),), _ = compare([group], metric)
            made = replace(one, comparison=corrected, alone=alone.p)
            judged[one] = replace(made, standing=_standing(made, alone, corrected))
    return [judged[one] for one in asked]


def _pair(asked: Inequality, groups: Sequence[Group], where: Where) -> Group | Inequality:
    """Return the two lines of an inequality, or what is said of it without a comparison."""
    if asked.ranked:
        return _ranked(asked, groups)
    first, second = (_lines(cell, groups, where) for cell in (asked.baseline, asked.candidate))
    if not first or not second:
        return asked
    if len(first) > 1 or len(second) > 1:
        why = "several settings or hyperparameters fit, and none is chosen"
        return replace(asked, standing=UNDECIDED, why=why)
    (one, baseline), (group, candidate) = first[0], second[0]
    if one is not group:  # the models tell the lines apart
        baseline, candidate = (
            replace(line, label=of.setting.model, title=of.setting.model)
            for of, line in ((one, baseline), (group, candidate))
        )
    lines = (baseline, candidate)
    return Group(setting=group.setting, lines=lines, title=group.title, baseline=True)


def _standing(asked: Inequality, alone: Comparison, corrected: Comparison) -> str:
    expected, factor = asked.expected, asked.factor
    opposite = {BETTER: (WORSE, EQUIVALENT), WORSE: (BETTER, EQUIVALENT), NOT_BETTER: (BETTER,)}
    wanted = (WORSE, EQUIVALENT) if expected == NOT_BETTER else (expected,)
    if not alone.enough:
        return UNDECIDED
    low = corrected.low or 0.0
    if corrected.verdict in opposite[expected] or (factor > 1 and low > 1 / factor):
        return REFUTED
    far = factor == 1 or (alone.high is not None and alone.high < 1 / factor)
    if alone.verdict in wanted and far:
        return HELD
    return NOT_REPRODUCED if asked.other_size else UNDECIDED


def _ranked(asked: Inequality, groups: Sequence[Group]) -> Inequality:
    """Judge whether flatter runs of an architecture, and of each optimizer, are more accurate."""
    fitting = [g for g in groups if family(g.setting.model) == asked.candidate[0]]
    found = rank_together(with_accuracy(fitting, asked.metric))
    if found is None:
        return asked
    lows, highs = zip(*(one.interval or (-math.inf, math.inf) for one in found), strict=True)
    standing = HELD if max(highs) < 0 else REFUTED if min(lows) > 0 else UNDECIDED
    return replace(asked, standing=standing, correlation=found[0], within=found[1])
