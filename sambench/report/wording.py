"""What is said in words: templates of whole sentences, filled with facts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sambench.errors import visible
from sambench.report import table

if TYPE_CHECKING:
    import jinja2

MOST_NAMED = 6
"""Optimizers that a sentence names; of more it gives the number."""

MOST_TERMS = 12
"""Numbers that a sum spells out."""

WRITTEN = ("amount", "counted", "factor", "interval", "listed", "p_value", "points", "short",
           "signed")  # fmt: skip
"""How templates write numbers and names, as `table` does."""


@cache
def environment() -> jinja2.Environment:
    """Return what finds and fills templates; all is `visible`, and escaped in pages alone."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("sambench.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: str(name).endswith(".html"),
        trim_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        optimized=False,  # each template is filled once or twice
        finalize=lambda filled: visible(filled) if type(filled) is str else filled,
    )
    found.globals |= {"id": id, "MOST_NAMED": MOST_NAMED}
    found.globals |= {"MISSING": table.MISSING, "Mark": table.Mark}
    found.filters |= {name: getattr(table, name) for name in WRITTEN}
    found.filters |= {"precise": "{:.6g}".format, "terms": _terms}
    found.filters["titles"] = lambda labels, study: [study.title_of(label) for label in labels]
    return found


def _terms(values: Sequence[float]) -> str:
    """Write a sum, its first terms alone where they are many."""
    many = len(values) > MOST_TERMS
    terms = " + ".join(f"{v:.6g}" for v in (values[:3] if many else values)).replace("+ -", "- ")
    total = f"({terms} + ... {len(values)} values)" if many else f"({terms})"
    return total if math.isfinite(sum(values)) else "(...)"


def lines_of(template: str, macro: str, /, **facts: Any) -> list[str]:
    """Return what a macro of a template says of some facts, line by line."""
    macros: Any = environment().get_template(template).module
    said: str = getattr(macros, macro)(**facts)
    return said.splitlines()


def paragraphs(template: str, macro: str, /, **facts: Any) -> tuple[str, ...]:
    """Return what a macro of a template says of some facts, each paragraph as one line."""
    text = "\n".join(lines_of(template, macro, **facts))
    return tuple(filter(None, (" ".join(part.split()) for part in text.split("\n\n"))))


def worded(template: str, macro: str, /, **facts: Any) -> str:
    """Return what a macro of a template says of some facts, as one paragraph."""
    return " ".join(paragraphs(template, macro, **facts))
