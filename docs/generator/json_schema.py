"""The record as a JSON Schema, from the same types as its page."""

from __future__ import annotations

import builtins
import types
import typing
from dataclasses import fields
from typing import Any, NotRequired, get_args, get_origin, get_type_hints

from docs.generator.docstrings import docstring
from sambench.config.run_config import CHOICES, STOP_RULES, RunConfig, Stop
from sambench.optim.base import Setting
from sambench.store.record import COMPLETED, SCHEMA_VERSION, STATUSES, RunRecord
from sambench.store.schema import SECTIONS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
OF_REPLICAS = ("replicas", "perturbation", "batch_norm")
"""Settings that a record has only where a run was trained by several processes."""
SINCE_CHECKSUMS = ("artifacts", "sha256")
"""Fields that records of before there were checksums lack."""
WHEN_COMPLETED = ("environment", "data", "final", "cost")

Schema = dict[str, Any]
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def record_schema() -> Schema:
    """Return the schema of `run.json`."""
    definitions: dict[str, Schema] = {"config": _config(), "stop": _stop()}
    said, hints = docstring(RunRecord), get_type_hints(RunRecord)
    properties: dict[str, Schema] = {
        "schema_version": {"const": SCHEMA_VERSION},
        "id": {"type": "string", "pattern": "^[0-9a-f]{10}$"},
        "name": {"type": "string", "description": "The run's folder name."},
    }
    for field in fields(RunRecord):
        properties[field.name] = {
            "description": said.meanings[field.name],
            **_field(field.name, hints[field.name], definitions),
        }
    properties["sha256"] = {"type": "string", "description": "Of all lines of the file before it."}
    return {
        "$schema": DRAFT,
        "title": "Record of a sambench run",
        "description": said.summary,
        **_object(properties, [name for name in properties if name not in SINCE_CHECKSUMS]),
        "if": {"properties": {"status": {"const": COMPLETED}}},
        "then": {"properties": {name: {"type": "object"} for name in WHEN_COMPLETED}},
        "$defs": dict(sorted(definitions.items())),
    }


def _field(name: str, hint: Any, definitions: dict[str, Schema]) -> Schema:
    if name == "status":
        return {"enum": list(STATUSES)}
    if name == "config":
        return {"$ref": "#/$defs/config"}
    if name in SECTIONS:
        return {"anyOf": [{"type": "null"}, of_type(SECTIONS[name], definitions)]}
    return of_type(hint, definitions)


def _config() -> Schema:
    said, hints = docstring(RunConfig), get_type_hints(RunConfig)
    setting = of_type(Setting, {})
    special: dict[str, Schema] = {
        "stop": {"$ref": "#/$defs/stop"},
        "optimizer": {
            "type": "object",
            "required": ["name", "base"],
            "properties": {"name": {"type": "string"}, "base": {"type": "string"}},
            "additionalProperties": setting,
        },
        **{name: {"enum": list(values)} for name, values in CHOICES.items()},
    }
    properties = {
        f.name: {
            "description": said.meanings[f.name],
            **(special.get(f.name) or of_type(hints[f.name], {})),
        }
        for f in fields(RunConfig)
    }
    return _object(properties, [name for name in properties if name not in OF_REPLICAS])


def _stop() -> Schema:
    value = of_type(get_type_hints(Stop)["value"], {})
    return _object({"rule": {"enum": list(STOP_RULES)}, "value": value}, ["rule", "value"])


def of_type(hint: Any, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a type; sections are put into the definitions and referred to."""
    if hasattr(hint, "__required_keys__"):
        return _section(hint, definitions)
    arguments = get_args(hint)
    found: Schema
    match get_origin(hint):
        case None:
            found = {"type": PLAIN[hint]}
        case typing.NotRequired:
            found = of_type(arguments[0], definitions)
        case typing.Union | types.UnionType:
            found = _union([of_type(part, definitions) for part in arguments])
        case typing.Literal:
            found = {"enum": list(arguments)}
        case builtins.list | builtins.tuple:
            found = {"type": "array", "items": of_type(arguments[0], definitions)}
        case _:
            values = of_type(arguments[1], definitions)
            found = {"type": "object", "additionalProperties": values}
    return found


def _section(section: Any, definitions: dict[str, Schema]) -> Schema:
    name = section.__name__
    if name not in definitions:
        definitions[name] = {}  # so that a section within itself ends
        hints = get_type_hints(section, include_extras=True)
        said = docstring(section)
        properties = {
            key: {"description": said.meanings[key], **of_type(hint, definitions)}
            for key, hint in hints.items()
        }
        required = [key for key, hint in hints.items() if get_origin(hint) is not NotRequired]
        definitions[name] = {"description": said.summary, **_object(properties, required)}
    return {"$ref": f"#/$defs/{name}"}


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _union(parts: list[Schema]) -> Schema:
    """Return "any of these", shorter where all are plain types."""
    if all(set(part) == {"type"} for part in parts):
        return {"type": list(dict.fromkeys(part["type"] for part in parts))}
    return {"anyOf": parts}
