"""Anybody's own images: class folders, or a table of files and labels.

    <class>/*.png                           a folder for each class
    {train,val,test}/<class>/*.png          the same in parts
    labels.csv or labels.xlsx               file, label [, group] [, fold]

A table lists files relative to `--source`, or else to its own folder. The images of a group (a
patient, or a video) stay together in splits; it is the column "patient" of the prepared data. The
result is `folder-<size>` whatever the images: keep several sets apart with `--data DIR`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sambench.data.class_folders import ClassFolders, list_classes, present
from sambench.data.folders import SUFFIXES, is_circle, natural, without_suffix
from sambench.data.locating import Release
from sambench.data.problems import Problems, some
from sambench.data.source import Fact, Listing, Option, Request, Sample, Source, sources
from sambench.data.tables import Row, Table, labelled_rows, read_table, whole_number

COLUMNS = ("file", "label", "group", "fold")
RELEASE = Release(
    name="folder",
    obtain="these are your own images",
    layout="a folder for each class (also within train/, val/ and test/), or images that "
    "`--xlsx TABLE` lists,",
    takes_table=True,
)


def scan(request: Request) -> Listing:
    """List the images of class folders, or those that a table names.

    Raises:
        DataError: If files, labels, groups or folds are at fault; names all that are.
    """
    classes = _classes(request)
    if request.table is None:
        labels = {label.casefold(): label for label in classes} if classes else None
        listing = list_classes(RELEASE, request, ClassFolders(labels=labels), classes)
        return replace(listing, notes=(*listing.notes, *_masks(listing.samples)))
    root = RELEASE.given(request)
    names = {name: str(request.options[f"{name}_column"]) for name in COLUMNS}
    table = read_table(
        request.table, (names["file"], names["label"]), (names["group"], names["fold"])
    )
    return _from_table(root, table, names, classes)


def _classes(request: Request) -> tuple[str, ...] | None:
    """Return the classes that the user gave, in label order."""
    given = [name.strip() for name in str(request.options["classes"]).split(",") if name.strip()]
    return tuple(dict.fromkeys(given)) or None


def _from_table(
    root: Path, table: Table, names: dict[str, str], classes: tuple[str, ...] | None
) -> Listing:
    problems = Problems()
    spelled = {label.casefold(): label for label in sorted(table.texts(names["label"]))[::-1]}
    found = sorted(spelled.values(), key=natural)
    rows = labelled_rows(table, names["file"], names["label"], classes or found, problems)
    samples: dict[str, Sample] = {}
    missing: list[str] = []
    for text, (label, row) in rows.items():
        path = _path(root, text, row, problems)
        if path is None or not path.is_file():
            missing += [text] if path is not None else []
            continue
        file = path.relative_to(root).as_posix()
        id = without_suffix(file)
        if id in samples:
            thing = f"{id} ({samples[id].file} and {file})"
            problems.add(f"ids with two image files in {root}", thing, "rename one of each")
        facts = _facts(row, names, table, problems)
        samples[id] = Sample(id=id, path=path, file=file, label=label, facts=facts)
    problems.check()
    ordered = tuple(samples[id] for id in sorted(samples, key=natural))
    there, absent = present(classes or found, ordered, root)
    kept = {"group": "patient", "fold": "fold"}
    return Listing(
        root=root,
        layout=table.path.name,
        classes=there,
        samples=ordered,
        columns=tuple(kept[n] for n in kept if names[n] in table.rows[0].cells),
        notes=(*absent, *_notes(ordered)),
        checksums={table.path.name: table.sha256},
        missing=tuple(missing),
    )


def _path(root: Path, text: str, row: Row, problems: Problems) -> Path | None:
    """Return where a listed file should be, or None if it may not be read."""
    path = root / Path(text.replace("\\", "/"))
    thing = f"{text} (row {row.number})"
    if is_circle(path):
        problems.add(f"links in {root} that lead in a circle", thing, "remove them")
        return None
    if ".." in path.parts or not path.resolve().is_relative_to(root.resolve()):
        problems.add(f"files that lead out of {root}", thing, "put them inside, or give `--source`")
        return None
    if path.suffix.lower() not in SUFFIXES and not path.is_file():
        beside = [path.with_name(path.name + suffix) for suffix in sorted(SUFFIXES)]
        return next((candidate for candidate in beside if candidate.is_file()), path)
    return path


def _facts(row: Row, names: dict[str, str], table: Table, problems: Problems) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    if names["group"] in row.cells:
        group = row.cells[names["group"]]
        facts["patient"] = None if group is None else str(group)
    if names["fold"] in row.cells:
        fold = whole_number(row.cells[names["fold"]])
        if fold is None:
            thing = (
                f"{row.cells[names['file']]} has {row.cells[names['fold']]!r} (row {row.number})"
            )
            problems.add(f"folds in {table.path} that are no integer", thing, "give a whole number")
        facts["fold"] = fold
    return facts


def _masks(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield a note on files that look like masks: a folder of yours may hold any names."""
    masks = [sample.id for sample in samples if re.search(r"_(mask|seg)(_\d+)?$", sample.id)]
    if masks:
        yield f"read as images, though their names are of masks: {some(masks, limit=3)}"


def _notes(samples: Sequence[Sample]) -> Iterator[str]:
    folds = Counter(sample.facts["fold"] for sample in samples if "fold" in sample.facts)
    if folds:
        sizes = ", ".join(f"{fold} ({folds[fold]})" for fold in sorted(folds, key=str))
        yield f"{len(folds)} folds with these numbers (and images): {sizes}"
    groups = {sample.facts["patient"] for sample in samples if "patient" in sample.facts}
    if groups:
        yield f"{len(groups)} groups of your table"


sources.register(
    Source(
        name="folder",
        summary="your own images: a folder for each class, or `--xlsx TABLE` of files and labels",
        scan=scan,
        image_size=224,
        options={
            "classes": Option(
                default="", help="class names in label order, with commas; all that occur otherwise"
            ),
            **{
                f"{name}_column": Option(default=name, help=f"the table's column of the {name}")
                for name in COLUMNS
            },
        },
        obtain="your own",
        reference="yours",
        licence="yours",
    )
)
