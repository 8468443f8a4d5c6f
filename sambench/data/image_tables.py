"""Reads datasets whose images lie in one folder and whose facts stand in one table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.data.class_folders import present
from sambench.data.folders import find_images, image_id, natural, subfolders
from sambench.data.locating import Release
from sambench.data.problems import Problems
from sambench.data.source import Fact, Listing
from sambench.data.tables import Row, Table, labelled_rows, read_fold


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The layout of one family.

    Attributes:
        ids: What the column of the images may be called.
        labels: What the column of the classes may be called.
        classes: In label order.
        facts: Column of the table by name of the fact; the patient's must be there.
        folder: Name of the folder of the images, in lower case.
        beside: Whether the images may also lie beside the table.
        mask: Pattern of the names, without suffix, of masks.
        id_of: The id of an image by its name, or by what stands in the table.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    facts: Mapping[str, str]
    folder: str
    beside: bool = False
    mask: str = "$^"
    id_of: Callable[[str], str] = image_id

    def list(
        self,
        release: Release,
        root: Path,
        table: Table,
        *,
        keep: Sequence[str] | None = None,
        folds: Table | None = None,
    ) -> Listing:
        """Return the listing of the images that a table names.

        Args:
            release: The dataset.
            root: Its folder.
            table: The table.
            keep: The classes that are wanted, if not all.
            folds: Another table, of ids and `kFold`.

        Raises:
            DataError: If files or rows are at fault; names all that are.
        """
        problems = Problems()
        id_column, label_column = table.need(*self.ids), table.need(*self.labels)
        if "patient" in self.facts:
            table.need(self.facts["patient"])
        columns = {name: found for name, c in self.facts.items() if (found := table.find(c))}
        folder = subfolders(root, problems).get(self.folder)
        if folder is None and not self.beside:
            raise release.refuse(root, f"folder {self.folder}/")
        rows = labelled_rows(
            table, id_column, label_column, self.classes, problems, id_of=self.id_of
        )
        fold_of = _folds(folds, rows, table, problems) if folds else {}
        images = {
            self.id_of(id): found
            for id, found in find_images(
                root,
                {folder or root: None},
                problems,
                keep=lambda stem: re.search(self.mask, stem) is None,
            ).items()
        }
        listed = {self.id_of(str(row.cells[id_column])) for row in table.rows}
        for id in sorted(images.keys() - listed, key=natural):
            thing = images[id].file
            problems.add(f"image files without a row in {table.path}", thing, "add the rows")
        problems.check()
        if not images:
            raise release.refuse(root)
        wanted = keep or self.classes
        ids = [id for id in sorted(rows, key=natural) if rows[id][0] in wanted]
        samples = tuple(
            images[id].sample(
                images[id].path.stem,
                rows[id][0],
                {**({"fold": fold_of[id]} if folds else {}), **_facts(rows[id][1], columns)},
            )
            for id in ids
            if id in images
        )
        classes, notes = present(wanted, samples, root)
        left = {
            images[id].file: f"of class {label}, not wanted"
            for id, (label, _) in rows.items()
            if label not in wanted and id in images
        }
        tables = [table, *([folds] if folds else [])]
        names = f"{table.path.name}{f' and {folds.path.name}' if folds else ''}"
        return Listing(
            root=root,
            layout=f"{f'{folder.name}/' if folder else 'images'} with {names}",
            classes=classes,
            samples=samples,
            columns=(*(["fold"] if folds else []), *columns),
            notes=notes,
            checksums={one.path.name: one.sha256 for one in tables},
            missing=tuple(id for id in ids if id not in images),
            passed=left,
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
