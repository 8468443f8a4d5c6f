"""Two optimizers, or two sets of runs (suites, commits, folders), setting by setting."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sambench.analysis.grouping import build_groups
from sambench.analysis.groups import REPEATS, Group, Line, Repeat, by_key, repeat, setting_text
from sambench.analysis.metrics import Metric
from sambench.analysis.study import Study, study_of
from sambench.config.optimizer import unstored
from sambench.config.run_config import DEFAULTS
from sambench.config.suite import ReportSettings
from sambench.errors import ConfigError
from sambench.store.record import RunRecord

IMAGES = "images"


def contrast_optimizers(
    records: Iterable[RunRecord], baseline: str, candidate: str, metrics: Sequence[Metric]
) -> tuple[Study, tuple[str, ...]]:
    """Compare two optimizers under every setting in which both were run, on the same images.

    Each is given by its name, which stands for all its labels, or by a label, as "sam (rho=0.05)".
    Returns also a line for each setting that only one of them has. A label of no run is a
    ConfigError that names those there are.
    """
    made: list[Group] = []
    unmatched: list[str] = []
    groups = build_groups(records, baseline)
    every = {line.label: line for group in groups for line in group.lines}
    for name in (baseline, candidate):
        plain = name.partition(" (")[0]
        if plain != name and not any(_called(group, name) for group in groups):
            labels = [label for label, line in every.items() if line.is_called(plain)]
            there = f"; there are {', '.join(labels)}" if labels else ""
            raise ConfigError(f"no run is called {name!r}{there}")
    for group in groups:
        sides = [_called(group, name) for name in (baseline, candidate)]
        if not all(sides):
            here = [name for name, found in zip((baseline, candidate), sides, strict=True) if found]
            unmatched += [f"{group.title}: only {name}" for name in here]
            continue
        made += [
            replace(group, lines=pair, baseline=True)
            for pair in itertools.product(*sides)
            if pair[0] is not pair[1]
        ]
    return study_of(made, ReportSettings(baseline=baseline), metrics), tuple(unmatched)


def _called(group: Group, name: str) -> list[Line]:
    exact = [line for line in group.lines if line.label == name]
    return exact or [line for line in group.lines if line.is_called(name)]


def contrast_runs(
    baseline: Sequence[RunRecord],
    candidate: Sequence[RunRecord],
    metrics: Sequence[Metric],
    *,
    names: tuple[str, str],
    shared: Iterable[RunRecord] = (),
) -> tuple[Study, tuple[str, ...]]:
    """Compare two sets of runs, without those that both share, optimizer by optimizer.

    Runs belong together if data set, model and optimizer are the same. What is constant on each
    side but differs between them (20 epochs here, 50 there) is what is compared, and is named;
    every other setting must agree. Returns also a line for what only one set has or what cannot be
    paired, as runs that were tested on other images than their counterparts.
    """
    made: list[Group] = []
    unmatched: list[str] = []
    left, right, both = (by_key(side, _kind) for side in (baseline, candidate, shared))
    for kind in sorted(left.keys() | right.keys()):
        title = f"{kind[2]}, {kind[1]} on {kind[0]}"
        if kind not in left or kind not in right:
            (runs,) = (side[kind] for side in (left, right) if kind in side)
            own = _settings_alone(runs, both.get(kind, ()))
            unmatched.append(f"{title}{own}: only in {names[kind not in left]}")
            continue
        differing = _separating(left[kind], right[kind])
        told = f" ({', '.join(differing.values())})" if differing else ""
        ours, theirs = (_alike(side[kind], differing) for side in (left, right))
        alike = {key: _settings(ours[key][0]) for key in ours if key in theirs}
        for key, settings in alike.items():
            if torn := _tested_on_other_images(ours[key], theirs[key]):
                unmatched.append(f"{title}: {len(torn)} pairs of runs had other test images")
            pair = [[r for r in side[key] if repeat(r) not in torn] for side in (ours, theirs)]
            if all(pair):
                made.append(_pair(pair, names, title + _in_words(settings, alike.values()) + told))
        for side, others, name in ((ours, theirs, names[0]), (theirs, ours, names[1])):
            if alone := [run for key, runs in side.items() if key not in others for run in runs]:
                there = [*both.get(kind, ()), *(run for runs in others.values() for run in runs)]
                own = f"settings of their own{_settings_alone(alone, there)}"
                unmatched.append(f"{title}: {len(alone)} runs of {name} under {own}")
    return study_of(made, ReportSettings(baseline=names[0]), metrics), tuple(unmatched)


def _pair(sides: Sequence[list[RunRecord]], names: tuple[str, str], title: str) -> Group:
    lines = tuple(
        Line(
            label=name,
            title=name,
            optimizer=runs[0].config.optimizer,
            records=tuple({repeat(run): run for run in runs}.values()),
        )
        for name, runs in zip(names, sides, strict=True)
    )
    return Group(setting=sides[0][0].config, lines=lines, title=title, baseline=True)


def _tested_on_other_images(ours: Iterable[RunRecord], theirs: Iterable[RunRecord]) -> set[Repeat]:
    """Return the repeats whose two runs had other test images.

    The stored split says so; that of another share for validation differs in training alone.
    """

    def split(record: RunRecord, other: RunRecord) -> object:
        if record.config.validation != other.config.validation:
            return record.config.split
        return (record.data or {}).get("split_sha256")

    there = {repeat(record): record for record in theirs}
    pairs = ((record, there[repeat(record)]) for record in ours if repeat(record) in there)
    both = ((one, other) for one, other in pairs if one.data and other.data)
    return {repeat(one) for one, other in both if split(one, other) != split(other, one)}


def _kind(record: RunRecord) -> tuple[str, str, str]:
    config = record.config
    return config.dataset, config.model, str(config.optimizer["name"])


def _settings(record: RunRecord) -> dict[str, Any]:
    """Return a run's settings by path, defaults too, which images it is of, and its own files."""
    unset = unstored(record.config.optimizer["name"]).items()
    found: dict[str, Any] = {f"optimizer.{name}": default for name, default in unset}
    for name, value in {**DEFAULTS, **record.config.to_dict()}.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{name}.{part}" if part else name: of_part for part, of_part in parts}
    found[IMAGES] = (record.data or {}).get("fingerprint")
    found |= (record.environment or {}).get("plugins") or {}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


