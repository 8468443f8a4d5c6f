"""What the registries hold, as rows for people and plain values for programs."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sambench.data.source import Option, sources
from sambench.errors import UnknownNameError
from sambench.launch.launcher import launchers
from sambench.models.model import models
from sambench.optim.hyperparameter import Hyperparameter
from sambench.optim.method import optimizers

Thing = TypeVar("Thing")
SUITES, SETTINGS = ASKED_FOR = "suites", "settings"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One kind of things: a row of text for each, and the same with all that is known of it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    entries: Sequence[dict[str, Any]]


def catalogue(kind: str | None = None) -> dict[str, Part]:
    """Return what there is of that kind, or of all but suites and settings."""
    if kind is not None and kind not in _PARTS:
        raise UnknownNameError("kind", kind, KINDS, f"kinds: {', '.join(KINDS)}")
    chosen = [name for name in _PARTS if name not in ASKED_FOR] if kind is None else [kind]
    return {name: _PARTS[name]() for name in chosen}


def _part(
    found: Sequence[Thing],
    entry: Callable[[Thing], dict[str, Any]],
    **columns: Callable[[Thing], str],
) -> Part:
    """Put things together by what is known of each, and by the columns that show it."""
    return Part(
        headings=tuple(heading.replace("_", " ") for heading in columns),
        rows=[tuple(show(one) for show in columns.values()) for one in found],
        entries=[entry(one) for one in found],
    )


def _optimizers() -> Part:
    return _part(
        optimizers.list(),
        lambda info: {
            "name": info.name,
            "summary": info.summary,
            "gradient_evaluations_per_step": info.gradient_evaluations,
            "extra_memory_parameter_copies": info.extra_memory,
            "base": info.base,
            "hyperparameters": {
                name: {"default": h.default, "range": h.range, "help": h.help}
                for name, h in info.hyperparameters.items()
            },
            "defaults": info.default_note() or None,
            "reference": info.reference,
        },
        name=lambda info: info.name,
        passes_per_step=lambda info: f"{info.gradient_evaluations:.3g}",
        extra_memory=lambda info: f"{info.extra_memory:g}P",
        hyperparameters=lambda info: (
            ", ".join(f"{n}={_defaults(h)} ({h.range})" for n, h in info.hyperparameters.items())
            or "–"
        ),
        defaults=lambda info: info.default_note() or "–",
        reference=lambda info: info.reference,
    )


def _defaults(hyperparameter: Hyperparameter[Any]) -> str:
    """Return the default, and each that another setting brings."""
    others = [f"{v} for {name}={on}" for (name, on), v in hyperparameter.where.items()]
    return "; ".join([str(hyperparameter.default), *others])


def _models() -> Part:
    found = _part(
        models.list(),
        lambda model: {
            "name": model.name,
            "summary": model.summary,
            "pretrained": model.weights or None,
            "smallest_image": model.image_size,
            "image_multiple": model.multiple,
            "reference": model.reference,
        },
        name=lambda model: model.name,
        summary=lambda model: model.summary,
        pretrained=lambda model: "yes" if model.weights else "no",
        smallest_image=lambda model: (
            f"{model.image_size}" + (f", x{model.multiple}" if model.multiple > 1 else "")
        ),
    )
    return replace(found, rows=[*found.rows, ("timm:NAME", "any model of timm", "yes", "")])


def _datasets() -> Part:
    return _part(
        sources.list(),
        lambda source: {
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
        },
        name=lambda source: source.name,
        summary=lambda source: source.summary,
        classes=lambda source: _few(source.classes),
        size=lambda source: str(source.image_size),
        options=lambda source: (
            ", ".join(f"{n}={_default(o)}" for n, o in source.options.items()) or "–"
        ),
        licence=lambda source: source.licence,
    )


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
    return _part(
        launchers.list(),
        lambda launcher: {
            "name": launcher.name,
            "summary": launcher.summary,
            "options": dict(launcher.options),
            "reference": launcher.reference,
        },
        name=lambda launcher: launcher.name,
        summary=lambda launcher: launcher.summary,
        options=lambda launcher: (
            "; ".join(f"{name}: {said}" for name, said in launcher.options.items()) or "–"
        ),
        needs=lambda launcher: launcher.reference or "–",
    )


def _suites() -> Part:
    from sambench.config.suite_file import shipped_suites

    return _part(
        [(name, _first_comment(path)) for name, path in shipped_suites().items()],
        lambda suite: {"name": suite[0], "summary": suite[1]},
        name=lambda suite: suite[0],
        summary=lambda suite: suite[1],
    )


def _first_comment(path: Path) -> str:
    """Return the first sentence of the comment that a suite file begins with."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return " ".join(line.lstrip("# ") for line in lines).partition(". ")[0].rstrip(".")


def _settings() -> Part:
    from sambench.config.settings import optimizer_settings, run_settings

    found = _part(
        (*run_settings(), *optimizer_settings()),
        lambda setting: dict(json.loads(json.dumps(asdict(setting)))),
        setting=lambda setting: setting.name,
        type=lambda setting: setting.type + (f", {setting.unit}" if setting.unit else ""),
        default=lambda setting: _shown(setting.default),
        meaning=lambda setting: (
            setting.meaning + (f" ({', '.join(setting.of)})" if setting.of else "")
        ),
    )
    return replace(found, headings=("setting", "type, unit", "default", "meaning"))


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
