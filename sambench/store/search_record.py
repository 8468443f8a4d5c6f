"""What a search found, as the report reads it: derived from the runs' records at any time again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sambench.config.run_config import RunConfig
from sambench.config.search import TRIALS, Search, Trial, Tuning
from sambench.errors import StoreError
from sambench.files.atomic import write_json
from sambench.store.record import COMPLETED, DIVERGED, FAILED, RunRecord

SCHEMA_VERSION = 1


def search_path(results: Path, suite: str) -> Path:
    """Return where the search of a suite is kept."""
    return results / "searches" / f"{suite}.json"


def write_search(
    path: Path,
    suite: str,
    search: Search,
    tunings: Sequence[Tuning],
    records: Mapping[str, RunRecord],
) -> None:
    """Write what each optimizer was given, what it cost and what was chosen.

    The file has `schema_version`, `suite`, the `search` block, and `tunings`: for each optimizer
    and setting its `setting`, `optimizer` as given, `trials` (what each changes, its runs, their
    status, validation accuracy and loss, null unless all completed), `budget` (trials, runs,
    gradient evaluations, training seconds), `chosen` (null until all trials are done) and the names
    of the final runs, `untuned` and `tuned`.

    Raises:
        StoreError: If the folder cannot be written.
    """
    given = {
        "trials": search.trials,
        "seeds": list(search.seeds),
        "validation": search.validation,
        "grids": {k: {n: list(v) for n, v in grid.items()} for k, grid in search.grids.items()},
    }
    content = {
        "schema_version": SCHEMA_VERSION,
        "suite": suite,
        "search": given,
        "tunings": [_tuning(tuning, records) for tuning in tunings],
    }
    write_json(path, content)


def read_search(path: Path) -> dict[str, Any] | None:
    """Return what `write_search` wrote, or None where no search was made.

    Raises:
        StoreError: If the file is damaged or of another schema.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); `sambench compare` makes it anew"
        ) from error
    keys = {"suite", "search", "tunings"}
    if isinstance(found, dict) and keys <= found.keys() and found.get("schema_version") == 1:
        return found
    raise StoreError(f"{path} is no search of this sambench; `sambench compare` makes it anew")


def is_trial(record: RunRecord) -> bool:
    """Whether a run was a trial of a search, not to be shown among final runs."""
    return bool(record.suite and record.suite.endswith(TRIALS))


def score_of(trial: Trial, records: Mapping[str, RunRecord]) -> tuple[float, float] | None:
    """Return mean validation accuracy and negated mean loss; None unless all runs completed."""
    found = [record for run in trial.runs if (record := records.get(run.id)) is not None]
    parts = [r.final["validation"] for r in found if r.status == COMPLETED and r.final]
    if len(parts) < len(trial.runs) or not all(parts):
        return None
    accuracy = sum(float(part["accuracy"]) for part in parts) / len(parts)
    return accuracy, -sum(float(part["loss"]) for part in parts) / len(parts)


def choose_trial(tuning: Tuning, records: Mapping[str, RunRecord]) -> Trial | None:
    """Return the best trial of a search; None while one is not done.

    A trial of which a run failed or diverged has had its turn and is not chosen; if that is so
    of all, the optimizer stays as given.

    Args:
        tuning: The search.
        records: By id.
    """
    found = [records.get(run.id) for run in tuning.runs]
    if any(r is None or r.status not in (COMPLETED, FAILED, DIVERGED) for r in found):
        return None
    scored = [(score, trial) for trial in tuning.trials if (score := score_of(trial, records))]
    return max(scored, key=lambda item: item[0])[1] if scored else tuning.trials[0]


def _tuning(tuning: Tuning, records: Mapping[str, RunRecord]) -> dict[str, Any]:
    first = tuning.untuned[0]
    chosen = choose_trial(tuning, records)
    setting = {k: v for k, v in first.to_dict().items() if k not in ("optimizer", "seed")}
    return {
        "setting": setting,
        "optimizer": first.to_dict()["optimizer"],
        "trials": [_trial(trial, records) for trial in tuning.trials],
        "budget": _budget(tuning, records),
        "chosen": None if chosen is None else _optimizer(chosen, first),
        "untuned": [run.name for run in tuning.untuned],
        "tuned": [] if chosen is None else [run.name for run in tuning.finals(chosen)],
    }


def _trial(trial: Trial, records: Mapping[str, RunRecord]) -> dict[str, Any]:
    score = score_of(trial, records)
    found = [records.get(run.id) for run in trial.runs]
    return {
        "values": dict(trial.values),
        "runs": [run.name for run in trial.runs],
        "status": ["missing" if record is None else record.status for record in found],
        "validation_accuracy": score and score[0],
        "validation_loss": score and -score[1],
    }


def _budget(tuning: Tuning, records: Mapping[str, RunRecord]) -> dict[str, Any]:
    costs = [r.cost or {} for run in tuning.runs if (r := records.get(run.id)) is not None]
    return {
        "trials": len(tuning.trials),
        "runs": len(tuning.runs),
        "gradient_evaluations": sum(cost.get("gradient_evaluations", 0) for cost in costs),
        "train_seconds": sum(cost.get("train_seconds", 0.0) for cost in costs),
    }


def _optimizer(chosen: Trial, first: RunConfig) -> dict[str, Any]:
    return {
        "values": dict(chosen.values),
        "changed": bool(chosen.values),
        "optimizer": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in chosen.optimizer.items()
            if key in first.optimizer
        },
    }
