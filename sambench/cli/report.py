"""`sambench report`."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.grouping import grouped
from sambench.cli.options import Output, Place

if TYPE_CHECKING:
    from sambench.analysis.panels import Panel
    from sambench.cli.gathering import Gathered
    from sambench.cli.screen import Screen
    from sambench.report.document import Document, Section
    from sambench.report.picture import Picture
    from sambench.report.table import Table
    from sambench.store.tree import Store


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the report says."""

    panel: ClassVar[str] = "What it says"
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="The optimizer that the others are compared with.",
            show_default="the suite's, or adam",
            autocompletion=completion.optimizers,
        ),
    ] = None
    published: Annotated[
        bool, typer.Option("--published", help="The papers' numbers and claims beside ours.")
    ] = False
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="CELL",
            help="Show the record files and the arithmetic of one cell, as sam/accuracy or "
            "resnet50/sam/top; write nothing.",
        ),
    ] = None


@grouped
def report(
    content: Content,
    place: Place,
    output: Output,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SUITE or RUN",
            help="A suite (name or file), or runs by name, id or pattern; all else.",
            autocompletion=completion.runs_and_suites,
        ),
    ] = None,
) -> None:
    """Write answer, tables, figures and methods from stored records alone.

    Examples:
      sambench report suites/demo.yaml
      sambench report demo --explain sam/accuracy
    """
    from sambench.analysis.panels import build_panels
    from sambench.cli.gathering import gather
    from sambench.optim.method import optimizers
    from sambench.report.page import write_report
    from sambench.report.plain import to_plain
    from sambench.store.tree import Store

    store, screen = Store(place.results), output.screen()
    found = gather(patterns or (), store, place.data)
    gc.freeze()  # they stay to the end: no need to look for garbage among them again and again
    first = content.baseline or (found.suite.baseline if found.suite else None) or "adam"
    first = optimizers.get(first).name
    panels = build_panels(found.records, first)
    if content.explain is not None:
        lines = _explanation(content.explain, panels, store)
        for line in lines:
            screen.show(line)
        output.answer({"explanation": lines})
        return
    found, search = _with_search(found, store)
    screen.warn_of(found.damaged, "records that cannot be read")
    pictures, left_out = _figures(found, len(panels), store, first)
    sections = _further(found, search, published=content.published)
    document = _document(found, panels, first, sections, pictures, left_out)
    written = write_report(document, place.results / "reports" / (found.name or ""))
    _show(screen, document, written)
    if output.as_json:
        output.answer(to_plain(document, written))


def _show(screen: Screen, document: Document, written: Sequence[Path]) -> None:
    """Show the answer, the main tables, what went wrong, and the paths of everything."""
    for paragraph in document.answer:
        screen.show(paragraph)
        screen.show("")
    for section in document.results:
        if section.shown:
            for table in section.tables:
                screen.table(table)
    wrong = document.rest[-1]
    screen.show(wrong.title)
    for text in (*wrong.paragraphs, *wrong.items):
        screen.show(f"- {text}")
    screen.show("")
    for path in written:
        screen.show(f"wrote {path}")


def _explanation(query: str, panels: Sequence[Panel], store: Store) -> list[str]:
    from sambench.analysis.cells import find_cell
    from sambench.report.explain import explain
    from sambench.store.tree import RECORD

    return list(explain(find_cell(query, panels), lambda r: store.runs / r.name / RECORD))


def _document(
    found: Gathered,
    panels: Sequence[Panel],
    baseline: str,
    further: Sequence[Section],
    pictures: Sequence[Picture],
    left_out: Sequence[str],
) -> Document:
    from sambench.analysis.answer import answers
    from sambench.analysis.reach import reach
    from sambench.analysis.troubles import troubles
    from sambench.report.answer import answer_text
    from sambench.report.compose import result_sections
    from sambench.report.document import Document, Section
    from sambench.report.methods import methods
    from sambench.report.wrong import went_wrong

    planned = found.planned or tuple(record.config for record in found.records)
    damaged = "\n".join(found.damaged)
    whole = [config for config in found.planned if config.name not in damaged]
    wrong = went_wrong(
        troubles(panels, whole, found.given), found.damaged, reach(planned, baseline)
    )
    return Document(
        title=f"sambench report {found.name or ''}".rstrip(),
        answer=answer_text(answers(panels, baseline), baseline),
        results=(*result_sections(panels), *further),
        pictures=pictures,
        rest=(
            *([Section(title="Figures left out", items=tuple(left_out))] if left_out else []),
            methods(panels),
            wrong,
        ),
    )


MOST_RUNS_DRAWN = 2_000
"""Of more runs (or of more settings than tables are drawn of) no figure shows anything."""


def _figures(
    found: Gathered, settings: int, store: Store, baseline: str
) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Return the figures, and what was left out and why."""
    from sambench.report.page import MOST_TABLES

    if len(found.records) > MOST_RUNS_DRAWN or settings > MOST_TABLES:
        why = "are too many for figures; name a suite or runs to have them"
        return (), (f"{len(found.records)} runs in {settings} settings {why}.",)
    from sambench.report.figures import draw_gallery

    gallery = draw_gallery(found.records, store, baseline)
    return gallery.pictures, tuple(map(str, gallery.left_out))


def _with_search(found: Gathered, store: Store) -> tuple[Gathered, Table | None]:
    """Return the table of a suite's search, if it has one; a damaged one is said and left out."""
    from sambench.errors import StoreError
    from sambench.report.searches import search_table
    from sambench.store.search_record import read_search, search_path

    if found.name is None:
        return found, None
    path = search_path(store.root, found.name)
    try:
        search = read_search(path)
    except StoreError as error:
        return replace(found, damaged=(*found.damaged, str(error))), None
    return found, None if search is None else search_table(search, str(path))


def _further(found: Gathered, search: Table | None, *, published: bool) -> list[Section]:
    """Return what was searched, and the papers' numbers beside ours, as far as there are any."""
    from sambench.report.document import Section

    sections = []
    if search is not None:
        sections.append(Section(title="Hyperparameter search", tables=(search,)))
    if published or (found.suite is not None and found.suite.tables):
        sections.append(
            Section(title="Beside the papers", tables=_published(found), drawn=True, shown=True)
        )
    return sections


def _published(found: Gathered) -> tuple[Table, ...]:
    """Return the papers' numbers beside ours, where there are any of a cell, and their claims."""
    from sambench.analysis.findings import examine
    from sambench.analysis.frame import frame
    from sambench.analysis.metrics import METRICS
    from sambench.analysis.published import published_frame
    from sambench.analysis.replication import replications
    from sambench.report.claims import claims_table
    from sambench.report.contrasts import replication_table

    runs = frame(found.records)
    beside = replications(runs, published_frame(), METRICS)
    return (*((replication_table(beside),) if beside else ()), claims_table(examine(runs)))
