"""Anybody's own images: class folders, or a table of files and labels.

    <class>/*.png                           a folder for each class
    {train,val,test}/<class>/*.png          the same in parts
    labels.csv or labels.xlsx               file, label [, group] [, fold] [, split] ...

Files that have the name of an image beside them and a word for masks behind it, or its number and
such a word in front, are passed over.

A table lists files relative to `--source`, or else to its own folder. The images of a group (a
patient, or a video) stay together in splits; it is the column "patient" of the prepared data.
Columns are found by the names that people give them, and what was found is said.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from sambench.data.family import DEEPEST, Family, make_listing
from sambench.data.folders import (
    SUFFIXES,
    find_files,
    is_circle,
    natural,
    part_of,
    same_coding,
    same_name,
    subfolders,
)
from sambench.data.source import Listing, Request, Sample, Setting
from sambench.data.sources.class_folders import MASKS, PICTURES, list_classes, refuse_misspelled
from sambench.data.tables import BLANK, Row, Table, match, read_table, whole_number
from sambench.errors import ConfigError, DataError, Problems, some

OF_MASKS = (
    r"masks?|seg(?:m|mented|mentations?)?|gt|ground[ _-]?truth|labels?|labelmap|annotations?|"
    r"annotated|roi|contours?|outlines?|overlay"
)
MASK = re.compile(rf"(.+?)[ _.-]+(?:({OF_MASKS})|lesions?|tumou?rs?)(?:[ _.-]*\d+)?", re.IGNORECASE)
"""The id of what is a mask if there is an image with the first part of its name beside it."""

IN_FRONT = re.compile(rf"(.*/|)(?:({OF_MASKS})|[^\W\d_]+)(?:[ _.-]+|(?=\d))([^/]+)", re.IGNORECASE)
"""The id of what has a word in front, and is a mask if that is the word for one and an image with
the same end lies beside it: mask_1 beside 1 or image_1."""

NUMBER = "(id|uid|no|nr|num|number|code|key)"
COLUMNS = {
    "file": "file(name|path)? (image|img|picture)(file)?(name|path)? path "
    f"(image|img|picture)({NUMBER}|index) name id",
    "label": "labels? class(name|label)? labelname diagnos(is|e) target category pathology dx",
    "group": f"group(id)? patient{NUMBER}? (subject|participant|person){NUMBER}? case{NUMBER}? "
    f"(study|video){NUMBER}? (exam|examination|lesion|nodule|pat){NUMBER} mrn pid",
    "fold": f"(k|cv)?folds?{NUMBER}?",
    "split": "splits? part partition set subset test train",
    "centre": f"cent(re|er){NUMBER}? hospital{NUMBER}? institution clinic",
    "device": f"device{NUMBER}? scanner{NUMBER}? machine manufacturer vendor",
}
"""Patterns of what each column may be called, the likeliest first, by its letters and digits."""

REMEDY = "name the column so in its first row, or add `--set {}_column=ITS-NAME`"

BARE = re.compile(r"[\W_]+")  # what is between words
HEALTHY = re.compile(r"(.*[\W_])?(normals?|healthy|controls?|negative|no|non|none|not)([\W_].*)?")
"""Names of a class, in lower case, whose images one would not call positive."""

SHARED = 0.3  # least share of images that another begins like

FACTS = {"file": "id", "label": "label", "group": "patient", "fold": "fold", "split": "part"}
FACTS |= {"centre": "centre", "device": "device"}
"""What each column tells, in the order of `samples.csv`."""

YES_OR_NO = {"test": "train", "train": "test"}
"""Columns of splits with the name of a part say whether an image is in it, or else in the other."""

YES = frozenset({"1", "true", "t", "yes", "y", "x"})
NO = frozenset({"0", "false", "f", "no", "n"})

Beside = Callable[[Path, bool], Mapping[str, Sequence[Path]]]
"""Gives what is in a folder by name, or its image files by names without suffix."""


def scan(own: Family, request: Request) -> Listing:
    """List the images of class folders, or those that a table names."""
    given = [name.strip() for name in str(request.options["classes"]).split(",") if name.strip()]
    classes = tuple(dict.fromkeys(given))
    root = replace(own, obtain="these are your own images").locate(request)
    if request.table is not None:
        listing = list_labelled(root, request.table, request.options, classes)
    else:
        listing = _in_class_folders(replace(own, classes=classes), root, request)
    listing = _with_patients(listing, request.options["patient"])
    healthy = [bool(HEALTHY.fullmatch(same_name(label))) for label in listing.classes]
    if classes or healthy != [False, True]:
        return listing
    first, second = listing.classes
    turned_round = (
        f"the second class counts as the positive one, so sensitivity will be of {second}: "
        f"`--set classes={second},{first}` turns them round"
    )
    return replace(listing, notes=(*listing.notes, turned_round))


def _in_class_folders(own: Family, root: Path, request: Request) -> Listing:
    for name, value in request.options.items():
        if value and (name == "labels" or name.endswith("_column")):
            raise ConfigError(
                f"`--set {name}={value}` is about a table; name it with `--xlsx TABLE`, or leave "
                "the setting out"
            )
    inner = _unwrapped(root)
    listing = list_classes(own, replace(request, folder=inner))
    where = [] if inner == root else [f"the classes are the folders in {inner.relative_to(root)}/"]
    return _without_masks(replace(listing, notes=(*listing.notes, *where)))


def _with_patients(listing: Listing, told_by: Setting) -> Listing:
    """Return the listing with the patients that names tell; where they may, a note asks."""
    known, asked_for = "patient" in listing.columns, f"`--set patient={told_by}`"
    if told_by == "none":
        notes = () if known else _perhaps_patients(listing)
        return replace(listing, notes=(*listing.notes, *notes))
    if known and told_by != "folder":
        raise ConfigError(f"a column tells the patients already; leave out {asked_for}")
    samples = listing.samples
    if isinstance(told_by, int):
        facts = ({**s.facts, "patient": _beginning(s.file, told_by)} for s in samples)
        samples = tuple(replace(s, facts=own) for s, own in zip(samples, facts, strict=True))
    if not any(sample.facts.get("patient") for sample in samples):
        files = some([sample.file for sample in samples], limit=3)
        raise ConfigError(
            f"{asked_for} finds no patient in {listing.root}, which has {files}; leave it out, or "
            "name the patients in a table"
        )
    return replace(listing, samples=samples)


def _beginning(file: str, number: int) -> str | None:
    """Return a file's name up to so many words with a digit; None if no word is behind these."""
    stem = Path(file).stem
    ends = [found.end() for found in re.finditer(r"[^\W_]*\d[^\W_]*", stem)][:number]
    behind = len(ends) == number and re.search(r"[^\W_]", stem[ends[-1] :])
    return stem[: ends[-1]] if behind else None


