"""Where a number comes from: the runs, their record files, and the arithmetic, line by line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from sambench.analysis.claims import Finding
from sambench.analysis.groups import Group, Line
from sambench.analysis.metrics import OF_A_MINIMUM, Metric, collapsed, measured
from sambench.analysis.study import Study
from sambench.analysis.units import rounding_sd, summarize
from sambench.errors import UserError, did_you_mean
from sambench.report.contrasts import chosen_text, names_of
from sambench.report.wording import lines_of
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.search_record import SearchRecord

PathOf = Callable[[RunRecord], object]

told = partial(lines_of, "explain.txt")
"""Returns the lines of an explanation, of some facts."""

MOST_NAMED = 12
"""Cells that a message names."""


class Source(NamedTuple):
    """A number of the report that can be asked for."""

    explain: Callable[..., Iterable[str]]
    """Returns the lines; with `most`, of runs and units no more than so many."""
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
        yield Source(partial(told, "comparison", found=one), (over, titles, _names(one.metric)))
    for finding in findings:
        names = (finding.name, finding.sentence)
        yield Source(partial(told, "claim", found=finding), (("claim",), names))
    for name, tuning in zip(names_of(search), search.tunings, strict=True) if search else ():
        facts = {"name": name, "tuning": tuning, "chosen": chosen_text(tuning)}
        yield Source(partial(told, "search", **facts), (("search",), (name,)))


def _names(metric: Metric) -> tuple[str, ...]:
    return metric.name, metric.heading, metric.title


def find_source(query: str, among: Sequence[Source]) -> Source:
    """Return the number of that name.

    A cell is `optimizer/metric`, with `setting/` in front where several have it; parts may be
    shortened, and a model stands for its first line. A UserError is raised for none or several.
    """
    exact = [one for one in among if one.name == query]
    found = exact or _find([_plain(part) for part in query.split("/")], among)
    if len(found) == 1:
        return found[0]
    if found:
        some = "; ".join(one.name for one in found[:MOST_NAMED])
        more = "; ..." if len(found) > MOST_NAMED else ""
        raise UserError(f"{query!r} fits {len(found)} cells; name one: {some}{more}")
    short = {"/".join(one.name.split("/")[-2:]): None for one in among}
    readable = {
        f"{one.parts[-2][0]}/{one.parts[-1][min(1, len(one.parts[-1]) - 1)].lower()}": None
        for one in among
    }
    names = [*short, *readable, *(one.name for one in among)]
    example = next(iter(short), "sam/accuracy")
    known = any(one.name.startswith("claim/") for one in among)
    claims = "; claims need --published" if query.startswith("claim/") and not known else ""
    raise UserError(
        f"no cell {query!r}{did_you_mean(query, names)}; cells are named optimizer/metric, as "
        f"{example!r}{claims}"
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


def _cell(
    group: Group, line: Line, metric: Metric, path_of: PathOf, most: int | None = None
) -> list[str]:
    """Return the lines that lead from record files to a cell and its difference to the baseline."""
    cell = summarize(group, line, metric)
    used = {record.id for record in cell.records}
    others = [record for record in line.records if record.id not in used]
    facts = {"group": group, "line": line, "metric": metric, "cell": cell, "others": others}
    least_sd = rounding_sd(group, metric)
    return told("cell", **facts, why=_why, path_of=path_of, least_sd=least_sd, most=most)


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
    of = "" if below is metric else f" ({below.in_text} {below.of(record):.6g})"
    return f"{value:.6g} is of no minimum{of}"
