"""The page of records: every field of `run.json`."""

from __future__ import annotations

import builtins
import types
import typing
from dataclasses import fields
from typing import Any, NotRequired, get_args, get_origin, get_type_hints

from docs.generator.docstrings import docstring
from docs.generator.markdown import Page, anchor
from sambench.config.run_config import RunConfig
from sambench.store.record import NUMERICS, SCHEMA_VERSION, STATUSES, RunRecord
from sambench.store.schema import SECTIONS

NAMES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
}
INTRODUCTION = f"""
`results/runs/<run>/run.json` is one JSON object with the fields below, beside `schema_version`
({SCHEMA_VERSION}), `id` and `name`, which follow from the configuration. Everything that reports
show comes from these files alone. [record.schema.json](record.schema.json) is the same as a JSON
Schema (draft 2020-12), to which the tests hold records of real runs:

```python
import json, jsonschema

schema = json.load(open("docs/record.schema.json"))
jsonschema.validate(json.load(open("run.json")), schema)
```

A record whose `numerics` is not the package's ({NUMERICS}) comes from code that gave the same
configuration other numbers, and is stale.
"""


def page() -> str:
    """Return the page."""
    page = Page("Records")
    page.text(INTRODUCTION)
    meanings = docstring(RunRecord).meanings
    page.table(
        ("Field", "Type", "Meaning"),
        [(f"`{f.name}`", _field_type(f.name), meanings[f.name]) for f in fields(RunRecord)],
    )
    page.heading("config")
    page.text("What was asked; the [settings](settings.md) say what each may be.")
    hints = get_type_hints(RunConfig)
    page.table(
        ("Field", "Type", "Meaning"),
        [
            (f"`{name}`", spelled(hints[name]), meaning)
            for name, meaning in docstring(RunConfig).meanings.items()
        ],
    )
    for name, section in SECTIONS.items():
        page.heading(name)
        _section(page, section, [])
    return str(page)


def _section(page: Page, section: Any, shown: list[Any]) -> None:
    """Add a section's fields, then the sections within it."""
    said = docstring(section)
    page.text(said.summary)
    page.text(said.body)
    hints = get_type_hints(section, include_extras=True)
    meanings = said.meanings
    page.table(
        ("Field", "Type", "Meaning"),
        [
            (f"`{name}`", spelled(hint), meanings[name] + _absence(hint))
            for name, hint in hints.items()
        ],
    )
    shown.append(section)
    for inner in (part for hint in hints.values() for part in _sections_in(hint)):
        if inner not in shown:
            page.heading(inner.__name__, depth=3)
            _section(page, inner, shown)


def _absence(hint: Any) -> str:
    return " *May be missing.*" if get_origin(hint) is NotRequired else ""


def _sections_in(hint: Any) -> list[Any]:
    if hasattr(hint, "__required_keys__"):
        return [hint]
    return [found for part in get_args(hint) for found in _sections_in(part)]


def _field_type(name: str) -> str:
    if name in SECTIONS:
        return f"[{name}](#{name}) or null"
    if name == "config":
        return "[config](#config)"
    if name == "status":
        return ", ".join(STATUSES)
    return spelled(get_type_hints(RunRecord)[name])


def spelled(hint: Any) -> str:
    """Return a type as a reader of JSON says it."""
    if hasattr(hint, "__required_keys__"):
        return f"[{hint.__name__}](#{anchor(hint.__name__)})"
    arguments = get_args(hint)
    match get_origin(hint):
        case None:
            said = NAMES.get(hint, "object")
        case typing.NotRequired:
            said = spelled(arguments[0])
        case typing.Union | types.UnionType:
            said = " or ".join(dict.fromkeys(map(spelled, arguments)))
        case typing.Literal:
            said = ", ".join(f'"{value}"' for value in arguments)
        case builtins.list | builtins.tuple:
            said = f"list of {spelled(arguments[0])}"
        case _:
            said = f"object of {spelled(arguments[1])}"
    return said
