"""An audit for the terminal and as Markdown, in the words of `page.md`, kept beside the data."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sambench.data.audit.copies import EXPECTED, MOST_POSSIBLE
from sambench.data.audit.examine import NEAR, TURNED, VERSION, Audit, Link
from sambench.data.drawing import write_pairs
from sambench.data.prepared import Prepared
from sambench.errors import some
from sambench.files.atomic import write_json, write_text

MOST_ROWS = 25


@dataclass(frozen=True, kw_only=True)
class Section:
    """One question and its answer: sentences and, where there are rows, a table."""

    title: str
    text: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def write_audit(prepared: Prepared, audit: Audit) -> list[Path]:
    """Write audit.json, audit.md and pictures of pairs; return their paths."""
    folder = prepared.folder
    numbers, page = folder / "audit.json", folder / "audit.md"
    write_json(numbers, {"version": VERSION, **asdict(audit), "majority": audit.majority})
    write_text(page, in_markdown(audit))
    paths = [page, numbers]
    for name, links, title in (
        ("conflicts", audit.conflicts, "copies with different labels"),
        ("copies", audit.links, "near-duplicates, the least alike first"),
        ("possible_copies", audit.possible, "possible copies, the most alike first"),
        ("turned_copies", audit.turned, "mirrored or turned copies, the most alike first"),
    ):
        pairs = [((link.first, link.second), link.labels, _how(link)) for link in links]
        paths.append(folder / f"{name}.png")
        write_pairs(prepared, pairs, title, paths[-1])
    return [path for path in paths if path.exists()]


def in_markdown(audit: Audit) -> str:
    """Return the audit as a page of Markdown."""
    return "\n\n".join(_blocks(audit)).replace("<", "&lt;") + "\n"


def sections(audit: Audit) -> list[Section]:
    """Return the audit, question by question, as its page has it."""
    found: list[Section] = []
    for block in _blocks(audit)[2:]:  # under the head
        if block.startswith("## "):
            found.append(Section(title=block.removeprefix("## ")))
        elif block.startswith("| "):
            cells = [line[2:-2].split(" | ") for line in block.splitlines()]
            headings, _, *rows = (tuple(c.replace(r"\|", "|") for c in row) for row in cells)
            found[-1] = replace(found[-1], headings=headings, rows=tuple(rows))
        else:
            found[-1] = replace(found[-1], text=(*found[-1].text, block))
    return found


def _blocks(audit: Audit) -> list[str]:
    """Return the headings, paragraphs and tables of the page; a paragraph is one line."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("sambench.data", "audit"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    templates.globals |= {
        "EXPECTED": EXPECTED,
        "MOST_POSSIBLE": MOST_POSSIBLE,
        "MOST_ROWS": MOST_ROWS,
    }
    templates.filters |= {
        "cell": lambda text: text.replace("|", r"\|"),
        "how": _how,
        "largest": lambda families: some(max(families, key=len), limit=10),
        "number": _number,
        "percent": lambda share: f"{100 * share:.1f} %",
        "some": some,
    }
    ids = {id for link in audit.conflicts for id in (link.first, link.second)}
    conflicting = sum(1 for family in audit.families if ids & set(family))
    page = templates.get_template("page.md").render(audit=audit, conflicting=conflicting)
    blocks = re.split("\n\n+", page.strip())
    return [one if one.startswith("| ") else one.replace("\n", " ") for one in blocks]


def _how(link: Link, *, named: bool = False) -> str:
    if link.kind not in (NEAR, TURNED):
        return link.kind
    alike = f"{link.distance} of 64 bits differ, correlation {link.correlation:.2f}"
    return f"{link.kind}: {alike}" if named else alike


def _number(count: int, what: str, several: str | None = None) -> str:
    return f"{count} {what if count == 1 else several or what + 's'}"
