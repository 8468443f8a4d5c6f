"""Writing a report, for `sambench report`."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from sambench.analysis.claims import Finding, examine
from sambench.analysis.groups import build_groups
from sambench.analysis.names import Names, read_names
from sambench.analysis.predictions import Predictions
from sambench.analysis.study import Study, build_study
from sambench.analysis.troubles import troubles
from sambench.cli.gathering import (
    MOST_RUNS_DRAWN,
    Gathered,
    by_centre,
    gather,
    over_images,
    with_predictions,
    with_search,
)
from sambench.cli.options import Output, Place
from sambench.cli.screen import Screen
from sambench.errors import ConfigError, did_you_mean
from sambench.optim.method import optimizers
from sambench.report.answer import answer_text
from sambench.report.contrasts import search_table
from sambench.report.document import Document, Section
from sambench.report.explain import Source, find_source, sources_of
from sambench.report.forms import to_plain
from sambench.report.methods import methods
from sambench.report.notes import how_to_read, planned_groups, problems, too_few
from sambench.report.page import MOST_DRAWN, write_report
from sambench.report.papers import claims_table, paper_tables
from sambench.report.tables import result_sections
from sambench.store.record import COMPLETED
from sambench.store.search_record import SearchRecord, search_path
from sambench.store.tree import RECORD, Store

MOST_SETTINGS_DRAWN = 60
"""Of more settings no figure shows anything."""

MOST_SHOWN = 40
"""Tables that a terminal shows."""

MOST_EXPLAINED = 1_500
"""Of more numbers the page does not hold the explanations: `--explain` gives each."""


def make_report(
    patterns: Sequence[str],
    where: Sequence[str],
    place: Place,
    output: Output,
    *,
    baseline: str | None,
    published: bool,
    explain: str | None,
    write_predictions: bool,
    name: str | None,
    names: Path | None,
) -> None:
    """Write and show the report of the runs that are asked for, or explain one of its numbers."""
    store, screen = Store(place.results), output.screen()
    found = gather(patterns, store, place.data, where)
    gc.freeze()  # they stay to the end: no need to look for garbage among them then
    shown_names = read_names(names) if names else Names()
    found, search = with_search(found, store)
    found, predictions = with_predictions(found, store)
    against = _baseline(baseline, found)
    asked = msgspec.structs.replace(found.asked, baseline=against)
    study = build_study(found.records, asked, planned=found.planned, names=shown_names)
    if predictions:
        study = over_images(study, predictions)
    published = published or bool(found.suite is not None and found.suite.tables)
    findings = examine(study.groups) if published else ()
    if explain is not None:
        _explain(explain, _sources(study, store, findings, search), screen, output)
        return
    screen.warn_of(found.damaged, "records that cannot be read")
    if write_predictions:
        _warn_of_missing(predictions, found, screen)
    further = _further(found, study, search, findings, shown_names)
    further = [*by_centre(study, predictions, place.data), *further]
    document = _document(found, study, store, predictions, further, published=published)
    if len(document.tables) * 8 < MOST_EXPLAINED:
        sources = _sources(study, store, findings, search)
        if len(sources) <= MOST_EXPLAINED:
            document = replace(
                document, sources={one.name: "\n".join(one.explain()) for one in sources}
            )
    folder = place.results / "reports" / _folder(name, found, patterns)
    written = write_report(
        document,
        folder,
        every_table=found.name is not None,
        predictions=predictions if write_predictions else None,
    )
    _show(screen, document, written)
    if output.as_json:
        output.answer(to_plain(document, written))


def _warn_of_missing(predictions: Mapping[str, Any], found: Gathered, screen: Screen) -> None:
    """Say how many runs have no row in `predictions.csv`."""
    if len(found.records) > MOST_RUNS_DRAWN:
        raise ConfigError(
            f"--predictions is for at most {MOST_RUNS_DRAWN:,} runs, not {len(found.records):,}; "
            "choose some by a suite, a pattern or --where"
        )
    done = [record for record in found.records if record.status == COMPLETED]
    if missing := [record.name for record in done if record.id not in predictions]:
        screen.warn(
            f"{len(missing)} of {len(done)} runs have no sound predictions and are not in "
            f"predictions.csv: {', '.join(missing[:3])}{' ...' * (len(missing) > 3)}"
        )


def _baseline(asked: str | None, found: Gathered) -> str:
    """Return the baseline: a registered name, or the label of some of its runs."""
    name = asked or found.asked.baseline or "adam"
    if any(record.config.optimizer["name"] == name for record in found.records):
        return name
    if "(" not in name:
        return optimizers.get(name).name
    groups = build_groups(found.records, None, beside=found.asked.beside)
    labels = dict.fromkeys(line.label for group in groups for line in group.lines)
    if name not in labels:
        raise ConfigError(
            f"no run is of the baseline {name!r}{did_you_mean(name, labels)}; optimizers with "
            f"runs: {', '.join(labels)}"
        )
    return name


def _folder(asked: str | None, found: Gathered, patterns: Sequence[str]) -> str:
    """Return the name of the report's folder: no two different reports share one."""
    name = asked or found.name or "-".join(patterns) or "all"
    return re.sub(r"[^A-Za-z0-9._+=-]+", "_", name.replace("*", "any")).strip("._") or "report"