def _separating(*sides: Iterable[RunRecord]) -> dict[str, str]:
    """Return the settings that are constant on each side and differ between them, in words."""
    left, right = ([_settings(record) for record in side] for side in sides)
    found = {}
    for name in dict.fromkeys(name for settings in (*left, *right) for name in settings):
        here, there = ({settings.get(name) for settings in side} for side in (left, right))
        if name not in REPEATS and len(here) == len(there) == 1 and here != there:
            told = f"{name} {setting_text(here.pop())} against {setting_text(there.pop())}"
            found[name] = "other images" if name == IMAGES else told
    return found


def _in_words(settings: Mapping[str, Any], among: Collection[Mapping[str, Any]]) -> str:
    """Return in parentheses what tells a setting from others; nothing if it is the only one."""
    telling = (k for k, v in settings.items() if any(other.get(k) != v for other in among))
    told = [f"{k} {setting_text(settings[k])}" for k in telling if k not in REPEATS]
    return f" ({', '.join(told)})" if told else ""


def _settings_alone(runs: Iterable[RunRecord], others: Iterable[RunRecord]) -> str:
    """Return in parentheses the settings whose values no other run has; nothing without others."""
    here, there = ([_settings(record) for record in side] for side in (runs, others))
    told = []
    for name in here[0] if there else ():
        values = dict.fromkeys(v for settings in here if (v := settings.get(name)) is not None)
        if values and values.keys().isdisjoint(settings.get(name) for settings in there):
            text = " or ".join(map(setting_text, values))
            told.append("other images" if name == IMAGES else f"{name} {text}")
    return f" ({', '.join(told)})" if told else ""


def _alike(side: Iterable[RunRecord], apart_from: Iterable[str]) -> dict[str, list[RunRecord]]:
    """Return runs by all settings but some and those of repeats."""
    left_out = {*apart_from, *REPEATS}
    return by_key(
        side, lambda r: repr(sorted((k, v) for k, v in _settings(r).items() if k not in left_out))
    )
