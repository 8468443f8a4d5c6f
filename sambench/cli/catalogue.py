"""What the registries hold, as rows for people and plain values for programs."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sambench.data.source import Option, sources
from sambench.errors import UnknownNameError
from sambench.launch.launcher import launchers
from sambench.models.model import models
from sambench.optim.method import optimizers

SUITES, SETTINGS = ASKED_FOR = "suites", "settings"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One kind of things, most often a registry.

    Attributes:
        headings: Of the rows.
        rows: A line for each entry.
        entries: The same, with everything that is known of each.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    entries: Sequence[dict[str, Any]]


def catalogue(kind: str | None = None) -> dict[str, Part]:
    """Return what there is of that kind, or of all but suites and settings.

    Raises:
        UnknownNameError: If there is no such kind.
    """
    if kind is not None and kind not in _PARTS:
        raise UnknownNameError("kind", kind, KINDS, f"kinds: {', '.join(KINDS)}")
    chosen = [name for name in _PARTS if name not in ASKED_FOR] if kind is None else [kind]
    return {name: _PARTS[name]() for name in chosen}


def _optimizers() -> Part:
    entries = [
        {
            "name": info.name,
            "summary": info.summary,
            "gradient_evaluations_per_step": info.gradient_evaluations,
            "extra_memory_parameter_copies": info.extra_memory,
            "base": info.base,
            "hyperparameters": {
                name: {"default": h.default, "range": h.range, "help": h.help}
                for name, h in info.hyperparameters.items()
            },
            "reference": info.reference,
        }
        for info in optimizers.list()
    ]
    rows = [
        (
            info.name,
            f"{info.gradient_evaluations:.3g}",
            f"{info.extra_memory:g}P",
            ", ".join(f"{n}={h.default} ({h.range})" for n, h in info.hyperparameters.items())
            or "–",
            info.reference,
        )
        for info in optimizers.list()
    ]
    headings = ("name", "passes per step", "extra memory", "hyperparameters", "reference")
    return Part(headings=headings, rows=rows, entries=entries)


def _models() -> Part:
    entries = [
        {
            "name": model.name,
            "summary": model.summary,
            "pretrained": model.weights or None,
            "smallest_image": model.image_size,
            "image_multiple": model.multiple,
            "reference": model.reference,
        }
        for model in models.list()
    ]
    rows = [
        (
            model.name,
            model.summary,
            "yes" if model.weights else "no",
            f"{model.image_size}" + (f", x{model.multiple}" if model.multiple > 1 else ""),
        )
        for model in models.list()
    ]
    rows.append(("timm:NAME", "any model of timm", "yes", ""))
    return Part(
        headings=("name", "summary", "pretrained", "smallest image"), rows=rows, entries=entries
    )


def _datasets() -> Part:
    entries = [
        {
            "name": source.name,
            "summary": source.summary,
            "image_size": source.image_size,
            "classes": list(source.classes),
            "options": {
                name: {
                    "default": option.default,
                    "minimum": option.minimum if math.isfinite(option.minimum) else None,
                    "maximum": option.maximum if math.isfinite(option.maximum) else None,
                    "choices": list(option.choices),
                    "help": option.help,
                }
                for name, option in source.options.items()
            },
            "obtain": source.obtain,
            "reference": source.reference,
            "licence": source.licence,
        }
        for source in sources.list()
    ]
    rows = [
        (
            source.name,
            source.summary,
            _few(source.classes),
            str(source.image_size),
            ", ".join(f"{n}={_default(o)}" for n, o in source.options.items()) or "–",
            source.licence,
        )
        for source in sources.list()
    ]
    headings = ("name", "summary", "classes", "size", "options", "licence")
    return Part(headings=headings, rows=rows, entries=entries)


def _few(classes: Sequence[str]) -> str:
    """Return the classes in label order, or how many where they are many."""
    if not classes:
        return "yours"
    return ", ".join(classes) if len(classes) <= 4 else f"{len(classes)}"


def _default(option: Option) -> str:
    """Return an option's default, and its other values where they are few."""
    if option.choices:
        others = (str(choice) for choice in option.choices if choice != option.default)
        return "|".join((str(option.default), *others))
    return f"{option.default:g}" if isinstance(option.default, int | float) else option.default


def _launchers() -> Part:
    entries = [
        {
            "name": launcher.name,
            "summary": launcher.summary,
            "options": dict(launcher.options),
            "reference": launcher.reference,
        }
        for launcher in launchers.list()
    ]
    rows = [
        (
            launcher.name,
            launcher.summary,
            "; ".join(f"{name}: {said}" for name, said in launcher.options.items()) or "–",
            launcher.reference or "–",
        )
        for launcher in launchers.list()
    ]
    return Part(headings=("name", "summary", "options", "needs"), rows=rows, entries=entries)


def _suites() -> Part:
    from sambench.config.suite_file import shipped_suites

    entries = [
        {"name": name, "summary": _first_comment(path)} for name, path in shipped_suites().items()
    ]
    rows = [(entry["name"], entry["summary"]) for entry in entries]
    return Part(headings=("name", "summary"), rows=rows, entries=entries)


def _first_comment(path: Path) -> str:
    """Return the first sentence of the comment that a suite file begins with."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return " ".join(line.lstrip("# ") for line in lines).partition(". ")[0].rstrip(".")


def _settings() -> Part:
    from sambench.config.settings import optimizer_settings, run_settings

    found = (*run_settings(), *optimizer_settings())
    rows = [
        (
            setting.name,
            setting.type + (f", {setting.unit}" if setting.unit else ""),
            _shown(setting.default),
            setting.meaning + (f" ({', '.join(setting.of)})" if setting.of else ""),
        )
        for setting in found
    ]
    entries = [json.loads(json.dumps(asdict(setting))) for setting in found]
    headings = ("setting", "type, unit", "default", "meaning")
    return Part(headings=headings, rows=rows, entries=entries)


def _shown(default: object) -> str:
    """Return a default as it is written after --set."""
    if default is None:
        return "–"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return str(list(default))
    return f"{default:g}" if isinstance(default, float) else str(default)


_PARTS: dict[str, Callable[[], Part]] = {
    "optimizers": _optimizers,
    "models": _models,
    "datasets": _datasets,
    "launchers": _launchers,
    SUITES: _suites,
    SETTINGS: _settings,
}
RUNS = "runs"
"""Not of a registry but of the results folder: `sambench.cli.stored_runs`."""

KINDS = (*_PARTS, RUNS)
