"""A table of one's own files and labels.

It lists files relative to `--source`, or else to its own folder. The images of a group (a patient,
or a video) stay together in splits; it is the column "patient" of the prepared data. Columns are
found by the names that people give them (`columns.yaml`), and what was found is said.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from sambench.data.family import make_listing
from sambench.data.folders import (
    SUFFIXES,
    find_files,
    is_circle,
    natural,
    part_of,
    same_coding,
    same_name,
)
from sambench.data.source import Listing, Sample, Setting
from sambench.data.sources.class_folders import refuse_misspelled
from sambench.data.tables import BLANK, Row, Table, match, read_table, show_cell, whole_number
from sambench.errors import ConfigError, DataError, Problems, some
from sambench.files.yaml_text import read_own_yaml

COLUMNS: Mapping[str, Mapping[str, Any]] = read_own_yaml("sambench.data.sources", "columns.yaml")
NUMBER = "(id|uid|no|nr|num|number|code|key)"

REMEDY = "name the column so in its first row, or add `--set {}_column=ITS-NAME`"

BARE = re.compile(r"[\W_]+")  # what is between words

OF_PEOPLE = re.compile(
    r"(pa[tcz]ien|subj|person|pseudonym|accession|studyinst).*(?<!age)(?<!sex)(?<!gender)$"
)
"""Names of columns, in lower case, that may tell the patients, though nobody can be sure."""

YES_OR_NO = {"test": "train", "train": "test"}
"""Columns of splits with the name of a part say whether an image is in it, or else in the other."""

YES = frozenset({"1", "true", "t", "yes", "y", "x"})
NO = frozenset({"0", "false", "f", "no", "n"})

Beside = Callable[[Path, bool], Mapping[str, Sequence[Path]]]
"""Gives what is in a folder by name, or its image files by names without suffix."""


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
    facts = {told["fact"]: columns[what] for what, told in COLUMNS.items() if what in columns}
    table = read.select(facts)
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
    if missing and len({sample.label for sample in samples}) < 2:
        found = (file.relative_to(root).as_posix() for file in find_files(root, deep=True))
        files = sorted(found, key=natural)
        beside = f"files are {some(files, limit=3)}" if files else "no image there"
        rows = len(missing) + len(samples)
        raise DataError(
            f"no file for {len(missing)} of {rows} rows of {path} in {root}: "
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
    for what, told in COLUMNS.items():
        free = {bare: one for bare, one in there.items() if one not in columns.values()}
        kinds = (re.compile(kind.replace("#", NUMBER)).fullmatch for kind in told["called"])
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
            problems.add(kind, thing, "write 1 or 0, or rename the column if it tells other things")
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
        thing = f"{row['id']} has {show_cell(label)} (row {number})"
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
                if images[other].path == path:
                    thing = f"{id} ({other} and {text})"
                    problems.add(f"ids twice in {table.path}", thing, "delete one row of each")
                    continue
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
    if listed.is_absolute() or ".." in listed.parts:
        whole = (root / listed).parent.resolve() / listed.name  # folders may be links
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
    if not path.resolve().is_relative_to(root.resolve()):
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
    held = [column for column in unused if part_of(column) == "validation"]
    if held and columns.get("split", "").casefold() in YES_OR_NO:
        yield (
            f"{held[0]} is not read beside {columns['split']}, so its images are in the training "
            "part; one column of train, validation and test keeps them apart"
        )
    for column in unused if "group" not in columns else ():
        cells = [row[column] for row in table.rows.values() if row[column]]
        if OF_PEOPLE.search(same_name(column)) and 2 < len({*cells}) < len(cells):
            yield (
                f"{column} may tell the patients, of whom some have several images; if so, prepare "
                f"with `--set {quote(f'group_column={column}')}`"
            )
    if left:
        told = some([f"{label} ({count})" for label, count in left.items()])
        yield f"classes that were not chosen (and rows): {told}"
