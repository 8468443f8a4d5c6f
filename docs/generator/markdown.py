"""Markdown as GitHub shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LINKS = (
    (re.compile(r"arXiv (\d{4}\.\d{4,5})"), r"[arXiv \1](https://arxiv.org/abs/\1)"),
    (re.compile(r"doi (10\.\S+)"), r"[doi \1](https://doi.org/\1)"),
)


class Page:
    """A page under construction.

    Args:
        title: Its heading.
    """

    def __init__(self, title: str) -> None:
        self._blocks = [f"# {title}"]

    def heading(self, text: str, depth: int = 2) -> None:
        """Start a section."""
        self._blocks.append(f"{'#' * depth} {text}")

    def text(self, text: str) -> None:
        """Add paragraphs."""
        if text.strip():
            self._blocks.append(text.strip("\n"))

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add a table, if it has rows."""
        lines = [_row(cells) for cells in rows]
        if lines:
            self._blocks.append("\n".join([_row(headings), _row(["---"] * len(headings)), *lines]))

    def bullets(self, items: Iterable[str]) -> None:
        """Add a list."""
        self.text("\n".join(f"- {item}" for item in items))

    def code(self, text: str, language: str) -> None:
        """Add a block of code."""
        self._blocks.append(f"```{language}\n{text.strip()}\n```")

    def __str__(self) -> str:
        return "\n\n".join(self._blocks) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"


def linked(reference: str) -> str:
    """Return a reference with its arXiv number or DOI as a link."""
    for pattern, link in LINKS:
        reference = pattern.sub(link, reference)
    return reference


def anchor(heading: str) -> str:
    """Return the fragment by which a heading is linked to."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def code(value: object) -> str:
    """Return a value as code, as a user would write it."""
    if value is None:
        return "none"
    return f"`{written(value)}`"


def written(value: object) -> str:
    """Return a value as people write it in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(written(part) for part in value) + "]"
    return str(value)
