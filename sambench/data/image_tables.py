"""Reads datasets whose images lie in one folder and whose facts stand in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sambench.data.family import Family, make_listing
from sambench.data.folders import NONE, UNTOLD, find_images, image_id, natural, subfolders
from sambench.data.problems import Problems
from sambench.data.source import Fact, Listing, Request
from sambench.data.tables import Row, Table, labelled_rows, read_fold


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The layout of one family.

    Attributes:
        ids: What the column of the images may be called.
        labels: What the column of the classes may be called.
        facts: Column of the table by name of the fact; the patient's must be there.
        folder: Name of the folder of the images, in lower case.
        beside: Whether the images may also lie beside the table.
        masks: Pattern of the names, without suffix, of masks.
        id_of: The id of an image by its name, or by what stands in the table.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    facts: Mapping[str, str]
    folder: str
    beside: bool = False
    masks: str = NONE
    id_of: Callable[[str], str] = image_id


def list_images(
    family: Family,
    request: Request,
    layout: ImageTable,
    root: Path,
    table: Table,
    folds: Table | None = None,
) -> Listing:
    """Return the listing of the images that a table names; `folds` has columns ID and kFold.

    Raises:
        DataError: If files or rows are at fault; names all that are.
    """
    problems = Problems()
    id_column, label_column = table.need(*layout.ids), table.need(*layout.labels)
    if "patient" in layout.facts:
        table.need(layout.facts["patient"])
    columns = {name: found for name, c in layout.facts.items() if (found := table.find(c))}
    folder = subfolders(root, problems).get(layout.folder)
    if folder is None and not layout.beside:
        raise family.refuse(root, f"folder {layout.folder}/")
    rows = labelled_rows(
        table, id_column, label_column, family.classes, problems, id_of=layout.id_of
    )
    fold_of = _folds(folds, rows, table, problems) if folds else {}
    there = find_images(root, {folder or root: UNTOLD}, problems, masks=layout.masks)
    images = {layout.id_of(id): image for id, image in there.items()}
    listed = {layout.id_of(str(row.cells[id_column])) for row in table.rows}
    for id in sorted(images.keys() - listed, key=natural):
        thing = images[id].file
        problems.add(f"image files without a row in {table.path}", thing, "add the rows")
    problems.check()
    if not images:
        raise family.refuse(root)
    ids, wanted = sorted(rows, key=natural), family.wanted(request)
    samples = [
        replace(
            images[id],
            id=images[id].path.stem,
            label=rows[id][0],
            facts={**({"fold": fold_of[id]} if folds else {}), **_facts(rows[id][1], columns)},
        )
        for id in ids
        if id in images
    ]
    tables = [table, *([folds] if folds else [])]
    where = f"{folder.name}/" if folder else "images"
    return make_listing(
        root,
        f"{where} with {' and '.join(one.path.name for one in tables)}",
        wanted,
        samples,
        columns=(*(["fold"] if folds else []), *columns),
        checksums={one.path.name: one.sha256 for one in tables},
        missing=tuple(id for id in ids if id not in images and rows[id][0] in wanted),
        unlisted="masks",
    )


def _folds(
    folds: Table, rows: Mapping[str, tuple[str, Row]], table: Table, problems: Problems
) -> dict[str, int | None]:
    id_column, fold_column = folds.need("ID"), folds.need("kFold")
    found = {}
    for row in folds.rows:
        id = str(row.cells[id_column])
        found[id] = read_fold(row, fold_column, id, folds, problems)
    for id in sorted(rows.keys() - found.keys(), key=natural):
        problems.add(f"ids of {table.path} without a fold in {folds.path}", id, "add the rows")
    return found


def _facts(row: Row, columns: Mapping[str, str]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {name: row.cells[column] for name, column in columns.items()}
    if facts.get("birads") is not None:
        facts["birads"] = str(facts["birads"]).upper()
    return facts
