"""The papers' printed numbers, as printed, and our runs that stand beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sambench.analysis.groups import Group, Line
from sambench.analysis.inference import SEEDS, t_quantile
from sambench.analysis.metrics import MINUTES, Metric, find_metric
from sambench.analysis.units import Summary, summarize
from sambench.files.yaml_text import read_own_yaml

COLUMNS: Mapping[str, Metric] = {
    "test_accuracy": find_metric("accuracy"),
    "train_minutes": MINUTES,
    **{f"hessian_{name}": find_metric(name) for name in ("top", "median", "mean", "sd", "trace")},
}
"""Printed column -> our metric, in the order of the papers."""

DATASETS: Mapping[str, str] = {"gdph_sysucc": "bus"}
"""The papers' names of data sets -> ours, where they differ."""

FAMILIES = ("resnet50", "vgg16", "vit", "swin")
"""Architectures as the papers name them: no sizes are printed for ViT and Swin."""


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """One row of a table of a paper; the dataset has our name, the model the paper's."""

    paper: str
    dataset: str
    model: str
    optimizer: str
    values: Mapping[str, float]  # by column, as printed: percent, minutes
    bold: tuple[str, ...] = ()  # columns printed in bold

    def of(self, metric: str) -> float | None:
        """Return the number of one of our metrics, on our printed scale."""
        found = {of.name: self.values.get(column) for column, of in COLUMNS.items()}.get(metric)
        return 60 * found if found is not None and metric == MINUTES.name else found


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """A table of a paper, as printed."""

    paper: str
    arxiv: str
    number: str
    caption: str
    rows: tuple[PrintedRow, ...]


@cache
def printed_tables() -> tuple[PrintedTable, ...]:
    """Return every printed table that is at hand."""
    return tuple(
        PrintedTable(
            paper=paper["id"],
            arxiv=paper["arxiv"],
            number=str(table["id"]),
            caption=table["caption"],
            rows=tuple(
                PrintedRow(
                    paper=paper["id"],
                    dataset=DATASETS.get(printed["dataset"], printed["dataset"]),
                    model=printed["model"],
                    optimizer=printed["optimizer"],
                    values={key: printed[key] for key in COLUMNS if printed.get(key) is not None},
                    bold=tuple(printed.get("bold", ())),
                )
                for printed in table["rows"]
            ),
        )
        for paper in read_own_yaml("sambench.analysis", "published.yaml")["papers"]
        for table in paper["tables"]
    )


def printed_rows() -> tuple[PrintedRow, ...]:
    """Return each printed row once: the baselines of tables 2 to 5 repeat table 1."""
    rows: dict[tuple[str, ...], PrintedRow] = {}
    for row in (row for table in printed_tables() for row in table.rows):
        rows.setdefault((row.paper, row.dataset, row.model, row.optimizer), row)
    return tuple(rows.values())


def family(model: str) -> str | None:
    """Return the papers' name of an architecture, as vit of timm:vit_b_16; None for another."""
    plain = model.rpartition(":")[2].lower()
    return next((name for name in FAMILIES if plain.startswith(name)), None)


def lines_of(groups: Iterable[Group], model: str, optimizer: str) -> list[tuple[Group, Line]]:
    """Return the lines with completed runs of one of the papers' architectures and an optimizer."""
    return [
        (group, line)
        for group in groups
        if family(group.setting.model) == model
        for line in group.lines
        if line.optimizer["name"] == optimizer and line.completed
    ]


def ours(row: PrintedRow, groups: Sequence[Group]) -> list[tuple[Group, Line]]:
    """Return our lines of a printed row's data set, architecture and optimizer."""
    fitting = (group for group in groups if group.setting.dataset == row.dataset)
    return lines_of(fitting, row.model, row.optimizer)


WITHIN, ABOVE, BELOW, TOO_FEW = "within our runs", "above", "below", "too few runs"


@dataclass(frozen=True, kw_only=True)
class Replication:
    """One printed number, on the metric's printed scale, beside our runs."""

    row: PrintedRow
    group: Group
    line: Line
    metric: Metric
    printed: float
    cell: Summary

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % prediction interval of one further run; None for fewer than two.

        Mean ± t s sqrt(1 + 1/n), on logarithms for a ratio.
        """
        mean, spread, n = self.cell.mean, self.cell.spread, self.cell.n
        if mean is None or spread is None:
            return None
        reach = t_quantile(n - 1) * math.sqrt(1 + 1 / n)
        if self.metric.ratio:
            return mean / spread**reach, mean * spread**reach
        return mean - reach * spread, mean + reach * spread

    @property
    def verdict(self) -> str:
        """Where the printed number lies: within our runs, above or below them, or too few runs."""
        if self.cell.n < SEEDS.least_units or self.interval is None:
            return TOO_FEW
        low, high = self.interval
        return BELOW if self.printed < low else ABOVE if self.printed > high else WITHIN


def replications(groups: Sequence[Group]) -> tuple[Replication, ...]:
    """Put each printed number beside our completed runs of its kind, a line for each setting."""
    return tuple(
        Replication(row=row, group=group, line=line, metric=metric, printed=printed, cell=cell)
        for row in printed_rows()
        for group, line in ours(row, groups)
        for metric in COLUMNS.values()
        for cell in [summarize(group, line, metric)]
        if (printed := row.of(metric.name)) is not None and cell.mean is not None
    )
