"""What follows from a choice, and what limits the answer: cost, flatness, lost runs, open ends."""

from __future__ import annotations

from collections.abc import Iterable

from sambench.analysis.comparison import BETTER, WORSE, Comparison
from sambench.analysis.decision import Decision, flat_and_accurate, settle
from sambench.analysis.groups import ambiguous_baseline, by_key
from sambench.analysis.metrics import find_metric
from sambench.analysis.study import FLATNESS, Study
from sambench.analysis.time_estimates import duration
from sambench.analysis.troubles import leakage
from sambench.report.differences import interval
from sambench.report.forms import MOST_NAMED, worded
from sambench.report.table import MISSING, counted, factor, listed, p_value, points, signed, was


def short(one: Comparison) -> str:
    """Return the difference or ratio, its interval, p, and the number of units."""
    parts = [
        "" if interval(one) == MISSING else f"95 % interval {interval(one)}",
        "" if one.p is None else p_value(one.p, named=True),
        counted(one.n, one.design.unit),
    ]
    amount = (
        f"{factor(one.estimate or 0.0)} times"
        if one.metric.ratio
        else f"{signed(one.estimate or 0.0, 1)} points"
    )
    return f"{amount} ({', '.join(filter(None, parts))})"


def remedy(study: Study) -> str:
    """Return how many seeds would settle what is open and what they cost; nothing if unknown."""
    found = settle(study)
    if found is None or found.present >= found.units:
        return ""
    cost = f", about {duration(found.seconds)} more" if found.seconds else ""
    return (
        f"about {found.units} seeds would show or rule out {points(found.margin)} "
        f"(`--seeds {found.units}`{cost})"
    )


def cost(study: Study, decision: Decision) -> str:
    """Say what the others cost beside the choice."""
    first = study.title_of(decision.choice[0])
    groups: dict[str, list[str]] = {}
    for label, (evaluations, _) in decision.cost.items():
        if label not in decision.choice and evaluations is not None:
            groups.setdefault(factor(evaluations), []).append(label)
    if not groups:
        return ""
    parts = []
    for times_more, labels in sorted(groups.items(), key=lambda item: float(item[0])):
        times = [t for label in labels if (t := decision.cost[label][1]) is not None]
        names = listed([study.title_of(label) for label in labels], MOST_NAMED)
        span = " to ".join(dict.fromkeys(factor(end(times)) for end in (min, max) if times))
        parts.append(f"{names} {times_more}{f' ({span})' if span else ''}")
    return (
        f"Gradient evaluations in multiples of {first}'s, in parentheses training time: "
        f"{'; '.join(parts)}."
    )


def flatness(study: Study) -> str:
    """Say which minima were shown to be flatter, and whether flatter went with more accurate."""
    by_measure = ([one for one in study.main(name) if one.n] for name in FLATNESS)
    found = next(filter(None, by_measure), None)
    if not found:
        measured = any(record.hessian for group in study.groups for record in group.completed)
        return (
            "Flatness cannot be compared: no seed has a minimum on both sides."
            if measured
            else "Flatness was not measured (`sambench hessian RUN` does)."
        )
    flatter = [one for one in found if one.verdict == BETTER]
    flatter.sort(key=lambda one: one.estimate or 0.0)
    text = worded(
        "answer.md",
        "flatness",
        found=found,
        baseline=study.title_of(found[0].baseline),
        flatter=[study.title_of(one.candidate) for one in flatter],
        sharper=[study.title_of(one.candidate) for one in found if one.verdict == WORSE],
        ratio=short(flatter[0]) if flatter else "",
    )
    return " ".join(filter(None, (text, _link(study))))


def _link(study: Study) -> str:
    """Say whether flatter runs were the more accurate ones, over all and of one optimizer."""
    every, within = flat_and_accurate(study) or (None, None)
    if every is None or every.interval is None:
        return ""
    return worded("answer.md", "link", every=every, within=within)


def cautions(study: Study) -> Iterable[str]:
    """Say what limits the answer: lost runs, choices made silently, too few units."""
    yield from lost_runs(study)
    if torn := leakage(record for group in study.groups for record in group.completed):
        yield f"{torn}; `--set split=grouped-5` keeps them together."
    yield from no_minima(study)
    several = ambiguous_baseline(study.groups, study.baseline)
    if several:
        names = [study.title_of(label) for label in several]
        yield (
            f"{names[0].partition(' (')[0]} was run with several settings ({listed(names)}); "
            f"the baseline is {names[0]}. Name another with `--baseline '{several[1]}'`."
        )
    tuned = _several_settings(study)
    if tuned:
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
                number = sum(value <= 0 and not flat for _, value, flat in line.read(metric))
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
            lost = line.lost()
            if lost:
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
