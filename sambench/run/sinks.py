"""Logs of the training besides the terminal: TensorBoard, Weights & Biases.

A sink is made of a run and its folder. It takes numbers by name, with their epoch or None for those
of the whole run, and is closed at the end. One that fails is left out of the rest of the run:
following a run must not end it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, SambenchWarning, did_you_mean, reason_of
from sambench.store.record import RunRecord
from sambench.training.events import Epoch, Event, Started


class TensorBoard:
    """Writes event files into `tensorboard/` in the run's folder."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._last = 0

    def numbers(self, values: Mapping[str, float], step: int | None) -> None:
        """Write scalars; those of the whole run at its last epoch."""
        self._last = self._last if step is None else step
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._last)

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class WeightsAndBiases:
    """Logs to the project "sambench" (WANDB_PROJECT, WANDB_MODE=offline ... are heeded).

    A run goes on under its id where it was logged before; wandb's files lie in the run's folder.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "sambench"),
            name=config.name,
            id=config.id,
            resume="allow",
            config=config.to_dict(),
            dir=folder,
            settings=wandb.Settings(silent=True),
        )

    def numbers(self, values: Mapping[str, float], step: int | None) -> None:
        """Log numbers; those of the whole run go into its summary."""
        if step is None:
            self._run.summary.update(dict(values))
        else:
            self._run.log({"epoch": step, **values}, step=step)

    def close(self) -> None:
        """Finish the run there; it may have been interrupted here."""
        self._run.finish()


Sink = TensorBoard | WeightsAndBiases
SINKS: Mapping[str, type[Sink]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
"""By name, which is that of the package that each needs and of our extra that installs it."""


def check_sinks(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, each once; a ConfigError if one is no sink, or its package is missing."""
    for name in names:
        if name not in SINKS:
            raise ConfigError(
                f"--log {name}: no such sink{did_you_mean(name, SINKS)}; sinks: {', '.join(SINKS)}"
            )
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"--log {name} needs a package that is not installed; "
                f"pip install 'sambench[{name}]' installs it"
            )
    return tuple(dict.fromkeys(names))


@dataclass
class Following:
    """The sinks of one run, by their names; the folder is the run's."""

    names: Sequence[str]
    folder: Path
    _open: dict[str, Sink] = field(default_factory=dict)

    def event(self, event: Event) -> None:
        """Tell what happens in the run."""
        if isinstance(event, Started):
            for name in self.names:
                self._guard(name, partial(self._begin, name, event.config))
        elif isinstance(event, Epoch):
            self._tell(epoch_numbers(event), event.epoch)

    def end(self, record: RunRecord | None) -> None:
        """Tell how the run ended, where it did, and close the sinks."""
        if record is not None:
            self._tell(record_numbers(record), None)
        for name, sink in list(self._open.items()):
            self._guard(name, sink.close)
        self._open.clear()

    def _begin(self, name: str, config: RunConfig) -> None:
        self._open[name] = SINKS[name](config, self.folder)

    def _tell(self, values: Mapping[str, float], step: int | None) -> None:
        for name, sink in list(self._open.items()):
            self._guard(name, partial(sink.numbers, values, step))

    def _guard(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._open.pop(name, None)
            said = reason_of(error)
            text = f"--log {name} failed and is left out of the rest of the run: {said}"
            warnings.warn(text, SambenchWarning, stacklevel=2)


def epoch_numbers(epoch: Epoch) -> dict[str, float]:
    """Return what an epoch tells, by names such as `train/loss`."""
    values = asdict(epoch)
    sharpness = values.pop("sharpness") or {}
    del values["epoch"]
    named = {re.sub("^(train|validation)_", r"\1/", key): v for key, v in values.items()}
    named |= {f"sharpness/{key}": value for key, value in sharpness.items()}
    return {key: float(value) for key, value in named.items() if value is not None}


def record_numbers(record: RunRecord) -> dict[str, float]:
    """Return the numbers of the finished run: its test metrics, and curvature where measured."""
    hessian: Mapping[str, Any] = record.hessian or {}
    sections = {
        "test": (record.final or {}).get("test", {}),
        "cost": record.cost or {},
        "hessian": {key: hessian[key]["value"] for key in ("top", "trace") if key in hessian},
    }
    return {
        f"{section}/{key}": float(value)
        for section, values in sections.items()
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
