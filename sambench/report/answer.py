"""The answer in words: which optimizer, at what cost, how flat, and what would settle it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from operator import itemgetter
from statistics import fmean
from typing import Any

from sambench.analysis.comparison import BETTER, WORSE, Comparison
from sambench.analysis.decision import (
    Decision,
    coarse,
    decide,
    find_scope,
    flat_and_accurate,
    settle,
)
from sambench.analysis.grouping import ambiguous_baseline
from sambench.analysis.groups import Group, Line, by_key
from sambench.analysis.inference import ALPHA, FOLDS, SEEDS
from sambench.analysis.metrics import collapsed, find_metric, values_at
from sambench.analysis.study import FLATNESS, PRIMARY, Study
from sambench.analysis.time_estimates import duration
from sambench.analysis.troubles import doubts
from sambench.analysis.units import summarize
from sambench.report.differences import unlike
from sambench.report.notes import on_few_images
from sambench.report.table import factor, mean_and_spread, short
from sambench.report.wording import worded
from sambench.store.search_record import TUNED

said = partial(worded, "answer.md")
"""Returns a sentence of the answer, or several, of some facts."""

MOST_SEEDS = 500
"""Of more no number is given."""


def answer_text(study: Study) -> tuple[str, ...]:
    """Return the answer's paragraphs; the first is the one to quote."""
    part = f"These are the runs with {study.part} alone." if study.part else ""
    if nothing := _nothing_to_say(study):
        return (f"{part} {nothing}".strip(),)
    if decision := decide(study):
        design = FOLDS if decision.scope.groups[0].folds else SEEDS
        choice = said("choice", study=study, decision=decision, design=design)
        chosen = [choice, _cost(study, decision)]
    else:
        chosen = [said("no_choice", study=study, scope=find_scope(study))]
    few_images = on_few_images(study.groups, study.primary_metric)
    parts = [
        " ".join(filter(None, (part, _which(study), *few_images))),
        *chosen,
        _flatness(study),
        _cautions(study),
        *_by_setting(study),
    ]
    return tuple(filter(None, parts))


def _nothing_to_say(study: Study) -> str:
    """Return why no optimizers can be compared; nothing where they can."""
    groups = study.groups
    done = [record for group in groups for record in group.completed]
    flat = all(map(collapsed, done))
    if not flat and any(one.n for one in study.every()):
        return ""
    return said(
        "nothing",
        place=groups[0].title if len(groups) == 1 else f"{len(groups)} settings",
        baseline=study.title_of(study.baseline),
        best=_highest(study),
        done=len(done),
        flat=flat,
        first=any(group.first for group in groups),
        alone=all(len(group.lines) == 1 for group in groups),
        part=study.part,
    )


def _highest(study: Study) -> str:
    """Name the highest mean, where there is one setting and no two share it."""
    group, *others = study.groups
    cells = [(summarize(group, line, find_metric(study.primary)), line) for line in group.lines]
    known = [(cell.mean, cell, line) for cell, line in cells if cell.mean is not None]
    if others or not known:
        return ""
    (mean, cell, line), *lower = sorted(known, key=lambda item: -item[0])
    if lower and _equal(mean, lower[0][0]):
        return ""
    text = mean_and_spread(mean, cell.spread, 1, ratio=False)
    name = study.primary_metric.in_text
    return f"; the highest mean {name} is {line.title}'s, {text} % ({cell.n})"


def _equal(one: float | None, other: float | None) -> bool:
    """Whether points are the same but for rounding."""
    return abs((one or 0.0) - (other or 0.0)) < 1e-9


def _which(study: Study) -> str:
    """Say which optimizers were shown to be more or less accurate than the baseline."""
    found = [one for one in study.main(study.primary) if one.n]
    found.sort(key=lambda one: -(one.estimate or 0.0))
    facts = {**_spoken_of(study, found), "numbers": partial(_numbers, study)}
    if not any(one.enough or one.verdict == BETTER for one in found):
        return said("too_few", **facts, remedy=_remedy(study))

    def tied(end: Comparison) -> list[Comparison]:
        return [one for one in found if _equal(one.estimate, end.estimate)]

    return said("which", **facts, study=study, tied=tied, zero=_equal(found[0].estimate, 0.0))


