"""All that the runs of a report say: every group's comparisons, and the statements over all."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sambench.analysis.comparison import Comparison
from sambench.analysis.families import compare
from sambench.analysis.grouping import Names, build_groups
from sambench.analysis.groups import Group, by_key
from sambench.analysis.inference import FOLDS
from sambench.analysis.metrics import METRICS, Metric, find_metric, measured
from sambench.config.run_config import RunConfig
from sambench.config.suite import ReportSettings
from sambench.errors import ConfigError
from sambench.store.record import RunRecord
from sambench.store.search_record import Roles

PRIMARY = "accuracy"
"""What the answer is about, unless the suite says otherwise."""

COMPARED = tuple(metric for metric in METRICS if metric.curvature or metric.compared)
"""What a report compares optimizers by: accuracy, and secondary metrics, a family each."""

FLATNESS = ("top", "trace")
"""What flatness is judged by: the first of these that was measured."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The runs of a report and every statement about them."""

    groups: tuple[Group, ...]  # with what was found in each, in order of dataset and model
    pooled: Mapping[str, tuple[Comparison, ...]]  # by metric, over several settings
    part: str = ""  # what the runs have that alone are looked at; empty where all are
    baseline: str  # name or label that the others are compared with
    primary: str = PRIMARY  # metric that the answer is about
    margin: float  # of equivalence by it, on the printed scale
    measured: tuple[Metric, ...] = ()  # of which any completed run has a value

    def every(self) -> Iterable[Comparison]:
        """Yield every comparison: setting by setting, then those over settings."""
        for found in (*(group.found for group in self.groups), self.pooled):
            yield from itertools.chain.from_iterable(found.values())

    def main(self, metric: str) -> tuple[Comparison, ...]:
        """Return what the answer speaks of: over settings of one design, the most, else of each."""
        pooled = self.pooled.get(metric, ())
        if pooled:
            alike = by_key(pooled, lambda one: (one.design is FOLDS, one.baseline))
            most = {key: max(one.settings for one in found) for key, found in alike.items()}
            return tuple(alike[max(alike, key=lambda key: (most[key], not key[0]))])
        return tuple(one for group in self.groups for one in group.by(metric))

    def over(self, groups: Sequence[Group], metric: str) -> tuple[Comparison, ...]:
        """Return the comparisons of a setting, or over several of one design and one baseline."""
        if len(groups) == 1:
            return groups[0].by(metric)
        return tuple(
            one
            for one in self.pooled.get(metric, ())
            if one.baseline == groups[0].lines[0].label and (one.design is FOLDS) == groups[0].folds
        )

    @property
    def primary_metric(self) -> Metric:
        """What the answer is about, with the margin that was asked for."""
        return replace(find_metric(self.primary), margin=self.margin)

    def title_of(self, label: str) -> str:
        """Return how a line is printed."""
        return self._titles.get(label) or Names().optimizer(label)

    @functools.cached_property
    def _titles(self) -> Mapping[str, str]:
        return {line.label: line.title for group in self.groups for line in group.lines}


def build_study(
    records: Iterable[RunRecord],
    asked: ReportSettings,
    *,
    planned: Sequence[RunConfig] = (),
    names: Names | None = None,
    metrics: Sequence[Metric] = COMPARED,
    roles: Roles | None = None,
) -> Study:
    """Sort runs into groups (`build_groups`) and compare the lines of each (`study_of`)."""
    groups = build_groups(records, asked.baseline, planned, names, asked.beside, roles)
    return study_of(groups, asked, metrics)


def study_of(groups: Sequence[Group], asked: ReportSettings, metrics: Sequence[Metric]) -> Study:
    """Compare the further lines of each group with its first.

    By some metrics and the primary one; those that no run has are passed over. An UnknownNameError
    is raised if a margin is of no metric, a ConfigError if one says nothing.
    """
    given = {name: _printed_margin(name, margin) for name, margin in asked.margins.items()}
    known = measured(record for group in groups for record in group.completed)
    wanted = dict.fromkeys((*metrics, find_metric(asked.primary)))
    families = {m.name: compare(groups, m, given.get(m.name)) for m in wanted if m in known}
    return Study(
        groups=tuple(
            replace(group, found={name: own[place] for name, (own, _) in families.items()})
            for place, group in enumerate(groups)
        ),
        pooled={name: pooled for name, (_, pooled) in families.items()},
        baseline=asked.baseline or "",
        primary=asked.primary,
        margin=given.get(asked.primary, find_metric(asked.primary).margin or 1.0),
        measured=known,
    )


def _printed_margin(name: str, margin: float) -> float:
    """Return a margin as metrics have it: on the printed scale, or as a ratio."""
    metric = find_metric(name)
    if metric.ratio and margin <= 1:
        raise ConfigError(f"margins: {name}={margin:g} is not allowed; allowed: a ratio above 1")
    if metric.unit == "points" and margin >= 1:
        raise ConfigError(
            f"margins: {name}={margin:g} is not allowed; allowed: a fraction, as 0.02 for 2 points"
        )
    return margin if metric.ratio else metric.scale * margin
