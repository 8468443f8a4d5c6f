"""What a search found, as the report reads it: derived again from the records of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal, NamedTuple

from msgspec.structs import replace

from sambench.config.optimizer import Settings
from sambench.config.run_config import RunConfig
from sambench.config.search import TRIALS, Search, Trial, Tuning
from sambench.errors import StoreError, UserError
from sambench.files.atomic import write_json
from sambench.files.checksums import read_sealed
from sambench.files.definition import Amount, Count, Fraction, Section, decode, plain, unit
from sambench.store.record import COMPLETED, DIVERGED, FAILED, RunRecord

AS_GIVEN, TUNED = "as given", "tuned"


class Role(NamedTuple):
    """What a final run is compared as: given so, or tuned, if a search changed its optimizer."""

    given: Settings
    name: str = ""  # `AS_GIVEN` or `TUNED`; empty where nothing was changed


Roles = Mapping[str, Sequence[Role]]
"""Of runs, by id; others are compared as what they are."""


class TrialRecord(Section, frozen=True, kw_only=True):
    """One point of a grid."""

    values: Annotated[Settings, "What it changes of the optimizer as given."]
    runs: Annotated[list[str], "Names of its runs."]
    status: Annotated[list[str], 'Of each, "missing" without a record.']
    validation_accuracy: Annotated[Fraction | None, "Mean of its runs; null unless all completed."]
    validation_loss: Annotated[float | None, "Likewise.", unit("nats")]


class Budget(Section, frozen=True, kw_only=True):
    """What the trials of an optimizer took."""

    trials: Annotated[Count, "Points tried."]
    runs: Annotated[Count, "Runs of all points."]
    gradient_evaluations: Annotated[Count | Amount, "Of all runs.", unit("passes")]
    train_seconds: Annotated[Amount, "Of all runs.", unit("seconds")]
    unmet: Annotated[Count, "Runs whose epochs were over before their stop rule was met."] = 0


class Chosen(Section, frozen=True, kw_only=True):
    """The trial that was chosen."""

    values: Annotated[Settings, "What it changes of the optimizer as given."]
    changed: Annotated[bool, "Whether it changes anything."]
    optimizer: Annotated[Settings, "All settings with these changes."]


class TuningRecord(Section, frozen=True, kw_only=True):
    """The search for one optimizer under one setting."""

    setting: Annotated[dict[str, Any], "Of the runs, without optimizer and seed."]
    optimizer: Annotated[Settings, "As given."]
    trials: Annotated[list[TrialRecord], "In order; the first is the optimizer as given."]
    budget: Annotated[Budget, "What they took."]
    chosen: Annotated[Chosen | None, "Null until all trials are done."]
    untuned: Annotated[list[str], "Names of the final runs as given."]
    tuned: Annotated[list[str], "Names of the final runs with the chosen values."]


class SearchRecord(Section, frozen=True, kw_only=True):
    """What a search found: what each optimizer was given, what it cost and what was chosen."""

    schema_version: Annotated[Literal[1], "Of this file."] = 1
    suite: Annotated[str, "Name of the suite."]
    search: Annotated[Search, "How hyperparameters are chosen."]
    tunings: Annotated[list[TuningRecord], "For each optimizer and setting."]


def search_path(results: Path, suite: str) -> Path:
    """Return where the search of a suite is kept."""
    return results / "searches" / f"{suite}.json"


def write_search(results: Path, found: SearchRecord) -> Path:
    """Keep what a search found; return where, or raise a StoreError if it cannot be written."""
    write_json(path := search_path(results, found.suite), plain(found))
    return path


def read_search(path: Path) -> SearchRecord | None:
    """Return what `write_search` wrote, None where no search was made; damage is a StoreError."""
    remedy = "`sambench compare SUITE` makes it anew"
    try:
        return decode(SearchRecord, read_sealed(path))
    except FileNotFoundError:
        return None
    except (OSError, UserError, ValueError) as error:
        raise StoreError(f"{path} is no search of this sambench ({error}); {remedy}") from error


def still_asked(
    found: SearchRecord, search: Search | None, finals: Sequence[RunConfig]
) -> tuple[SearchRecord, tuple[RunConfig, ...], Roles]:
    """Return what a search found for final runs as they are planned now, and all runs by it.

    These are the final runs and those with its values; a run has two roles where it was chosen as
    given in one setting, but not in another. What is of other runs is left out, and everything
    where another search is asked for now.
    """
    tunings = found.tunings if found.search == search else []
    by_run = {name: tuning for tuning in tunings for name in tuning.untuned}
    once = {run.id: replace(run, seed=0).id for run in finals}
    by_setting = {once[run.id]: by_run[run.name] for run in finals if run.name in by_run}
    of_runs = [(run, by_setting[once[run.id]]) for run in finals if once[run.id] in by_setting]
    tuned = [(run, replace(run, optimizer=t.chosen.optimizer)) for run, t in of_runs if t.chosen]
    changed = {repr(run.optimizer) for run, chosen in tuned if run.id != chosen.id}
    names = {run.id: AS_GIVEN * (repr(run.optimizer) in changed) for run in finals}
    roles = {run.id: [Role(run.optimizer, names[run.id])] for run in finals}
    for run, chosen in tuned:
        if names[run.id]:
            roles.setdefault(chosen.id, []).append(Role(run.optimizer, TUNED))
    kept = [tuning for tuning in tunings if any(tuning is own for own in by_setting.values())]
    every = {run.id: run for run in (*finals, *(chosen for _, chosen in tuned))}
    return replace(found, tunings=kept), tuple(every.values()), roles


def is_trial(record: RunRecord) -> bool:
    """Whether a run was a trial of a search, not to be shown among final runs."""
    return bool(record.suite and record.suite.endswith(TRIALS))


def choose_trial(tuning: Tuning, records: Mapping[str, RunRecord]) -> Trial | None:
    """Return the best trial of a search; None while one is not done, or of other images or code.

    A trial of which a run failed or diverged has had its turn and is not chosen; if that is so
    of all, the optimizer stays as given. The records are by id.
    """
    found = [_trial(trial, records) for trial in tuning.trials]
    if not {status for one in found for status in one.status} <= {COMPLETED, FAILED, DIVERGED}:
        return None
    there = [records[run.id] for run in tuning.runs]
    if len({(r.numerics, r.data["fingerprint"]) for r in there if r.data}) > 1:
        return None  # validated on other images, or computed otherwise: some are stale
    scores = {  # rounded, so that equal numbers of right images in another order are equal
        place: (round(one.validation_accuracy, 12), -(one.validation_loss or 0.0))
        for place, one in enumerate(found)
        if one.validation_accuracy is not None
    }
    return tuning.trials[max(scores, key=scores.__getitem__, default=0)]


def found_now(
    suite: str,
    search: Search,
    tunings: Sequence[Tuning],
    records: Mapping[str, RunRecord],
    before: SearchRecord | None = None,
) -> SearchRecord:
    """Return what the runs of a suite's trials say by now; their records are by id.

    What they said `before` stands where some are not here and no other says anything else.
    """
    known = {_trials_of(tuning.trials): tuning for tuning in before.tunings} if before else {}
    found = [_tuning(tuning, records, known) for tuning in tunings]
    return SearchRecord(suite=suite, search=search, tunings=found)


def _trials_of(trials: Sequence[TrialRecord]) -> str:
    return repr([trial.runs for trial in trials])


def _tuning(
    tuning: Tuning, records: Mapping[str, RunRecord], known: Mapping[str, TuningRecord]
) -> TuningRecord:
    first = tuning.untuned[0].to_dict()
    chosen, budget = choose_trial(tuning, records), _budget(tuning, records)
    trials = [_trial(trial, records) for trial in tuning.trials]
    if not chosen and (old := known.get(_trials_of(trials))) and old.chosen:
        both = zip(trials, old.trials, strict=True)
        if all(now == then or now.validation_accuracy is None for now, then in both):
            trials, budget = old.trials, old.budget
            chosen = tuning.trials[[trial.values for trial in trials].index(old.chosen.values)]
    return TuningRecord(
        setting={k: v for k, v in first.items() if k not in ("optimizer", "seed")},
        optimizer=first["optimizer"],
        trials=trials,
        budget=budget,
        chosen=_chosen(chosen) if chosen else None,
        untuned=[run.name for run in tuning.untuned],
        tuned=[run.name for run in tuning.finals(chosen)] if chosen else [],
    )


def _chosen(trial: Trial) -> Chosen:
    values, optimizer = dict(trial.values), dict(trial.optimizer)
    return Chosen(values=values, changed=bool(values), optimizer=optimizer)


def _trial(trial: Trial, records: Mapping[str, RunRecord]) -> TrialRecord:
    found = [records.get(run.id) for run in trial.runs]
    parts = [r.final["validation"] for r in found if r and r.status == COMPLETED and r.final]
    scored = len(parts) == len(found)
    return TrialRecord(
        values=dict(trial.values),
        runs=[run.name for run in trial.runs],
        status=["missing" if record is None else record.status for record in found],
        validation_accuracy=fmean(part["accuracy"] for part in parts) if scored else None,
        validation_loss=fmean(part["loss"] for part in parts) if scored else None,
    )


def _budget(tuning: Tuning, records: Mapping[str, RunRecord]) -> Budget:
    found = [r for run in tuning.runs if (r := records.get(run.id)) is not None]
    costs = [record.cost or {} for record in found]
    return Budget(
        trials=len(tuning.trials),
        runs=len(tuning.runs),
        gradient_evaluations=fsum(cost.get("gradient_evaluations", 0) for cost in costs),
        train_seconds=fsum(cost.get("train_seconds", 0.0) for cost in costs),
        unmet=sum((record.final or {}).get("target_met") is False for record in found),
    )
