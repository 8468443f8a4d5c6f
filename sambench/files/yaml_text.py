"""Reads YAML as its users write it: `1e-4` is a number, as in YAML 1.2, and no key comes twice."""

from __future__ import annotations

import re
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and positions that lead from the top of a text to a value."""


class _Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, where a number with an exponent needs a point."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(text: str) -> Any:
    """Return the content of a YAML text.

    Raises:
        yaml.YAMLError: If it is no YAML.
    """
    return yaml.load(text, Loader=_Loader)


def read_yaml_with_lines(text: str) -> tuple[Any, dict[Path, int]]:
    """Return the content of a YAML text and the line of each key and list item, counted from 1.

    Raises:
        yaml.YAMLError: If it is no YAML, or a key is given twice in one mapping.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines: dict[Path, int] = {}
        _walk(node, (), lines)
        return loader.construct_document(node), lines
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*path, str(key.value))
            if inside in lines and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            lines[inside] = key.start_mark.line + 1
            _walk(value, inside, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            _walk(item, (*path, position), lines)
