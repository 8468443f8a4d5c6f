"""The runs that a report is of, what should be there, and what else is read of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import msgspec

from sambench.analysis.curves import with_stored_predictions
from sambench.analysis.groups import repeat
from sambench.analysis.predictions import Predictions, interval_over_images
from sambench.analysis.study import Study
from sambench.cli.checking import expanded
from sambench.config.run_config import RunConfig
from sambench.config.settings import where_pattern
from sambench.config.suite_file import load_suite, shipped_suites
from sambench.data.prepared import open_prepared, prepared_datasets
from sambench.errors import (
    ConfigError,
    SambenchWarning,
    StoreError,
    UnpreparedError,
    UserError,
    some,
)
from sambench.report.table import Section, counted
from sambench.report.tables import centre_table
from sambench.store.record import RunRecord
from sambench.store.search_record import (
    Roles,
    SearchRecord,
    is_trial,
    read_search,
    search_path,
    still_asked,
)
from sambench.store.study_plan import StudyPlan, read_plan
from sambench.store.tree import Store

MOST_RUNS_DRAWN = 2_000
"""Of more runs no figure shows anything, and predictions are not read."""


NO_STUDY = StudyPlan(suite="", runs=[])
"""Of runs that are asked for by themselves."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Runs that can be counted, a message for each other, and what is known of their suite."""

    records: tuple[RunRecord, ...]
    damaged: tuple[str, ...]
    plan: StudyPlan = NO_STUDY  # of the suite; without runs where only its name is known
    given: str = "SUITE"  # the suite, as `sambench compare` is given it
    planned: tuple[RunConfig, ...] = ()  # every run of the suite, where that is known
    part: tuple[str, ...] = ()  # conditions that other runs of it do not meet, as KEY=VALUE
    search: SearchRecord | None = None  # what the suite's search found
    roles: Roles | None = None  # what runs are compared as, where it chose values
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    """Of the test images, by run, where they are stored and sound."""
    unread: tuple[str, ...] = ()  # a message for each file of them that is not sound


def gather(
    patterns: Sequence[str], store: Store, data: Path, where: Sequence[str] = ()
) -> Gathered:
    """Return the runs that are asked for, with all that is stored of them; no trials of a search.

    The patterns are a suite (file or name), or names, ids and shell patterns of runs; none for all.
    The runs must have the settings of `where`, each as KEY=VALUE.
    """
    found = _gather(patterns, store, data)
    if where:
        wanted = where_pattern(where)
        chosen = tuple(record for record in found.records if wanted.matches(record.config))
        if not chosen:
            raise UserError(f"no run has {wanted}; `sambench list runs` shows all")
        planned = tuple(config for config in found.planned if wanted.matches(config))
        found = replace(found, records=chosen, planned=planned, part=tuple(where))
        names = {config.name for config in planned}
        if found.search is not None:
            tunings = [t for t in found.search.tunings if names & {*t.untuned, *t.tuned}]
            left = msgspec.structs.replace(found.search, tunings=tunings) if tunings else None
            found = replace(found, search=left)
    if len(found.records) > MOST_RUNS_DRAWN:
        return found
    records, read, unread = with_stored_predictions(found.records, store)
    return replace(found, records=records, predictions=read, unread=tuple(unread))


def _gather(patterns: Sequence[str], store: Store, data: Path) -> Gathered:
    alone = patterns[0] if len(patterns) == 1 else ""
    for file in patterns if not alone else ():
        if file.endswith((".yaml", ".yml")):
            said = f"a report is of one suite file at a time; give {file} alone, or names of suites"
            raise ConfigError(said)
    if alone.endswith((".yaml", ".yml")):
        return of_suite(Path(alone), store, data)
    plan = read_plan(store.root, alone)
    if alone in shipped_suites():
        with suppress(UserError):  # other images than are prepared now: the records tell
            suite = load_suite(Path(alone))
            asked = StudyPlan.of(suite, expanded(suite, data, store))
            if plan is None or asked == plan:
                return _of_plan(asked, store, alone)
    there, damaged = store.records()
    if plan is not None:
        return _of_plan(plan, store, "SUITE", (there, damaged))
    records = [r for r in there if not is_trial(r)]
    named = [r for r in records if alone and r.suite == alone]
    if patterns and not named:
        records = [r for r in store.find(patterns, there) if not is_trial(r)]
    if not records:
        raise UserError(
            f"no runs in {store.runs}; `sambench train` or `sambench compare` makes some"
            + "".join(f"; {message}" for message in damaged[:3])
        )
    study = _study(StudyPlan(suite=alone, runs=[]) if named else NO_STUDY, store)
    return replace(
        study,
        records=tuple(named or records),
        damaged=(*damaged, *study.damaged),
        given=alone if named else "SUITE",
    )


def of_suite(path: Path, store: Store, data: Path) -> Gathered:
    """Return the stored runs of a suite file, the tuned ones of its search among them."""
    suite = load_suite(path)
    return _of_plan(StudyPlan.of(suite, expanded(suite, data, store)), store, str(path))


