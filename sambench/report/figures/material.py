"""What figures are drawn from: runs by setting, and the files beside their records."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from sambench.analysis.groups import Group, Line
from sambench.analysis.histories import Epochs, read_history
from sambench.analysis.metrics import find_metric
from sambench.analysis.predictions import Predictions
from sambench.analysis.study import Study
from sambench.analysis.units import Summary, summarize
from sambench.errors import StoreError
from sambench.files.arrays import Arrays, read_arrays
from sambench.report.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from sambench.report.wording import worded
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from sambench.store.tree import Store

Drawn = tuple[Figure, str] | str | None
"""A figure and its caption; or why there is none; None where there is nothing to be said."""

caption = partial(worded, "captions.md")
"""Returns the caption of a kind of figure, of some facts."""

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MOST_COLOURS, LEADERS = 6, 3


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A group as figures show it: the optimizers that have completed runs, and their looks."""

    group: Group

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The optimizers that have completed runs, the baseline first."""
        return tuple(line for line in self.group.lines if line.completed)

    @property
    def titles(self) -> Mapping[str, str]:
        """How each line is printed, by label."""
        return {line.label: line.title for line in self.lines}

    def cell(self, line: Line, metric: str) -> Summary:
        """Summarize one optimizer's runs by a metric."""
        return summarize(self.group, line, find_metric(metric))

    @cached_property
    def accuracies(self) -> Mapping[str, Summary]:
        """Test accuracy of each optimizer that has it, by label."""
        cells = {line.label: self.cell(line, "accuracy") for line in self.lines}
        return {label: cell for label, cell in cells.items() if cell.mean is not None}

    def looks(self, among: Container[str]) -> Mapping[str, tuple[str, Any]]:
        """Return colour and dashes of those among some optimizers that stand out.

        These are all, or of many the baseline, which is black, and the leaders: the three others of
        highest mean accuracy.
        """
        labels = [line.label for line in self.lines if line.label in among]
        first = [one.label for one in [self.group.first] if one and one.label in among]
        others = [label for label in labels if label not in first]
        if len(labels) > MOST_COLOURS:
            means = {label: cell.mean or 0.0 for label, cell in self.accuracies.items()}
            others = sorted(others, key=lambda label: -means.get(label, 0.0))[:LEADERS]
        given = zip(others, zip(COLOURS, STYLES, strict=True), strict=False)
        return {**dict.fromkeys(first, ("black", "-")), **dict(given)}


@dataclass(frozen=True, kw_only=True)
class Material:
    """Runs by setting, with their files, each of which is read once."""

    study: Study
    store: Store
    known: Mapping[str, Predictions]  # those that are sound, by id of the run
    printed: bool = False  # whether the papers' numbers are drawn beside ours
    damaged: dict[Path, str] = field(default_factory=dict)  # why each of them cannot be read
    _read: dict[Path, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Those that have completed runs."""
        return tuple(Setting(group=group) for group in self.study.groups if group.completed)

    def histories(self, line: Line) -> list[Epochs]:
        """Return the epochs of the completed runs that have a sound file of them."""
        found = (
            self._file(
                path := self.store.history(record.config),
                partial(read_history, record=record),
                record.sha256_of(path.name),
            )
            for record in line.completed
        )
        return [epochs for epochs in found if epochs is not None]

    def predictions(self, line: Line) -> list[Predictions]:
        """Return the predictions of the completed runs that have a sound file of them."""
        return [self.known[run.id] for run in line.completed if run.id in self.known]

    def arrays(
        self, record: RunRecord, section: Mapping[str, Any], kind: str, needs: Mapping[str, str]
    ) -> Arrays:
        """Return the arrays of a study of a run, or none where its file is not sound.

        The file is that of the record's section; it must be what `read_arrays` asks for.
        """
        path = self.store.folder(record.config) / str(section["file"])
        sha256 = section.get("sha256")
        read = partial(read_arrays, kind=kind, needs=needs, sha256=sha256)
        return self._file(path, read, sha256) or {}

    def _file(self, path: Path, read: Callable[[Path], Any], sha256: str | None) -> Any:
        """Read a file once; None where none was written, or where it is damaged or gone."""
        if path not in self._read:
            self._read[path] = None
            if path.exists() or sha256:
                try:
                    self._read[path] = read(path)
                except StoreError as error:
                    self.damaged[path] = str(error)
        return self._read[path]


def number_of_runs(counts: Iterable[int]) -> str:
    """Return "10 runs", or "3 to 10 runs" where optimizers have different numbers."""
    found = sorted(set(counts))
    if found in ([], [1]):
        return "one run"
    return f"{found[0]} to {found[-1]} runs" if len(found) > 1 else f"{found[0]} runs"
