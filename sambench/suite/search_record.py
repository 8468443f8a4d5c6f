"""What a search found, as the report reads it: derived from the runs' records at any time again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sambench.atomic import write_json
from sambench.config import RunConfig
from sambench.errors import StoreError
from sambench.record import RunRecord
from sambench.suite.search import Search, Trial, Tuning, score_of

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


def _tuning(tuning: Tuning, records: Mapping[str, RunRecord]) -> dict[str, Any]:
    first = tuning.untuned[0]
    chosen = tuning.choose(records)
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
