"""What follows from a choice, and what limits the answer: cost, flatness, lost runs, open ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from operator import itemgetter

from sambench.analysis.comparison import BETTER, WORSE, Comparison
from sambench.analysis.decision import Decision, coarse, flat_and_accurate, settle
from sambench.analysis.grouping import ambiguous_baseline
from sambench.analysis.groups import Group, by_key
from sambench.analysis.inference import ALPHA
from sambench.analysis.metrics import find_metric
from sambench.analysis.study import FLATNESS, Study
from sambench.analysis.time_estimates import duration
from sambench.analysis.troubles import doubts
from sambench.analysis.units import device_of
from sambench.report.differences import unlike
from sambench.report.table import factor
from sambench.report.wording import worded
from sambench.store.search_record import TUNED

said = partial(worded, "answer.md")
"""Returns a sentence of the answer, or several, of some facts."""

MOST_SEEDS = 500
"""Of more no number is given."""


def remedy(study: Study) -> str:
    """Return how many seeds would settle what is open and what they cost; nothing if unknown.

    Nor of a part of the runs, of which more may be there.
    """
    found = None if study.part else settle(study)
    if found is None:
        return ""
    seeds, seconds = found
    return said(
        "remedy",
        seeds=seeds,
        most=MOST_SEEDS,
        time=duration(seconds) if seconds else "",
        margin=study.margin,
        coarse=coarse(study.groups, study.primary_metric) is not None,
    )


def cost(study: Study, decision: Decision) -> str:
    """Say what the others cost beside the baseline, as the tables of differences have it."""
    (baseline, *others), groups = decision.scope.labels, decision.scope.groups
    machines = _devices(groups, baseline)
    told = [
        (factor(evaluations), bool(machines & _devices(groups, label)), label)
        for label in others
        if (evaluations := decision.cost[label][0]) is not None
    ]
    alike = []
    for (evaluations, comparable), found in by_key(told, itemgetter(0, 1)).items():
        labels = [label for *_, label in found]
        times = [time for label in labels if (time := decision.cost[label][1]) is not None]
        ends = [factor(end(times)) for end in (min, max)] if times else []
        alike.append((evaluations, comparable, labels, ends))
    alike.sort(key=lambda one: float(one[0]))
    return said("cost", study=study, baseline=baseline, alike=alike) if alike else ""


def _devices(groups: Iterable[Group], label: str) -> set[str]:
    """Return what the completed runs of an optimizer were timed on."""
    return {device_of(run) for group in groups for run in group.line(label).completed}


def where(study: Study, found: Sequence[Comparison]) -> str:
    """Say which settings some statements are about."""
    titles = list(dict.fromkeys(one.setting for one in found))
    if found[0].settings > 1:
        return f"Over {max(found, key=lambda one: one.settings).setting}"
    return f"For {titles[0]}" if len(titles) == 1 else f"In {len(titles)} settings"


def baseline_of(study: Study, found: Sequence[Comparison]) -> str:
    """Return the title of the baseline; its plain name where it differs between settings."""
    titles = list(dict.fromkeys(study.title_of(one.baseline) for one in found))
    return titles[0] if len(titles) == 1 else titles[0].partition(" (")[0]


def named(study: Study, some: Sequence[Comparison], among: Sequence[Comparison]) -> list[str]:
    """Name each candidate of some statements once, with its settings.

    Without these where all statements that are spoken of, `among`, are of one.
    """
    if len({one.setting for one in among}) == 1:
        return [study.title_of(one.candidate) for one in some]
    settings = by_key(some, lambda one: one.candidate)
    return [f"{study.title_of(label)} ({_in_words(found)})" for label, found in settings.items()]


def _in_words(found: Sequence[Comparison]) -> str:
    if len(found) > 1:
        return f"in {len(found)} settings"
    return f"over {found[0].setting}" if found[0].settings > 1 else found[0].setting


def flatness(study: Study) -> str:
    """Say which minima were shown to be flatter, and whether flatter went with more accurate."""
    by_measure = ([one for one in study.main(name) if one.n] for name in FLATNESS)
    found = next(filter(None, by_measure), None)
    if not found:
        measured = any(record.hessian for group in study.groups for record in group.completed)
        return said("no_flatness", measured=measured)
    of_each = [one for group in study.groups for one in group.by(found[0].metric.name)]
    told = {(one.candidate, one.verdict) for one in found}
    spoiled = [one for one in found if one.spoiled and one.p is not None and one.p < ALPHA]
    better_sides = (one.candidate if one.gains else one.baseline for one in spoiled)
    flatter = [one for one in found if one.verdict == BETTER]
    text = said(
        "flatness",
        study=study,
        where=where(study, found) if len({one.setting for one in of_each if one.n}) > 1 else "",
        found=found,
        flatter=sorted(flatter, key=lambda one: one.estimate or 0.0),
        sharper=[one for one in found if one.verdict == WORSE],
        held_back=list(dict.fromkeys(better_sides)),
        alone=[o for o in of_each if o.shown and (o.candidate, o.verdict) not in told],
        baseline=baseline_of(study, found),
        names=partial(named, study, among=found),
    )
    every, within = flat_and_accurate(study) or (None, None)
    if every is None or every.interval is None:
        return text
    return f"{text} {said('link', every=every, within=within)}"


def cautions(study: Study) -> str:
    """Say what limits the answer: lost runs, choices made silently, too few units."""
    lines = [(group, line) for group in study.groups for line in group.lines]
    text = said(
        "cautions",
        study=study,
        lost=[(group, line, ends.items()) for group, line in lines if (ends := line.lost())],
        in_doubt=doubts(record for group in study.groups for record in group.completed),
        at_none=[
            (metric, line, number)
            for metric in map(find_metric, FLATNESS)
            for _, line in lines
            if (number := sum(run.value <= 0 and not run.collapsed for run in line.read(metric)))
        ],
        several=ambiguous_baseline(study.groups, study.baseline),
        differing=unlike(study, itertools.chain(*study.pooled.values())),
        many=_several_settings(study),
        tuned=list(dict.fromkeys(line.title for _, line in lines if line.role == TUNED)),
    )
    return " ".join(filter(None, (text, settling(study))))


def settling(study: Study) -> str:
    """Say what would settle what is undecided; nothing where runs are too few to tell."""
    enough = any(one.enough for one in study.main(study.primary))
    return said("settling", remedy=seeds) if enough and (seeds := remedy(study)) else ""


def _several_settings(study: Study) -> list[str]:
    """Return the names of optimizers with several lines under one setting, but not by a search."""
    given = ((line for line in group.lines if line.role != TUNED) for group in study.groups)
    by_name = (by_key(lines, lambda line: line.optimizer["name"]) for lines in given)
    several = (lines for found in by_name for lines in found.values() if len(lines) > 1)
    titles = (line.title.partition(" (")[0] for lines in several for line in lines)
    return list(dict.fromkeys(titles))
