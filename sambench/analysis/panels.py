"""The comparisons behind a report: each optimizer against the baseline, setting by setting."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sambench.analysis.comparison import Comparison, columns_of, compare, with_holm
from sambench.analysis.frame import Columns
from sambench.analysis.groups import REPEATS, Group, Line, groups
from sambench.analysis.metrics import METRICS, Metric
from sambench.config.run_config import RunConfig
from sambench.store.record import RunRecord

Images = tuple[object, ...]
"""What tells the training and test images of runs apart: prepared data, split, code."""

COMPARED = tuple(
    metric
    for metric in METRICS
    if metric.curvature
    or metric.name
    in ("accuracy", "auroc", "train_seconds", "gradient_evaluations", "robust_accuracy")
)
"""What a report compares optimizers by."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Optimizers under one setting, and what the runs say of each against the baseline.

    Attributes:
        title: Model and dataset, and what tells the setting from others of theirs.
        group: The runs.
        part: 1, or from 2 on for runs of other images than most runs of the same setting.
        comparisons: Of each further line with the first, by every measured metric; Holm's p over
            the lines. Empty where no run is of the baseline.
    """

    title: str
    group: Group
    comparisons: tuple[Comparison, ...]
    part: int = 1

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """All runs, line by line."""
        return tuple(_records(self.group))

    @property
    def baseline(self) -> Line | None:
        """The line that the others are compared with."""
        return self.group.lines[0] if self.comparisons else None

    def by(self, metric: str) -> tuple[Comparison, ...]:
        """Return the comparisons by one metric, in order of lines."""
        return tuple(found for found in self.comparisons if found.metric.name == metric)

    def comparison(self, candidate: str, metric: str) -> Comparison | None:
        """Return one line's comparison by a metric; None for the baseline itself."""
        return next((found for found in self.by(metric) if found.candidate == candidate), None)


def build_panels(
    records: Iterable[RunRecord], baseline: str | None, metrics: Sequence[Metric] = COMPARED
) -> tuple[Panel, ...]:
    """Sort runs into panels and compare the optimizers of each with the baseline.

    Runs of other images (data prepared anew, another split, other code) are never averaged
    together: they become panels of their own.

    Args:
        records: Any runs.
        baseline: Name of the optimizer that the others are compared with.
        metrics: What to compare them by; those that no run has are passed over.
    """
    parted = [
        numbered
        for group in groups(records, baseline)
        for numbered in enumerate(on_the_same_images(group), start=1)
    ]
    sorted_runs = [group for _, group in parted]
    lines = [line for group in sorted_runs for line in group.lines]
    runs = [record for line in lines for record in line.records]
    measured = Columns.of_records(runs, columns_of(metrics))
    there = [m for m in metrics if any(value is not None for value in measured[m.column])]
    ends = list(itertools.accumulate(len(line.records) for line in lines))
    sides = map(measured.part, [0, *ends[:-1]], ends)
    return tuple(
        Panel(
            title=title,
            group=group,
            part=part,
            comparisons=against_baseline(
                group, list(itertools.islice(sides, len(group.lines))), baseline, there
            ),
        )
        for (part, group), title in zip(parted, titles(sorted_runs), strict=True)
    )


def against_baseline(
    group: Group, sides: Sequence[Columns], baseline: str | None, metrics: Sequence[Metric]
) -> tuple[Comparison, ...]:
    """Compare each further line of a group with the first, with Holm's p over the lines.

    Args:
        group: The lines; nothing is compared where the first is not of the baseline.
        sides: The columns of each line's runs.
        baseline: Name of the optimizer that the others are compared with.
        metrics: What to compare them by.
    """
    if group.lines[0].optimizer["name"] != baseline:
        return ()
    names = [line.label for line in group.lines]
    return with_holm(
        found
        for side, name in zip(sides[1:], names[1:], strict=True)
        for found in compare(sides[0], side, metrics, names=(names[0], name))
    )


def image_groups(records: Iterable[RunRecord], baseline: str | None) -> tuple[Group, ...]:
    """Sort records into groups as `groups` does, with runs of other images in groups of their own.

    Args:
        records: Any runs.
        baseline: Name of the optimizer that comes first.
    """
    alike = groups(records, baseline)
    return tuple(part for group in alike for part in on_the_same_images(group))


def on_the_same_images(group: Group) -> tuple[Group, ...]:
    """Part a group whose runs of one fold were not trained and tested on the same images.

    Runs without a data section, as those that failed early, stay with the most.
    """
    seen: dict[tuple[int, int | None], Counter[Images]] = {}
    for record in _records(group):
        if record.data is not None:
            seen.setdefault(_fold(record), Counter())[_images(record)] += 1
    if all(len(found) == 1 for found in seen.values()):
        return (group,)
    rank = {
        (fold, images): place
        for fold, found in seen.items()
        for place, (images, _) in enumerate(found.most_common())
    }
    parts: dict[int, list[Line]] = {}
    for line in group.lines:
        by_part: dict[int, list[RunRecord]] = {}
        for record in line.records:
            part = rank.get((_fold(record), _images(record)), 0)
            by_part.setdefault(part, []).append(record)
        for part, records in by_part.items():
            parts.setdefault(part, []).append(replace(line, records=tuple(records)))
    return tuple(replace(group, lines=tuple(parts[part])) for part in sorted(parts))


def titles(among: Sequence[Group]) -> list[str]:
    """Name each group by model and dataset, and by the settings that tell it from its namesakes."""
    plain = [group.place for group in among]
    return [
        _told_apart(title, group, [g for g, t in zip(among, plain, strict=True) if t == title])
        for group, title in zip(among, plain, strict=True)
    ]


def _told_apart(title: str, group: Group, namesakes: Sequence[Group]) -> str:
    if len(namesakes) == 1:
        return title
    differing = []
    folds = group.setting.fold is not None
    repeated = ("optimizer", *REPEATS) if folds else ("optimizer", "seed")
    for name in RunConfig.__struct_fields__:
        values = [getattr(other.setting, name) for other in namesakes]
        if name not in repeated and any(v != values[0] for v in values):
            differing.append(f"{name}={_plain(getattr(group.setting, name))}")
    alike = [other for other in namesakes if other.setting == group.setting or not differing]
    if len(alike) > 1:
        part = next(place for place, other in enumerate(alike, start=1) if other is group)
        differing.append(f"images {part} of {len(alike)}")
    return f"{title} ({', '.join(differing)})"


def _plain(value: object) -> str:
    rule = getattr(value, "rule", None)
    if rule is None:
        return str(value)
    amount = getattr(value, "value", None)
    return str(rule) if amount is None else f"{rule}={amount:g}"


def _records(group: Group) -> Iterator[RunRecord]:
    return (record for line in group.lines for record in line.records)


def _fold(record: RunRecord) -> tuple[int, int | None]:
    return record.config.split_seed, record.config.fold


def _images(record: RunRecord) -> Images:
    data = record.data or {}
    return data.get("fingerprint"), data.get("split_sha256"), record.numerics
