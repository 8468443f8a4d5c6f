"""What a report reads besides records: a search, stored predictions, the prepared data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sambench.analysis.study import Study
    from sambench.cli.gathering import Gathered
    from sambench.report.document import Section
    from sambench.store.search_record import SearchRecord
    from sambench.store.tree import Store

MOST_RUNS_DRAWN = 2_000
"""Of more runs no figure shows anything, and predictions are not read."""


def with_search(found: Gathered, store: Store) -> tuple[Gathered, SearchRecord | None]:
    """Return what a suite's search found, if it has one; a damaged one is said and left out."""
    from sambench.errors import StoreError
    from sambench.store.search_record import read_search, search_path

    if found.name is None:
        return found, None
    try:
        search = read_search(search_path(store.root, found.name))
    except StoreError as error:
        return replace(found, damaged=(*found.damaged, str(error))), None
    return found, search


def with_predictions(found: Gathered, store: Store) -> tuple[Gathered, dict[str, Any]]:
    """Add what stored predictions tell to the records; return the predictions by run."""
    from sambench.analysis import curves, predictions
    from sambench.errors import StoreError

    if len(found.records) > MOST_RUNS_DRAWN:
        return found, {}
    read: dict[str, Any] = {}
    records = []
    for record in found.records:
        path = store.predictions(record.config)
        if path.exists():
            with suppress(StoreError):  # said where its figures are left out
                read[record.id] = predictions.read_predictions(path, record)
        told = read.get(record.id)
        records.append(record if told is None else curves.with_predictions(record, told))
    return replace(found, records=tuple(records)), read


def over_images(study: Study, predictions: dict[str, Any]) -> Study:
    """Add to each comparison of accuracy its interval over other seeds and other test images."""
    from sambench.analysis.groups import repeat
    from sambench.analysis.predictions import interval_over_images

    panels = []
    for panel in study.panels:
        made = []
        for one in panel.by("accuracy"):
            sides = [
                {repeat(r): predictions[r.id] for r in line.completed if r.id in predictions}
                for line in (panel.group.line(one.baseline), panel.group.line(one.candidate))
            ]
            shared = [] if panel.group.folds else [key for key in sides[0] if key in sides[1]]
            ends = interval_over_images(*([side[key] for key in shared] for side in sides))
            made.append(replace(one, images=ends))
        found = {**panel.found, "accuracy": tuple(made)} if made else panel.found
        panels.append(replace(panel, found=found))
    return replace(study, panels=tuple(panels))


def by_centre(study: Study, predictions: dict[str, Any], data: Path) -> list[Section]:
    """Return accuracies by centre, where the data are prepared here and name the centres."""
    from sambench.data.prepared import open_prepared
    from sambench.errors import UserError
    from sambench.report.document import Section
    from sambench.report.tables import centre_table

    tables = []
    known: dict[tuple[str, int], dict[str, str]] = {}
    for panel in study.panels if predictions else ():
        place = (panel.group.setting.dataset, panel.group.setting.image_size)
        if place not in known:
            known[place] = {}
            with suppress(UserError):  # not prepared here, or without centres
                prepared = open_prepared(data, *place)
                both = zip(prepared.ids, prepared.column("centre"), strict=True)
                known[place] = {image: str(centre) for image, centre in both if centre is not None}
        table = centre_table(panel, predictions, known[place]) if known[place] else None
        tables += [] if table is None else [table]
    return [Section(title="By centre", tables=tuple(tables))] if tables else []
