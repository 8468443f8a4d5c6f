"""The record as a JSON Schema, from its definition."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from docs.generator.record import sections_in
from sambench.config.run_config import LATER, OF_REPLICAS
from sambench.files.description import described
from sambench.store.record import COMPLETED, SCHEMA_VERSION, WHEN_COMPLETED, RunRecord

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

SEAL: Schema = {
    "type": "string",
    "description": "Checksum of all lines before this one; not in records of before.",
}


def record_schema() -> Schema:
    """Return the schema of `run.json`."""
    _, definitions = msgspec.json.schema_components([RunRecord], ref_template="#/$defs/{name}")
    for structure in _structures(RunRecord):
        _complete(definitions[structure.__name__], structure)
    record = definitions.pop("RunRecord")
    head = {
        "schema_version": {"const": SCHEMA_VERSION},
        "id": {"type": "string", "pattern": "^[0-9a-f]{10}$"},
        "name": {"type": "string", "description": "The run's folder name."},
    }
    return {
        "$schema": DRAFT,
        **record,
        "title": "Record of a sambench run",
        "properties": {**head, **record["properties"], "sha256": SEAL},
        "required": [*head, *record["required"]],
        "if": {"properties": {"status": {"const": COMPLETED}}},
        "then": {"properties": {name: {"type": "object"} for name in WHEN_COMPLETED}},
        "$defs": dict(sorted(definitions.items())),
    }


def _structures(of: type[Struct]) -> Iterator[type[Struct]]:
    """Yield a structure and all that it holds, each once."""
    left, seen = [of], {of}
    while left:
        yield (structure := left.pop())
        held = {inner for field in described(structure) for inner in sections_in(field.type)}
        left += held - seen
        seen |= held


def _complete(definition: Schema, structure: type[Struct]) -> None:
    """Say what fields mean, and ask for what a file of this version has.

    That is all fields but those that it may lack, and no other.
    """
    properties, required = definition["properties"], definition["required"]
    if "description" in definition:  # from Python 3.13 on docstrings come without indentation
        definition["description"] = inspect.cleandoc(definition["description"])
    for field in described(structure):
        properties[field.name] = {"description": field.meaning, **properties[field.name]}
    definition["required"] = [
        name
        for name, said in properties.items()
        if name not in (*OF_REPLICAS, *LATER) and (name in required or "default" in said)
    ]
    for said in properties.values():
        said.pop("default", None)
    definition["additionalProperties"] = False
