"""Reads anybody's own table of files and labels, by the names that people give its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sambench.data.class_folders import part_of, refuse_misspelled
from sambench.data.family import make_listing
from sambench.data.folders import SUFFIXES, find_files, is_circle, natural, without_suffix
from sambench.data.problems import Problems, some
from sambench.data.source import Fact, Listing, Sample, Setting
from sambench.data.tables import Row, Table, labelled_rows, read_fold, read_table, whole_number
from sambench.errors import DataError

COLUMNS = {
    "file": "file filename file_name image image_name path filepath image_filename name id",
    "label": "label class diagnosis target category pathology dx",
    "group": "group patient patient_id patientid subject subject_id case case_id study video",
    "fold": "fold kfold",
    "split": "split part partition set subset",
}
"""What each column may be called, the likeliest name first."""

BLANK = frozenset({"nan", "#n/a", "n/a", "null"})
"""What programs write into cells without a value."""


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A table, and which of its columns tells what; labels by what is written in the table."""

    table: Table
    columns: Mapping[str, str]
    labels: Mapping[str, str]

    def cell(self, row: Row, what: str) -> str | None:
        return row.cells[self.columns[what]]


def _read(table: Table, options: Mapping[str, Setting]) -> _Named:
    """Find the columns, by the names that the user gave or by those that are usual.

    Raises:
        DataError: If a column that is needed or named is not there.
    """
    named = {what: str(options[f"{what}_column"]) for what in COLUMNS}
    columns = {what: table.need(name) for what, name in named.items() if name}
    for what, usual in COLUMNS.items():
        free = [name for name in usual.split() if table.find(name) not in columns.values()]
        if what in ("file", "label"):
            columns[what] = columns.get(what) or table.need(*free)
        elif what not in columns and (found := table.find(*free)):
            columns[what] = found
    for part in ("test", "train"):  # yes or no in a column of that name
        if "split" not in columns and (found := table.find(part)):
            columns[part] = found
    pairs = [pair.partition(":") for pair in str(options["labels"]).split(",") if ":" in pair]
    labels = {key.strip().casefold(): name.strip() for key, _, name in pairs}
    return _Named(table=table, columns=columns, labels=labels)


def list_labelled(
    root: Path, path: Path, options: Mapping[str, Setting], classes: Sequence[str]
) -> Listing:
    """Return the listing of the images that a table names.

    Args:
        root: Folder that the files are relative to.
        path: The table.
        options: Names of columns and of labels, as the user gave them.
        classes: The only ones that are wanted, in label order; all that occur if there are none.

    Raises:
        DataError: If columns, files, labels, groups or folds are at fault; names all that are.
    """
    named = _read(read_table(path), options)
    problems = Problems()
    table = _with_labels(named, problems)
    label = named.columns["label"]
    spelled = {str(row.cells[label]).casefold(): str(row.cells[label]) for row in table.rows[::-1]}
    found = sorted(spelled.values(), key=natural)
    if options["similar"] != "keep" and not classes:
        refuse_misspelled(found, table.path)
    chosen = classes or found
    _refuse_unknown(chosen, spelled, table)
    wanted = {name.casefold() for name in chosen}
    mine: list[Row] = []
    others: list[Row] = []
    for row in table.rows:
        (mine if str(row.cells[label]).casefold() in wanted else others).append(row)
    kept = replace(table, rows=tuple(mine))
    rows = labelled_rows(kept, named.columns["file"], label, chosen, problems)
    samples, missing = _samples(root, replace(named, table=kept), rows, problems)
    problems.check()
    if not samples and missing:
        raise _no_file(root, table, missing, len(rows))
    facts = {fact for sample in samples.values() for fact in sample.facts}
    left = Counter(str(row.cells[label]) for row in others)
    paths = [_path(root, str(named.cell(row, "file")), row, Problems()) for row in others]
    return make_listing(
        root,
        table.path.name,
        chosen,
        [samples[id] for id in sorted(samples, key=natural)],
        columns=tuple(fact for fact in ("patient", "fold", "part") if fact in facts),
        notes=tuple(_notes(named, left)),
        checksums={table.path.name: table.sha256},
        missing=tuple(missing),
        passed={
            path.relative_to(root).as_posix(): "of a class that was not chosen"
            for path in paths
            if path
        },
        unlisted=f"not listed in {table.path.name}",
    )


