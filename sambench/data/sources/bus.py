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
    """List the images that the workbook or CSV names, with centre, fold and readers' grades."""
    root, path = _locate(request)
    problems = Problems()
    book = path.suffix.lower() != ".csv"
    table = read_table(path, "prediction" if book else None)
    names = ("ID", *READERS.values(), "fold") if book else ("name", "label")
    spelled = {name: table.need(name) for name in names}
    layout, images = _find(root, problems)
    rows = _rows_by_id(table, spelled, problems)
    facts = {id: _facts(id, row, spelled, table, problems) for id, row in rows.items()}
    complete = rows.keys() == RELEASE.keys()
    centres = {id: found.facts["centre"] for id, found in images.items()}
    centres = {**RELEASE} if complete and not any(centres.values()) else centres
    ids = sorted(rows, key=natural)
    missing = tuple(id for id in ids if id not in images)
    listed = {image_id(row.cells[spelled[names[0]]] or "") for row in table.rows}
    for id, found in images.items():
        if id not in listed:
            kind = f"image files in {root} without a row in {table.path}"
            problems.add(kind, found.file, "add the rows or move the files away")
    if problems:
        for id in missing:
            problems.add(f"ids without an image file in {root}", id, "restore the files")
        problems.check()
    samples = tuple(
        replace(images[id], label=_label(id), facts={"centre": centres[id], **facts[id]})
        for id in ids
        if id in images
    )
    return Listing(
        root=root,
        layout=f"{layout} with {path.name}",
        classes=CLASSES,
        samples=samples,
        columns=("centre", "fold", *READERS) if book else ("centre",),
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
    books = [path for path in sorted(root.glob("*.xlsx")) if not path.name.startswith("~$")]
    beside = [root / WORKBOOK, *books, root / "label.csv"]
    found = request.table or next((path for path in beside if path.is_file()), None)
    if found is None:
        raise DataError(
            f"no workbook and no label.csv in {root} (it has {describe(root)}); "
            "say where it is with `--xlsx FILE`"
        )
    if request.table is None and len(books) > 1 and found.name != WORKBOOK:
        names = some([path.name for path in books])
        raise DataError(f"several workbooks in {root} ({names}); say which with `--xlsx FILE`")
    return root, found


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


def _rows_by_id(table: Table, spelled: Mapping[str, str], problems: Problems) -> dict[str, Row]:
    """Return the rows whose id is sound; report the others, but for empty ones."""
    rows: dict[str, Row] = {}
    for row in table.rows:
        if not any(row.cells[column] for column in spelled.values()):
            continue
        id = image_id(row.cells[next(iter(spelled.values()))] or "")
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


def _label(id: str) -> str:
    return "".join(re.findall(r"^[A-Za-z]+", id)).lower()


def _facts(
    id: str, row: Row, spelled: Mapping[str, str], table: Table, problems: Problems
) -> dict[str, Fact]:
    if "label" in spelled:
        label = row.cells[spelled["label"]]
        if str(label) != str(CLASSES.index(_label(id))):
            kind = f"labels in {table.path} that are not the id's (0 benign, 1 malignant)"
            thing = f"{id} has {label!r} (row {row.number})"
            problems.add(kind, thing, "correct label or name")
        return {}
    facts: dict[str, Fact] = {"fold": read_fold(row, spelled["fold"], id, table, problems)}
    for name, column in READERS.items():
        grade = row.cells[spelled[column]]  # "4a" is "4A"; what is no category stays as written
        facts[name] = grade.upper() if grade and grade.upper() in GRADES else grade
    return facts


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
