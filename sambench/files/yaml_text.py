"""Reads YAML as its users write it: `1e-4` is a number, as in YAML 1.2, and no key comes twice."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any

import yaml

from sambench.errors import shown
from sambench.files.definition import Path

LARGEST_TEXT = 256 * 1024
"""Bytes of a text that somebody has written; PyYAML reads about as much in a second or two."""

DEEPEST, MOST_VALUES = 30, 20_000
"""How deep values may be nested, and how many there may be, those that aliases repeat included."""


class _Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, where a number with an exponent needs a point."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Read a value with all that is in it; what is nested too deep is not read to its end."""
        if self.depth > DEEPEST:
            here = self.peek_event()  # type: ignore[no-untyped-call]
            raise _wrong(f"it is nested deeper than {DEEPEST} levels", here)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value; one that only looks like a date or a number is refused with its line."""
        if node.tag.endswith((":int", ":float")) and re.search(":|^[-+]?0[0-7_]+$", node.value):
            node.tag = "tag:yaml.org,2002:str"  # YAML 1.1 has 1:30:00 as 5400, and 010 as 8
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            text = shown(node.value) if isinstance(node, yaml.ScalarNode) else "this"
            kind = node.tag.rpartition(":")[2]
            raise _wrong(f"{text} is no {kind}", node) from None


def _wrong(said: str, at: Any) -> yaml.YAMLError:
    """Return the error of a node or an event."""
    return yaml.MarkedYAMLError(problem=said, problem_mark=at.start_mark)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(text: str) -> Any:
    """Return the content of a YAML text; raises as `read_yaml_with_lines` does."""
    return read_yaml_with_lines(text)[0]


@cache
def read_own_yaml(package: str, file: str) -> Any:
    """Return the content of a YAML file in a package of ours, read once, by libyaml if it is there.

    That is ten times as fast, and tells less of what is wrong.
    """
    text = resources.files(package).joinpath(file).read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", _Loader))


def read_yaml_with_lines(text: str) -> tuple[Any, dict[Path, int]]:
    """Return the content of a YAML text and the line of each key and list item, counted from 1.

    What is no YAML, too large or too deep, or has a key twice in one mapping, is a YAMLError.
    """
    if len(text) > LARGEST_TEXT:
        raise yaml.YAMLError(f"it is larger than {LARGEST_TEXT // 1024} kB")
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
    """Note the lines of all values; it goes into an alias again each time, so a bomb goes off."""
    if len(path) > DEEPEST or len(lines) > MOST_VALUES:
        most = f"{DEEPEST} levels" if len(path) > DEEPEST else f"{MOST_VALUES} values"
        raise _wrong(f"there are more than {most}", node)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong("a key must be a word", key)
            inside = (*path, str(key.value))
            if inside in lines and key.value != "<<":
                raise _wrong(f"key {shown(key.value)} is given twice", key)
            lines[inside] = key.start_mark.line + 1
            _walk(value, inside, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            _walk(item, (*path, position), lines)