def _perhaps_patients(listing: Listing) -> Iterator[str]:
    """Yield a note if many images share the beginnings of their names, and few the same one."""
    by_beginning: dict[str, list[str]] = {}
    for file in (sample.file for sample in listing.samples):
        if beginning := _beginning(file, 1):
            by_beginning.setdefault(beginning, []).append(Path(file).stem)
    alike = [found for found in by_beginning.values() if len(found) > 1]
    images, sizes = len(listing.samples), [*map(len, alike)]
    many = len(by_beginning) >= max(5, 3 * len(listing.classes))
    if many and sum(sizes) >= SHARED * images and max(sizes) <= images / 5:
        yield (
            f"names of files may tell the patients: {' and '.join(alike[0][:2])} begin alike, and "
            f"there are {len(by_beginning):,} beginnings; if so, prepare with `--set patient=1`"
        )


def _without_masks(listing: Listing) -> Listing:
    """Return the listing without the images whose names are of masks of others beside them."""
    masked = _masks([sample.id for sample in listing.samples])
    masks = {s.file: "masks beside images" for s in listing.samples if masked.get(s.id)}
    alone = [id for id, beside in masked.items() if not beside]
    told = f"read as images, though their names are of masks: {some(alone, limit=3)}"
    return replace(
        listing,
        samples=tuple(sample for sample in listing.samples if sample.file not in masks),
        notes=(*listing.notes, told) if alone else listing.notes,
        passed={**listing.passed, **masks},
    )


