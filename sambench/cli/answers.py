"""What `--json` answers: one object for each command, with everything a program needs to go on.

    train            a run: id, name, path (its folder), status, error, final, cost, sharpness,
                     hessian; as in the run's record, whose path is <path>/run.json
    hessian          {"runs": [a run, ...]}
    compare          {"suite", "runs": [a run, ...], "tables": [a table, ...]}
    compare --plan   {"suite", "launcher": {name, options}, "runs": [{id, name, state, action,
                     note}, ...], "states": {state: number}, "pending", "tuned_runs_to_come",
                     "forecast": {seconds, known, unknown, finished, longest}}
    compare A B      {"tables": [a table, ...]}
    prepare          {"path", "contact_sheet", "reused", "summary": {...}, "audit": [paths]}
    check            {"file", "kept": whether all, "optimizers": [{name, rules: [{rule, kept,
                     found}]}]}
    list             {kind: [an entry, ...]}
    an error         {"error": the line that is said}

A table is {"title", "headings", "rows": [[text, ...], ...], "notes"}; paths are relative as the
folders were given; numbers are as stored: accuracies 0..1, seconds, bytes. The object is written at
the end, so it also tells of failed, diverged and interrupted runs; the exit code tells whether all
is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sambench.analysis.time_estimates import Forecast
from sambench.config.launcher_settings import LauncherSettings
from sambench.config.run_config import RunConfig
from sambench.files.definition import Definition, plain
from sambench.report.table import Table
from sambench.store.status import DAMAGED, MISSING, Standing, counts, pending
from sambench.store.tree import Store

SECTIONS = ("final", "cost", "sharpness", "hessian")


def run_answer(store: Store, config: RunConfig) -> dict[str, Any]:
    """Return what is stored of a run."""
    record, damage = store.look(config)
    stored = {} if record is None else record.to_dict()
    return {
        "id": config.id,
        "name": config.name,
        "path": str(store.folder(config)),
        "status": record.status if record else DAMAGED if damage else MISSING,
        "error": record.error if record else damage or None,
        **{name: stored.get(name) for name in SECTIONS},
    }


def plan_answer(
    suite: str,
    launcher: LauncherSettings,
    standings: Sequence[Standing],
    coming: int,
    left: Forecast,
) -> dict[str, Any]:
    """Return the standing of each run of a suite, and what is left."""
    return {
        "suite": suite,
        "launcher": {"name": launcher.name, "options": launcher.options},
        "runs": [
            {
                **{"id": s.config.id, "name": s.config.name},
                **{"state": s.state, "action": s.action, "note": s.note or None},
            }
            for s in standings
        ],
        "states": counts(standings),
        "pending": len(pending(standings)),
        "tuned_runs_to_come": coming,
        "forecast": asdict(left),
    }


def tables_answer(tables: Iterable[Table]) -> dict[str, Any]:
    """Return comparisons as they would be printed."""
    return {
        "tables": [
            {
                "title": table.title,
                "headings": list(table.headings),
                "rows": [[label, *(cell.text for cell in cells)] for label, cells in table.rows],
                "notes": list(table.notes),
            }
            for table in tables
        ]
    }


def prepared_answer(
    folder: Path, sheet: Path, summary: Definition, audit: Sequence[Path], *, reused: bool
) -> dict[str, Any]:
    """Return where a dataset was prepared, what it consists of and what an audit wrote."""
    return {
        "path": str(folder),
        "contact_sheet": str(sheet),
        "reused": reused,
        "summary": plain(summary),
        "audit": [str(path) for path in audit],
    }