def _numbers(study: Study, one: Comparison) -> str:
    """Return both means as their table has them, difference, interval, p, and number of units.

    Where the difference is of fewer runs than a mean is, each has their number.
    """
    if one.settings > 1:
        return short(one)
    group = next(group for group in study.groups if group.title == one.setting)
    lines = (group.line(label) for label in (one.candidate, one.baseline))
    after, before = (summarize(group, line, one.metric) for line in lines)
    if after.mean is None or before.mean is None:
        return short(one)
    unit = "run" if group.folds else "seed"
    return said("numbers", one=one, after=after, before=before, unit=unit)


def _by_setting(study: Study) -> Iterable[str]:
    """Yield a sentence for each of several settings, what was shown alone, the others in one."""
    every = ([one for one in group.by(study.primary) if one.n] for group in study.groups)
    compared = list(filter(None, every))
    if len(compared) < 2:
        return
    numbers, silent = partial(_numbers, study), []
    for found in compared:
        if shown := [one for one in found if one.shown]:
            yield said("of_setting", study=study, shown=shown, numbers=numbers)
        else:
            silent.append(found)
    if silent:
        few = [found for found in silent if not any(one.enough for one in found)]
        unit = few[0][0].design.unit if few else ""
        facts = {"few": len(few), "unit": unit, "name": study.primary_metric.in_text}
        yield said("silent", settings=len(silent), **facts)


def _remedy(study: Study) -> str:
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


def _cost(study: Study, decision: Decision) -> str:
    """Say what the others cost beside the baseline, as the tables of differences have it."""
    baseline, *others = decision.scope.labels
    both = zip(others, map(decision.cost.__getitem__, others), strict=True)
    told = [(factor(passes.estimate), label, time) for label, (passes, time) in both if passes]
    alike = []
    for (passes, apart), found in by_key(told, lambda one: (one[0], one[2] is None)).items():
        times = [time.estimate for *_, time in found if time]
        ends = [factor(end(times)) for end in (min, max)] if times else []
        alike.append((passes, not apart, [label for _, label, _ in found], ends))
    alike.sort(key=lambda one: float(one[0]))
    return said("cost", study=study, baseline=baseline, alike=alike) if alike else ""


