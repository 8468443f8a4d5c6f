"""Tables as LaTeX, in the manner of booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sambench.report.table import Cell, Table

_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        "–": "--",
        "†": r"$^{\dagger}$",
        "‡": r"$^{\ddagger}$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
    }
)


def to_latex(table: Table) -> str:
    r"""Return a `table` environment that needs `\usepackage{booktabs,graphicx}`.

    A table wider than the line is shrunk to it. The notes are set below the rules, one line each;
    bold cells are `\textbf`.
    """
    alignment = "l" + "r" * (len(table.headings) - 1)
    body = [_line([escape(label), *map(_cell, cells)]) for label, cells in table.rows]
    notes = [rf"  \par\raggedright\footnotesize {escape(note)}" for note in table.notes]
    gap = [r"  \par\smallskip"] if notes else []
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(table.title)}}}",
            r"  \resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}{%",
            rf"  \begin{{tabular}}{{{alignment}}}",
            r"    \toprule",
            _line(escape(heading) for heading in table.headings),
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}}",
            *gap,
            *notes,
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Return the text with every character that LaTeX reads otherwise written out."""
    return text.translate(_ESCAPES)


def _line(cells: Iterable[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = re.sub(r"(?<!\w)-(?=\d)", "$-$", escape(cell.text))
    return rf"\textbf{{{text}}}" if cell.bold else text
