"""Where a number comes from: the runs, their record files, and the arithmetic, line by line."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sambench.analysis.claims import Finding
from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group, Line
from sambench.analysis.inference import FOLDS
from sambench.analysis.metrics import OF_A_MINIMUM, Metric, collapsed, measured
from sambench.analysis.study import Study
from sambench.analysis.units import summarize
from sambench.errors import UserError, did_you_mean
from sambench.report.table import counted
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.search_record import SearchRecord, TuningRecord

PathOf = Callable[[RunRecord], Path]

MOST_NAMED, MOST_TERMS = 12, 12
"""Cells that a message names; numbers that a sum spells out."""


class Source(NamedTuple):
    """A number of the report that can be asked for."""

    explain: Callable[[], Iterable[str]]
    parts: tuple[tuple[str, ...], ...]
    """For each part of its name, all that it may be called; the first is how its cell calls it:
    setting/optimizer/metric, claim/NAME or search/OPTIMIZER."""

    @property
    def name(self) -> str:
        """How its cell calls it."""
        return "/".join(called[0] for called in self.parts)


def sources_of(
    study: Study,
    path_of: PathOf,
    findings: Sequence[Finding] = (),
    search: SearchRecord | None = None,
) -> Iterable[Source]:
    """Yield every number of a report that can be asked for; `path_of` finds a run's record."""
    for group in study.groups:
        place = (group.title, group.setting.model)
        for line in group.lines:
            called = (line.label, line.title, str(line.optimizer["name"]))
            for metric in measured(line.records):
                explain = partial(_cell, group, line, metric, path_of)
                yield Source(explain, (place, called, _names(metric)))
    for one in itertools.chain.from_iterable(study.pooled.values()):
        titles = (one.candidate, study.title_of(one.candidate))
        over = (one.setting, "over settings")
        yield Source(partial(_comparison, one), (over, titles, _names(one.metric)))
    for finding in findings:
        names = (finding.claim.name, finding.claim.sentence)
        yield Source(partial(_claim, finding), (("claim",), names))
    for tuning in search.tunings if search else ():
        optimizer = (str(tuning["optimizer"]["name"]),)
        yield Source(partial(_search, tuning), (("search",), optimizer))


def _names(metric: Metric) -> tuple[str, ...]:
    return metric.name, metric.heading, metric.title


def find_source(query: str, among: Sequence[Source]) -> Source:
    """Return the number of that name.

    A cell is named `optimizer/metric`, with `setting/` in front where several have it; every part
    may be shortened. A model's name in place of the optimizer's stands for the first line. A
    UserError is raised if no number is of that name, or several are.
    """
    exact = [one for one in among if one.name == query]
    found = exact or _find([_plain(part) for part in query.split("/")], among)
    if len(found) == 1:
        return found[0]
    if found:
        some = "; ".join(one.name for one in found[:MOST_NAMED])
        more = "; ..." if len(found) > MOST_NAMED else ""
        raise UserError(f"{len(found)} cells are {query!r}; name one: {some}{more}")
    short = {"/".join(one.name.split("/")[-2:]): None for one in among}
    readable = {
        f"{one.parts[-2][0]}/{one.parts[-1][min(1, len(one.parts[-1]) - 1)].lower()}": None
        for one in among
    }
    names = [*short, *readable, *(one.name for one in among)]
    example = next(iter(short), "sam/accuracy")
    raise UserError(
        f"no cell {query!r}{did_you_mean(query, names)}; cells are named optimizer/metric, as "
        f"{example!r}"
    )


def _find(wanted: Sequence[str], among: Sequence[Source]) -> list[Source]:
    if len(wanted) == 1:
        return _closest(wanted[0], among, -2) or _closest(wanted[0], among, -1)
    *setting, line, metric = wanted
    of_lines = [one for one in among if len(one.parts) > 2]
    found = _closest("".join(setting), of_lines, 0) if setting else among
    hits = _closest(metric, _closest(line, found, -2), -1)
    if hits or setting:
        return hits
    of_model = _closest(line, of_lines, 0)
    first = {one.parts[0]: one.parts[1] for one in reversed(of_model)}
    return _closest(metric, [one for one in of_model if one.parts[1] == first[one.parts[0]]], -1)


def _closest(wanted: str, among: Sequence[Source], place: int) -> list[Source]:
    """Return what is called so: exactly if anything is, else by the beginning, else by a part."""
    there = [one for one in among if len(one.parts) >= abs(place)]
    called = [(one, [_plain(name) for name in one.parts[place]]) for one in there]
    for test in (str.__eq__, str.startswith, str.__contains__):
        if hits := [one for one, own in called if any(test(name, wanted) for name in own)]:
            return hits
    return []


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.=+]+", "", re.sub(r"\(%\)|\(s\)", "", text.lower()))


def _cell(group: Group, line: Line, metric: Metric, path_of: PathOf) -> Iterable[str]:
    """Yield the lines that lead from record files to a cell and its difference to the baseline."""
    cell = summarize(group, line, metric)
    times = "" if metric.scale == 1 else f" x {metric.scale:g}"
    yield f"{group.title}/{line.label}/{metric.heading.lower()}"
    yield f"field of the record: {metric.column}{times}"
    yield ""
    used = {record.id for record in cell.records}
    for record, value in zip(cell.records, cell.values, strict=True):
        yield f"  {value:<12.6g} {path_of(record)}"
    for record in line.records:
        if record.id not in used:
            yield f"  {'not counted':<12} {path_of(record)}: {_why(metric, record)}"
    yield ""
    if cell.mean is None:
        yield "no run counts"
    elif metric.ratio:
        yield f"geometric mean = exp(mean of the {cell.n} logarithms) = {cell.mean:.6g}"
        if cell.spread is not None:
            yield f"factor of one SD = exp(SD of the logarithms) = {cell.spread:.6g}, n = {cell.n}"
    else:
        folds = " (the runs of each fold averaged first)" if group.folds else ""
        yield f"mean = {_sum(cell.units)} / {cell.n} = {cell.mean:.6g}{folds}"
        sd = "SD = sqrt(sum of (value - mean)^2 / (n - 1))"
        none = f"SD: one {cell.unit} has none"
        yield none if cell.spread is None else f"{sd} = {cell.spread:.6g}, n = {cell.n}"
    if cell.low is not None and cell.high is not None:
        yield f"95 % interval of the mean, by itself: {cell.low:.6g} to {cell.high:.6g}"
    for found in group.by(metric.name):
        if found.candidate == line.label:
            yield from ("", *_comparison(found))


