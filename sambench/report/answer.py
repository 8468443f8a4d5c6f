"""The answer in words: two sentences for each setting, and two over all of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sambench.analysis.answer import (
    ALL_COLLAPSED,
    ALONE,
    NO_BASELINE,
    NO_PAIR,
    NO_RUN,
    NOT_SHOWN,
    OUT_OF_REACH,
    SHOWN,
    Answer,
)
from sambench.analysis.comparison import ALPHA, BETTER, WORSE, Comparison
from sambench.report.table import format_summary, significant


def answer_text(found: Sequence[Answer], baseline: str) -> tuple[str, ...]:
    """Return the answer's paragraphs, each of two sentences; the first is the one to quote.

    Args:
        found: The answer of each setting.
        baseline: The optimizer that the others are compared with.
    """
    each = tuple(f"{_first(one, baseline)} {_second(one, baseline)}" for one in found)
    return each if len(each) == 1 else (_overall(found, baseline), *each)


def _overall(found: Sequence[Answer], baseline: str) -> str:
    shown = [one for one in found if one.standing == SHOWN]
    winners: dict[str, list[float]] = {}
    for one in shown:
        for label in one.better:
            gain = one.panel.comparison(label, "accuracy")
            if gain is not None and gain.difference is not None:
                winners.setdefault(label, []).append(gain.difference)
    ranked = sorted(winners.items(), key=lambda item: (-len(item[1]), -max(item[1])))
    named = "; ".join(f"{label} in {len(gains)} ({_range(gains)})" for label, gains in ranked)
    blind = sum(one.standing not in (SHOWN, NOT_SHOWN) for one in found)
    unable = f", and {blind} of the settings cannot show any difference" if blind else ""
    first = (
        f"In {len(shown)} of {len(found)} settings an optimizer is shown to be more accurate than "
        f"{baseline}: {named}{unable}."
        if shown
        else f"In none of {len(found)} settings is an optimizer shown to be more accurate than "
        f"{baseline}{unable}."
    )
    costs = [one.gradient_evaluations for one in shown or found if one.gradient_evaluations]
    cost = (
        f"What is named below costs {_between(costs)} {baseline}'s gradient evaluations"
        if costs
        else "No cost can be compared"
    )
    judged = [one for one in found if one.flatness is not None]
    flat = sum(one.flatness is not None and one.flatness.verdict == BETTER for one in judged)
    flatter = (
        f"its minimum is shown to be flatter in {flat} of {len(judged)} settings"
        if judged
        else "flatness was not measured"
    )
    return f"{first} {cost}, and {flatter}; p is corrected within each setting, not across them."


def _first(one: Answer, baseline: str) -> str:
    return _FIRST[one.standing](one, baseline)


def _shown(one: Answer, baseline: str) -> str:
    named = _named(one)
    gain = f"{named.candidate} is more accurate than {named.baseline}: {_difference(named)}"
    others = [label for label in one.better if label != named.candidate]
    also = f"; so {_are(others)}" if others else ""
    return f"For {one.panel.title}, {gain}{also}{_worse(one)}."


def _not_shown(one: Answer, baseline: str) -> str:
    named = _named(one)
    number = len(one.panel.by("accuracy"))
    return (
        f"For {one.panel.title}, no optimizer can be told from {named.baseline} as the more "
        f"accurate one: of {number} compared, {_largest(named)} {named.candidate}'s, "
        f"{_difference(named)}{_worse(one)}."
    )


def _out_of_reach(one: Answer, baseline: str) -> str:
    named = _named(one)
    number, pairs = len(one.panel.by("accuracy")), max(c.n for c in one.panel.by("accuracy"))
    over = f" after Holm's correction over {number} optimizers" if number > 1 else ""
    few = "one seed says" if pairs == 1 else f"{pairs} pairs of runs say"
    return (
        f"For {one.panel.title}, {few} nothing about which optimizer is better than "
        f"{named.baseline}, since p < {ALPHA:g}{over} takes {one.needed} pairs: {_largest(named)} "
        f"{named.candidate}'s, {_difference(named)}, and is no evidence."
    )


def _no_pair(one: Answer, baseline: str) -> str:
    return (
        f"For {one.panel.title}, no completed run shares seed and fold with one of {baseline}, so "
        f"nothing can be compared{_best(one)}."
    )


def _no_baseline(one: Answer, baseline: str) -> str:
    return (
        f"For {one.panel.title}, there is no completed run of the baseline {baseline}, so no "
        f"optimizer can be compared with it{_best(one)}."
    )


def _alone(one: Answer, baseline: str) -> str:
    return f"For {one.panel.title}, only {baseline} was run{_best(one)}."


def _all_collapsed(one: Answer, baseline: str) -> str:
    runs = (
        "the one completed run predicts"
        if one.collapsed == 1
        else (f"all {one.collapsed} completed runs predict")
    )
    return (
        f"For {one.panel.title}, {runs} one class for every test image, so neither accuracy nor "
        "flatness says anything about the optimizers."
    )


def _no_run(one: Answer, baseline: str) -> str:
    return f"For {one.panel.title}, no run is completed."


_FIRST: dict[str, Callable[[Answer, str], str]] = {
    SHOWN: _shown,
    NOT_SHOWN: _not_shown,
    OUT_OF_REACH: _out_of_reach,
    NO_PAIR: _no_pair,
    NO_BASELINE: _no_baseline,
    ALONE: _alone,
    ALL_COLLAPSED: _all_collapsed,
    NO_RUN: _no_run,
}

_REMEDIES = {
    NO_PAIR: "Run both with the same seeds and folds.",
    NO_BASELINE: "Run it, or name another with `--baseline`.",
    ALONE: "Run another optimizer to compare it with.",
    ALL_COLLAPSED: "Train longer or with another learning rate.",
    NO_RUN: "There is no answer before `sambench compare` has made some.",
}


def _second(one: Answer, baseline: str) -> str:
    """Say what the named optimizer costs and whether it is flatter, or what to do instead."""
    if one.accuracy is None:
        return _REMEDIES[one.standing]
    ratios = [
        f"{_times(ratio)} the {what}"
        for ratio, what in (
            (one.gradient_evaluations, "gradient evaluations"),
            (one.train_seconds, "training time"),
        )
        if ratio is not None
    ]
    named = one.accuracy
    takes = f"takes {' and '.join(ratios)} of {named.baseline}, and " if ratios else ""
    text = f"{takes}{_flatness(one)}{_flatter(one)}{_collapsed(one)}."
    return f"{named.candidate} {text}" if takes else text[0].upper() + text[1:]


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _flatness(one: Answer) -> str:
    found = one.flatness
    if found is None:
        return "whether its minimum is flatter was not measured"
    before, after = found.baseline_summary, found.candidate_summary
    assert before is not None and after is not None
    p = found.p if found.p_holm is None else found.p_holm
    said = {BETTER: "is flatter", WORSE: "is sharper"}.get(
        found.verdict, "is not shown to be flatter"
    )
    sure = "" if p is None else f", adjusted p = {p:.2g}"
    return (
        f"its minimum {said} ({found.metric.title.lower()} {significant(after.mean)} against "
        f"{significant(before.mean)}{sure}, {_pairs(found.n)})"
    )


def _flatter(one: Answer) -> str:
    others = [label for label in one.flatter if label != one.optimizer]
    if not others or one.flatness is None:
        return ""
    return f"; flatter than {one.flatness.baseline}'s {'too ' * (one.optimizer in one.flatter)}" + (
        f"{'is the minimum' if len(others) == 1 else 'are the minima'} of {_listed(others)}"
    )


def _collapsed(one: Answer) -> str:
    named = _named(one)
    return f"; {len(named.collapsed)} of the compared runs collapsed" if named.collapsed else ""


def _difference(found: Comparison) -> str:
    """Return both means, the difference, its interval, p and the number of pairs."""
    before, after = found.baseline_summary, found.candidate_summary
    assert before is not None and after is not None and found.difference is not None
    interval = found.interval
    parts = []
    if interval is not None:
        parts.append(f"95 % interval {_points(interval.low)} to {_points(interval.high)}")
    if found.p_holm is not None:
        parts.append(f"adjusted p = {found.p_holm:.2g}")
    parts.append(_pairs(found.n))
    return (
        f"{after.mean:.1f} against {before.mean:.1f} % of test images, {found.difference:+.1f} "
        f"points ({', '.join(parts)})"
    )


def _points(value: float) -> str:
    """Return a difference to a tenth, or finer where a tenth would hide its sign."""
    return f"{value:+.1f}" if abs(value) >= 0.05 or value == 0 else f"{value:+.2g}"


def _largest(found: Comparison) -> str:
    gained = (found.difference or 0.0) > 0
    return "the largest gain is" if gained else "none gains anything, and the least loss is"


def _worse(one: Answer) -> str:
    return f"; less accurate {_are(one.worse)}" if one.worse else ""


def _best(one: Answer) -> str:
    if one.highest is None:
        return ""
    label, summary = one.highest
    return f"; the highest mean test accuracy is {label}'s, {format_summary(summary, 1)} %"


def _named(one: Answer) -> Comparison:
    assert one.accuracy is not None
    return one.accuracy


def _pairs(number: int) -> str:
    return "one pair of runs" if number == 1 else f"{number} pairs of runs"


def _are(labels: Sequence[str]) -> str:
    return f"{'is' if len(labels) == 1 else 'are'} {_listed(labels)}"


def _listed(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def _range(gains: Sequence[float]) -> str:
    low, high = min(gains), max(gains)
    return f"{low:+.1f} points" if low == high else f"{low:+.1f} to {high:+.1f} points"


def _between(values: Sequence[float]) -> str:
    low, high = _times(min(values)), _times(max(values))
    return low if low == high else f"{low.removesuffix(' times')} to {high}"
