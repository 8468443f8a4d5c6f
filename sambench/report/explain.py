"""Where a number comes from: the runs, their record files, and the arithmetic, line by line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sambench.analysis.cells import CellOf
from sambench.analysis.comparison import Comparison
from sambench.analysis.metrics import Metric
from sambench.analysis.panels import Panel
from sambench.analysis.statistics import Summary
from sambench.store.record import COMPLETED, RunRecord

PathOf = Callable[[RunRecord], Path]
MOST_TERMS = 12
"""Numbers that a sum spells out."""


def explain(cell: CellOf, path_of: PathOf) -> tuple[str, ...]:
    """Return the lines that lead from record files to a cell and its difference to the baseline.

    Args:
        cell: Which.
        path_of: Returns the record file of a run.
    """
    metric, records = cell.metric, cell.line.records
    used = [(r, value) for r in records if (value := _counted(metric, r)) is not None]
    times = "" if metric.scale == 1 else f" x {metric.scale:g}"
    lines = [cell.name, f"field of the record: {metric.column}{times}", ""]
    lines += [f"  {value:<12.6g} {path_of(record)}" for record, value in used]
    lines += [
        f"  {'not counted':<12} {path_of(r)}: {why}" for r in records if (why := _why(metric, r))
    ]
    lines += ["", *_summary([value for _, value in used])]
    found = cell.panel.comparison(cell.line.label, metric.name)
    if found is not None:
        by_name = {record.name: record for record in cell.panel.records}
        lines += ["", *_comparison(found, cell.panel, by_name)]
    return tuple(lines)


def _counted(metric: Metric, record: RunRecord) -> float | None:
    done = record.status == COMPLETED and metric.counts(record)
    return metric.of(record) if done else None


def _why(metric: Metric, record: RunRecord) -> str:
    """Say why a run is not counted; nothing if it is."""
    if record.status != COMPLETED:
        return record.status
    if metric.of(record) is None:
        return f"no {metric.column}"
    if not metric.counts(record):
        return "it predicts one class for every test image (collapsed)"
    return ""


def _summary(values: Sequence[float]) -> Iterable[str]:
    found = Summary.of(values)
    if found is None:
        yield "no run counts"
        return
    yield f"mean = {_sum(values)} / {found.n} = {found.mean:.6g}"
    if found.sd is None:
        yield "SD: one run has none"
    else:
        yield f"SD = sqrt(sum of (value - mean)^2 / (n - 1)) = {found.sd:.6g}, n = {found.n}"


def _comparison(found: Comparison, panel: Panel, by_name: dict[str, RunRecord]) -> Iterable[str]:
    unit = f" {found.metric.unit}" if found.metric.unit else ""
    yield f"difference to {found.baseline}, by pairs of runs of the same seed and fold:"
    rows = zip(
        found.pairs, found.candidate_values, found.baseline_values, found.differences, strict=True
    )
    for (before, after), new, old, difference in rows:
        yield f"  {new:.6g} - {old:.6g} = {difference:+.6g}  {after} against {before}"
    for reason in (*found.unpaired, *found.left_out):
        yield f"  not paired  {reason}"
    if found.difference is None:
        yield "no pair, no difference"
        return
    parts = _part_means(found, by_name)
    terms = list(parts) if found.partitions > 1 else list(found.differences)
    averaged = " (the seeds of each test part averaged first)" if found.partitions > 1 else ""
    mean = f"{found.difference:+.6g}{unit}"
    yield f"mean difference = {_sum(terms)} / {len(terms)} = {mean}{averaged}"
    yield from _interval(found, terms)
    yield from _test(found, terms)
    yield from _holm(found, panel)
    if found.effect_size is not None:
        yield f"Cohen's dz = mean / SD of the differences = {found.effect_size:+.4g}"
    yield (
        "P(better) = share of all pairs of a run of each side in which the candidate is better, "
        f"ties half = {found.probability_of_improvement:.4g}"
    )
    yield f"verdict: {found.verdict}"


def _part_means(found: Comparison, by_name: dict[str, RunRecord]) -> list[float]:
    """Return the mean difference of each test part."""
    parts: dict[tuple[int, int | None], list[float]] = {}
    for (before, _), difference in zip(found.pairs, found.differences, strict=True):
        config = by_name[before].config
        parts.setdefault((config.split_seed, config.fold), []).append(difference)
    return [math.fsum(values) / len(values) for values in parts.values()]


def _interval(found: Comparison, terms: Sequence[float]) -> Iterable[str]:
    summary, interval = Summary.of(terms), found.interval
    if interval is None or summary is None or summary.sd is None:
        yield "95 % interval: one difference has no spread"
        return
    half = (interval.high - interval.low) / 2
    yield (
        f"95 % interval ({interval.method}) = {found.difference:+.6g} ± {half:.6g} = "
        f"{interval.low:+.6g} .. {interval.high:+.6g}"
    )
    factor = "1 / n" if found.partitions == 1 else "1 / n + n_test / n_train"
    yield (
        f"  ± t(0.975, {summary.n - 1} degrees) x SE, SE = SD x sqrt({factor}), SD of the "
        f"{summary.n} differences = {summary.sd:.6g}"
    )


def _test(found: Comparison, terms: Sequence[float]) -> Iterable[str]:
    if found.p is None:
        yield "p: no test"
        return
    yield f"p = {found.p:.6g}, two-sided: {found.test}"
    if "exact" in found.test:
        flips = 2 ** len(terms)
        yield (
            f"  {round(found.p * flips)} of {flips} choices of signs give a sum at least as far "
            f"from 0 as {math.fsum(terms):+.6g}"
        )


def _holm(found: Comparison, panel: Panel) -> Iterable[str]:
    """Say how p is corrected: the largest (m - i + 1) p(i) up to its own place."""
    if found.p_holm is None or found.p is None:
        return
    family = sorted(c.p for c in panel.by(found.metric.name) if c.p is not None)
    place = sum(p < found.p for p in family) + 1
    yield (
        f"adjusted p = {found.p_holm:.6g}: Holm over {len(family)} optimizers; p is number {place} "
        f"from the smallest, so it is the largest of ({len(family)} - i + 1) p(i) for i = 1 .. "
        f"{place}, at most 1"
    )


def _sum(values: Sequence[float]) -> str:
    if len(values) > MOST_TERMS:
        return f"({' + '.join(f'{v:.6g}' for v in values[:3])} + ... {len(values)} values)"
    return f"({' + '.join(f'{v:.6g}' for v in values)})".replace("+ -", "- ")
