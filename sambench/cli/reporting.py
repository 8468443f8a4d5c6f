"""A report in the making, for `sambench report`."""

from __future__ import annotations

import gc
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec

from sambench.analysis.claims import Finding, examine
from sambench.analysis.grouping import Names, build_groups, read_names
from sambench.analysis.study import build_study
from sambench.analysis.troubles import troubles
from sambench.cli.gathering import (
    MOST_RUNS_DRAWN,
    Gathered,
    by_centre,
    gather,
    over_images,
    tuned_among,
)
from sambench.cli.measuring import measured_otherwise
from sambench.cli.options import Place
from sambench.cli.screen import Screen
from sambench.data.prepared import prepared_fingerprint
from sambench.errors import DO_AGAIN, ConfigError, StoreError, UserError, did_you_mean, some
from sambench.optim.method import optimizers
from sambench.report.answer import answer_text
from sambench.report.contrasts import search_table, searches_left
from sambench.report.explain import Source, sources_of
from sambench.report.methods import methods
from sambench.report.notes import how_to_read, planned_groups, problems, too_few
from sambench.report.page import MOST_DRAWN, write_report
from sambench.report.papers import claims_table, paper_tables, unknown_tables
from sambench.report.table import Document, Section, counted
from sambench.report.tables import result_sections
from sambench.store.record import COMPLETED
from sambench.store.search_record import is_trial, search_path
from sambench.store.status import outdated
from sambench.store.tree import RECORD, Store

MOST_SETTINGS_DRAWN = 60
"""Of more settings no figure shows anything."""

MOST_SHOWN = 40
"""Tables that a terminal shows."""

MOST_LISTED = 40
"""Runs that an explanation on the page lists."""

MOST_EXPLAINED = 1_500
"""Of more numbers the page does not hold the explanations: `--explain` gives each."""


def _baseline(asked: str | None, found: Gathered) -> str:
    """Return the baseline: a registered name, or the label of some of its runs."""
    name = asked or found.plan.report.baseline or "adam"
    if any(record.config.optimizer["name"] == name for record in found.records):
        return name
    if "(" not in name:
        return optimizers.get(name).name
    groups = build_groups(found.records, None, beside=found.plan.report.beside, roles=found.roles)
    lines = [line for group in groups for line in group.lines]
    if not any(line.is_called(name) for line in lines):
        labels = dict.fromkeys(line.label for line in lines)
        raise ConfigError(
            f"no run is of the baseline {name!r}{did_you_mean(name, labels)}; optimizers with "
            f"runs: {', '.join(labels)}"
        )
    return name


