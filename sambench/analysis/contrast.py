"""Two optimizers, or two sets of runs (suites, commits, folders), setting by setting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sambench.analysis.comparison import REPEATS, Comparison, compare, with_holm
from sambench.analysis.frame import DATASET, MODEL, OPTIMIZER, column, frame
from sambench.analysis.groups import Group, Line
from sambench.analysis.metrics import Metric
from sambench.analysis.panels import image_groups
from sambench.store.record import RunRecord

KIND = (DATASET, MODEL, OPTIMIZER)
IMAGES = "data.fingerprint"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What two sides have in common, compared, and what only one of them has.

    Attributes:
        comparisons: One for each shared setting and metric; p corrected over those of a metric.
        unmatched: A line for each setting that only one side has.
    """

    comparisons: tuple[Comparison, ...]
    unmatched: tuple[str, ...]


def contrast_optimizers(
    records: Iterable[RunRecord], baseline: str, candidate: str, metrics: Sequence[Metric]
) -> Contrast:
    """Compare two optimizers under every setting in which both were run, on the same images.

    Args:
        records: Any runs.
        baseline: Name of an optimizer, or its label where several of that name differ, as in
            "sam (rho=0.05)"; a name stands for all its labels.
        candidate: Likewise.
        metrics: What to compare them by.
    """
    compared: list[Comparison] = []
    unmatched: list[str] = []
    for group in image_groups(records, baseline):
        sides = [_called(group, name) for name in (baseline, candidate)]
        if not all(sides):
            here = [name for name, found in zip((baseline, candidate), sides, strict=True) if found]
            unmatched += [f"{group.place}: only {name}" for name in here]
            continue
        for one in sides[0]:
            for other in sides[1]:
                compared += _lines(group, one, other, metrics)
    return Contrast(comparisons=with_holm(compared), unmatched=tuple(unmatched))


def contrast_runs(
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    metrics: Sequence[Metric],
    *,
    names: tuple[str, str],
) -> Contrast:
    """Compare two sets of runs, optimizer by optimizer.

    Runs belong together if data set, model and optimizer are the same. What is constant on each
    side but differs between them (20 epochs here, 50 there; data prepared anew) is what is
    compared, and is named; every other setting must agree.

    Args:
        baseline: Frame of the one set.
        candidate: Frame of the other.
        metrics: What to compare them by.
        names: Of the two sets.
    """
    compared: list[Comparison] = []
    unmatched: list[str] = []
    left, right = _split(baseline, KIND), _split(candidate, KIND)
    for kind in sorted(left.keys() | right.keys(), key=str):
        setting = f"{kind[2]}, {kind[1]} on {kind[0]}"
        if kind not in left or kind not in right:
            unmatched.append(f"{setting}: only in {names[kind not in left]}")
            continue
        differing = _separating(left[kind], right[kind])
        told = ", ".join(_told(name, left[kind], right[kind]) for name in differing)
        shared = [c for c in _settings(left[kind], right[kind]) if c not in (*differing, *REPEATS)]
        ours, theirs = _split(left[kind], shared), _split(right[kind], shared)
        for key in ours:
            if key in theirs:
                compared += compare(
                    ours[key],
                    theirs[key],
                    metrics,
                    names=names,
                    setting=setting + (f" ({told})" if told else ""),
                )
        for side, others, name in ((ours, theirs, names[0]), (theirs, ours, names[1])):
            alone = sum(len(runs) for key, runs in side.items() if key not in others)
            if alone:
                unmatched.append(f"{setting}: {alone} runs of {name} under settings of their own")
    return Contrast(comparisons=with_holm(compared), unmatched=tuple(unmatched))


def _called(group: Group, name: str) -> list[Line]:
    exact = [line for line in group.lines if line.label == name]
    return exact or [line for line in group.lines if line.optimizer["name"] == name]


def _lines(
    group: Group, one: Line, other: Line, metrics: Sequence[Metric]
) -> tuple[Comparison, ...]:
    if one is other:
        return ()
    return compare(
        frame(one.records),
        frame(other.records),
        metrics,
        names=(one.label, other.label),
        setting=group.place,
    )


def _split(runs: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Return the runs of each combination of values, in order of appearance."""
    keys = list(zip(*(column(runs, name) for name in columns), strict=True))
    rows: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: runs.iloc[found] for key, found in rows.items()}


def _settings(left: pd.DataFrame, right: pd.DataFrame) -> list[str]:
    names = left.columns.union(right.columns)
    return [name for name in names if name.startswith("config.") or name == IMAGES]


def _separating(left: pd.DataFrame, right: pd.DataFrame) -> list[str]:
    """Return the settings that are constant on each side and differ between them."""
    found = []
    for name in _settings(left, right):
        here, there = set(column(left, name)), set(column(right, name))
        if name not in REPEATS and len(here) == len(there) == 1 and here != there:
            found.append(name)
    return found


def _told(name: str, left: pd.DataFrame, right: pd.DataFrame) -> str:
    if name == IMAGES:
        return "other images"
    here, there = column(left, name)[0], column(right, name)[0]
    return f"{name.removeprefix('config.')} {here} against {there}"
