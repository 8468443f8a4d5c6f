"""Records and statements as tidy tables: a row for each run, a row for each comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group
from sambench.analysis.metrics import collapsed, measured, values_at
from sambench.config.run_config import DEFAULTS, LATER, OF_REPLICAS, RunConfig

if TYPE_CHECKING:
    from sambench.analysis.predictions import Predictions

Columns = dict[str, Sequence[Any]]
"""Of one length, as `pandas.DataFrame` takes them."""


def runs_table(groups: Iterable[Group]) -> Columns:
    """Return a row for each run: its state, every setting, and every metric that any run has.

    Settings are `dataset`, `model`, `optimizer.name`, `optimizer.rho` ...; metrics go by their
    names and are as printed: percent, seconds, eigenvalues. What a run lacks is None in its row.
    """
    lines = [line for group in groups for line in group.lines]
    runs = [run for line in lines for run in line.records]
    configs = [run.config for run in runs]
    columns: Columns = {
        "id": [run.id for run in runs],
        "name": [run.name for run in runs],
        "suite": [run.suite for run in runs],
        "status": [run.status for run in runs],
        "collapsed": [collapsed(run) for run in runs],
        "error": [run.error for run in runs],
    }
    for name in RunConfig.__struct_fields__:
        values = values_at(runs, f"config.{name}")
        if name in ("optimizer", "stop"):
            continue
        if name not in (*LATER, *OF_REPLICAS) or any(v != DEFAULTS[name] for v in values):
            columns[name] = values
    for name in ("stop.rule", "stop.value"):
        columns[name] = values_at(runs, f"config.{name}")
    for name in dict.fromkeys(name for config in configs for name in config.optimizer):
        columns[f"optimizer.{name}"] = [config.optimizer.get(name) for config in configs]
    for metric in measured(runs):
        columns[metric.name] = [value for line in lines for value in line.numbers(metric)]
    return columns


def predictions_table(groups: Iterable[Group], predictions: Mapping[str, Predictions]) -> Columns:
    """Return a row for each test image of each run whose predictions are there, by the run's id.

    The label and the most probable class are classes by name, `probability CLASS` is a column for
    each class of any run; what a run does not have is None in its rows.
    """
    names = ("run", "optimizer", "seed", "fold", "image", "label", "predicted")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for record in (run for group in groups for run in group.records):
        if (found := predictions.get(record.id)) is None:
            continue
        config, number = record.config, len(found.labels)
        classes = (record.data or {})["classes"]
        columns["run"] += [record.name] * number
        columns["optimizer"] += [config.optimizer["name"]] * number
        columns["seed"] += [config.seed] * number
        columns["fold"] += [config.fold] * number
        columns["image"] += found.ids.tolist()
        columns["label"] += [classes[label] for label in found.labels]
        columns["predicted"] += [classes[k] for k in found.probabilities.argmax(axis=1)]
        for name, values in zip(classes, found.probabilities.T, strict=True):
            column = columns.setdefault(f"probability {name}", [])
            column += [None] * (len(columns["run"]) - number - len(column)) + values.tolist()
    length = len(columns["run"])
    return {name: column + [None] * (length - len(column)) for name, column in columns.items()}


def comparisons_table(found: Iterable[Comparison]) -> Columns:
    """Return a row for each comparison, in numbers."""
    rows = [plain_comparison(one) for one in found]
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def plain_comparison(one: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values: what `comparisons.csv` and `--json` have of it."""
    low, high = one.images or (None, None)
    test = one.design.test if one.p is not None else None
    return {
        **{"setting": one.setting, "settings": one.settings, "metric": one.metric.name},
        **{"baseline": one.baseline, "candidate": one.candidate},
        **{"scale": "ratio" if one.metric.ratio else "difference", "unit": one.metric.unit},
        **{"n": one.n, "counted": one.design.unit},
        **{"estimate": one.estimate, "low": one.low, "high": one.high},
        **{"p": one.p, "p_equivalent": one.p_equivalent, "verdict": one.verdict},
        **{"test": test, "family": one.family, "least_units": one.design.least_units},
        **{"lost_baseline": one.lost[0], "lost_candidate": one.lost[1]},
        **{"dz": one.effect, "sd": one.sd, "wins": one.wins, "pairs": one.pairs},
        **{"low_with_other_images": low, "high_with_other_images": high},
    }
