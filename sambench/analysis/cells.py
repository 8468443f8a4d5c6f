"""The cells of a report by name, so that each number can be asked where it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sambench.analysis.groups import Line
from sambench.analysis.metrics import METRICS, Metric
from sambench.analysis.panels import Panel
from sambench.errors import UserError, did_you_mean

MOST_NAMED = 12
"""Cells that a message names."""

Named = TypeVar("Named")


@dataclass(frozen=True, kw_only=True)
class CellOf:
    """One optimizer's number under one setting."""

    panel: Panel
    line: Line
    metric: Metric

    @property
    def name(self) -> str:
        """How it is asked for: setting/optimizer/metric."""
        return f"{self.panel.title}/{self.line.label}/{bare(self.metric.title)}"


def find_cell(query: str, panels: Sequence[Panel]) -> CellOf:
    """Return the cell of that name.

    A cell is named `optimizer/metric`, with `setting/` in front where several have it; a metric
    goes by its heading or its short name, and every part may be shortened. A model's name in place
    of the optimizer's stands for the baseline's line.

    Args:
        query: As in "sam/test accuracy" or "resnet50 on bus/sam/top".
        panels: Of the report.

    Raises:
        UserError: If no cell is of that name, or several are.
    """
    found = _find(query, panels)
    if len(found) == 1:
        return found[0]
    if found:
        some = "; ".join(cell.name for cell in found[:MOST_NAMED])
        more = "; ..." if len(found) > MOST_NAMED else ""
        raise UserError(f"{len(found)} cells are {query!r}; name one: {some}{more}")
    every = [cell for panel in panels for line in panel.group.lines for cell in _cells(panel, line)]
    short = {f"{cell.line.label}/{bare(cell.metric.title)}": None for cell in every}
    names = [*short, *(cell.name for cell in every)]
    example = next(iter(short), "sam/test accuracy")
    raise UserError(
        f"no cell {query!r}{did_you_mean(query, names)}; cells are named optimizer/metric, as "
        f"{example!r}"
    )


def bare(title: str) -> str:
    """Return a heading without its unit."""
    return re.sub(r"\s*\([^)]*\)", "", title).lower()


def _find(query: str, panels: Sequence[Panel]) -> list[CellOf]:
    if "/" not in query:
        return [
            cell
            for panel in panels
            for line in closest(query, panel.group.lines, _names_of_line)
            for cell in _cells(panel, line)
        ] or [
            cell
            for panel in panels
            for line in panel.group.lines
            for cell in _named(panel, line, query)
        ]
    parts = query.split("/")
    title, label, metric = "/".join(parts[:-2]).strip(), parts[-2], parts[-1]
    chosen = closest(title, panels, lambda panel: [panel.title]) if title else list(panels)
    found = [
        cell
        for panel in chosen
        for line in closest(label, panel.group.lines, _names_of_line)
        for cell in _named(panel, line, metric)
    ]
    if found or title:
        return found
    return [
        cell
        for panel in panels
        if panel.baseline is not None
        and _plain(label) in (_plain(panel.title), _plain(panel.group.setting.model))
        for cell in _named(panel, panel.baseline, metric)
    ]


def _named(panel: Panel, line: Line, metric: str) -> list[CellOf]:
    return closest(metric, _cells(panel, line), lambda cell: [cell.metric.name, cell.metric.title])


def _cells(panel: Panel, line: Line) -> list[CellOf]:
    return [
        CellOf(panel=panel, line=line, metric=metric)
        for metric in METRICS
        if any(metric.of(record) is not None for record in line.records)
    ]


def _names_of_line(line: Line) -> list[str]:
    return [line.label, str(line.optimizer["name"])]


def closest(
    text: str, among: Iterable[Named], names: Callable[[Named], Sequence[str]]
) -> list[Named]:
    """Return what is called so: exactly if anything is, else by the beginning, else by a part."""
    wanted, listed = _plain(text), list(among)
    called = [[_plain(name) for name in names(one)] for one in listed]
    for test in (str.__eq__, str.startswith, str.__contains__):
        hits = [
            one
            for one, own in zip(listed, called, strict=True)
            if any(test(name, wanted) for name in own)
        ]
        if hits:
            return hits
    return []


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.=+]+", "", bare(text) if text.endswith("(%)") else text.lower())
