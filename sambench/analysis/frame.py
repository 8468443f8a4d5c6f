"""Records as a table: a row for each run, a column for each field.

A DataFrame where people look at it; columns of plain values for what goes over every table of
10,000 records, which pandas is slow at: slicing a frame for each of its cells took as long as all
else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from sambench.files.definition import Definition
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

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
    import pandas as pd

    records = list(records)
    rows = [_row(record) for record in records]
    return pd.DataFrame(rows, index=pd.Index([record.id for record in records], name="id"))


def _row(record: RunRecord) -> dict[str, Any]:
    held = {name: getattr(record, name) for name in record.__struct_fields__}
    return {NAME: record.name, **flatten({**held, "config": record.config.to_dict()})}


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


class Columns:
    """Some columns of runs, each a list of plain values in the order of the runs, None if missing.

    Args:
        values: Each column's values, all of one length.
        number: How many runs there are.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]], number: int) -> None:
        self._values = dict(values)
        self._number = number

    @classmethod
    def of(cls, runs: pd.DataFrame, names: Iterable[str]) -> Columns:
        """Return columns of a frame."""
        return cls({name: column(runs, name) for name in names}, len(runs))

    @classmethod
    def of_records(cls, records: Sequence[RunRecord], names: Iterable[str]) -> Columns:
        """Return columns of records, named and valued as `frame` has them."""
        held: dict[str, list[Any]] = {}
        values = {name: [_plain(leaf) for leaf in _at(records, name, held)] for name in names}
        return cls(values, len(records))

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, name: str) -> Sequence[Any]:
        """Return a column's values; a column that is not there is missing everywhere."""
        if name not in self._values:
            self._values[name] = [None] * self._number
        return self._values[name]

    def part(self, start: int, end: int) -> Columns:
        """Return the runs from one place up to another."""
        length = len(range(self._number)[start:end])
        return Columns({name: found[start:end] for name, found in self._values.items()}, length)

    def rows(self, places: Sequence[int]) -> Columns:
        """Return the runs at some places, in that order."""
        values = {name: [held[i] for i in places] for name, held in self._values.items()}
        return Columns(values, len(places))


def _at(records: Sequence[RunRecord], path: str, held: dict[str, list[Any]]) -> list[Any]:
    """Return what each record has at a path, if anything; every section is looked up once."""
    if path not in held:
        section, _, key = path.rpartition(".")
        if section:
            held[path] = [_member(found, key) for found in _at(records, section, held)]
        else:
            held[path] = [getattr(record, key, None) for record in records]
    return held[path]


def _member(section: object, key: str) -> Any:
    if isinstance(section, dict):
        return section.get(key)
    found = getattr(section, key, None) if isinstance(section, Definition) else None
    return None if found is UNSET else found


def _plain(leaf: Any) -> Any:
    if isinstance(leaf, float):
        return None if math.isnan(leaf) else leaf
    if isinstance(leaf, list):
        return tuple(leaf)
    return None if isinstance(leaf, Mapping) else leaf
