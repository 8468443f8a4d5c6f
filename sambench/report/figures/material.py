"""What figures are drawn from: runs by setting, and the files beside their records."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sambench.analysis.comparison import Comparison, columns_of
from sambench.analysis.frame import Columns
from sambench.analysis.groups import Group, Line
from sambench.analysis.learning import AXES
from sambench.analysis.metrics import find_metric
from sambench.analysis.panels import against_baseline, image_groups
from sambench.analysis.predictions import Predictions, read_predictions
from sambench.analysis.targets import Epochs, read_history
from sambench.config.run_config import RunConfig
from sambench.errors import StoreError
from sambench.files.arrays import Arrays, read_arrays
from sambench.store.record import RunRecord

DRAWN = ("train_loss", "train_accuracy", "validation_accuracy")
"""What else of an epoch is drawn, where it is known."""


class Runs(Protocol):
    """Knows where the files of a run lie; a `Store` does."""

    def folder(self, config: RunConfig) -> Path:
        """Return the run's folder."""

    def history(self, config: RunConfig) -> Path:
        """Return the file of its epochs."""

    def predictions(self, config: RunConfig) -> Path:
        """Return the file of its test predictions."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A figure that is not drawn, or a file that could not be drawn from, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}."


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Optimizers compared under settings that are otherwise the same.

    Attributes:
        group: The runs.
        name: For people, e.g. "small-cnn on phantom"; numbered where several are called so.
        baseline: Label of the first line, where it is of the baseline; None where it is not.
    """

    group: Group
    name: str
    baseline: str | None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The optimizers that have completed runs, the baseline first."""
        return tuple(line for line in self.group.lines if line.completed)

    def stem(self, kind: str) -> str:
        """Return the file name of a kind of figure of this setting, without ending."""
        return f"figure-{kind}-{re.sub(r'[^a-z0-9]+', '-', self.name.lower()).strip('-')}"


class Material:
    """Runs by setting, those on other images apart, with their files.

    Args:
        records: Any runs.
        runs: Where their files lie.
        baseline: Name of the optimizer that comes first.
    """

    def __init__(self, records: Sequence[RunRecord], runs: Runs, baseline: str) -> None:
        self._runs = runs
        self._sorted = image_groups(records, baseline)
        self._baseline = baseline
        self._read: dict[Path, Any] = {}
        self._compared: dict[str, Mapping[str, Comparison]] = {}
        self.damaged: dict[Path, str] = {}

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Settings with a completed run, in order of data set and model."""
        found: list[Setting] = []
        names: dict[str, int] = {}
        for group in self._sorted:
            if not any(line.completed for line in group.lines):
                continue
            name = group.place
            names[name] = names.get(name, 0) + 1
            first = group.lines[0]
            ours = first.optimizer["name"] == self._baseline and bool(first.completed)
            found.append(
                Setting(
                    group=group,
                    name=name if names[name] == 1 else f"{name} ({names[name]})",
                    baseline=first.label if ours else None,
                )
            )
        return tuple(found)

    def against_baseline(self, setting: Setting) -> Mapping[str, Comparison]:
        """Return each other line's test accuracy compared with the baseline's, p corrected."""
        if setting.name not in self._compared:
            found: tuple[Comparison, ...] = ()
            if setting.baseline is not None:
                group, metrics = (
                    replace(setting.group, lines=setting.lines),
                    [find_metric("accuracy")],
                )
                names = columns_of(metrics)
                sides = [Columns.of_records(line.records, names) for line in group.lines]
                found = against_baseline(group, sides, self._baseline, metrics)
            self._compared[setting.name] = {c.candidate: c for c in found}
        return self._compared[setting.name]

    def histories(self, line: Line) -> list[Epochs]:
        """Return the epochs of the completed runs that have a sound file of them."""
        found = (self.history(record) for record in line.completed)
        return [epochs for epochs in found if epochs is not None]

    def history(self, record: RunRecord) -> Epochs | None:
        """Return a run's epochs, or None where there is no sound file of them."""
        found: Epochs | None = self._file(
            self._runs.history(record.config), partial(_checked_history, record)
        )
        return found

    def predictions(self, line: Line) -> list[Predictions]:
        """Return the predictions of the completed runs that have a sound file of them."""
        where = self._runs.predictions
        found = (
            self._file(where(record.config), partial(_checked, record)) for record in line.completed
        )
        return [predictions for predictions in found if predictions is not None]

    def arrays(self, record: RunRecord, file: object, kind: str, needs: Sequence[str]) -> Arrays:
        """Return the arrays of a study of a run, or none where its file is not sound.

        Args:
            record: The run.
            file: Name of the file, as the record has it.
            kind: What it must hold.
            needs: Names of its arrays.
        """

        def read(path: Path) -> Arrays:
            arrays = read_arrays(path, kind)
            lacking = [name for name in needs if name not in arrays]
            if lacking:
                raise StoreError(f"{path} has no {', '.join(lacking)}; measure it again")
            return arrays

        found: Arrays | None = self._file(self._runs.folder(record.config) / str(file), read)
        return {} if found is None else found

    def _file(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """Read a file once; None where there is none, or where it is damaged."""
        if path not in self._read:
            self._read[path] = None
            if path.exists():
                try:
                    self._read[path] = read(path)
                except StoreError as error:
                    self.damaged[path] = str(error)
        return self._read[path]


def classes_of(lines: Iterable[Line]) -> Sequence[str]:
    """Return the names of the classes, in order of label; none where no record has them."""
    for line in lines:
        for record in line.completed:
            names = (record.data or {}).get("classes")
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return names
    return ()


def _checked_history(record: RunRecord, path: Path) -> Epochs:
    epochs = read_history(path, record.sha256_of(path.name))
    for epoch in epochs:
        sound = (
            isinstance(epoch, Mapping)
            and all(_is_number(epoch.get(axis)) for axis in AXES)
            and all(epoch.get(key) is None or _is_number(epoch[key]) for key in DRAWN)
        )
        if not sound:
            raise StoreError(
                f"{path} is damaged (an epoch without {', '.join(AXES)}, or with no number among "
                f"{', '.join(DRAWN)}); run it again"
            )
    return epochs


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _checked(record: RunRecord, path: Path) -> Predictions:
    found = read_predictions(path, record)
    shape, labels = found.probabilities.shape, found.labels
    sound = (
        len(shape) == 2
        and labels.shape == shape[:1]
        and shape[0] > 0
        and bool(np.isfinite(found.probabilities).all())
        and 0 <= labels.min() <= labels.max() < shape[1]
    )
    if not sound:
        raise StoreError(f"{path} is damaged (no probability of each class for each label)")
    return found
