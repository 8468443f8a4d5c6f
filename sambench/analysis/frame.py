"""Records as one DataFrame: a row for each run, a column for each field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sambench.record import RunRecord

NAME, STATUS = "name", "status"
SEED, FOLD, SPLIT_SEED = "config.seed", "config.fold", "config.split_seed"
DATASET, MODEL, OPTIMIZER = "config.dataset", "config.model", "config.optimizer.name"
COLLAPSED, TRAIN, TEST = "final.test.collapsed", "data.train", "data.test"


def frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return a row for each run, indexed by its id, in the given order.

    Columns are the record's fields with a point at each level: `status`, `config.model`,
    `config.optimizer.rho`, `final.test.accuracy`, `hessian.top.value` ... Lists become tuples. A
    field that a run lacks is missing (None or NaN) in its row.

    Args:
        records: Any runs, of any status.
    """
    records = list(records)
    rows = [flatten(record.to_dict()) for record in records]
    index = pd.Index([record.id for record in records], name="id")
    return pd.DataFrame(rows, index=index).drop(columns="id", errors="ignore")


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under their paths, joined by points."""
    leaves: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            leaves.update(flatten(value, f"{prefix}{key}."))
        else:
            leaves[prefix + key] = tuple(value) if isinstance(value, list) else value
    return leaves


def column(runs: pd.DataFrame, name: str) -> list[Any]:
    """Return a column's values, None where one is missing or there is no such column."""
    if name not in runs.columns:
        return [None] * len(runs)
    return [
        None if isinstance(value, float) and math.isnan(value) else value
        for value in runs[name].tolist()
    ]
