"""What the tests hold each optimizer to, read off the tests themselves.

A test belongs to the optimizers that it is parametrized with or names in its code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from docs.generator.markdown import written
from sambench.optim.method import OptimizerInfo, optimizers

OF_METHODS = ("test_methods", "test_formulas", "test_samples", "test_libraries")
OF_THE_ENGINE = ("test_traps", "test_accumulation", "test_lifecycle", "test_replicas")
OF_ALL = ("test_contract",)
SUBJECTS = ("name", "info", "case")
"""Parameters of tests that say which optimizer is tested."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A test, as a sentence about an optimizer.

    Attributes:
        says: The test's name, in words.
        cases: The settings it is run with.
        file: Where it is, below tests/optim.
    """

    says: str
    cases: str
    file: str


def identities() -> Mapping[str, Sequence[Identity]]:
    """Return what the tests of single methods say, by optimizer."""
    found: dict[str, list[Identity]] = {info.name: [] for info in optimizers.list()}
    for module, function in _tests(OF_METHODS):
        for name in _subjects(function):
            found[name].append(
                Identity(
                    says=in_words(function),
                    cases="; ".join(_cases(function, name)),
                    file=f"{module.__name__.rpartition('.')[2]}.py",
                )
            )
    return found


def sentences(modules: Iterable[str]) -> list[str]:
    """Return the names of the tests of some modules, in words."""
    return [in_words(function) for _, function in _tests(modules)]


def in_words(function: Callable[..., None]) -> str:
    """Return a test's name in words."""
    return function.__name__.removeprefix("test_").replace("_", " ")


def _tests(names: Iterable[str]) -> Iterator[tuple[ModuleType, Callable[..., None]]]:
    for name in names:
        module = importlib.import_module(f"tests.optim.{name}")
        for attribute, value in vars(module).items():
            if attribute.startswith("test_") and inspect.isfunction(value):
                yield module, value


def _subjects(function: Callable[..., None]) -> list[str]:
    """Return the optimizers that a test is about; base optimizers only where there is no other."""
    given = {_name(value) for key, value in _parameters(function) if key in SUBJECTS}
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    written = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    found = [info for info in optimizers.list() if info.name in given | written]
    own = [info.name for info in found if info.base is None]
    if own:
        return own
    bases = {value for key, value in _parameters(function) if key == "base"}
    return [info.name for info in optimizers.list() if info.base in bases]


def _cases(function: Callable[..., None], name: str) -> Iterator[str]:
    """Say with which settings a test is run for an optimizer."""
    for keys, given in _marks(function):
        others = not set(keys) & {*SUBJECTS}
        rows = [row for row in given if others or name in map(_name, row)]
        for position, key in enumerate(keys):
            values = [row[position] for row in rows]
            if key == "settings" and "name" in keys:
                yield from (
                    ", ".join(f"{k} = {written(v)}" for k, v in value.items()) for value in values
                )
            elif key == "base":
                yield "on " + ", ".join(dict.fromkeys(map(str, values)))
            elif key == "case":
                yield ", ".join(dict.fromkeys(f"its {value.theirs}" for value in values))
            elif key in optimizers.get(name).hyperparameters:
                yield f"{key} = {', '.join(dict.fromkeys(map(written, values)))}"


def _name(value: object) -> str | None:
    if isinstance(value, OptimizerInfo):
        return value.name
    named = getattr(value, "ours", value)
    return named if isinstance(named, str) else None


def _parameters(function: Callable[..., None]) -> Iterator[tuple[str, Any]]:
    for keys, rows in _marks(function):
        for row in rows:
            yield from zip(keys, row, strict=True)


def _marks(function: Callable[..., None]) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
    """Yield the names and the rows of values of each parametrization."""
    for mark in getattr(function, "pytestmark", ()):
        if mark.name != "parametrize":
            continue
        names, values = mark.args
        keys = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
        rows = [getattr(value, "values", value) for value in values]
        yield keys, [(row,) if len(keys) == 1 else tuple(row) for row in rows]
