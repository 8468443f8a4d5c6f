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

Rows = Iterable[Iterable[Any]]
"""The names of the columns, then the rows."""


def runs_table(groups: Iterable[Group]) -> Rows:
    """Return a row for each run: its state, every setting, and every metric that any run has.

    Settings are `dataset`, `model`, `optimizer.name`, `optimizer.rho` ...; metrics go by their
    names and are as printed: percent, seconds, eigenvalues. What a run lacks is None in its row.
    """
    lines = [line for group in groups for line in group.lines]
    runs = [run for line in lines for run in line.records]
    configs = [run.config for run in runs]
    columns: dict[str, Sequence[Any]] = {
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
    return [columns, *zip(*columns.values(), strict=True)]


def predictions_table(groups: Iterable[Group], predictions: Mapping[str, Predictions]) -> Rows:
    """Yield a row for each test image of each run whose predictions are there, by the run's id.

    The label and the most probable class are classes by name; `probability CLASS` is a column for
    each class of any run, None for those that a run does not have.
    """
    runs = [run for group in groups for run in group.records if run.id in predictions]
    classes = {run.id: (run.data or {})["classes"] for run in runs}
    every = dict.fromkeys(name for names in classes.values() for name in names)
    columns = ("run", "optimizer", "seed", "fold", "image", "label", "predicted")
    yield (*columns, *(f"probability {name}" for name in every))
    for run in runs:
        config, found, own = run.config, predictions[run.id], classes[run.id]
        for image, label, shares in zip(found.ids, found.labels, found.probabilities, strict=True):
            share = dict(zip(own, shares.tolist(), strict=True))
            said = (image, own[label], own[shares.argmax()], *map(share.get, every))
            yield (run.name, config.optimizer["name"], config.seed, config.fold, *said)


def comparisons_table(found: Iterable[Comparison]) -> Rows:
    """Return a row for each comparison, in numbers."""
    rows = [plain_comparison(one) for one in found]
    return [rows[0] if rows else {}, *(row.values() for row in rows)]


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
        **{"lost_count_in_p": one.counted},
        **{"dz": one.effect, "sd": one.sd, "wins": one.wins, "pairs": one.pairs},
        **{"low_with_other_images": low, "high_with_other_images": high},
    }
