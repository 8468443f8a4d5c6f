"""The report as one HTML file that opens offline: sortable tables, pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from sambench.report.table import Cell, Table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #111; margin: 2rem auto; max-width: 75rem;
  padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid;
  font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid; cursor: pointer; vertical-align: bottom; }
th, td { padding: .25rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
ul { color: #444; font-size: .85em; }
img { max-width: 100%; }
"""

SORT = """
document.querySelectorAll("th").forEach((head) => head.addEventListener("click", () => {
  const table = head.closest("table"), body = table.tBodies[0], place = head.cellIndex;
  const up = head.dataset.up !== "true";
  head.dataset.up = up;
  const value = (row) => {
    const cell = row.cells[place], number = parseFloat(cell.dataset.value);
    return Number.isNaN(number) ? cell.textContent : number;
  };
  [...body.rows].sort((a, b) => {
    const x = value(a), y = value(b);
    const order = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0)
      : typeof x === "number" ? -1 : 1;
    return up ? order : -order;
  }).forEach((row) => body.append(row));
}));
"""


def to_html(title: str, tables: Sequence[Table], pictures: Sequence[tuple[str, bytes]] = ()) -> str:
    """Return the page.

    Args:
        title: Heading of the page.
        tables: In order; a click on a heading sorts by its column, by means where there are any.
        pictures: A caption and a PNG each, shown after the tables.
    """
    sections = [to_html_section(table) for table in tables]
    figures = [
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}"><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, png in pictures
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *sections,
            *figures,
            f"<script>{SORT}</script></body></html>",
            "",
        ]
    )


def to_html_section(table: Table) -> str:
    """Return a heading, the table and its notes."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    body = "\n".join(
        f"<tr><td>{escape(label)}</td>{''.join(map(_cell, cells))}</tr>"
        for label, cells in table.rows
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n<ul>{notes}</ul>"
    )


def _cell(cell: Cell) -> str:
    value = "" if cell.summary is None else f' data-value="{cell.summary.mean!r}"'
    text = escape(cell.text)
    return f"<td{value}>{f'<b>{text}</b>' if cell.bold else text}</td>"
