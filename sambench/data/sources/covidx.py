"""COVIDx CXR (Wang et al., 2020): chest X-rays of named patients in the authors' parts.

    train/*.png   test/*.png
    train_COVIDx9A.txt, test_COVIDx9A.txt ...         patientid filename class [source]

Variant A has the classes normal, pneumonia and COVID-19, variant B negative and positive. A
label file tells which images there are; a patient's images stay together in splits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sambench.data.family import Family, make_listing
from sambench.data.folders import UNTOLD, find_images, natural, part_of, subfolders
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request, Sample
from sambench.data.tables import Row, Table, match
from sambench.errors import DataError
from sambench.files.checksums import sha256_of

VARIANTS = {"A": ("normal", "pneumonia", "COVID-19"), "B": ("negative", "positive")}


def scan(family: Family, request: Request) -> Listing:
    """List the images that the label files name, with patient, part and origin."""
    root = family.locate(request)
    problems = Problems()
    variant, paths = _label_files(family, root, str(request.options["variant"]))
    inside = {part: p for n, p in subfolders(root, problems).items() if (part := part_of(n))}
    samples: list[Sample] = []
    missing: list[str] = []
    tables = [_read(part, path, VARIANTS[variant], problems) for part, path in paths.items()]
    for part, table in zip(paths, tables, strict=True):
        if part not in inside:
            raise family.refuse(root, f"folder {part}/")
        found = find_images(root, {inside[part]: UNTOLD}, problems, id_of=lambda f: Path(f).name)
        images = {f"{part}/{n}": replace(one, id=f"{part}/{n}") for n, one in found.items()}
        listed, absent = match(table, images, VARIANTS[variant], problems)
        samples += listed
        missing += absent
    problems.check()
    if not samples and not missing:
        raise family.refuse(root)
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
        if part := part_of(re.split(r"[^a-z]", path.name.casefold())[0]):
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


Family.published("covidx").register(scan)