def _spoken_of(study: Study, found: Sequence[Comparison]) -> dict[str, Any]:
    """Return what sentences about some statements have in common: settings, baseline, names.

    The baseline's name is plain where it differs between settings. A candidate is named once, with
    its settings unless all statements are of one.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    most = max(found, key=lambda one: one.settings)
    where = f"Over {most.setting}" if most.settings > 1 else f"In {len(settings)} settings"
    baseline, *others = dict.fromkeys(study.title_of(one.baseline) for one in found)

    def names(some: Sequence[Comparison]) -> list[str]:
        told = []
        for label, own in by_key(some, lambda one: one.candidate).items():
            over = "over " * (own[0].settings > 1) + own[0].setting
            place = over if len(own) == 1 else f"in {len(own)} settings"
            told.append(study.title_of(label) + f" ({place})" * (len(settings) > 1))
        return told

    return {
        "found": found,
        "where": f"For {settings[0]}" if most.settings == len(settings) == 1 else where,
        "baseline": baseline.partition(" (")[0] if others else baseline,
        "names": names,
    }


def _flatness(study: Study) -> str:
    """Say which minima were shown to be flatter, and whether flatter went with more accurate."""
    by_measure = [[one for one in study.main(name) if one.n] for name in FLATNESS]
    found = next(filter(None, by_measure), [])
    if not found:
        measured = any(record.hessian for group in study.groups for record in group.completed)
        return said("no_flatness", measured=measured)
    of_each = [one for group in study.groups for one in group.by(found[0].metric.name)]
    told = {(one.candidate, one.verdict) for one in found}
    flatter = {(one.setting, one.candidate, one.verdict == BETTER) for one in found if one.shown}
    spoiled = [one for one in found if one.spoiled and one.p is not None and one.p < ALPHA]
    better_sides = (one.candidate if one.gains else one.baseline for one in spoiled)
    facts = _spoken_of(study, found)
    if len(study.groups) == 1:
        facts["where"] = ""
    text = said(
        "flatness",
        **facts,
        study=study,
        held_back=list(dict.fromkeys(better_sides)),
        contrary=[o for own in by_measure if own is not found for o in own if o.shown
                  and (o.setting, o.candidate, o.verdict == WORSE) in flatter],
        alone=[o for o in of_each if o.shown and (o.candidate, o.verdict) not in told],
    )  # fmt: skip
    every, within = flat_and_accurate(study) or (None, None)
    if every is None or every.interval is None:
        return text
    return f"{text} {said('link', every=every, within=within)}"


def _cautions(study: Study) -> str:
    """Say what limits the answer: lost runs, choices made silently, too few units."""
    lines = [(group, line) for group in study.groups for line in group.lines]
    text = said(
        "cautions",
        study=study,
        lost=_lost_alike(lines),
        in_doubt=doubts(record for group in study.groups for record in group.completed),
        unskilled=by_key(_unskilled(study), itemgetter(0, 1)),
        at_none=by_key(_at_none([line for _, line in lines]), itemgetter(slice(1, None))),
        several=ambiguous_baseline(study.groups, study.baseline),
        differing=unlike(study, itertools.chain(*study.pooled.values())),
        many=_several_settings(study),
        tuned=list(dict.fromkeys(line.title for _, line in lines if line.role == TUNED)),
    )
    return " ".join(filter(None, (text, settling(study))))


def _at_none(lines: Iterable[Line]) -> Iterable[tuple[str, str, int, int]]:
    """Yield title and measure where runs are at no minimum by it: how many, of how many.

    An optimizer's runs are counted over all settings.
    """
    by_title = by_key(lines, lambda line: line.title)
    for metric, (title, alike) in itertools.product(map(find_metric, FLATNESS), by_title.items()):
        found = (run for line in alike for run in line.read(metric))
        if number := sum(run.value <= 0 and not run.collapsed for run in found):
            yield title, metric.in_text, number, sum(len(line.completed) for line in alike)


def _unskilled(study: Study) -> Iterable[tuple[str, float, str]]:
    """Yield the lines that are hardly more accurate than naming the most frequent class always.

    With the title of the setting and that accuracy, percent; not those whose runs all collapsed.
    """
    for group in study.groups if study.primary == PRIMARY else ():
        found = values_at(group.completed, "final.test.majority_accuracy")
        shares = [100 * share for share in found if isinstance(share, float)]
        for line in group.lines if shares else ():
            cell, share = summarize(group, line, study.primary_metric), fmean(shares)
            above = (cell.mean or 0.0) - share
            if above < study.margin and not all(map(collapsed, line.completed)):
                yield group.title, share, line.title


def _lost_alike(lines: Iterable[tuple[Group, Line]]) -> dict[tuple[Any, ...], list[Any]]:
    """Return the settings of which the same is said: which lines lost runs, how, of how many."""
    lost = (
        (line.title, group.title, tuple(ends.items()), len(line.records), group.folds)
        for group, line in lines
        if (ends := line.lost())
    )
    in_setting = by_key(lost, itemgetter(slice(1, None)))
    said_of = (
        (tuple(title for title, *_ in alike), *end, setting)
        for (setting, *end), alike in in_setting.items()
    )
    return by_key(said_of, itemgetter(slice(None, -1)))


def settling(study: Study) -> str:
    """Say what would settle what is undecided; nothing where runs are too few to tell."""
    enough = any(one.enough for one in study.main(study.primary))
    return said("settling", remedy=seeds) if enough and (seeds := _remedy(study)) else ""


def _several_settings(study: Study) -> list[str]:
    """Return the names of optimizers with several lines under one setting, but not by a search."""
    given = ((line for line in group.lines if line.role != TUNED) for group in study.groups)
    by_name = (by_key(lines, lambda line: line.optimizer["name"]) for lines in given)
    several = (lines for found in by_name for lines in found.values() if len(lines) > 1)
    titles = (line.title.partition(" (")[0] for lines in several for line in lines)
    return list(dict.fromkeys(titles))
