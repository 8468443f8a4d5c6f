"""Tables and reports as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sambench.report.document import Document, Section
from sambench.report.table import Table


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown with its notes."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    body = [
        line([label, *(f"**{c.text}**" if c.bold else c.text for c in cells)])
        for label, cells in table.rows
    ]
    rule = line(["---", *["---:"] * (len(table.headings) - 1)])
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"### {table.title}", "", line(table.headings), rule, *body, "", *notes, ""])


def document_markdown(
    document: Document, pictures: Mapping[str, str], drawn: Mapping[int, str]
) -> str:
    """Return a whole report.

    Args:
        document: What it says.
        pictures: File of each figure, by its stem.
        drawn: File of each table's picture, by the table's place in the document.
    """
    places = {id(table): place for place, table in enumerate(document.tables)}

    def section(part: Section) -> list[str]:
        blocks = [f"## {part.title}\n", *(f"{text}\n" for text in part.paragraphs)]
        if part.items:
            blocks.append("".join(f"- {item}\n" for item in part.items))
        for table in part.tables:
            file = drawn.get(places[id(table)])
            blocks.append(to_markdown(table) + (f"\n![{table.title}]({file})\n" if file else ""))
        return blocks

    figures = [
        f"![{picture.title}]({pictures[picture.stem]})\n\n*{picture.title}.* {picture.caption}\n"
        for picture in document.pictures
    ]
    blocks = [f"# {document.title}\n", *(f"{text}\n" for text in document.answer)]
    for part in document.results:
        blocks += section(part)
    if figures:
        blocks += ["## Figures\n", *figures]
    for part in document.rest:
        blocks += section(part)
    return "\n".join(blocks)
