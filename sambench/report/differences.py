"""What each optimizer differs by from the baseline, pair by pair of runs, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sambench.analysis.comparison import ALPHA, BETTER, LEAST_PAIRS, Comparison
from sambench.analysis.panels import Panel
from sambench.report.table import MISSING, Cell, Row, Table, signed

HEADINGS = (
    *("Optimizer", "Difference", "95 % interval", "Pairs", "p", "p (Holm)", "Cohen's dz"),
    *("P(better)", "Verdict"),
)


def difference_tables(panel: Panel, metrics: Iterable[str]) -> tuple[Table, ...]:
    """Return a table of paired differences for each of the metrics that was measured in pairs."""
    found = (panel.by(name) for name in metrics)
    return tuple(_table(panel, chosen) for chosen in found if any(c.n for c in chosen))


def _table(panel: Panel, found: Sequence[Comparison]) -> Table:
    metric, baseline = found[0].metric, found[0].baseline
    ordered = sorted(found, key=lambda one: _order(one, higher=metric.higher_is_better))
    unit = f" ({metric.unit})" if metric.unit else ""
    return Table(
        title=f"{panel.title}: {metric.title}, difference to {baseline}",
        headings=(HEADINGS[0], f"{HEADINGS[1]}{unit}", *HEADINGS[2:]),
        rows=tuple(_row(one) for one in ordered),
        notes=tuple(_notes(ordered)),
    )


def _order(found: Comparison, *, higher: bool) -> float:
    if found.difference is None:
        return float("inf")
    return -found.difference if higher else found.difference


def _row(found: Comparison) -> Row:
    interval, effect, better = (
        found.interval,
        found.effect_size,
        found.probability_of_improvement,
    )
    texts = (
        MISSING if found.difference is None else signed(found.difference),
        MISSING if interval is None else f"{signed(interval.low)} .. {signed(interval.high)}",
        str(found.n),
        MISSING if found.p is None else f"{found.p:.2g}",
        MISSING if found.p_holm is None else f"{found.p_holm:.2g}",
        MISSING if effect is None else f"{effect:+.2f}",
        MISSING if better is None else f"{better:.2f}",
        found.verdict if found.n else MISSING,
    )
    bold = found.verdict == BETTER
    values = (found.difference, None, found.n, found.p, found.p_holm, effect, better, None)
    return found.candidate, tuple(
        Cell(text=text, value=value, bold=bold and place in (0, len(texts) - 1))
        for place, (text, value) in enumerate(zip(texts, values, strict=True))
    )


def _notes(found: Sequence[Comparison]) -> Iterable[str]:
    """Say how the numbers were made, and which runs are not among them."""
    metric, measured = found[0].metric, [one for one in found if one.n]
    better = "higher" if metric.higher_is_better else "lower"
    yield (
        f"Difference: mean over pairs of runs (same seed and fold) of the optimizer minus "
        f"{found[0].baseline}; {better} is better. p: {'; '.join(_tests(measured))}."
    )
    methods = dict.fromkeys(one.interval.method for one in measured if one.interval is not None)
    if methods:
        yield f"Interval: {'; '.join(methods)}. It speaks of {_population(measured)}."
    tested = sum(one.p is not None for one in measured)
    most = max(one.n for one in measured)
    if most < LEAST_PAIRS:
        yield f"Under {LEAST_PAIRS} pairs nothing is called better or worse."
    elif tested * min(one.smallest_p or 0.0 for one in measured) >= ALPHA:
        yield f"So few pairs for {tested} optimizers that no p (Holm) can be under {ALPHA:g}."
    yield (
        "Cohen's dz: mean over SD of the differences. P(better): probability that a run of the "
        "optimizer beats a run of the baseline, ties counting half."
    )
    yield from _left_out(found)


def _tests(found: Sequence[Comparison]) -> Iterable[str]:
    return dict.fromkeys(one.test for one in found)


def _population(found: Sequence[Comparison]) -> str:
    if all(one.partitions == 1 for one in found):
        return "other seeds on the same test images, not of other images"
    return "other images and seeds"


def _left_out(found: Sequence[Comparison]) -> Iterable[str]:
    lines: dict[str, None] = {}
    for one in found:
        lines |= dict.fromkeys(f"Unpaired: {reason}." for reason in one.unpaired)
        if one.n or any("collapsed" in reason for reason in one.left_out):
            lines |= dict.fromkeys(f"Left out: {reason}." for reason in one.left_out)
    if len(lines) > MOST_LINES:
        return [*list(lines)[:MOST_LINES], f"And {len(lines) - MOST_LINES} more such runs."]
    return lines


MOST_LINES = 12
"""Runs left over that a table names; `report --explain` names all."""
