"""The answer in words: which optimizer, at what cost, how flat, and what would settle it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sambench.analysis.comparison import BETTER, EQUIVALENT, WORSE, Comparison
from sambench.analysis.decision import Decision, decide
from sambench.analysis.groups import Group
from sambench.analysis.metrics import collapsed, find_metric
from sambench.analysis.study import PRIMARY, Panel, Study
from sambench.analysis.units import cell_of
from sambench.report.consequences import MOST_NAMED, cautions, cost, flatness, remedy, short
from sambench.report.table import listed, mean_and_spread, signed


def answer_text(study: Study) -> tuple[str, ...]:
    """Return the answer's paragraphs; the first is the one to quote."""
    nothing = _nothing_to_say(study)
    if nothing:
        return (nothing,)
    decision = decide(study)
    parts = [
        _which(study),
        *([_choice(study, decision)] if decision else []),
        *([cost(study, decision)] if decision else []),
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
    best = _highest(groups)
    if not any(group.baseline and group.lines[0].completed for group in groups):
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


def _highest(groups: Sequence[Group]) -> str:
    metric = find_metric(PRIMARY)
    cells = [
        (cell.mean, cell, line)
        for group in groups
        for line in group.lines
        if (cell := cell_of(group, line, metric)).mean is not None
    ]
    if len(groups) > 1 or not cells:
        return ""
    mean, cell, line = max(cells, key=lambda item: item[0] or 0.0)
    text = mean_and_spread(mean or 0.0, cell.spread, 1, ratio=False)
    return f"; the highest mean test accuracy is {line.title}'s, {text} % ({cell.n})"


def _which(study: Study) -> str:
    """Say which optimizers were shown to be more or less accurate than the baseline."""
    found = [one for one in study.main(PRIMARY) if one.n]
    baseline = study.title_of(found[0].baseline)
    pooled = found[0].settings > 1
    where = f"Over {found[0].setting}" if pooled else _place(study)
    by_verdict: dict[str, list[Comparison]] = {}
    for one in sorted(found, key=lambda one: -(one.estimate or 0.0)):
        by_verdict.setdefault(one.verdict, []).append(one)
    sentences = []
    better = by_verdict.get(BETTER, [])
    largest = better[0] if better else max(found, key=lambda one: one.estimate or 0.0)
    if better:
        names = [study.title_of(one.candidate) for one in better]
        were = "was" if len(names) == 1 else "were"
        sentences.append(
            f"{where}, {listed(names, MOST_NAMED)} {were} shown to be more accurate than "
            f"{baseline}: {'; '.join(_numbers(study, one, len(names) > 1) for one in better[:3])}."
        )
    elif not any(one.enough for one in found):
        return _too_few(study, found, where)
    else:
        gains = (largest.estimate or 0.0) > 0
        title = study.title_of(largest.candidate)
        what = (
            f"{_tied_first(study, found, largest)} {_numbers(study, largest, named=False)}"
            if gains
            else f"None gained anything; the smallest loss was {title}'s: "
            f"{_numbers(study, largest, named=False)}"
        )
        seen = "" if largest.verdict == WORSE else f" {what}."
        sentences.append(
            f"{where}, no optimizer was shown to be more accurate than {baseline}.{seen}"
        )
    if largest.images is not None and largest.verdict != WORSE:
        ends = " to ".join(signed(end, 1) for end in largest.images)
        title = study.title_of(largest.candidate)
        sentences.append(
            f"Over other seeds and other test images alike, {title}'s difference lies between "
            f"{ends.replace(' to ', ' and ')} points (95 %, by itself)."
        )
    worse = by_verdict.get(WORSE, [])
    if worse:
        names = [study.title_of(one.candidate) for one in worse]
        were = "was" if len(names) == 1 else "were"
        most = study.title_of(worse[-1].candidate)
        last = (
            f": {short(worse[-1])}"
            if len(worse) == 1
            else f"; the largest loss was {most}'s: {_numbers(study, worse[-1], named=False)}"
        )
        sentences.append(f"{listed(names, MOST_NAMED)} {were} shown to be less accurate{last}.")
    same = by_verdict.get(EQUIVALENT, [])
    if same:
        margin = same[0].metric.margin or 1.0
        names = [study.title_of(one.candidate) for one in same]
        sentences.append(
            f"{listed(names, MOST_NAMED)} {'is' if len(names) == 1 else 'are'} equivalent to "
            f"{baseline}: shown to differ by less than {margin:g} point{'s' * (margin != 1)}."
        )
    return " ".join(sentences)


def _place(study: Study) -> str:
    titles = [panel.title for panel in study.panels if any(one.n for one in panel.by(PRIMARY))]
    return f"For {titles[0]}" if len(titles) == 1 else f"In {len(titles)} settings"


def _tied_first(study: Study, found: Sequence[Comparison], largest: Comparison) -> str:
    gains = [one for one in found if abs((one.estimate or 0.0) - (largest.estimate or 0.0)) < 1e-9]
    names = [study.title_of(one.candidate) for one in gains]
    if len(names) > 1:
        return f"The largest gain of the {len(found)} was that of {listed(names)}, equal:"
    if len(found) == 1:
        return f"{names[0]}:"
    return f"The largest gain of the {len(found)} was {names[0]}'s:"


def _numbers(study: Study, one: Comparison, named: bool) -> str:
    """Return both means, the difference, its interval, p, and the number of units."""
    sides = _sides(study, one)
    name = f"{study.title_of(one.candidate)} " if named else ""
    return f"{name}{sides}{short(one)}"


def _sides(study: Study, one: Comparison) -> str:
    """Return the two means of one setting, as its table has them."""
    if one.settings > 1:
        return ""
    for panel in study.panels:
        if panel.title == one.setting:
            cells = [
                cell_of(panel.group, panel.group.line(label), one.metric)
                for label in (one.candidate, one.baseline)
            ]
            if all(cell.mean is not None for cell in cells):
                after, before = (cell.mean or 0.0 for cell in cells)
                return f"{after:.1f} % of test images against {before:.1f} %, "
    return ""


def _too_few(study: Study, found: Sequence[Comparison], where: str) -> str:
    """Say that nothing can be shown, what was seen, and how many units it takes."""
    most = max(found, key=lambda one: one.n)
    need = most.design.least_units
    largest = max(found, key=lambda one: one.estimate or 0.0)
    seen = f"{study.title_of(largest.candidate)} {_numbers(study, largest, named=False)}"
    return (
        f"{where}, {most.design.units(most.n)} cannot show any difference to "
        f"{study.title_of(most.baseline)}; it takes {need}{remedy(study)}. Seen so far, and no "
        f"evidence: {seen}."
    )


def _choice(study: Study, decision: Decision) -> str:
    """Say which may be the best, which of these is cheapest, and what the choice may lose."""
    best = [study.title_of(label) for label in decision.best]
    out = [study.title_of(label) for label in decision.labels if label not in decision.best]
    if len(best) == 1:
        sentence = f"{best[0]} is the best: every other optimizer was shown to be less accurate."
        return f"{sentence}{_tied(study, decision)}"
    if not out:
        may = (
            f"{'Either' if len(best) == 2 else f'Any of the {len(best)}'} may be the most accurate"
        )
    elif len(best) <= MOST_NAMED:
        may = f"{listed(best)} may be the most accurate; the others were shown not to be"
    else:
        may = f"All but {listed(out, MOST_NAMED)} may be the most accurate"
    choice = [study.title_of(label) for label in decision.choice]
    if len(choice) == 1:
        cheapest = f"{choice[0]} is the cheapest of them"
    else:
        cheapest = f"the cheapest of them, at the same cost, are {listed(choice, MOST_NAMED)}"
    loss = (
        f". Choosing {choice[0]} loses at most {decision.loss:.1f} points against the best of the "
        "others (95 %)"
        if decision.loss is not None
        else ""
    )
    return f"{may}; {cheapest}{loss}.{_tied(study, decision)}"


def _tied(study: Study, decision: Decision) -> str:
    if not decision.tied:
        return ""
    names = [study.title_of(label) for label in decision.tied]
    return f" {listed(names)} have exactly the same mean accuracy."


def _by_setting(study: Study) -> Iterable[str]:
    """Yield a sentence for each of several settings, what was shown alone, the others in one."""
    if len(study.panels) < 2:
        return
    silent: list[Panel] = []
    for panel in study.panels:
        found = [one for one in panel.by(PRIMARY) if one.n]
        shown = [one for one in found if one.shown]
        if not shown:
            silent += [panel] if found else []
            continue
        parts = [
            f"{study.title_of(one.candidate)} "
            f"{'more' if one.verdict == BETTER else 'less'} accurate, "
            f"{_sides(study, one)}{short(one)}"
            for one in shown
        ]
        yield f"{panel.title}: {'; '.join(parts[:MOST_NAMED])}."
    if silent:
        few = [p for p in silent if not any(one.enough for one in p.by(PRIMARY))]
        settings = "setting" if len(silent) == 1 else "settings"
        why = (
            f" ({len(few)} of them with too few {few[0].by(PRIMARY)[0].design.unit}s to show any)"
            if few
            else ""
        )
        yield (
            f"Taken by {'itself' if len(silent) == 1 else 'themselves'}, {len(silent)} {settings} "
            f"showed no difference in accuracy{why}."
        )
