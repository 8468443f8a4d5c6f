"""The answer in words: which optimizer, at what cost, how flat, and what would settle it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from sambench.analysis.comparison import BETTER, WORSE, Comparison
from sambench.analysis.decision import Decision, Scope, decide, find_scope
from sambench.analysis.inference import FOLDS, SEEDS
from sambench.analysis.metrics import collapsed, find_metric
from sambench.analysis.study import PRIMARY, Study
from sambench.analysis.units import summarize
from sambench.report import consequences
from sambench.report.consequences import said
from sambench.report.notes import on_few_images
from sambench.report.table import mean_and_spread, short


def answer_text(study: Study) -> tuple[str, ...]:
    """Return the answer's paragraphs; the first is the one to quote."""
    part = f"These are the runs with {study.part} alone." if study.part else ""
    if nothing := _nothing_to_say(study):
        return (f"{part} {nothing}".strip(),)
    scope = find_scope(study)
    decision = decide(study, scope)
    chosen = [said("no_choice", study=study, scope=scope, where=_over(study, scope))]
    if decision:
        chosen = [_choice(study, decision), consequences.cost(study, decision)]
    few_images = on_few_images(study.groups, study.primary_metric)
    parts = [
        " ".join(filter(None, (part, _which(study), *few_images))),
        *chosen,
        consequences.flatness(study),
        consequences.cautions(study),
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
    """Name the highest mean, where there is one setting."""
    group, *others = study.groups
    cells = [(summarize(group, line, find_metric(study.primary)), line) for line in group.lines]
    known = [(cell.mean, cell, line) for cell, line in cells if cell.mean is not None]
    if others or not known:
        return ""
    mean, cell, line = max(known, key=lambda item: item[0])
    text = mean_and_spread(mean, cell.spread, 1, ratio=False)
    name = study.primary_metric.in_text
    return f"; the highest mean {name} is {line.title}'s, {text} % ({cell.n})"


EQUAL = 1e-9
"""Points by which means differ that are the same but for rounding."""

BEST = "the best"
ACCURATE = {BETTER: "more accurate", WORSE: "less accurate", BEST: "the most accurate"}
"""What is said of accuracy; of another metric an optimizer is better, worse or the best "in" it."""


def _how(study: Study, standing: str) -> str:
    """Return a standing in words of the primary metric."""
    name = study.primary_metric.in_text
    return ACCURATE[standing] if study.primary == PRIMARY else f"{standing} in {name}"


def _which(study: Study) -> str:
    """Say which optimizers were shown to be more or less accurate than the baseline."""
    found = [one for one in study.main(study.primary) if one.n]
    found.sort(key=lambda one: -(one.estimate or 0.0))
    facts: dict[str, Any] = {
        "where": consequences.where(study, found),
        "found": found,
        "baseline": consequences.baseline_of(study, found),
        "names": partial(consequences.named, study, among=found),
        "numbers": partial(_numbers, study),
    }
    if not any(one.enough or one.verdict == BETTER for one in found):
        return said("too_few", **facts, remedy=consequences.remedy(study))
    most = found[0].estimate or 0.0
    tied = [one for one in found if abs((one.estimate or 0.0) - most) < EQUAL]
    return said("which", **facts, tied=tied, zero=abs(most) < EQUAL, how=partial(_how, study))


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


def _choice(study: Study, decision: Decision) -> str:
    """Say which may be the best, which of these is cheapest, and what the choice may lose."""
    return said(
        "choice",
        study=study,
        decision=decision,
        where=_over(study, decision.scope),
        how=partial(_how, study),
        design=FOLDS if decision.scope.groups[0].folds else SEEDS,
    )


def _over(study: Study, scope: Scope | None) -> str:
    """Say which settings a choice is over; nothing where one is all there is."""
    if scope is None or len(study.groups) == 1:
        return ""
    many = len(scope.groups)
    return f"Over {many} settings" if many > 1 else f"For {scope.groups[0].title}"


def _by_setting(study: Study) -> Iterable[str]:
    """Yield a sentence for each of several settings, what was shown alone, the others in one."""
    every = ([one for one in group.by(study.primary) if one.n] for group in study.groups)
    compared = list(filter(None, every))
    if len(compared) < 2:
        return
    numbers, how, silent = partial(_numbers, study), partial(_how, study), []
    for found in compared:
        if shown := [one for one in found if one.shown]:
            yield said("of_setting", study=study, shown=shown, how=how, numbers=numbers)
        else:
            silent.append(found)
    if silent:
        few = [found for found in silent if not any(one.enough for one in found)]
        unit = few[0][0].design.unit if few else ""
        facts = {"few": len(few), "unit": unit, "name": study.primary_metric.in_text}
        yield said("silent", settings=len(silent), **facts)