def _masks(ids: Sequence[str]) -> dict[str, bool]:
    """Return the ids that are of masks by their names, and whether the image of each is there."""
    images, masks = {*ids}, {}
    begun = {id: found for id in ids if (found := IN_FRONT.fullmatch(id))}
    ends = {found[1] + found[3] for found in begun.values() if not found[2]} | images
    for id in ids:
        if (found := MASK.fullmatch(id)) and (found[2] or found[1] in images):
            masks[id] = found[1] in images
        elif (found := begun.get(id)) and found[2]:
            masks[id] = found[1] + found[3] in ends
    return masks


def _unwrapped(root: Path) -> Path:
    """Return the folder of the classes: archives often put one or more around it."""
    for _ in range(DEEPEST):
        inside = [path for path in subfolders(root).values() if path.name != "__MACOSX"]
        if len(inside) != 1 or part_of(inside[0].name) or next(find_files(root), None):
            break
        deeper = subfolders(inside[0])
        if all(PICTURES.fullmatch(name) or MASKS.fullmatch(name) for name in deeper):
            break
        root = inside[0]
    return root


def list_labelled(
    root: Path, path: Path, options: Mapping[str, Setting], classes: Sequence[str]
) -> Listing:
    """Return the listing of the images, relative to the root, that the table at `path` names.

    The options have names of columns and labels, as the user gave them; `classes` are the only
    ones that are wanted, in label order, or all that occur if there are none.
    """
    problems = Problems()
    read = read_table(path)
    columns = _find_columns(read, options)
    if "label" not in columns:
        read = _with_one_label(read)
        columns["label"] = read.columns[-1]
    names = _names_of_labels(str(options["labels"]))
    table = read.select({fact: columns[what] for what, fact in FACTS.items() if what in columns})
    if (said := columns.get("split", "").casefold()) in YES_OR_NO:
        table = _with_parts(table, said, problems)
    table = _with_labels(table, names, classes, problems)
    written = Counter(str(row["label"]) for row in table.rows.values())
    spelling = {same_name(label): label for label in reversed(written)}
    there = sorted(spelling.values(), key=natural)
    if options["similar"] != "keep" and not classes:
        refuse_misspelled(there, path)
    chosen = classes or there
    if unknown := [label for label in chosen if same_name(label) not in spelling]:
        raise DataError(
            f"classes without a row in {path}, which has {some(sorted(there))}: {some(unknown)}; "
            "correct `--set classes`"
        )
    wanted = {same_name(label): label for label in chosen}
    left = {label: n for label, n in written.items() if same_name(label) not in wanted}
    every = [*(spelling | wanted).values()]
    samples, absent = match(table, _images(root, table, problems), every, problems)
    missing = [id for id, label in absent.items() if label in chosen]
    problems.check()
    if not samples and missing:
        found = (file.relative_to(root).as_posix() for file in find_files(root, deep=True))
        files = sorted(found, key=natural)
        beside = f"files are {some(files, limit=3)}" if files else "no image there"
        raise DataError(
            f"no file for {len(missing)} of {len(missing)} rows of {path} in {root}: "
            f"{some(missing, limit=3)}; {beside}; write the names as the files have them"
        )
    return make_listing(
        root,
        path.name,
        chosen,
        samples,
        notes=tuple(_notes(read, columns, left)),
        checksums={path.name: table.sha256},
        missing=tuple(missing),
        unlisted=f"not listed in {path.name}",
    )


def _find_columns(table: Table, options: Mapping[str, Setting]) -> dict[str, str]:
    """Find the columns, by the names that the user gave or by those that are usual."""
    named = {what: str(options[f"{what}_column"]) for what in COLUMNS}
    columns = {what: table.need(name) for what, name in named.items() if name}
    there = {BARE.sub("", same_name(one)): one for one in reversed(table.columns)}
    for what, usual in COLUMNS.items():
        free = {bare: one for bare, one in there.items() if one not in columns.values()}
        kinds = (re.compile(kind).fullmatch for kind in usual.split())
        like = (one for fits in kinds for bare, one in free.items() if fits(bare))
        found = columns.get(what) or next(like, None)
        if what == "file":
            found = found or table.need(what, remedy=REMEDY.format(what))
        columns |= {what: found} if found else {}
    return columns


