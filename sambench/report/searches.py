"""What the search of a suite chose, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sambench.report.table import MISSING, Cell, Row, Table
from sambench.store.search_record import SearchRecord, TuningRecord

HEADINGS = (
    *("Optimizer", "Trials", "Validation accuracy as given (%)", "Best trial (%)", "Chosen"),
    *("Gradient evaluations", "Training time (s)"),
)


def search_table(found: SearchRecord, where: str) -> Table:
    """Return a row for each optimizer and setting.

    Args:
        found: What the search found.
        where: That file, to be named below.
    """
    several = len({_setting(tuning) for tuning in found["tunings"]}) > 1
    search = found.search
    return Table(
        title=f"Search of {found['suite']}",
        headings=HEADINGS,
        rows=tuple(_row(tuning, several=several) for tuning in found["tunings"]),
        notes=(
            f"Every optimizer has {search.trials} trials with seeds "
            f"{', '.join(map(str, search.seeds))}; the values of the highest validation "
            f"accuracy ({100 * search.validation:g} % of the training images) are chosen, and "
            "the test images play no role.",
            f"Trials, their runs and values: {where}.",
        ),
    )


def _setting(tuning: TuningRecord) -> str:
    setting = tuning["setting"]
    fold = "" if setting.get("fold") is None else f", fold {setting['fold']}"
    return f"{setting['model']} on {setting['dataset']}{fold}"


def _row(tuning: TuningRecord, *, several: bool) -> Row:
    trials, budget, chosen = tuning["trials"], tuning["budget"], tuning["chosen"]
    scores = [t["validation_accuracy"] for t in trials if t["validation_accuracy"] is not None]
    given = trials[0]["validation_accuracy"] if trials else None
    best = max(scores) if chosen is not None and scores else None
    values = "search not done" if chosen is None else _values(chosen["values"]) or "as given"
    label = str(tuning["optimizer"]["name"])
    cells = (
        _number(f"{len(scores)} of {len(trials)}", len(scores)),
        _percentage(given),
        _percentage(best),
        Cell(text=values),
        _number(f"{budget['gradient_evaluations']:.0f}", budget["gradient_evaluations"]),
        _number(f"{budget['train_seconds']:.1f}", budget["train_seconds"]),
    )
    return f"{label}, {_setting(tuning)}" if several else label, cells


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items()
    )


def _percentage(share: float | None) -> Cell:
    return Cell(text=MISSING) if share is None else _number(f"{100 * share:.1f}", 100 * share)


def _number(text: str, value: float) -> Cell:
    return Cell(text=text, value=float(value))