class Report:
    """Runs, the statements about them, and whether the papers' are beside."""

    def __init__(
        self,
        patterns: Sequence[str],
        where: Sequence[str],
        place: Place,
        *,
        baseline: str | None,
        names: Path | None,
        published: bool,
    ) -> None:
        self.store, self.data = Store(place.results), place.data
        self.found = found = gather(patterns, self.store, self.data, where)
        gc.freeze()  # they stay to the end: no need to look for garbage among them then
        self.names = read_names(names) if names else Names()
        asked = msgspec.structs.replace(found.plan.report, baseline=_baseline(baseline, found))
        study = build_study(
            found.records, asked, planned=found.planned, names=self.names, roles=found.roles
        )
        study = replace(study, part=" and ".join(found.part))
        self.study = over_images(study, found.predictions) if found.predictions else study
        self.published = published or bool(found.plan.tables)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the runs say of the papers' claims."""
        return examine(self.study.groups) if self.published else ()

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Every number that can be explained."""
        runs, found, search = self.store.runs, self.findings, self.found.search
        return tuple(sources_of(self.study, lambda r: f"{runs}/{r.name}/{RECORD}", found, search))

    def write(
        self, screen: Screen, out: Path | None, name: str, *, predictions: bool
    ) -> tuple[Document, tuple[Path, ...]]:
        """Write the report into a folder of that name and show it; return it and its files.

        A StoreError if it cannot be written there.
        """
        if predictions:
            self._warn_of_missing(screen)
        document = self._document()
        folder = re.sub(r"[^\w.+=-]+", "_", name.replace("*", "any")).strip("._").encode()[:200]
        try:
            written = write_report(
                document,
                (out or self.store.root / "reports") / (folder.decode(errors="ignore") or "report"),
                every_table=bool(self.found.plan.suite),
                predictions=self.found.predictions if predictions else None,
            )
        except StoreError as error:
            raise StoreError(f"{error} with `--out DIR`") from error
        _show(screen, document, written)
        return document, written

    def _warn_of_missing(self, screen: Screen) -> None:
        """Say how many runs have no row in `predictions.csv`."""
        records = self.found.records
        if len(records) > MOST_RUNS_DRAWN:
            raise ConfigError(
                f"--predictions is for at most {MOST_RUNS_DRAWN:,} runs, not {len(records):,}; "
                "choose some by a suite, a pattern or --where"
            )
        done = [record for record in records if record.status == COMPLETED]
        if missing := [r.name for r in done if r.id not in self.found.predictions]:
            screen.warn(
                f"{len(missing)} of {len(done)} runs have no sound predictions and are not in "
                f"predictions.csv: {some(missing, 3)}; {DO_AGAIN}"
            )

    def _document(self) -> Document:
        found, study = self.found, self.study
        results = (*result_sections(study), *self._further())
        pictures, left_out = self._figures()
        shown = sum(len(section.tables) for section in results if section.shown)
        if shown > MOST_DRAWN:
            left_out = (*left_out, f"Pictures of tables: {shown} are more than {MOST_DRAWN}.")
        damaged = "\n".join(found.damaged)
        whole = [config for config in found.planned if config.name not in damaged]
        asked = msgspec.structs.replace(found.plan.report, baseline=study.baseline)
        wrong = troubles(study.groups, whole, found.given, self._stale())
        coming = planned_groups(found.planned, asked, found.roles)
        few = () if found.part else too_few(coming or study.groups)
        otherwise = measured_otherwise(found.records, found.plan.hessian, found.given)
        options = (f"--where {condition}" for condition in found.part)
        left = searches_left(found.search, found.given) if found.search else ()
        unprinted = unknown_tables(found.plan.tables)
        otherwise += tuned_among(found, self.store)
        if found.unread:
            few = (*few, f"Predictions not counted: {some(found.unread, 3)}.")
        document = Document(
            title=" ".join(("sambench report", *filter(None, (found.plan.suite,)), *options)),
            study=study,
            answer=(*answer_text(study), *left),
            results=results,
            pictures=pictures,
            rest=(
                Section(title="How to read this", items=how_to_read(study)),
                *([Section(title="Figures left out", items=left_out)] if left_out else []),
                methods(study, found.search),
                problems(wrong, found.damaged, study.groups, (*otherwise, *few, *left, *unprinted)),
            ),
        )
        short = len(document.tables) * 8 < MOST_EXPLAINED and len(self.sources) <= MOST_EXPLAINED
        explained = self.sources if short else ()
        sources = {one.name: "\n".join(one.explain(most=MOST_LISTED)) for one in explained}
        return replace(document, sources=sources)

    def _stale(self) -> dict[str, str]:
        """Return why runs that a suite asks for are stale, where their data or code are at hand."""

        @cache
        def now(dataset: str, side: int) -> str | None:
            with suppress(UserError):  # what is prepared is damaged
                return prepared_fingerprint(self.data, dataset, side)
            return None

        tunings = self.found.search.tunings if self.found.search else ()
        names = (name for tuning in tunings for trial in tuning.trials for name in trial.runs)
        runs = (*self.found.records, *self.store.records(names)[0]) if self.found.planned else ()
        done = (record for record in runs if record.status == COMPLETED)
        known = ((r, outdated(r, now(r.config.dataset, r.config.image_size))) for r in done)
        return {r.name: "a trial: " * is_trial(r) + why for r, why in known if why}

    def _further(self) -> list[Section]:
        """Return accuracies by centre, what was searched, and the papers' tables and claims."""
        found, study = self.found, self.study
        sections = by_centre(study, found.predictions, self.data)
        if found.search is not None:
            table = search_table(found.search, str(search_path(Path("results"), found.plan.suite)))
            sections.append(Section(title="Hyperparameter search", tables=(table,)))
        if self.findings:
            printed = paper_tables(study.groups, found.plan.tables, self.names)
            tables = (*printed, claims_table(self.findings))
            sections.append(Section(title="Beside the papers", tables=tables, shown=True))
        return sections

    def _figures(self) -> tuple[Any, tuple[str, ...]]:
        """Return the figures, and what was left out and why."""
        number, settings = len(self.found.records), len(self.study.groups)
        if number > MOST_RUNS_DRAWN or settings > MOST_SETTINGS_DRAWN:
            why = "are too many for figures; name a suite or runs to have them"
            return (), (f"{number} runs in {counted(settings, 'setting')} {why}.",)
        from sambench.report.figures.gallery import draw_gallery
        from sambench.report.figures.material import Material

        known = self.found.predictions
        return draw_gallery(
            Material(study=self.study, store=self.store, printed=self.published, known=known)
        )


def _show(screen: Screen, document: Document, written: Sequence[Path]) -> None:
    """Show the answer, the main tables, what went wrong, and the paths of everything."""
    screen.show(*(line for paragraph in document.answer for line in (paragraph, "")))
    tables = [t for section in document.results if section.shown for t in section.tables]
    screen.table(*tables[:MOST_SHOWN])
    if len(tables) > MOST_SHOWN:
        screen.show(f"... and {len(tables) - MOST_SHOWN} more tables, all in report.md")
    wrong = document.rest[-1]
    screen.show(wrong.title, *(f"- {text}" for text in (*wrong.paragraphs, *wrong.items)), "")
    screen.show(*(f"wrote {path}" for path in written))
    screen.show(f"open {written[0].with_name('report.html')} in a browser; it needs no network")
