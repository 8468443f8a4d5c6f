"""The papers' printed numbers as a frame, under the same columns as our records."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd

from sambench.analysis.frame import DATASET, MODEL, NAME, OPTIMIZER, STATUS
from sambench.files.yaml_text import read_yaml

PUBLISHED = "published"
"""Status of a printed row: no run of ours."""

PAPER, TABLE = "paper", "table"

COLUMNS: Mapping[str, tuple[str, float]] = {
    "test_accuracy": ("final.test.accuracy", 0.01),
    "train_minutes": ("cost.train_seconds", 60.0),
    "hessian_top": ("hessian.top.value", 1.0),
    "hessian_median": ("hessian.median", 1.0),
    "hessian_mean": ("hessian.mean", 1.0),
    "hessian_sd": ("hessian.std", 1.0),
    "hessian_trace": ("hessian.trace.value", 1.0),
}
"""Printed column -> record's column and the factor between them."""

DATASETS: Mapping[str, str] = {"gdph_sysucc": "bus"}
"""The papers' names of data sets -> ours, where they differ."""

FAMILIES = ("resnet50", "vgg16", "vit", "swin")
"""Architectures as the papers name them: no sizes are printed for ViT and Swin."""


@cache
def papers() -> tuple[Mapping[str, Any], ...]:
    """Return each paper's facts: title, protocol, tables with every printed row."""
    text = resources.files("sambench.analysis").joinpath("published.yaml").read_text("utf-8")
    return tuple(read_yaml(text)["papers"])


def published_frame() -> pd.DataFrame:
    """Return a row for each printed row, once: the baselines of tables 2 to 5 repeat table 1.

    Columns are those of `frame` for what was printed, in the records' units (fractions, seconds),
    and `paper` and `table`. The status is "published", so no row is ever taken for a run.
    """
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for paper in papers():
        for table in paper["tables"]:
            for row in table["rows"]:
                place = (paper["id"], row["dataset"], row["model"], row["optimizer"])
                rows.setdefault(place, _row(paper["id"], table["id"], row))
    return pd.DataFrame(list(rows.values()))


def _row(paper: str, table: str, printed: Mapping[str, Any]) -> dict[str, Any]:
    dataset = DATASETS.get(printed["dataset"], printed["dataset"])
    numbers = {
        column: scale * printed[key]
        for key, (column, scale) in COLUMNS.items()
        if printed.get(key) is not None
    }
    return {
        NAME: f"{paper} table {table}: {printed['optimizer']} on {printed['model']}",
        STATUS: PUBLISHED,
        PAPER: paper,
        TABLE: table,
        DATASET: dataset,
        MODEL: printed["model"],
        OPTIMIZER: printed["optimizer"],
        **numbers,
    }


def family(model: str) -> str | None:
    """Return the papers' name of a model's architecture, None for one they did not use.

    `timm:` and the like in front, and sizes behind, do not matter: vit_b_16 is a vit.
    """
    plain = model.rpartition(":")[2].lower()
    return next((name for name in FAMILIES if plain.startswith(name)), None)
