"""`sambench compare A B`: two suites, optimizers, commits or results folders, or the papers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.analysis.contrast import contrast_optimizers, contrast_runs
from sambench.analysis.grouping import Names, build_groups
from sambench.analysis.groups import by_key, repeat
from sambench.analysis.metrics import find_metric
from sambench.analysis.predictions import delong, mcnemar, read_predictions
from sambench.analysis.published import replications
from sambench.analysis.study import Study
from sambench.cli.gathering import of_suite
from sambench.cli.screen import Screen
from sambench.errors import ConfigError, StoreError, did_you_mean
from sambench.optim.method import optimizers
from sambench.report.contrasts import contrast_tables, predictions_table
from sambench.report.papers import replication_table
from sambench.report.table import Table
from sambench.store.record import RunRecord
from sambench.store.search_record import is_trial
from sambench.store.study_plan import studies
from sambench.store.tree import Store

PUBLISHED, OPTIMIZER, RUNS = "published", "an optimizer", "a set of runs"
"""What a side can be."""

Stored = Sequence[tuple[Store, list[RunRecord], list[str]]]  # folders with what is sound and not
METRICS = ("accuracy", "auroc", "train_seconds", "gradient_evaluations", "top", "trace")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two things compared, perhaps an optimizer, and messages on damaged records."""

    name: str
    kind: str
    records: tuple[RunRecord, ...] = ()
    damaged: tuple[str, ...] = ()


def contrast(screen: Screen, first: str, second: str, data: Path, results: Path) -> None:
    """Compare two sides from stored records alone and show what the runs say."""
    stores = [Store(root) for root in (results, *sorted((results / "published").glob("*")))]
    found = [(store, *store.records()) for store in stores]
    sides = [_side(text, found, data, results) for text in (first, second)]
    unread = [message for *_, damaged in found for message in damaged]
    unread += [message for side in sides for message in side.damaged]
    screen.warn_of_damage(list(dict.fromkeys(unread)))
    metrics, kinds = list(map(find_metric, METRICS)), {side.kind for side in sides}
    if PUBLISHED in kinds:
        tables: tuple[Table, ...] = (_beside_the_papers(sides),)
    elif kinds == {OPTIMIZER}:
        study, unmatched = contrast_optimizers(sides[0].records, first, second, metrics)
        tables = (*contrast_tables(study, unmatched), *_on_the_same_images(screen, study, found))
    elif kinds == {RUNS}:
        one, other, shared = _apart(screen, sides)
        sets = contrast_runs(one, other, metrics, names=(first, second), shared=shared)
        tables = contrast_tables(*sets)
    else:
        raise ConfigError(
            f"{first} is {sides[0].kind} and {second} {sides[1].kind}; compare two optimizers, "
            "two sets of runs (suites, commits, results folders), or one of either with `published`"
        )
    screen.table(*tables)


def _apart(screen: Screen, sides: Sequence[Side]) -> list[list[RunRecord]]:
    """Return both sides' runs without those that are the same run on both sides, and these."""
    here = {record.id: record for record in sides[0].records}
    twice = {r.id for r in sides[1].records if here.get(r.id) == r}
    if twice:
        screen.warn(f"{len(twice)} runs belong to both sides and are not compared")
    own = [[r for r in side.records if r.id not in twice] for side in sides]
    return [*own, [here[name] for name in twice]]


def _beside_the_papers(sides: Sequence[Side]) -> Table:
    side = next((side for side in sides if side.kind != PUBLISHED), None)
    if side is None:
        raise ConfigError("`published` is both sides; name a suite or an optimizer as one")
    one = side.name if side.kind == OPTIMIZER else None
    records = [r for r in side.records if one in (None, r.config.optimizer["name"])]
    found = replications(build_groups(records, None))
    if not found:
        raise ConfigError(
            f"{side.name} has no completed run of which the papers print numbers; they print those "
            "of resnet50, vgg16, vit and swin on bus"
        )
    return replication_table(found, Names())


def _on_the_same_images(screen: Screen, study: Study, found: Stored) -> list[Table]:
    """Return McNemar's and DeLong's tests of each pair whose predictions are stored and sound."""
    stores, rows = {r.id: store for store, own, _ in reversed(found) for r in own}, []
    for group in study.groups:
        first, second = ({repeat(r): r for r in line.completed} for line in group.lines)
        for pair in [(first[key], second[key]) for key in first if key in second]:
            paths = [stores[record.id].predictions(record.config) for record in pair]
            if not all(path.exists() for path in paths):
                continue
            try:
                before, after = map(read_predictions, paths, pair)
            except StoreError as error:
                screen.warn(f"left out of the tests on the same images: {error}")
                continue
            ranking = delong(before, after) if before.ranks_two_classes else None
            rows.append((f"{pair[1].name} against {pair[0].name}", mcnemar(before, after), ranking))
    return [predictions_table(rows)] if rows else []


def _side(text: str, found: Stored, data: Path, results: Path) -> Side:
    """Find out what a side is, among the sound records of each folder."""
    path, known = Path(text), {info.name for info in optimizers.list()}
    records = [record for _, own, _ in found for record in own if not is_trial(record)]
    known |= {str(record.config.optimizer["name"]) for record in records}
    if text == PUBLISHED:
        return Side(name=text, kind=PUBLISHED)
    if path.suffix in (".yaml", ".yml"):
        suite = of_suite(path, Store(results), data)
        return Side(name=text, kind=RUNS, records=suite.records, damaged=suite.damaged)
    if (path / "runs").is_dir():
        own, damaged = Store(path).records()
        finals = tuple(record for record in own if not is_trial(record))
        return Side(name=text, kind=RUNS, records=finals, damaged=tuple(damaged))
    if text.partition(" (")[0] in known:
        taken = found[:1] if found[0][1] else found  # published runs only without one's own
        finals, twice = _each_once(taken)
        return Side(name=text, kind=OPTIMIZER, records=finals, damaged=twice)
    named, twice = _each_once([(s, s.of_study(text, own), []) for s, own, _ in found])
    if not named and re.fullmatch(r"[0-9a-f]{4,40}(\+changes)?", text):
        named = tuple(r for r in records if str((r.environment or {}).get("git")).startswith(text))
    if named:
        return Side(name=text, kind=RUNS, records=named, damaged=twice)
    suites = sorted({*studies(results), *(r.suite for r in records if r.suite)})
    raise ConfigError(
        f"{text!r} is no optimizer, suite, commit or results folder"
        f"{did_you_mean(text, [*suites, *known])}; suites with runs in {results}: "
        f"{', '.join(suites) or 'none'}; optimizers: `sambench list optimizers`"
    )


def _each_once(found: Stored) -> tuple[tuple[RunRecord, ...], tuple[str, ...]]:
    """Return each run of the first folder that has it, no trials, and which end otherwise later."""
    everywhere = ((own, store.root) for store, records, _ in found for own in records)
    same = by_key(everywhere, lambda one: one[0].id).values()
    said = (
        f"run {run.name} ended otherwise in {other} than in {root}, which is taken; or give {other}"
        for (run, root), *others in same
        for one, other in others
        if one.final != run.final
    )
    return tuple(run for (run, _), *_ in same if not is_trial(run)), tuple(said)
