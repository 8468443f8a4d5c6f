"""What the registries hold, as rows for people and plain values for programs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

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
    columns: Mapping[str, Callable[[Thing], str]],
) -> Part:
    """Put things together by what is known of each, and by the columns that show it."""
    return Part(
        headings=tuple(columns),
        rows=[tuple(show(one) or "–" for show in columns.values()) for one in found],
        entries=msgspec.json.decode(msgspec.json.encode([entry(one) for one in found])),
    )


def _attributes(*names: str) -> Callable[[Any], dict[str, Any]]:
    """Return what is known of a thing, where that is some of its attributes."""
    return lambda one: {name: getattr(one, name) for name in names}


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
        {
            "name": lambda info: info.name,
            "passes per step": lambda info: f"{info.gradient_evaluations:.3g}",
            "memory": lambda info: f"+{info.extra_memory:g} x weights",
            "hyperparameters": lambda info: ", ".join(
                f"{name}={_defaults(h)} ({h.range})" for name, h in info.hyperparameters.items()
            ),
            "defaults": lambda info: info.default_note(),
            "reference": lambda info: info.reference,
        },
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
        {
            "name": lambda model: model.name,
            "summary": lambda model: model.summary,
            "pretrained": lambda model: "yes" if model.weights else "no",
            "smallest image": lambda model: (
                f"{model.image_size}" + f", x{model.multiple}" * (model.multiple > 1)
            ),
        },
    )
    return replace(found, rows=[*found.rows, ("timm:NAME", "any model of timm", "yes", "")])


def _datasets() -> Part:
    return _part(
        sources.list(),
        _attributes(
            *("name", "summary", "image_size", "classes", "options"),
            *("obtain", "reference", "licence"),
        ),
        {
            "name": lambda source: source.name,
            "summary": lambda source: source.summary,
            "classes": lambda source: _few(source.classes),
            "size": lambda source: f"{source.image_size}",
            "options": lambda source: ", ".join(
                f"{name}={_default(option)}" for name, option in source.options.items()
            ),
            "licence": lambda source: source.licence,
        },
    )


def _few(classes: Sequence[str]) -> str:
    """Return the classes in label order, or how many where they are many."""
    if not classes:
        return "yours"
    return ", ".join(classes) if len(classes) <= 4 else f"{len(classes)}"


def _default(option: Option) -> str:
    """Return an option's default, and its other values where they are few."""
    others = (choice for choice in option.choices if choice != option.default)
    return "|".join(map(_shown, (option.default, *others)))


def _launchers() -> Part:
    return _part(
        launchers.list(),
        _attributes("name", "summary", "options", "reference"),
        {
            "name": lambda launcher: launcher.name,
            "summary": lambda launcher: launcher.summary,
            "options": lambda launcher: "; ".join(
                f"{name}: {said}" for name, said in launcher.options.items()
            ),
            "needs": lambda launcher: launcher.reference,
        },
    )


def _suites() -> Part:
    """Return the shipped suites, each with the first sentence of the comment it begins with."""
    from sambench.config.suite_file import shipped_suites

    found = []
    for name, path in shipped_suites().items():
        lines = path.read_text().splitlines()
        comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
        text = " ".join(line.lstrip("# ") for line in comment)
        found.append({"name": name, "summary": text.partition(". ")[0].rstrip(".")})
    return _part(found, dict, {key: itemgetter(key) for key in ("name", "summary")})


def _settings() -> Part:
    from sambench.config.settings import Setting, optimizer_settings, run_settings

    return _part(
        (*run_settings(), *optimizer_settings()),
        _attributes(*(field.name for field in fields(Setting))),
        {
            "setting": lambda setting: setting.name,
            "type, unit": lambda setting: ", ".join(filter(None, (setting.type, setting.unit))),
            "default": lambda setting: _shown(setting.default),
            "meaning": lambda setting: (
                setting.meaning + (f" ({', '.join(setting.of)})" if setting.of else "")
            ),
        },
    )


def _shown(default: object) -> str:
    """Return a default as it is written after --set; nothing where there is none."""
    if default is None:
        return ""
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
