"""What follows from a choice, and what limits the answer: cost, flatness, lost runs, open ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from sambench.analysis.comparison import BETTER, WORSE, Comparison
from sambench.analysis.decision import Decision, coarse, flat_and_accurate, settle
from sambench.analysis.grouping import ambiguous_baseline
from sambench.analysis.groups import Group, by_key
from sambench.analysis.inference import ALPHA
from sambench.analysis.metrics import find_metric
from sambench.analysis.study import FLATNESS, Study
from sambench.analysis.time_estimates import duration
from sambench.analysis.troubles import leakage
from sambench.analysis.units import device_of
from sambench.report.differences import interval, unlike
from sambench.report.forms import MOST_NAMED, worded
from sambench.report.table import MISSING, counted, factor, listed, p_value, points, signed, was

MOST_SEEDS = 500
"""Of more no number is given."""


def few_images(study: Study) -> str:
    """Say that the test images are too few for the margin, where they are."""
    images = coarse(study)
    if images is None:
        return ""
    return (
        f"One of the {counted(images, 'test image')} is {100 / images:.2g} points, more than the "
        f"margin of {points(study.margin)}: equivalence by it speaks of these images alone."
    )


def short(one: Comparison) -> str:
    """Return the difference or ratio, its interval, p, and the number of units."""
    parts = [
        "" if interval(one) == MISSING else f"95 % interval {interval(one)}",
        "" if one.p is None else p_value(one.p, named=True),
        counted(one.n, one.design.unit),
    ]
    size = one.estimate or 0.0
    amount = f"{factor(size)} times" if one.metric.ratio else f"{signed(size, 1)} points"
    return f"{amount} ({', '.join(filter(None, parts))})"


def remedy(study: Study) -> str:
    """Return how many seeds would settle what is open and what they cost; nothing if unknown.

    Nor of a part of the runs, of which more may be there.
    """
    found, margin = None if study.part else settle(study), points(study.margin)
    if found is None:
        return ""
    seeds, seconds = found
    if seeds > MOST_SEEDS:
        many = f"more than {MOST_SEEDS} would be needed"
        why = "the test images are too few" if coarse(study) else many
        return f"{margin} cannot be shown or ruled out by more seeds, for {why}"
    cost = f", about {duration(seconds)} more" if seconds else ""
    return f"about {seeds} seeds would show or rule out {margin} (`--seeds {seeds}`{cost})"


def cost(study: Study, decision: Decision) -> str:
    """Say what the others cost beside the baseline, as the tables of differences have it."""
    (baseline, *others), groups = decision.scope.labels, decision.scope.groups
    machines = _devices(groups, baseline)
    alike: dict[tuple[str, bool], list[str]] = {}
    for label in others:
        evaluations, _ = decision.cost[label]
        if evaluations is not None:
            comparable = bool(machines & _devices(groups, label))
            alike.setdefault((factor(evaluations), comparable), []).append(label)
    if not alike:
        return ""
    parts = []
    for (times_more, comparable), labels in sorted(alike.items(), key=lambda one: float(one[0][0])):
        times = [t for label in labels if (t := decision.cost[label][1]) is not None]
        names = listed([study.title_of(label) for label in labels], MOST_NAMED)
        span = " to ".join(dict.fromkeys(factor(end(times)) for end in (min, max) if times))
        span = span if comparable else "not comparable: another device"
        parts.append(f"{names} {times_more}{f' ({span})' if span else ''}")
    return (
        f"Gradient evaluations in multiples of {study.title_of(baseline)}'s, in parentheses "
        f"training time: {'; '.join(parts)}."
    )


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
        if any(record.hessian for group in study.groups for record in group.completed):
            return "Flatness cannot be compared: no seed has a minimum on both sides."
        return "Flatness was not measured (`sambench hessian RUN` does)."
    flatter = [one for one in found if one.verdict == BETTER]
    flatter.sort(key=lambda one: one.estimate or 0.0)
    sharper = [one for one in found if one.verdict == WORSE]
    held_back = [one for one in found if one.spoiled and one.p is not None and one.p < ALPHA]
    of_each = [one for group in study.groups for one in group.by(found[0].metric.name)]
    said = {(one.candidate, one.verdict) for one in found}
    better_sides = (one.candidate if one.gains else one.baseline for one in held_back)
    text = worded(
        "answer.md",
        "flatness",
        where=where(study, found) if len({one.setting for one in of_each if one.n}) > 1 else "",
        found=found,
        tested=[one for one in found if one.p is not None],
        spoiled=[study.title_of(label) for label in dict.fromkeys(better_sides)],
        untested=named(study, [one for one in found if one.p is None], found),
        baseline=baseline_of(study, found),
        flatter=named(study, flatter, found),
        sharper=named(study, sharper, found),
        first=named(study, flatter[:1], found),
        ratio=short(flatter[0]) if flatter else "",
        alone=[
            f"{study.title_of(one.candidate)} {'flatter' if one.verdict == BETTER else 'sharper'} "
            f"in {one.setting}, {short(one)}"
            for one in of_each
            if one.shown and (one.candidate, one.verdict) not in said
        ],
    )
    every, within = flat_and_accurate(study) or (None, None)
    if every is None or every.interval is None:
        return text
    return f"{text} {worded('answer.md', 'link', every=every, within=within)}"


def cautions(study: Study) -> Iterable[str]:
    """Say what limits the answer: lost runs, choices made silently, too few units."""
    yield from lost_runs(study)
    if torn := leakage(record for group in study.groups for record in group.completed):
        yield f"{torn}; `--set split=grouped-5` keeps them together."
    yield from no_minima(study)
    if several := ambiguous_baseline(study.groups, study.baseline):
        names = [study.title_of(label) for label in several]
        yield (
            f"{names[0].partition(' (')[0]} was run with several settings ({listed(names)}); "
            f"the baseline is {names[0]}. Name another with `--baseline '{several[1]}'`."
        )
    if differing := unlike(study, itertools.chain(*study.pooled.values())):
        yield f"{differing} Methods says which it has where."
    if tuned := _several_settings(study):
        yield (
            f"{listed(tuned, MOST_NAMED)} {was(tuned)} run with several settings on the "
            "same test images: choosing the best of them by these results is not a test of it."
        )
    yield from settling(study)


def settling(study: Study) -> Iterable[str]:
    """Yield what would settle what is undecided, where there are runs enough to tell."""
    seeds = remedy(study)
    if seeds and any(one.enough for one in study.main(study.primary)):
        yield f"What is undecided stays open because of the spread between seeds: {seeds}."


def no_minima(study: Study) -> Iterable[str]:
    """Yield a sentence for each optimizer whose runs ended where curvature is zero or negative."""
    for name in FLATNESS:
        metric = find_metric(name)
        for group in study.groups:
            for line in group.lines:
                number = sum(run.value <= 0 and not run.collapsed for run in line.read(metric))
                if number:
                    yield (
                        f"The {metric.heading.lower()} of {line.title} is zero or negative in "
                        f"{number} of {counted(len(line.completed), 'run')}: no minimum, and not "
                        "called flat."
                    )


def lost_runs(study: Study) -> Iterable[str]:
    """Yield a sentence for each optimizer that lost runs."""
    for group in study.groups:
        for line in group.lines:
            if lost := line.lost():
                where = f" ({group.title})" if len(study.groups) > 1 else ""
                of = counted(len(line.records), "run" if group.folds else "seed")
                how = " and ".join(f"{how} in {number}" for how, number in lost.items())
                yield f"{line.title} {how} of {of}{where}."


def _several_settings(study: Study) -> list[str]:
    """Return the names of optimizers with several lines under one setting, the baseline apart."""
    by_name = (by_key(group.lines, lambda line: line.optimizer["name"]) for group in study.groups)
    several = (lines for found in by_name for lines in found.values() if len(lines) > 1)
    titles = (line.title.partition(" (")[0] for lines in several for line in lines)
    return list(dict.fromkeys(titles))
