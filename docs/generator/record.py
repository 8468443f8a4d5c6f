"""The page of records: every field of `run.json`."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from msgspec import Struct

from docs.generator.docstrings import docstring
from docs.generator.markdown import Page, anchor
from sambench.files.description import allowed, described, parts_of
from sambench.store.record import NUMERICS, SCHEMA_VERSION, RunRecord

INTRODUCTION = f"""
Each run has a folder `results/runs/<run>`, whose `run.json` is its record: one JSON object with the
fields below, and with `schema_version` ({SCHEMA_VERSION}), `id` and `name`, which follow from the
configuration. Reports are made from these records and the [files beside
them](using-a-run.md) alone. [record.schema.json](record.schema.json) is the same as a JSON Schema
(draft 2020-12), to which the tests hold records of real runs:

```python
import json, jsonschema

schema = json.load(open("docs/record.schema.json"))
jsonschema.validate(json.load(open("run.json")), schema)
```

A record whose `numerics` is not that of the package ({NUMERICS}) comes from code that gave other
numbers for the same configuration. Such a record is stale, and `sambench compare SUITE --retry
stale` does the run again.
"""


def page() -> str:
    """Return the page."""
    page = Page("Records")
    page.text(INTRODUCTION)
    _fields(page, RunRecord)
    shown: list[type[Struct]] = []
    for field in described(RunRecord):
        for section in sections_in(field.type):
            page.heading(section.__name__)
            _section(page, section, shown)
    return str(page)


def _section(page: Page, section: type[Struct], shown: list[type[Struct]]) -> None:
    """Add a section's fields, then the sections within it."""
    said = docstring(section)
    page.text(said.summary)
    page.text(said.body)
    _fields(page, section)
    shown.append(section)
    for inner in (part for field in described(section) for part in sections_in(field.type)):
        if inner not in shown:
            page.heading(inner.__name__, depth=3)
            _section(page, inner, shown)


def _fields(page: Page, of: type[Struct]) -> None:
    page.table(
        ("Field", "Type", "Unit", "Meaning"),
        [
            (
                f"`{field.name}`",
                spelled(field.type),
                field.unit,
                field.meaning + (" *May be missing.*" if field.optional else ""),
            )
            for field in described(of)
        ],
    )


def sections_in(hint: Any) -> list[type[Struct]]:
    """Return the structures that an annotation is of or holds."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return [hint]
    inner = () if get_origin(hint) is Literal else get_args(hint)
    return [found for part in inner for found in sections_in(part)]


def spelled(hint: Any) -> str:
    """Return a type as a reader of JSON says it, with links to sections."""
    said = [_part(part) for part in parts_of(hint) if part is not type(None)]
    if not any(said):
        said = [allowed(hint).replace("a whole number >= 0 or a number >= 0", "a number >= 0")]
    return " or ".join([*filter(None, said), *(["null"] if type(None) in parts_of(hint) else [])])


def _part(part: Any) -> str:
    origin, arguments = get_origin(part), get_args(part)
    if isinstance(part, type) and issubclass(part, Struct):
        return f"[{part.__name__}](#{anchor(part.__name__)})"
    if origin in (dict, list, tuple):
        each = arguments[1] if origin is dict else arguments[0]
        kind = "object" if origin is dict else "list"
        several = len(parts_of(each)) > 1 and type(None) not in parts_of(each)
        return f"{kind} of {'values' if several else spelled(each)}"
    return ""