def _with_labels(named: _Named, problems: Problems) -> Table:
    """Return the table with the names of the labels; labels that are no classes are problems.

    Raises:
        DataError: If cells name several classes.
    """
    table, column = named.table, named.columns["label"]
    written = Counter(str(row.cells[column]) for row in table.rows)
    for separator in "|;,":
        several = [label for label in written if separator in label]
        parts = {label: {part.strip() for part in label.split(separator)} for label in several}
        alone = [label for label in several if parts[label] & written.keys()]
        if alone or (separator == "|" and len(several) > 1):
            first = (alone or several)[0]
            raise DataError(
                f"labels in {table.path} of several classes at once, as {first!r} in "
                f"{written[first]} of {len(table.rows)} rows: multi-label sets are not supported; "
                "give one label to each image"
            )
    rows = []
    for row in table.rows:
        label = row.cells[column]
        thing = f"{named.cell(row, 'file')} has {label!r} (row {row.number})"
        if label is None or label.casefold() in BLANK:
            kind = f"rows of {table.path} without a label"
            problems.add(kind, thing, "fill it in or delete them")
            continue
        if re.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?", label.lower()):
            if whole_number(label) is None:
                kind = f"labels in {table.path} that are fractions rather than classes"
                problems.add(kind, thing, "give class names")
            label = str(whole_number(label))
        label = named.labels.get(label.casefold(), label)
        rows.append(replace(row, cells={**row.cells, column: label}))
    return replace(table, rows=tuple(rows))


def _refuse_unknown(chosen: Sequence[str], spelled: Mapping[str, str], table: Table) -> None:
    problems, there = Problems(), some(sorted(spelled.values()))
    for label in chosen:
        if label.casefold() not in spelled:
            kind = f"classes without a row in {table.path}, which has {there}"
            problems.add(kind, label, "correct `--set classes`")
    problems.check()


def _samples(
    root: Path, named: _Named, rows: Mapping[str, tuple[str, Row]], problems: Problems
) -> tuple[dict[str, Sample], list[str]]:
    """Return the samples by id, and what is listed but not there."""
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
        facts = _facts(named, row, problems)
        samples[id] = Sample(id=id, path=path, file=file, label=label, facts=facts)
    return samples, missing


def _no_file(root: Path, table: Table, missing: Sequence[str], rows: int) -> DataError:
    files = [path.relative_to(root).as_posix() for path in find_files(root, deep=True)]
    there = f"files are {some(sorted(files, key=natural), limit=3)}" if files else "no image there"
    return DataError(
        f"no file for {len(missing)} of {rows} rows of {table.path} in {root}: "
        f"{some(missing, limit=3)}; {there}; write the names as the files have them"
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


def _facts(named: _Named, row: Row, problems: Problems) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    name = str(named.cell(row, "file"))
    if "group" in named.columns:
        facts["patient"] = named.cell(row, "group")
    if "fold" in named.columns:
        facts["fold"] = read_fold(row, named.columns["fold"], name, named.table, problems)
    if "split" in named.columns:
        said = named.cell(row, "split")
        facts["part"] = part_of(said or "")
        if facts["part"] is None:
            kind = f"parts in {named.table.path} that are none of train, validation and test"
            problems.add(kind, f"{name} has {said!r} (row {row.number})", "correct them")
    for part, other in (("test", "train"), ("train", "test")):
        if part in named.columns:
            yes = str(named.cell(row, part)).casefold() in ("1", "true", "yes", "x")
            facts.setdefault("part", part if yes else other)
    return facts


def _notes(named: _Named, left: Mapping[str, int]) -> Iterator[str]:
    """Yield which columns were used and which not, and the rows of classes not chosen."""
    path, columns = named.table.path, named.columns
    used = [what if what == column else f"{what} ({column})" for what, column in columns.items()]
    unused = [column for column in named.table.columns if column not in columns.values()]
    yield f"columns of {path.name} that were used: {', '.join(used)}" + (
        f"; not used: {some(unused)}" if unused else ""
    )
    if left:
        told = some([f"{label} ({count})" for label, count in left.items()])
        yield f"{sum(left.values())} rows of classes that were not chosen: {told}"
