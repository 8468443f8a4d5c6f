"""The papers' printed numbers, as printed, and our runs that stand beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from sambench.analysis.groups import Group, Line
from sambench.analysis.inference import ALPHA, SEEDS, student_quantile
from sambench.analysis.metrics import Metric, find_metric
from sambench.analysis.units import Cell, cell_of
from sambench.files.yaml_text import read_yaml

COLUMNS: Mapping[str, tuple[str, float]] = {
    "test_accuracy": ("accuracy", 1.0),
    "train_minutes": ("train_seconds", 60.0),
    "hessian_top": ("top", 1.0),
    "hessian_median": ("median", 1.0),
    "hessian_mean": ("mean", 1.0),
    "hessian_sd": ("sd", 1.0),
    "hessian_trace": ("trace", 1.0),
}
"""Printed column -> our metric, and its number over the printed one; in the order of the papers."""

DATASETS: Mapping[str, str] = {"gdph_sysucc": "bus"}
"""The papers' names of data sets -> ours, where they differ."""

FAMILIES = ("resnet50", "vgg16", "vit", "swin")
"""Architectures as the papers name them: no sizes are printed for ViT and Swin."""


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """One row of a printed table.

    Attributes:
        paper: Its id.
        table: Its number.
        dataset: Ours.
        model: The papers' name.
        optimizer: Its name.
        values: By column, as printed: percent, minutes.
        bold: Columns printed in bold.
    """

    paper: str
    table: str
    dataset: str
    model: str
    optimizer: str
    values: Mapping[str, float]
    bold: tuple[str, ...] = ()

    def of(self, metric: str) -> float | None:
        """Return the number of one of our metrics, on our printed scale."""
        for column, (name, factor) in COLUMNS.items():
            if name == metric and column in self.values:
                return factor * self.values[column]
        return None


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """A table of a paper.

    Attributes:
        paper: Its id.
        number: Its number.
        caption: As printed.
        rows: As printed.
    """

    paper: str
    number: str
    caption: str
    rows: tuple[PrintedRow, ...]


@cache
def papers() -> tuple[Mapping[str, Any], ...]:
    """Return each paper's facts: title, protocol, tables with every printed row."""
    text = resources.files("sambench.analysis").joinpath("published.yaml").read_text("utf-8")
    return tuple(read_yaml(text)["papers"])


@cache
def printed_tables() -> tuple[PrintedTable, ...]:
    """Return every printed table that is at hand."""
    return tuple(
        PrintedTable(
            paper=paper["id"],
            number=str(table["id"]),
            caption=table["caption"],
            rows=tuple(_row(paper["id"], str(table["id"]), row) for row in table["rows"]),
        )
        for paper in papers()
        for table in paper["tables"]
    )


def printed_rows() -> tuple[PrintedRow, ...]:
    """Return each printed row once: the baselines of tables 2 to 5 repeat table 1."""
    rows: dict[tuple[str, ...], PrintedRow] = {}
    for table in printed_tables():
        for row in table.rows:
            rows.setdefault((row.paper, row.dataset, row.model, row.optimizer), row)
    return tuple(rows.values())


def _row(paper: str, table: str, printed: Mapping[str, Any]) -> PrintedRow:
    return PrintedRow(
        paper=paper,
        table=table,
        dataset=DATASETS.get(printed["dataset"], printed["dataset"]),
        model=printed["model"],
        optimizer=printed["optimizer"],
        values={key: printed[key] for key in COLUMNS if printed.get(key) is not None},
        bold=tuple(printed.get("bold", ())),
    )


def family(model: str) -> str | None:
    """Return the papers' name of a model's architecture, None for one they did not use.

    `timm:` and the like in front, and sizes behind, do not matter: vit_b_16 is a vit.
    """
    plain = model.rpartition(":")[2].lower()
    return next((name for name in FAMILIES if plain.startswith(name)), None)


def ours(row: PrintedRow, groups: Sequence[Group]) -> list[tuple[Group, Line]]:
    """Return our lines of a printed row's data set, architecture and optimizer."""
    return [
        (group, line)
        for group in groups
        if group.setting.dataset == row.dataset and family(group.setting.model) == row.model
        for line in group.lines
        if line.optimizer["name"] == row.optimizer and line.completed
    ]


WITHIN, ABOVE, BELOW, TOO_FEW = "within our runs", "above", "below", "too few runs"


@dataclass(frozen=True, kw_only=True)
class Replication:
    """One printed number beside our runs.

    The paper ran each cell once, so the question is whether its number could be one more run of
    ours. Time depends on the machine, and curvature on its definition, which the paper leaves open.

    Attributes:
        row: Of the paper.
        group: Ours.
        line: Ours.
        metric: What is compared.
        printed: The printed number, on the metric's printed scale.
        cell: Our runs.
        low: Of the 95 % prediction interval of one further run of ours, mean ± t s sqrt(1 + 1/n),
            on logarithms for a ratio; None for fewer than two.
        high: Likewise.
    """

    row: PrintedRow
    group: Group
    line: Line
    metric: Metric
    printed: float
    cell: Cell
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """Where the printed number lies: within our runs, above or below them, or too few runs."""
        if self.cell.n < SEEDS.least_units or self.low is None or self.high is None:
            return TOO_FEW
        if self.low <= self.printed <= self.high:
            return WITHIN
        return ABOVE if self.printed > self.high else BELOW


def replications(groups: Sequence[Group]) -> tuple[Replication, ...]:
    """Put each printed number beside our completed runs of its data set, model and optimizer.

    Where several settings or hyperparameters fit, each is a line of its own.
    """
    found = []
    for row in printed_rows():
        for group, line in ours(row, groups):
            for name, _ in COLUMNS.values():
                metric, printed = find_metric(name), row.of(name)
                cell = cell_of(group, line, metric)
                if printed is not None and cell.mean is not None:
                    low, high = _prediction(cell, ratio=metric.ratio)
                    found.append(
                        Replication(
                            row=row,
                            group=group,
                            line=line,
                            metric=metric,
                            printed=printed,
                            cell=cell,
                            low=low,
                            high=high,
                        )
                    )
    return tuple(found)


def _prediction(cell: Cell, *, ratio: bool) -> tuple[float | None, float | None]:
    if cell.mean is None or cell.spread is None:
        return None, None
    reach = float(student_quantile(cell.n - 1, 1 - ALPHA / 2)) * math.sqrt(1 + 1 / cell.n)
    if ratio:
        factor = cell.spread**reach
        return cell.mean / factor, cell.mean * factor
    return cell.mean - reach * cell.spread, cell.mean + reach * cell.spread
