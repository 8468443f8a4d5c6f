"""Docstrings as Markdown: their text, and the meaning of each field they list."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass

SECTIONS = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
DISPLAY = re.compile(r"^\.\. math:: *(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r":math:`([^`]*)`")
ITEM = re.compile(r"^(\w+): (.*?)(?=^\w+: |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Docstring:
    """What an object says of itself.

    Attributes:
        summary: Its first line.
        body: The rest, before any section, as Markdown.
        meanings: What its attributes mean, by name, as Markdown.
    """

    summary: str
    body: str
    meanings: dict[str, str]


def docstring(of: object) -> Docstring:
    """Read an object's docstring.

    Raises:
        ValueError: If it has none.
    """
    text = of.__doc__ or ""
    if not text:
        raise ValueError(f"{of!r} has no docstring")
    before, *sections = SECTIONS.split(inspect.cleandoc(text))
    summary, _, body = before.partition("\n")
    named = dict(zip(sections[::2], sections[1::2], strict=True))
    listed = textwrap.dedent(named.get("Attributes", "").strip("\n"))
    items = {name: " ".join(meaning.split()) for name, meaning in ITEM.findall(listed)}
    return Docstring(
        summary=_inline(summary),
        body=_markdown(body.strip()),
        meanings={name: _inline(meaning) for name, meaning in items.items()},
    )


def field_meanings(of: type) -> dict[str, str]:
    """Return the strings that stand below the fields of a class."""
    source = ast.parse(textwrap.dedent(inspect.getsource(of))).body[0]
    assert isinstance(source, ast.ClassDef)
    found = {}
    for field, below in zip(source.body, [*source.body[1:], ast.Pass()], strict=True):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        said = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        text = str(below.value.value) if said else ""  # type: ignore[attr-defined]
        found[field.target.id] = _inline(" ".join(text.split()))
    return found


def _markdown(text: str) -> str:
    """Return paragraphs with their mathematics as GitHub shows it, and without the code's wrapping.

    Equations stand in fences and between backticks, where Markdown leaves backslashes alone.
    """
    text = DISPLAY.sub(lambda found: f"```math\n{textwrap.dedent(found[1]).strip()}\n```", text)
    blocks = [_paragraph(block) for block in re.split(r"\n\n+", text)]
    return "\n\n".join(blocks)


def _paragraph(block: str) -> str:
    if block.startswith("```"):
        return "\n".join(line.strip() for line in block.splitlines())
    return _inline(block)


def _inline(text: str) -> str:
    return INLINE.sub(lambda found: f"$`{' '.join(found[1].split())}`$", text)