def _sources(
    study: Study, store: Store, findings: Sequence[Finding], search: SearchRecord | None
) -> tuple[Source, ...]:
    return tuple(sources_of(study, lambda r: store.runs / r.name / RECORD, findings, search))


def _explain(query: str, sources: Sequence[Source], screen: Screen, output: Output) -> None:
    lines = list(find_source(query, sources).explain())
    for line in lines:
        screen.show(line)
    output.answer({"explanation": lines})


def _further(
    found: Gathered,
    study: Study,
    search: SearchRecord | None,
    findings: Sequence[Finding],
    names: Names,
) -> list[Section]:
    """Return what was searched, and the papers' tables and claims, as far as there are any."""
    sections = []
    if search is not None:
        where = str(search_path(Path("results"), found.name or ""))
        table = search_table(search, where)
        sections.append(Section(title="Hyperparameter search", tables=(table,)))
    if findings:
        wanted = found.suite.tables if found.suite is not None else ()
        tables = (*paper_tables(study.groups, wanted, names), claims_table(findings))
        sections.append(Section(title="Beside the papers", tables=tables, shown=True))
    return sections


def _document(
    found: Gathered,
    study: Study,
    store: Store,
    predictions: Mapping[str, Predictions],
    further: Sequence[Section],
    *,
    published: bool,
) -> Document:
    damaged = "\n".join(found.damaged)
    whole = [config for config in found.planned if config.name not in damaged]
    asked = msgspec.structs.replace(found.asked, baseline=study.baseline)
    wanted = planned_groups(found.planned, asked) if found.planned else study.groups
    wrong = problems(
        troubles(study.groups, whole, found.given), found.damaged, study.groups, too_few(wanted)
    )
    pictures, left_out = _figures(found, study, store, predictions, published=published)
    results = (*result_sections(study), *further)
    shown = sum(len(section.tables) for section in results if section.shown)
    if shown > MOST_DRAWN:
        left_out = (*left_out, f"Pictures of tables: {shown} are more than {MOST_DRAWN}.")
    return Document(
        title=f"sambench report {found.name or ''}".rstrip(),
        study=study,
        answer=answer_text(study),
        results=results,
        pictures=pictures,
        rest=(
            Section(title="How to read this", items=how_to_read(study)),
            *([Section(title="Figures left out", items=left_out)] if left_out else []),
            methods(study),
            wrong,
        ),
    )


def _figures(
    found: Gathered,
    study: Study,
    store: Store,
    predictions: Mapping[str, Predictions],
    *,
    published: bool,
) -> tuple[Any, tuple[str, ...]]:
    """Return the figures, and what was left out and why."""
    number, settings = len(found.records), len(study.panels)
    if number > MOST_RUNS_DRAWN or settings > MOST_SETTINGS_DRAWN:
        why = "are too many for figures; name a suite or runs to have them"
        return (), (f"{number} runs in {settings} setting{'s' * (settings != 1)} {why}.",)
    from sambench.report.figures.gallery import draw_gallery
    from sambench.report.figures.material import Material

    material = Material(study=study, store=store, printed=published, known=predictions)
    return draw_gallery(material)


def _show(screen: Screen, document: Document, written: Sequence[Path]) -> None:
    """Show the answer, the main tables, what went wrong, and the paths of everything."""
    for paragraph in document.answer:
        screen.show(paragraph)
        screen.show("")
    tables = [t for section in document.results if section.shown for t in section.tables]
    for table in tables[:MOST_SHOWN]:
        screen.table(table)
    if len(tables) > MOST_SHOWN:
        screen.show(f"... and {len(tables) - MOST_SHOWN} more tables, all in report.md")
    wrong = document.rest[-1]
    screen.show(wrong.title)
    for text in (*wrong.paragraphs, *wrong.items):
        screen.show(f"- {text}")
    screen.show("")
    for path in written:
        screen.show(f"wrote {path}")
    screen.show(f"open {written[0].with_name('report.html')} in a browser; it needs no network")
