"""Measuring what completed runs have found, for `sambench hessian`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sambench.cli.checking import check_launcher, expanded
from sambench.cli.curvature_table import show_curvature
from sambench.cli.launching import carry_out
from sambench.cli.screen import Screen
from sambench.config.launcher_settings import LauncherSettings
from sambench.config.measurement import Measurement, differing
from sambench.config.settings import where_pattern
from sambench.config.suite_file import load_suite
from sambench.errors import ConfigError
from sambench.launch.manifest import Manifest
from sambench.report.table import counted
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.search_record import is_trial
from sambench.store.study_plan import StudyPlan, final_runs, planned_ids, read_plan
from sambench.store.tree import Store

Group = tuple[list[RunRecord], Measurement, LauncherSettings | None]
"""Runs whose minima are measured alike, and the launcher of the suite that they are of."""


def find_runs(
    screen: Screen,
    runs: Sequence[str],
    given: dict[str, Any],
    where: Sequence[str],
    data: Path,
    store: Store,
) -> tuple[list[Group], list[str]]:
    """Return the runs that have the settings of `where`, each with what its suite measures.

    A suite is given by its file or by the name of its study. Trials of a search are left out unless
    they are named. A message for each damaged run is shown, and returned too.
    """
    alone = Measurement.parse(given)  # refused, if at all, before anything is looked up

    def over(asked: Measurement | None) -> Measurement:
        return alone if asked is None else Measurement.parse({**asked.settings(), **given})

    files = [name for name in runs if name.endswith((".yaml", ".yml"))]
    patterns = [name for name in runs if name not in files]
    groups: list[Group] = []
    damaged = store.damaged(patterns)
    for file in files:
        suite = load_suite(Path(file))
        check_launcher(suite)
        configs = final_runs(store.root, StudyPlan.of(suite, expanded(suite, data, store)))
        records, broken = store.records(sorted(config.name for config in configs))
        damaged += broken
        completed = [record for record in records if record.status == COMPLETED]
        if not completed:
            raise ConfigError(
                f"none of the {len(configs)} runs of {file} is completed in {store.root}; "
                f"`sambench compare {file}` does them"
            )
        if len(completed) < len(configs):
            screen.warn(f"{len(completed)} of {len(configs)} runs of {file} are completed")
        groups.append((completed, over(suite.hessian), suite.launcher))
    plans = {name: plan for name in patterns if (plan := read_plan(store.root, name))}
    for name, plan in plans.items():
        records, planned = store.find([name]), planned_ids(store.root, name)
        groups.append((records, over(plan.hessian), None))
        damaged += store.records(run.name for run in plan.runs)[1]
        if len(records) < len(planned):
            screen.warn(f"{len(records)} of {len(planned)} runs of {name} are there")
    if rest := [name for name in patterns if name not in plans]:
        found = store.find(rest)
        ends = tuple(name.rstrip("/")[-10:] for name in rest)  # the ids of runs that are named
        finals = [record for record in found if record.id in ends or not is_trial(record)]
        if left := len(found) - len(finals):
            screen.warn(f"{counted(left, 'trial')} of a search left out; name one to measure it")
        groups.append((finals, alone, None))
    screen.warn(*damaged)
    pattern = where_pattern(where)
    kept = [
        ([record for record in records if pattern.matches(record.config)], wanted, launcher)
        for records, wanted, launcher in groups
    ]
    if where and not any(records for records, *_ in kept):
        raise ConfigError(f"no run has {pattern}; `sambench list runs` shows all")
    return kept, damaged


def measure(
    screen: Screen,
    records: Sequence[RunRecord],
    wanted: Measurement,
    given: dict[str, Any],
    manifest: Manifest,
    launcher: LauncherSettings,
    *,
    verbose: bool,
) -> int:
    """Measure what is missing, show all, and return the exit code."""
    store, missing, damaged = Store(manifest.results), [], list[str]()
    show = partial(show_curvature, screen, store, damaged, verbose=verbose)
    if len(records) == 1 and records[0].status != COMPLETED:
        store.weights_of(records[0])  # says why there are none
    for record in records:
        if record.status != COMPLETED:
            screen.warn(f"{record.name}: {record.status}, so there is nothing to measure")
            continue
        if wanted.is_done(record.config, record.hessian):
            if other := differing(record.hessian, given):
                then = ", ".join(f"{key}={value}" for key, (value, _) in other.items())
                said = f"{record.name} was measured with {then}"
                screen.warn(f"{said}; --again measures it anew")
            show(record)
        else:
            missing.append(record.config)
    if not missing:
        return int(bool(damaged))
    manifest = replace(manifest, configs=missing, curvature=wanted)
    tally = carry_out(screen, manifest, launcher, alone=len(missing) == 1, show=show)
    if tally.interrupted:
        screen.warn("interrupted; the same command goes on from here")
    return tally.exit_code or int(bool(tally.elsewhere or damaged))


def measured_otherwise(
    records: Iterable[RunRecord], wanted: Measurement | None, suite: str
) -> list[str]:
    """Return a line for each other way than a suite wants in which its runs were measured."""
    found = Counter(wanted.otherwise(record.hessian) for record in records if wanted)
    return [
        f"{counted(number, 'run')} {way}; `sambench hessian {suite} --again` measures anew"
        for way, number in found.items()
        if way
    ]