def _of_plan(
    plan: StudyPlan,
    store: Store,
    given: str,
    there: tuple[list[RunRecord], list[str]] | None = None,
) -> Gathered:
    """Return those runs of a plan that are `there`, no others of its study, and what is damaged."""
    study = _study(plan, store)
    found, damaged = there or store.records(config.name for config in study.planned)
    ids = {config.id for config in study.planned}
    records = [record for record in found if record.id in ids]
    if not records:
        raise ConfigError(
            f"no run of {plan.suite if there else given} is in {store.runs}; "
            f"`sambench compare {given}` makes them"
            + "".join(f"; {message}" for message in damaged[:3])
        )
    unread = study.damaged
    others = (r for r in found if r.suite == plan.suite and r.id not in ids and not is_trial(r))
    if before := [record.name for record in others]:
        said = f"{counted(len(before), 'run')} made for {plan.suite} that its plan has no more"
        remedy = "`sambench report` with their names reports them"
        unread = (*unread, f"{said}: {some(before, 3)}; {remedy}")
    return replace(study, records=tuple(records), damaged=(*damaged, *unread), given=given)


def _study(plan: StudyPlan, store: Store) -> Gathered:
    """Return what a study asks for and its search found, and what is wrong there; no records."""
    search, unread, path = None, tuple[str, ...](), search_path(store.root, plan.suite)
    try:
        search = read_search(path) if plan.suite else None
    except StoreError as error:
        unread = (str(error),)
    if plan.search and not (search or unread):
        unread = (f"the search of {plan.suite} is not begun; `sambench compare SUITE` begins it",)
    found = Gathered(records=(), damaged=unread, plan=plan, planned=tuple(plan.runs), search=search)
    if search is None or not plan.runs:
        return found
    kept, planned, roles = still_asked(search, plan.search, plan.runs)
    if stale := len(search.tunings) - len(kept.tunings):
        told = (
            f"{stale} of {len(search.tunings)} searches in {path} are not what the suite asks for"
        )
        anew = "`sambench compare SUITE` searches anew"
        gone = "put their `search:` back into it to report their tuned runs"
        unread = (f"{told} now; {anew if plan.search else gone}",)
    own = kept if kept.tunings else None
    return replace(found, damaged=unread, planned=planned, roles=roles, search=own)


def tuned_among(found: Gathered, store: Store) -> Iterator[str]:
    """Yield a sentence for each suite whose tuned runs are shown as if their values were given."""
    names = {record.name for record in found.records}
    suites = dict.fromkeys(r.suite for r in found.records if r.suite and found.roles is None)
    for suite in suites:
        with suppress(StoreError):
            search = read_search(search_path(store.root, suite))
            changed = (
                t for t in (search.tunings if search else ()) if t.chosen and t.chosen.changed
            )
            if tuned := names & {name for t in changed for name in t.tuned}:
                yield (
                    f"The search of {suite} chose the values of {counted(len(tuned), 'run')} that "
                    f"are shown here as if given; `sambench report {suite}` tells them apart."
                )


def over_images(study: Study, predictions: Mapping[str, Predictions]) -> Study:
    """Add to each comparison of accuracy whose seeds all have predictions one over images too."""
    groups = []
    for group in study.groups:
        made = []
        for one in group.by("accuracy"):
            sides = [
                {repeat(r): predictions[r.id] for r in line.completed if r.id in predictions}
                for line in (group.line(one.baseline), group.line(one.candidate))
            ]
            shared = [] if group.folds else [key for key in sides[0] if key in sides[1]]
            before, after = ([side[key] for key in shared] for side in sides)
            ends = interval_over_images(before, after, one.family) if len(shared) == one.n else None
            made.append(replace(one, images=ends))
        found = {**group.found, "accuracy": tuple(made)} if made else group.found
        groups.append(replace(group, found=found))
    return replace(study, groups=tuple(groups))


def by_centre(study: Study, predictions: Mapping[str, Predictions], data: Path) -> list[Section]:
    """Return accuracies by centre, where the data are prepared here and name the centres."""

    @cache
    def centres(dataset: str, image_size: int, fingerprint: str) -> dict[str, str]:
        try:
            prepared = open_prepared(data, dataset, image_size)
            both = zip(prepared.ids, prepared.column("centre"), strict=True)
            if prepared.fingerprint == fingerprint:  # else an id may be that of another image
                return {image: str(centre) for image, centre in both if centre is not None}
        except UserError as error:  # not prepared here, or without centres
            there = image_size in prepared_datasets(data).get(dataset, ())
            if there and isinstance(error, UnpreparedError):
                said = f"accuracies by centre cannot be told: {error}"
                warnings.warn(said, SambenchWarning, stacklevel=2)
        return {}

    tables = []
    for group in study.groups if predictions else ():
        setting, known = group.setting, [r.data["fingerprint"] for r in group.records if r.data]
        told = centres(setting.dataset, setting.image_size, known[0]) if known else {}
        table = centre_table(group, predictions, told) if told else None
        tables += [] if table is None else [table]
    return [Section(title="By centre", tables=tuple(tables))] if tables else []