def _with_one_label(table: Table) -> Table:
    """Return the table with one column of labels in place of those of which each row marks one.

    `DataError` if there are no such columns, with a 1 in one of them and a 0 in all others.
    """
    told = {c: [whole_number(row[c]) for row in table.rows.values()] for c in table.columns}
    marks = {column: numbers for column, numbers in told.items() if {*numbers} <= {0, 1}}
    if len(marks) < 2 or any(sum(map(bool, row)) != 1 for row in zip(*marks.values(), strict=True)):
        table.need("label", remedy=REMEDY.format("label"))
    name = f"the one of {', '.join(marks)} that is 1"
    rows = {
        number: {**row, name: next(c for c in marks if whole_number(row[c]))}
        for number, row in table.rows.items()
    }
    return replace(table, columns=(*(c for c in table.columns if c not in marks), name), rows=rows)


def _names_of_labels(given: str) -> dict[str, str]:
    """Read names of labels by their `same_name`; `ConfigError` if `given` is no list of these."""
    names: dict[str, str] = {}
    for pair in filter(None, map(str.strip, given.split(","))):
        label, _, name = map(str.strip, pair.partition(":"))
        if not label or not name:
            raise ConfigError(
                f"`--set labels={given}` gives no name to a label in {pair!r}; write it as "
                "`--set labels=0:benign,1:malignant`"
            )
        names[same_name(label)] = name
    return names


def _with_parts(table: Table, part: str, problems: Problems) -> Table:
    """Return the table with its parts written out, which say yes or no to one `part`."""
    rows: dict[int, Row] = {}
    for number, row in table.rows.items():
        whole = whole_number(row["part"])  # 1.0 is 1
        said = same_name(str(row["part"] if whole is None else whole))
        if said not in YES | NO | BLANK:
            kind = f"cells of the column {part} in {table.path} that say neither yes nor no"
            thing = f"{row['id']} has {row['part']!r} (row {number})"
            problems.add(kind, thing, "write 1 or 0")
        rows[number] = {**row, "part": part if said in YES else YES_OR_NO[part]}
    return replace(table, rows=rows)


def _with_labels(
    table: Table, names: Mapping[str, str], classes: Sequence[str], problems: Problems
) -> Table:
    """Return the table with the names of the labels; labels that are no classes are problems.

    What programs write for a blank is no class, unless it has a name or is one of `classes`.
    `DataError` if rows have several labels, or not all labels a name, or names no label.
    """
    known = {*names, *map(same_name, classes)}
    written = Counter(str(row["label"]) for row in table.rows.values())
    for separator in "|;,":
        several = {label: label.split(separator) for label in written if separator in label}
        alone = [one for one, parts in several.items() if {*map(str.strip, parts)} & written.keys()]
        if alone or (separator == "|" and len(several) > 1):
            first = next(iter(alone or several))
            raise DataError(
                f"labels in {table.path} of several classes at once, as {first!r} in "
                f"{written[first]} of {len(table.rows)} rows: multi-label sets are not supported; "
                "give one label to each image"
            )
    rows: dict[int, Row] = {}
    there: set[str] = set()
    for number, row in table.rows.items():
        label = row["label"]
        shown = "nothing" if label is None else repr(label)
        thing = f"{row['id']} has {shown} (row {number})"
        if label is None or same_name(label) in BLANK - known:
            kind, remedy = f"rows of {table.path} without a label", "fill it in or delete them"
            if label is not None:
                remedy = "fill it in, delete them, or list all classes, if it is one, with "
                remedy += "`--set classes=A,B`"
            problems.add(kind, thing, remedy)
            continue
        if re.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?", label.lower()):
            if whole_number(label) is None:
                kind = f"labels in {table.path} that are fractions rather than classes"
                problems.add(kind, thing, "give class names")
            label = str(whole_number(label))
        there.add(label)
        rows[number] = {**row, "label": names.get(same_name(label), label)}
    if names:
        _check_names(names, sorted(there, key=natural), table.path, every=not classes)
    return replace(table, rows=rows)