def _why(metric: Metric, record: RunRecord) -> str:
    """Say why a run is not counted."""
    if record.status != COMPLETED:
        return record.status
    value = metric.of(record)
    if value is None:
        return f"no {metric.column}"
    if metric.curvature and collapsed(record):
        return "it predicts one class for every test image (collapsed)"
    below = next((m for m in OF_A_MINIMUM if (v := m.of(record)) is not None and v <= 0), None)
    if below is None:  # as the SD between batches may be at a minimum
        return f"{value:.6g} has no ratio to another value"
    of = "" if below is metric else f" ({below.heading.lower()} {below.of(record):.6g})"
    return f"{value:.6g} is of no minimum{of}"


def _comparison(found: Comparison) -> Iterable[str]:
    if found.settings > 1:
        yield f"{found.setting}/{found.candidate}/{found.metric.name}"
    ratio, design = found.metric.ratio, found.design
    what, unit = ("ratio", "") if ratio else ("difference", f" {found.metric.unit}".rstrip())
    yield f"{what} to {found.baseline}, {design.unit} by {design.unit}:"
    for name, value in zip(found.names, found.differences, strict=True):
        yield f"  {value:<12.6g} {name}"
    if found.estimate is None:
        yield f"no {design.unit} that both have, no {what}"
        return
    if ratio:
        yield f"geometric mean of the {found.n} ratios = {found.estimate:.6g}"
    else:
        terms = _sum(found.differences)
        yield f"mean difference = {terms} / {found.n} = {found.estimate:+.6g}{unit}"
    if found.low is not None and found.high is not None:
        error = "sqrt(1 / n + n_test / n_train)" if design is FOLDS else "sqrt(1 / n)"
        logs = " of the logarithms" if ratio else ""
        yield (
            f"simultaneous 95 % interval = {found.low:.6g} to {found.high:.6g}: mean ± "
            f"t(1 - 0.05 / (2 x {found.family}), {found.n - 1} degrees) x SD x {error}{logs}, SD = "
            f"{found.sd:.6g}; a side that the corrected p excludes ends at no {what}"
        )
    if found.fixed:
        yield "p: no test, both are the same in every run"
    elif found.p is None:
        yield f"p: no test ({counted(found.n, design.unit)}, {design.least_units} are the least)"
    else:
        yield (
            f"p = {found.p:.6g}, two-sided: {design.test}, corrected over {found.family} "
            f"comparisons by {design.correction}"
        )
        if any(found.lost):
            where = (
                "count in p as naming one class for every image would, not in the estimate"
                if found.counted
                else "have no value to be counted, so p is of the units that both have"
            )
            yield f"  lost units (baseline {found.lost[0]}, candidate {found.lost[1]}) {where}"
    if found.p_equivalent is not None and found.metric.margin is not None:
        yield f"p of a difference beyond {found.metric.margin:g} = {found.p_equivalent:.6g}"
    if found.effect is not None:
        yield f"Cohen's dz = mean / SD = {found.effect:+.4g}"
    yield f"runs won: {found.wins:g} of {found.pairs}, ties half"
    why = " (the better side has runs that diverged, collapsed or are at no minimum)"
    yield f"verdict: {found.verdict}{why if found.spoiled else ''}"


def _claim(finding: Finding) -> Iterable[str]:
    yield f"{finding.claim.sentence} ({finding.claim.paper}, {finding.claim.source})"
    for evidence in finding.evidence:
        expectation = evidence.expectation
        (model, optimizer), (other, against) = expectation.candidate, expectation.baseline
        why = f" ({evidence.why})" if evidence.why else ""
        yield ""
        yield (
            f"{optimizer} on {model}, {expectation.metric.heading.lower()}, expected "
            f"{expectation.expected} than {against} on {other}: {evidence.standing}{why}"
        )
        if evidence.comparison is not None:
            yield from _comparison(evidence.comparison)
    yield ""
    yield f"the claim: {finding.standing}"


def _search(tuning: TuningRecord) -> Iterable[str]:
    setting = tuning["setting"]
    yield f"{tuning['optimizer']['name']}, {setting['model']} on {setting['dataset']}"
    for trial in tuning["trials"]:
        score = trial["validation_accuracy"]
        shown = "not done" if score is None else f"{100 * score:.4g} %"
        runs = ", ".join(map(str, trial.get("runs", ())))
        yield f"  {shown:<12} {trial.get('values') or 'as given'}: {runs}"
    chosen = tuning["chosen"]
    yield f"chosen: {'search not done' if chosen is None else chosen['values'] or 'as given'}"


def _sum(values: Sequence[float]) -> str:
    if len(values) > MOST_TERMS:
        return f"({' + '.join(f'{v:.6g}' for v in values[:3])} + ... {len(values)} values)"
    total = f"({' + '.join(f'{v:.6g}' for v in values)})".replace("+ -", "- ")
    return total if math.isfinite(sum(values)) else "(...)"
