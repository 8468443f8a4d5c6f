"""Records as comparable cells: which runs repeat each other, and which belong in one table."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sambench.config.run_config import EXECUTION, RunConfig
from sambench.optim.base import Setting
from sambench.store.record import COMPLETED, RunRecord

REPEATS = ("split_seed", "fold", "seed")
"""Settings that make runs repetitions of each other (`split_seed` where the split has folds)."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Runs that differ in seed and fold only (and in how the folds were drawn).

    Attributes:
        label: The optimizer's name, with the settings that tell it from others of its name.
        optimizer: All its settings.
        records: In order of split, seed and fold; not only completed ones.
    """

    label: str
    optimizer: Mapping[str, Setting]
    records: tuple[RunRecord, ...]

    @property
    def completed(self) -> tuple[RunRecord, ...]:
        """The runs that count."""
        return tuple(record for record in self.records if record.status == COMPLETED)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Optimizers compared under settings that are otherwise the same.

    Attributes:
        setting: The configuration shared by all runs, seed, fold and optimizer aside.
        lines: The baseline first, the others by name.
    """

    setting: RunConfig
    lines: tuple[Line, ...]

    @property
    def place(self) -> str:
        """Model and dataset, as people name the setting."""
        return f"{self.setting.model} on {self.setting.dataset}"


def groups(records: Iterable[RunRecord], baseline: str | None) -> tuple[Group, ...]:
    """Sort records into groups, in order of dataset and model.

    Args:
        records: Any runs.
        baseline: Name of the optimizer that comes first.
    """
    alike: dict[tuple[object, ...], list[RunRecord]] = {}
    for record in records:
        alike.setdefault(_shared(record.config), []).append(record)
    made = [_group(runs, baseline) for runs in alike.values()]
    return tuple(sorted(made, key=lambda c: (c.setting.dataset, c.setting.model, c.setting.name)))


def _without(*names: str) -> Callable[[RunConfig], tuple[object, ...]]:
    """Return what tells a configuration's other settings that affect its numbers."""
    left_out = {*names, *EXECUTION}
    return operator.attrgetter(
        *(name for name in RunConfig.__struct_fields__ if name not in left_out)
    )


_SHARED, _SHARED_BY_FOLDS = _without("optimizer", "seed"), _without("optimizer", *REPEATS)


def _shared(config: RunConfig) -> tuple[object, ...]:
    """A key of all settings but the optimizer and what makes a repetition."""
    return (_SHARED if config.fold is None else _SHARED_BY_FOLDS)(config)


def _repeat(record: RunRecord) -> tuple[int, int, int]:
    config = record.config
    return config.split_seed, config.seed, config.fold or 0


def _group(records: list[RunRecord], baseline: str | None) -> Group:
    lines: dict[str, list[RunRecord]] = {}
    for record in records:
        lines.setdefault(repr(sorted(record.config.optimizer.items())), []).append(record)
    optimizers = [runs[0].config.optimizer for runs in lines.values()]
    made = [
        Line(
            label=_label(runs[0].config.optimizer, optimizers),
            optimizer=runs[0].config.optimizer,
            records=tuple(sorted(runs, key=_repeat)),
        )
        for runs in lines.values()
    ]
    made.sort(key=lambda line: (line.optimizer["name"] != baseline, line.label))
    return Group(setting=records[0].config, lines=tuple(made))


def _label(optimizer: Mapping[str, Setting], others: Iterable[Mapping[str, Setting]]) -> str:
    """Name an optimizer, with the settings in which it differs from its namesakes."""
    name = str(optimizer["name"])
    namesakes = [other for other in others if other["name"] == name]
    differing = [
        f"{key}={_short(value)}"
        for key, value in optimizer.items()
        if any(other.get(key) != value for other in namesakes)
    ]
    return f"{name} ({', '.join(differing)})" if differing else name


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
