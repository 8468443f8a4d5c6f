"""Releases that are images and tables of facts about them.

`published.yaml` tells how each lies on the disk, and of the sets that need no more.

Of GDPH&SYSUCC the label is the prefix of the id and the centre is the folder; where one folder has
both, or images lie beside the table, the ids tell. COVIDx CXR (Wang et al., 2020) are chest X-rays
of named patients in the authors' parts; a label file for each tells which images there are:
"patientid filename class [source]".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from pathlib import Path

from sambench.data.family import Family, make_listing
from sambench.data.folders import UNTOLD, find_images, image_id, natural, part_of, subfolders
from sambench.data.source import Listing, Request, Sample
from sambench.data.tables import GRADES, Row, Table, match, read_fact, read_table, show_cell
from sambench.errors import DataError, Problems, some
from sambench.files.checksums import sha256_of

CENTRES = ("GDPH", "SYSUCC")
READERS = {"birads_reader1": "BIRADS-reader1", "birads_reader2": "BIRADS-reader2"}
RELEASED = {"SYSUCC": (443, 1116), "GDPH": (443, 403)}  # benign and malignant images
RELEASE = {
    f"{label}({number})": "SYSUCC" if number < of_sysucc else "GDPH"
    for label, of_sysucc, of_gdph in zip(("benign", "malignant"), *RELEASED.values(), strict=True)
    for number in range(of_sysucc + of_gdph)
}
"""The centre of each of the 2,405 ids of the real release."""

VARIANTS = {"A": ("normal", "pneumonia", "COVID-19"), "B": ("negative", "positive")}


def find_table(family: Family, request: Request, root: Path) -> Path:
    """Return the named table or the one in the folder; `DataError` if none or several."""
    if request.table is not None:
        return request.table
    names = {path.name: path for path in sorted(root.glob("*"))}
    names |= {f"../{path.name}": path for path in sorted(root.absolute().parent.glob("*"))}
    for pattern in family.tables:
        found = [name for name in names if re.fullmatch(pattern, name, re.IGNORECASE)]
        if len(found) > 1:
            several = f"several tables in {root} ({some(found)})"
            raise DataError(f"{several}; say which with `--xlsx FILE`")
        if found:
            return names[found[0]]
    raise family.refuse(root, "table")


def list_table(family: Family, request: Request) -> Listing:
    """Return the listing of the images that a table names, with the authors' folds if there are."""

    def id_of(name: str) -> str:
        id = image_id(name)
        return id.removesuffix(".0").lstrip("0") or "0" if family.numbered else id

    root, problems = family.locate(request), Problems()
    tables = [read_table(find_table(family, request, root))]
    names = {"id": tables[0].need(*family.ids), "label": tables[0].need(*family.labels)}
    names |= {name: found for name, c in family.facts.items() if (found := tables[0].find(c))}
    if "patient" in family.facts:
        tables[0].need(family.facts["patient"])
    folder = subfolders(root, problems).get(family.folder)
    if folder is None and not family.beside:
        raise family.refuse(root, f"folder {family.folder}/")
    there = find_images(root, {folder or root: UNTOLD}, problems, masks=family.masks)
    images = {id_of(id): image for id, image in there.items()}
    table, classes = tables[0].select(names), family.classes
    samples, missing = match(table, images, classes, problems, id_of=id_of, complete=True)
    if "folds" in family.options:
        tables.append(read_table(root / f"{request.options['folds']}-fold-cv.csv"))
        samples = _with_folds(samples, tables[1], problems)
    problems.check()
    if not images:
        raise family.refuse(root)
    where, wanted = f"{folder.name}/" if folder else "images", family.wanted(request)
    return make_listing(
        root,
        f"{where} with {' and '.join(one.path.name for one in tables)}",
        wanted,
        samples,
        checksums={one.path.name: one.sha256 for one in tables},
        missing=tuple(sorted((id for id in missing if missing[id] in wanted), key=natural)),
        unlisted="masks",
    )


def _with_folds(samples: Sequence[Sample], table: Table, problems: Problems) -> list[Sample]:
    """Return the images with the folds that a table with the columns ID and kFold gives them."""
    told = table.select({"id": "ID", "fold": "kFold"})
    folds = {row["id"]: read_fact("fold", n, told, problems) for n, row in told.rows.items()}
    for sample in samples:
        if sample.id not in folds:
            problems.add(f"images without a fold in {table.path}", sample.id, "add the rows")
    return [replace(one, facts={"fold": folds.get(one.id), **one.facts}) for one in samples]


