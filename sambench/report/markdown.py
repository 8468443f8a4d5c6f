"""Tables as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from sambench.report.table import Table


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown with its notes."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    body = [
        line([label, *(f"**{c.text}**" if c.bold else c.text for c in cells)])
        for label, cells in table.rows
    ]
    rule = line(["---", *["---:"] * (len(table.headings) - 1)])
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"## {table.title}", "", line(table.headings), rule, *body, "", *notes, ""])
