"""Records as one DataFrame: a row for each run, a column for each field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
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
    rows = [_row(record) for record in records]
    return pd.DataFrame(rows, index=pd.Index([record.id for record in records], name="id"))


def _row(record: RunRecord) -> dict[str, Any]:
    held = {f.name: getattr(record, f.name) for f in fields(record)}
    return {NAME: record.name, **flatten({**held, "config": record.config.to_dict()})}


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under their paths, joined by points."""
    leaves: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict):
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


class Columns:
    """A frame's columns as lists, each converted once.

    Args:
        runs: The frame.
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        self._runs = runs
        self._lists: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._lists:
            self._lists[name] = column(self._runs, name)
        return self._lists[name]