def scan_bus(bus: Family, request: Request) -> Listing:
    """List the images that the workbook or CSV names, with centre, fold and readers' grades."""
    root, problems = bus.locate(request), Problems()
    path = find_table(bus, request, root)
    book = path.suffix.lower() != ".csv"
    names = {"id": "ID", "fold": "fold", **READERS} if book else {"id": "name", "label": "label"}
    table = read_table(path, "prediction" if book else None).select(names)
    layout, images = _find(bus, root, problems)
    ids = {image_id(row["id"] or "") for row in table.rows.values()}
    if ids == RELEASE.keys() and not any(found.facts["centre"] for found in images.values()):
        images = {i: replace(one, facts={"centre": RELEASE.get(i)}) for i, one in images.items()}
    rows: dict[int, Row] = {}
    for number, row in table.rows.items():
        label = "".join(re.findall(r"^[A-Za-z]+", row["id"] or "")).lower()
        rows[number] = {**row, "label": label}
        if not book and label in bus.classes and row["label"] != str(bus.classes.index(label)):
            kind = f"labels in {path} that are not the id's (0 benign, 1 malignant)"
            thing = f"{image_id(str(row['id']))} has {show_cell(row['label'])} (row {number})"
            problems.add(kind, thing, "correct label or name")
    table = replace(table, rows=rows)
    samples, missing = match(table, images, bus.classes, problems, id_of=image_id, complete=True)
    absent = tuple(sorted(missing, key=natural))
    if problems:
        for id in absent:
            problems.add(f"ids without an image file in {root}", id, "restore the files")
        problems.check()
    return make_listing(
        root,
        f"{layout} with {path.name}",
        bus.classes,
        samples,
        notes=tuple(_notes(samples)),
        checksums={path.name: table.sha256},
        missing=absent,
    )


def _find(bus: Family, root: Path, problems: Problems) -> tuple[str, dict[str, Sample]]:
    """Return a phrase for the layout, and the image files by id."""
    present = subfolders(root, problems)
    folders = {present[name.casefold()]: name for name in CENTRES if name.casefold() in present}
    for name in set(CENTRES) - set(folders.values()) if folders else ():
        problems.add(f"no folder in {root} named", f"{name}/", "put it beside the other centre")
    layout = " and ".join(CENTRES) if folders else "img/" if "img" in present else "a flat folder"
    meanings = {path: ("", {"centre": centre}) for path, centre in folders.items()}
    flat = {present.get("img", root): ("", {"centre": None})}
    images = find_images(root, meanings or flat, problems)
    if not images:
        problems.check()  # they may be there, behind links that lead out of the folder
        raise bus.refuse(root)
    return layout, images


def _notes(samples: Sequence[Sample]) -> Iterator[str]:
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


def scan_covidx(family: Family, request: Request) -> Listing:
    """List the images that the label files name, with patient, part and origin."""
    root, problems = family.locate(request), Problems()
    variant, paths = _label_files(family, root, str(request.options["variant"]))
    inside = {part: p for n, p in subfolders(root, problems).items() if (part := part_of(n))}
    samples: list[Sample] = []
    missing: list[str] = []
    tables = [_read(part, path, VARIANTS[variant], problems) for part, path in paths.items()]
    for part, table in zip(paths, tables, strict=True):
        if part not in inside:
            raise family.refuse(root, f"folder {part}/")
        found = find_images(root, {inside[part]: UNTOLD}, problems, id_of=attrgetter("name"))
        images = {f"{part}/{n}": replace(one, id=f"{part}/{n}") for n, one in found.items()}
        listed, absent = match(table, images, VARIANTS[variant], problems)
        samples += listed
        missing += absent
    problems.check()
    return make_listing(
        root,
        f"train/ and test/ with {', '.join(path.name for path in paths.values())}",
        VARIANTS[variant],
        sorted(samples, key=lambda sample: natural(sample.id)),
        checksums={table.path.name: table.sha256 for table in tables},
        missing=tuple(missing),
        unlisted="not listed in the label files",
    )


def _label_files(family: Family, root: Path, wanted: str) -> tuple[str, dict[str, Path]]:
    """Return the variant, and the one label file of each part."""
    found: list[tuple[str, str, Path]] = []
    for path in sorted((*root.glob("*.txt"), *root.glob("labels/*.txt"))):
        if path.is_file() and (part := part_of(re.split(r"[^a-z]", path.name.casefold())[0])):
            with path.open(encoding="utf-8", errors="replace") as file:  # the first lines tell
                words = {word for line in islice(file, 1000) for word in line.split()}
            variant = "B" if words & set(VARIANTS["B"]) else "A"
            found += [(variant, part, path)] if wanted in ("auto", variant) else []
    if not found:
        raise family.refuse(root, "label file" + (f" of variant {wanted}" * (wanted != "auto")))
    found.sort(key=lambda one: one[0])
    names, parts = some([path.name for _, _, path in found]), {part: p for _, part, p in found}
    if len({variant for variant, _, _ in found}) > 1:
        raise DataError(
            f"label files of both variants in {root} ({names}); choose with "
            "`--set variant=A` or `--set variant=B`"
        )
    if len(parts) < len(found):
        raise DataError(f"several label files for a part in {root} ({names}); leave one")
    return found[0][0], parts


def _read(part: str, path: Path, classes: Sequence[str], problems: Problems) -> Table:
    """Return the lines of a label file as a table; names of files may have blanks."""
    data = path.read_bytes()
    rows: dict[int, Row] = {}
    for number, text in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        words = text.split()
        if words and len(words) < 3:
            kind = f"lines of {path} without the words patient, file and class"
            problems.add(kind, f"{text!r} (line {number})", "complete them")
        elif words:
            sourced = len(words) > 3 and words[-1] not in classes  # versions 1-5 and 7A name none
            patient, *name, label = words[:-1] if sourced else words
            rows[number] = {
                "id": f"{part}/{' '.join(name)}",
                "label": label,
                "patient": patient,
                "part": part,
                "origin": words[-1] if sourced else None,
            }
    return Table(path=path, place=str(path), sha256=sha256_of(data), columns=(), rows=rows)
