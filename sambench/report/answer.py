"""The answer in words: which optimizer, at what cost, how flat, and what would settle it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sambench.analysis.comparison import BETTER, EQUIVALENT, WORSE, Comparison
from sambench.analysis.decision import Decision, decide
from sambench.analysis.metrics import collapsed, find_metric
from sambench.analysis.study import PRIMARY, Study
from sambench.analysis.units import summarize
from sambench.report.consequences import MOST_NAMED, cautions, cost, flatness, remedy, short
from sambench.report.table import counted, listed, mean_and_spread, points, signed, was


def answer_text(study: Study) -> tuple[str, ...]:
    """Return the answer's paragraphs; the first is the one to quote."""
    nothing = _nothing_to_say(study)
    if nothing:
        return (nothing,)
    decision = decide(study)
    parts = [
        _which(study),
        *([_choice(study, decision), cost(study, decision)] if decision else []),
        flatness(study),
        " ".join(cautions(study)),
        *_by_setting(study),
    ]
    return tuple(part for part in parts if part)


def _nothing_to_say(study: Study) -> str:
    """Return why no optimizers can be compared; nothing where they can."""
    groups = study.groups
    done = [record for group in groups for record in group.completed]
    place = groups[0].title if len(groups) == 1 else f"{len(groups)} settings"
    baseline = study.title_of(study.baseline)
    if not done:
        return f"{place}: no run is completed. `sambench compare` makes some."
    if all(map(collapsed, done)):
        runs = "The one completed run predicts" if len(done) == 1 else (
            f"All {len(done)} completed runs predict"
        )  # fmt: skip
        return (
            f"{place}: {runs} one class for every test image, so neither accuracy nor flatness "
            "says anything about the optimizers. Train longer or with another learning rate."
        )
    if any(one.n for one in study.every()):
        return ""
    best = _highest(study)
    if not any(group.first for group in groups):
        return (
            f"{place}: there is no completed run of the baseline {baseline}, so no optimizer can "
            f"be compared with it{best}. Run it, or name another with `--baseline`."
        )
    if all(len(group.lines) == 1 for group in groups):
        return f"{place}: only {baseline} was run{best}. Run another optimizer to compare it with."
    return (
        f"{place}: no completed run shares seed and fold with one of {baseline}, so nothing can be "
        f"compared{best}. Run both with the same seeds and folds."
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
    return f"; the highest mean {study.primary_name} is {line.title}'s, {text} % ({cell.n})"


BEST = "the best"
ACCURATE = {
    BETTER: "more accurate",
    WORSE: "less accurate",
    BEST: "the most accurate",
}
"""What is said of accuracy; of another metric an optimizer is better, worse or the best "in" it."""


def _how(study: Study, standing: str) -> str:
    """Return a standing in words of the primary metric."""
    return ACCURATE[standing] if study.primary == PRIMARY else f"{standing} in {study.primary_name}"


def _which(study: Study) -> str:
    """Say which optimizers were shown to be more or less accurate than the baseline."""
    found = [one for one in study.main(study.primary) if one.n]
    found.sort(key=lambda one: -(one.estimate or 0.0))
    baseline = study.title_of(found[0].baseline)
    where = f"Over {found[0].setting}" if found[0].settings > 1 else _place(study)
    better, worse, same = (
        [one for one in found if one.verdict == verdict] for verdict in (BETTER, WORSE, EQUIVALENT)
    )
    if not better and not any(one.enough for one in found):
        return _too_few(study, found, where)
    largest = found[0]
    names, lost, alike = (
        [study.title_of(one.candidate) for one in some] for some in (better, worse, same)
    )
    sentences = []
    if better:
        numbers = "; ".join(
            f"{f'{name} ' if len(names) > 1 else ''}{_numbers(study, one)}"
            for name, one in zip(names[:3], better[:3], strict=True)
        )
        sentences.append(
            f"{where}, {listed(names, MOST_NAMED)} {was(names)} shown to be "
            f"{_how(study, BETTER)} than {baseline}: {numbers}."
        )
        largest = better[0]
    else:
        sentences.append(
            f"{where}, no optimizer was shown to be {_how(study, BETTER)} than {baseline}."
        )
        if largest.verdict != WORSE:
            sentences.append(f"{_largest(study, found)} {_numbers(study, largest)}.")
    if largest.images is not None and largest.verdict != WORSE:
        ends = " and ".join(signed(end, 1) for end in largest.images)
        sentences.append(
            f"Over other seeds and other test images alike, {study.title_of(largest.candidate)}'s "
            f"difference lies between {ends} points (95 %, by itself)."
        )
    if worse:
        last = (
            f": {short(worse[-1])}"
            if len(worse) == 1
            else f"; the largest loss was {lost[-1]}'s: {_numbers(study, worse[-1])}"
        )
        sentences.append(
            f"{listed(lost, MOST_NAMED)} {was(lost)} shown to be {_how(study, WORSE)}{last}."
        )
    if same:
        sentences.append(
            f"{listed(alike, MOST_NAMED)} {'is' if len(alike) == 1 else 'are'} equivalent to "
            f"{baseline}: shown to differ by less than {points(same[0].metric.margin or 1.0)}."
        )
    return " ".join(sentences)


def _place(study: Study) -> str:
    titles = [
        panel.title for panel in study.panels if any(one.n for one in panel.by(study.primary))
    ]
    return f"For {titles[0]}" if len(titles) == 1 else f"In {len(titles)} settings"


def _largest(study: Study, found: Sequence[Comparison]) -> str:
    """Name the largest gain, or those that tie, or the smallest loss."""
    most = found[0].estimate or 0.0
    tied = [one for one in found if abs((one.estimate or 0.0) - most) < 1e-9]
    names = [study.title_of(one.candidate) for one in tied]
    if most <= 0:
        return f"None gained anything; the smallest loss was {names[0]}'s:"
    if len(names) > 1:
        return f"The largest gain of the {len(found)} was that of {listed(names)}, equal:"
    if len(found) == 1:
        return f"{names[0]}:"
    return f"The largest gain of the {len(found)} was {names[0]}'s:"


def _numbers(study: Study, one: Comparison) -> str:
    """Return both means as their table has them, difference, interval, p, and number of units."""
    if one.settings > 1:
        return short(one)
    group = next(group for group in study.groups if group.title == one.setting)
    lines = (group.line(label) for label in (one.candidate, one.baseline))
    after, before = (summarize(group, line, one.metric).mean for line in lines)
    if after is None or before is None:
        return short(one)
    of = " of test images" if one.metric.name == PRIMARY else ""
    return f"{after:.1f} %{of} against {before:.1f} %, {short(one)}"


def _too_few(study: Study, found: Sequence[Comparison], where: str) -> str:
    """Say that nothing can be shown, what was seen, and how many units it takes."""
    most, seeds = max(found, key=lambda one: one.n), remedy(study)
    return (
        f"{where}, {counted(most.n, most.design.unit)} cannot show any difference to "
        f"{study.title_of(most.baseline)}; it takes {most.design.least_units}"
        f"{f'; {seeds}' if seeds else ''}. Seen so far, and no evidence: "
        f"{study.title_of(found[0].candidate)} {_numbers(study, found[0])}."
    )


def _choice(study: Study, decision: Decision) -> str:
    """Say which may be the best, which of these is cheapest, and what the choice may lose."""
    best, out, choice, tied = (
        [study.title_of(label) for label in labels]
        for labels in (
            decision.best,
            [label for label in decision.labels if label not in decision.best],
            decision.choice,
            decision.tied,
        )
    )
    equal = f" {listed(tied)} have exactly the same mean {study.primary_name}." if tied else ""
    if len(best) == 1:
        beaten = f"every other optimizer was shown to be {_how(study, WORSE)}"
        return f"{best[0]} is the best: {beaten}.{equal}"
    if not out:
        any_of = "Either" if len(best) == 2 else f"Any of the {len(best)}"
        may = f"{any_of} may be {_how(study, 'the best')}"
    elif len(best) <= MOST_NAMED:
        may = f"{listed(best)} may be {_how(study, 'the best')}; the others were shown not to be"
    else:
        may = f"All but {listed(out, MOST_NAMED)} may be {_how(study, 'the best')}"
    if len(choice) == 1:
        cheapest = f"{choice[0]} is the cheapest of them"
    else:
        cheapest = f"the cheapest of them, at the same cost, are {listed(choice, MOST_NAMED)}"
    loss = (
        ""
        if decision.loss is None
        else f". Choosing {choice[0]} loses at most {decision.loss:.1f} points against the best of "
        "the others (95 %)"
    )
    return f"{may}; {cheapest}{loss}.{equal}"


def _by_setting(study: Study) -> Iterable[str]:
    """Yield a sentence for each of several settings, what was shown alone, the others in one."""
    every = [
        (panel.title, [one for one in panel.by(study.primary) if one.n]) for panel in study.panels
    ]
    compared = [(title, found) for title, found in every if found]
    if len(compared) < 2:
        return
    for title, found in compared:
        parts = [
            f"{study.title_of(one.candidate)} {_how(study, one.verdict)}, {_numbers(study, one)}"
            for one in found
            if one.shown
        ]
        if parts:
            yield f"{title}: {'; '.join(parts[:MOST_NAMED])}."
    silent = [found for _, found in compared if not any(one.shown for one in found)]
    if silent:
        few = [found for found in silent if not any(one.enough for one in found)]
        unit = few[0][0].design.unit if few else ""
        why = f" ({len(few)} of them with too few {unit}s to show any)" if few else ""
        yield (
            f"Taken by {'itself' if len(silent) == 1 else 'themselves'}, "
            f"{counted(len(silent), 'setting')} showed no difference in {study.primary_name}{why}."
        )
