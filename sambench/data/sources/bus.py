"""The GDPH&SYSUCC breast-ultrasound release (Mo et al., 2023), in every layout in circulation.

    GDPH/ and SYSUCC/ beside BIRADS&FOLD.xlsx     the release
    img/ beside label.csv                         an older release
    images beside the workbook or CSV             a flat folder

The images may also be in another folder than the table (`Request.folder`). The table says which
images there are; the label is the prefix of the id, the centre is the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sambench.data.folders import describe, find_images, image_id, natural
from sambench.data.problems import Problems, some
from sambench.data.source import Fact, Listing, Request, Sample, Source, sources
from sambench.data.tables import Row, Table, read_fold, read_table
from sambench.errors import DataError

CLASSES = ("benign", "malignant")
CENTRES = ("GDPH", "SYSUCC")
WORKBOOK = "BIRADS&FOLD.xlsx"
READERS = {"birads_reader1": "BIRADS-reader1", "birads_reader2": "BIRADS-reader2"}
GRADES = ("0", "1", "2", "3", "4", "4A", "4B", "4C", "5", "6")
RELEASE = {
    f"{label}({number})": centre
    for centre, label, numbers in (
        ("SYSUCC", "benign", range(443)),
        ("GDPH", "benign", range(443, 886)),
        ("SYSUCC", "malignant", range(1116)),
        ("GDPH", "malignant", range(1116, 1519)),
    )
    for number in numbers
}
"""The centre of each of the 2,405 ids of the real release."""


def scan(request: Request) -> Listing:
    """List the images that the workbook or CSV names, with centre, fold and readers' grades.

    Raises:
        DataError: If table or images are unusable; names all that is wrong at once. Where nothing
            is wrong but ids without an image file, these are left to the caller in
            `Listing.missing`.
    """
    root, path = _locate(request)
    problems = Problems()
    table = _read_table(path)
    layout, images = _find(root, problems)
    rows = _rows_by_id(table, problems)
    centres = {id: found.facts["centre"] for id, found in images.items()}
    if rows.keys() == RELEASE.keys() and not any(centres.values()):
        centres = {**RELEASE}
    facts = {id: _facts(id, row, centres, table, problems) for id, row in rows.items()}
    ids = sorted(rows, key=natural)
    missing = tuple(id for id in ids if id not in images)
    _check_files(root, table, images, missing, problems)
    samples = tuple(
        replace(images[id], label=_label(id), facts=facts[id]) for id in ids if id in images
    )
    return Listing(
        root=root,
        layout=f"{layout} with {path.name}",
        classes=CLASSES,
        samples=samples,
        columns=("centre", "fold", *READERS) if _is_workbook(path) else ("centre",),
        notes=tuple(_notes(samples)),
        checksums={path.name: table.sha256},
        missing=missing,
    )


def _locate(request: Request) -> tuple[Path, Path]:
    """Return the folder of the images and the table."""
    if request.folder is None and request.table is None:
        raise DataError(
            "dataset 'bus' is a manual download (link at github.com/yuhaomo/HoVerTrans); "
            f'say where it is with `--xlsx "{WORKBOOK}"` or `--source DIR`'
        )
    if request.table is not None and not request.table.is_file():
        raise DataError(
            f"no workbook {request.table}; check the path (the & in it needs quotes in a shell)"
        )
    root = request.folder or (request.table or Path()).parent
    if not root.is_dir():
        raise DataError(f"no folder {root}; give the folder of the images with `--source DIR`")
    return root, request.table or _find_table(root)


def _find_table(root: Path) -> Path:
    if (root / WORKBOOK).is_file():
        return root / WORKBOOK
    workbooks = [path for path in sorted(root.glob("*.xlsx")) if not path.name.startswith("~$")]
    if len(workbooks) > 1:
        names = some([path.name for path in workbooks])
        raise DataError(f"several workbooks in {root} ({names}); say which with `--xlsx FILE`")
    for path in (*workbooks, root / "label.csv"):
        if path.is_file():
            return path
    raise DataError(
        f"no workbook and no label.csv in {root} (it has {describe(root)}); "
        "say where it is with `--xlsx FILE`"
    )


def _is_workbook(path: Path) -> bool:
    return path.suffix.lower() != ".csv"


def _read_table(path: Path) -> Table:
    book = _is_workbook(path)
    table = read_table(path, "prediction" if book else None)
    names = ("ID", *READERS.values(), "fold") if book else ("name", "label")
    spelled = {table.need(name): name for name in names}
    rows = (
        replace(row, cells={name: row.cells[column] for column, name in spelled.items()})
        for row in table.rows
    )
    return replace(table, rows=tuple(row for row in rows if any(row.cells.values())))


def _find(root: Path, problems: Problems) -> tuple[str, dict[str, Sample]]:
    """Return a phrase for the layout, and the image files by id."""
    present = {path.name.casefold(): path for path in root.iterdir() if path.is_dir()}
    there = [name for name in CENTRES if name.casefold() in present]
    layout = " and ".join(CENTRES) if there else "img/" if "img" in present else "a flat folder"
    folders: dict[Path, str | None] = {present.get("img", root): None}
    if there:
        for name in set(CENTRES) - set(there):
            problems.add(f"no folder in {root} named", f"{name}/", "put it beside the other centre")
        folders = {present[name.casefold()]: name for name in there}
    meanings = {path: ("", {"centre": centre}) for path, centre in folders.items()}
    images = find_images(root, meanings, problems)
    if not images:
        problems.add(
            f"no images in {root}, which should have {'/, '.join(CENTRES)}/, img/, or the images "
            "themselves, but has",
            describe(root),
            "give their folder with `--source DIR`",
        )
        problems.check()
    return layout, images


def _rows_by_id(table: Table, problems: Problems) -> dict[str, Row]:
    """Return the rows whose id is sound; report the others."""
    rows: dict[str, Row] = {}
    for row in table.rows:
        id = _id(row)
        if not id:
            problems.add(f"rows of {table.path} without an id", str(row.number), "fill it in")
        elif re.search(r"[/\\]|^\.", id):
            kind = f"ids of {table.path} that lead out of the folder"
            problems.add(kind, f"{id!r} (row {row.number})", "give the plain file name")
        elif _label(id) not in CLASSES:
            kind = f"ids of {table.path} that begin with neither benign nor malignant"
            problems.add(kind, f"{id!r} (row {row.number})", "correct them or delete the rows")
        elif id in rows:
            thing = f"{id} (rows {rows[id].number} and {row.number})"
            problems.add(f"ids twice in {table.path}", thing, "delete one row of each")
        else:
            rows[id] = row
    return rows


def _id(row: Row) -> str:
    cell = row.cells["ID" if "ID" in row.cells else "name"]
    return "" if cell is None else image_id(str(cell))


def _label(id: str) -> str:
    return "".join(re.findall(r"^[A-Za-z]+", id)).lower()


def _facts(
    id: str, row: Row, centres: Mapping[str, Fact], table: Table, problems: Problems
) -> dict[str, Fact]:
    centre = centres.get(id)
    if "label" in row.cells:
        if str(row.cells["label"]) != str(CLASSES.index(_label(id))):
            thing = f"{id} has {row.cells['label']!r} (row {row.number})"
            kind = f"labels in {table.path} that are not the id's (0 benign, 1 malignant)"
            problems.add(kind, thing, "correct label or name")
        return {"centre": centre}
    fold = read_fold(row, "fold", id, table, problems)
    facts: dict[str, Fact] = {"centre": centre, "fold": fold}
    for name, column in READERS.items():
        grade = row.cells[column]  # "4a" is "4A"; what is no BI-RADS category stays as written
        facts[name] = grade.upper() if grade and grade.upper() in GRADES else grade
    return facts


def _check_files(
    root: Path,
    table: Table,
    images: Mapping[str, Sample],
    missing: tuple[str, ...],
    problems: Problems,
) -> None:
    listed = {_id(row) for row in table.rows}
    for id, found in images.items():
        if id not in listed:
            kind = f"image files in {root} without a row in {table.path}"
            problems.add(kind, found.file, "add the rows or move the files away")
    if problems:
        for id in missing:
            problems.add(f"ids without an image file in {root}", id, "restore the files")
        problems.check()


def _notes(samples: tuple[Sample, ...]) -> Iterator[str]:
    """Yield what was kept and should be known: odd grades, an unknown centre."""
    for reader in READERS:
        grades = [(sample.id, sample.facts.get(reader)) for sample in samples]
        odd = [f"{id} ({grade!r})" for id, grade in grades if grade and grade not in GRADES]
        empty = [id for id, grade in grades if grade is None]
        if odd:
            yield f"{reader}: grades that are no BI-RADS category, kept as written: {some(odd)}"
        if empty and len(empty) < len(samples):
            yield f"{reader}: no grade for {some(empty)}"
    if any(sample.facts["centre"] is None for sample in samples):
        yield "the centre is unknown: neither the folders nor the ids tell it"


sources.register(
    Source(
        name="bus",
        summary="breast ultrasound, GDPH&SYSUCC: 2,405 images, benign or malignant, two centres",
        scan=scan,
        image_size=256,
        classes=CLASSES,
        obtain="manual download, link at github.com/yuhaomo/HoVerTrans",
        reference="Mo et al., HoVer-Trans, IEEE Transactions on Medical Imaging 42(6), 2023",
        licence="none accompanies the release; its authors ask to cite the paper",
        releases=({"benign": 886, "malignant": 1519},),
    )
)