def _check_names(
    names: Mapping[str, str], there: Sequence[str], path: Path, *, every: bool
) -> None:
    """Refuse names for labels that are not there and, if `every` label is wanted, a lack of one."""
    if unknown := names.keys() - {*map(same_name, there)}:
        raise DataError(
            f"labels without a row in {path}, which has {some(there)}: {some(sorted(unknown))}; "
            "correct `--set labels`"
        )
    named = {*names, *map(same_name, names.values())}
    unnamed = [label for label in there if same_name(label) not in named]
    if unnamed and every:
        raise DataError(
            f"labels in {path} without a name, though others are given one: {some(unnamed)}; add "
            f"{unnamed[0]}:NAME to `--set labels`, or leave them out with "
            f"`--set classes={','.join(dict.fromkeys(names.values()))}`"
        )


def _images(root: Path, table: Table, problems: Problems) -> dict[str, Sample]:
    """Return the files that are there, by what the table has written."""
    from PIL import Image

    images: dict[str, Sample] = {}
    written: dict[str, str] = {}
    # a number of a DICOM identifier at the end of a name is no suffix
    known = SUFFIXES | Image.registered_extensions().keys()

    @cache
    def beside(folder: Path, whole: bool) -> dict[str, list[Path]]:
        there: dict[str, list[Path]] = {}
        if folder.is_dir():
            for path in sorted(folder.iterdir() if whole else find_files(folder)):
                there.setdefault(same_coding(path.name if whole else path.stem), []).append(path)
        return there

    for number, row in table.rows.items():
        text = row["id"] or ""
        path = _place(root, text, number, beside, problems) if text else None
        if path is not None and path.is_file():
            file = path.relative_to(root).as_posix()
            id = file.removesuffix(path.suffix) if path.suffix.lower() in known else file
            images[text] = Sample(id=id, path=path, file=file, label="")
            if (other := written.setdefault(id, text)) != text:
                thing = f"{id} ({images[other].file} and {file})"
                problems.add(f"ids with two image files in {root}", thing, "rename one of each")
    return images


def _place(root: Path, text: str, number: int, beside: Beside, problems: Problems) -> Path | None:
    """Return where in the root a listed file should be, or None if it may not be read."""
    listed = Path(text.replace("\\", "/"))
    thing = f"{text} (row {number})"
    if is_circle(root / listed):
        problems.add(f"links in {root} that lead in a circle", thing, "remove them")
        return None
    if listed.is_absolute() and (".." in listed.parts or not listed.is_relative_to(root)):
        whole = listed.parent.resolve() / listed.name  # the root may be relative, or a link
        listed = Path(os.path.relpath(whole, root.resolve()))
    path = root
    for name in listed.parts:
        path /= name
        if not name.isascii() and not path.exists():  # accents may be coded in another way
            path = next(iter(beside(path.parent, True).get(same_coding(name), ())), path)
    if path.suffix.lower() not in SUFFIXES and not path.is_file():
        found = beside(path.parent, False).get(same_coding(path.name), ())
        if len(found) > 1:
            kind = f"ids with two image files in {root}"
            names = " and ".join(one.name for one in found)
            problems.add(kind, f"{text} ({names})", "write the suffix in the table")
            return None
        path = found[0] if found else path
    if ".." in listed.parts or not path.resolve().is_relative_to(root.resolve()):
        remedy = "put them inside, or name their folder with `--source`"
        problems.add(f"files that lead out of {root}", thing, remedy)
        return None
    return path


def _notes(table: Table, columns: Mapping[str, str], left: Mapping[str, int]) -> Iterator[str]:
    """Yield which columns were used and which not, and the rows of classes not chosen."""
    used = [what if what == column else f"{what} ({column})" for what, column in columns.items()]
    unused = [column for column in table.columns if column not in columns.values()]
    rest = f"; not used: {some(unused)}" if unused else ""
    yield f"columns of {table.path.name} that were used: {', '.join(used)}{rest}"
    if left:
        told = some([f"{label} ({count})" for label, count in left.items()])
        yield f"{sum(left.values())} rows of classes that were not chosen: {told}"
