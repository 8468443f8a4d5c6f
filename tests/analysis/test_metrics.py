"""What `metrics.yaml` says is read, and stands in a record where it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sambench.analysis.metrics import COLUMNS, METRICS, Metric, find_metric
from sambench.files.yaml_text import read_own_yaml

TOLD = read_own_yaml("sambench.analysis", "metrics.yaml")
SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "record.schema.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", [*TOLD["kinds"], *TOLD["metrics"]])
def test_every_key_is_read(name: str) -> None:
    """A misspelled one would be passed over, and with it which direction is better."""
    given = {**TOLD["kinds"], **TOLD["metrics"]}[name]
    known = {field.name for field in fields(Metric)} - {"name", "column"}
    assert given.keys() <= known | {"kind", "like", "section", "at"}


def inside(schema: Any, key: str) -> Iterator[Any]:
    """Yield what the schema says of a key of a mapping."""
    if "$ref" in schema:
        yield from inside(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], key)
    for one in schema.get("anyOf", ()):
        yield from inside(one, key)
    if key in schema.get("properties", ()):
        yield schema["properties"][key]
    elif isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]


OF_PREDICTIONS = {"sensitivity_at_90", "specificity_at_90", "calibration_slope"}
"""Worked out from the stored predictions whenever a report is made."""


@pytest.mark.parametrize(
    "metric", [m for m in METRICS if m.name not in OF_PREDICTIONS], ids=lambda metric: metric.name
)
def test_a_record_has_it_where_the_metric_says(metric: Metric) -> None:
    """Elsewhere it would never be found, and its column never shown."""
    for path in filter(None, (metric.column, metric.converged)):
        found = [SCHEMA]
        for key in path.split("."):
            found = [one for schema in found for one in inside(schema, key)]
            assert found, f"{path}: a record has no {key} there"


def test_the_columns_of_tables_are_metrics() -> None:
    assert all(find_metric(name) for names in COLUMNS.values() for name in names)
