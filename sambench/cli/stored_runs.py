"""`sambench list runs`: what is stored, found by name and by settings."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from sambench.analysis.groups import by_key
from sambench.cli.catalogue import Part
from sambench.config.run_config import RunConfig
from sambench.config.settings import where_pattern
from sambench.files.owner import file_system_time
from sambench.store.status import Survey
from sambench.store.tree import RECORD, Store

NAMED = ("dataset", "model", "optimizer", "seed")
"""Settings that a run's name holds."""


def stored_runs(
    store: Store, patterns: Sequence[str], where: Sequence[str]
) -> tuple[Part, list[str]]:
    """Return the stored runs of some names, ids or suites that have the settings asked for.

    The rows say the settings that differ among runs of one optimizer. Beside them is a message for
    each record that cannot be read. A pattern of no run is a StoreError, an unknown setting a
    ConfigError.
    """
    wanted = where_pattern(where)
    there, damaged = store.records()
    found = store.find(patterns, there) if patterns else there
    found = [record for record in found if wanted.matches(record.config)]
    now = file_system_time(store.runs)
    states = Survey(store=store, known={record.id: record for record in found}).of(
        record.config for record in found
    )
    entries: list[dict[str, Any]] = []
    for record, standing in zip(found, states, strict=True):
        path = store.folder(record.config) / RECORD
        age = max(0.0, now - path.stat().st_mtime) if path.exists() else None
        entries.append(
            {
                **{"name": record.name, "id": record.id, "suite": record.suite},
                **{"state": standing.state, "note": standing.note},
                "accuracy": record.final["test"]["accuracy"] if record.final else None,
                "age_seconds": age,
                "settings": flat(record.config),
            }
        )
    varying = _varying([entry["settings"] for entry in entries])
    rows = [
        (
            entry["name"],
            entry["state"],
            "–" if entry["accuracy"] is None else f"{100 * entry['accuracy']:.1f}",
            "–" if entry["age_seconds"] is None else _age(entry["age_seconds"]),
            ", ".join(
                f"{key}={_text(value)}"
                for key, value in entry["settings"].items()
                if key in varying[entry["settings"]["optimizer"]]
            ),
        )
        for entry in entries
    ]
    headings = ("name", "state", "test accuracy (%)", "age", "settings that differ")
    return Part(headings=headings, rows=rows, entries=entries), damaged


def as_csv(part: Part) -> str:
    """Return the runs as CSV, a row a run and a column for each setting that any of them has."""
    from sambench.report.forms import to_csv

    rows = [{**entry, **entry["settings"]} for entry in part.entries]
    columns = dict.fromkeys(key for row in rows for key in row if key != "settings")
    return to_csv([columns, *([row.get(key) for key in columns] for row in rows)])


def flat(config: RunConfig) -> dict[str, Any]:
    """Return a run's settings as `--set` names them, hyperparameters and stop rule among them."""
    settings = config.to_dict()
    optimizer, stop = settings.pop("optimizer"), settings.pop("stop")
    settings["stop"] = stop["rule"] if stop["value"] is None else f"{stop['rule']}={stop['value']}"
    own = {f"optimizer.{k}" if k in settings else k: v for k, v in optimizer.items()}
    return {**settings, "optimizer": own.pop("name"), **own}


def _varying(runs: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return for each optimizer the settings that are not in a name and differ among its runs."""
    found = {}
    for name, settings in by_key(runs, operator.itemgetter("optimizer")).items():
        keys = {key for each in settings for key in each} - set(NAMED)
        found[name] = {key for key in keys if len({str(each.get(key)) for each in settings}) > 1}
    return found


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _age(seconds: float) -> str:
    """Return how long ago something was, in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
