"""The report as one HTML file that opens offline: sortable tables, pictures inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from html import escape

from sambench.report.document import Document, Section
from sambench.report.picture import Picture
from sambench.report.table import Cell, Table

STYLE = """
:root { color-scheme: light dark; --ink: #111; --soft: #555; --line: #bbb; --page: #fff;
  --mark: #eef3f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #aaa; --line: #555;
  --page: #16181b; --mark: #22272e; } }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  margin: 2rem auto; max-width: 84rem; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { margin-top: 1.8rem; } p, li { max-width: 62rem; }
.answer { background: var(--mark); padding: .6rem 1rem; border-left: 4px solid #0072B2; }
.answer p:first-child { font-size: 1.1rem; }
nav { color: var(--soft); } nav a { color: inherit; margin-right: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid;
  font-variant-numeric: tabular-nums; font-size: .82rem; }
thead th { border-bottom: 1px solid; vertical-align: bottom; padding: 0; }
th button { all: unset; box-sizing: border-box; cursor: pointer; width: 100%;
  padding: .25rem .4rem; text-align: inherit; font-weight: bold; }
th button:focus-visible { outline: 2px solid #0072B2; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
th, td { text-align: right; white-space: nowrap; } td, tbody th { padding: .25rem .4rem; }
thead th { white-space: normal; }
th:first-child { text-align: left; } tbody th { font-weight: normal; }
tbody tr:hover { background: var(--mark); }
.notes { color: var(--soft); font-size: .85em; }
#figures { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
#figures h2 { grid-column: 1 / -1; }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #fff; }
figcaption { color: var(--soft); font-size: .9em; max-width: 62rem; }
@media print { body { max-width: none; margin: 0; font-size: 9pt; } nav { display: none; }
  .wide { overflow: visible; } table { font-size: 7.5pt; } th button { padding: .1rem .3rem; }
  td, tbody th { padding: .1rem .3rem; } figure, tr { break-inside: avoid; } }
"""

SORT = """
document.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
  const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending", place = head.cellIndex;
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => {
    const cell = row.cells[place];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (x, y) => x < y ? -1 : x > y ? 1 : 0;
  [...body.rows].sort((a, b) => {
    const x = value(a), y = value(b);
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    return up ? compare(x, y) : compare(y, x);
  }).forEach((row) => body.append(row));
}));
"""


def to_html(document: Document) -> str:
    """Return the page. A heading is a button that sorts by its column; empty cells come last."""
    parts = [
        *(_section(section) for section in document.results),
        *([_figures(document)] if document.pictures else []),
        *(_section(section) for section in document.rest),
    ]
    titles = [
        *(section.title for section in document.results),
        *(["Figures"] if document.pictures else []),
        *(section.title for section in document.rest),
    ]
    links = "".join(f'<a href="#{_anchor(title)}">{escape(title)}</a>' for title in titles)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{escape(document.title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(document.title)}</h1>",
            *_answer(document.answer),
            f'<nav aria-label="Sections">{links}</nav><main>',
            *parts,
            f"</main><script>{SORT}</script></body></html>",
            "",
        ]
    )


def to_html_table(table: Table) -> str:
    """Return a heading, the table and its notes."""
    head = "".join(
        f'<th scope="col"><button type="button">{escape(heading)}</button></th>'
        for heading in table.headings
    )
    body = "\n".join(
        f'<tr><th scope="row">{escape(label)}</th>{"".join(map(_cell, cells))}</tr>'
        for label, cells in table.rows
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f'<h3>{escape(table.title)}</h3>\n<div class="wide" tabindex="0" role="region" '
        f'aria-label="{escape(table.title)}"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def _answer(paragraphs: Iterable[str]) -> list[str]:
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    return [f'<section class="answer" aria-label="Answer">{text}</section>'] if text else []


def _section(section: Section) -> str:
    paragraphs = "".join(f"<p>{escape(text)}</p>\n" for text in section.paragraphs)
    items = "".join(f"<li>{escape(item)}</li>\n" for item in section.items)
    tables = "\n".join(map(to_html_table, section.tables))
    return (
        f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>\n{paragraphs}'
        + (f"<ul>{items}</ul>\n" if items else "")
        + f"{tables}</section>"
    )


def _figures(document: Document) -> str:
    shown = "\n".join(map(_figure, document.pictures))
    return f'<section id="figures"><h2>Figures</h2>\n{shown}</section>'


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    title, caption = escape(picture.title), escape(picture.caption)
    return (
        f'<figure><img alt="{title}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{title}.</b> {caption}</figcaption></figure>"
    )


def _cell(cell: Cell) -> str:
    value = "" if cell.number is None else f' data-value="{cell.number!r}"'
    text = escape(cell.text)
    return f"<td{value}>{f'<b>{text}</b>' if cell.bold else text}</td>"


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
