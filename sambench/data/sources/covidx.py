"""COVIDx CXR (Wang et al., 2020): chest X-rays of named patients in the authors' parts.

    train/*.png   test/*.png
    train_COVIDx9A.txt, test_COVIDx9A.txt ...         patientid filename class [source]

Variant A has the classes normal, pneumonia and COVID-19, variant B negative and positive. A
label file tells which images there are; a patient's images stay together in splits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.data.class_folders import part_of, present
from sambench.data.folders import Found, describe, find_images, natural, subfolders
from sambench.data.locating import Release
from sambench.data.problems import Problems, some
from sambench.data.source import Fact, Listing, Option, Request, Sample, Source, sources
from sambench.errors import DataError

VARIANTS = {"A": ("normal", "pneumonia", "COVID-19"), "B": ("negative", "positive")}
RELEASE = Release(
    name="covidx",
    obtain="download it from kaggle.com/datasets/andyczhao/covidx-cxr2 (needs an account), or "
    "build it as github.com/lindawangg/COVID-Net tells",
    layout="train/, test/ and their label files train*.txt, test*.txt",
    wrappers=("COVIDx", "covidx-cxr2", "archive"),
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a label file."""

    number: int
    patient: str
    file: str
    label: str
    origin: str | None


def scan(request: Request) -> Listing:
    """List the images that the label files name, with patient, part and origin.

    Raises:
        DataError: If files are missing or at fault; names the lines.
    """
    root = RELEASE.locate(request)
    problems = Problems()
    variant, tables = _label_files(root, str(request.options["variant"]))
    inside = {part: p for n, p in subfolders(root, problems).items() if (part := part_of(n))}
    samples: list[Sample] = []
    missing: list[str] = []
    for part, path in tables.items():
        if part not in inside:
            raise RELEASE.refuse(root, f"folder {part}/")
        images = find_images(root, {inside[part]: None}, problems, id_of=lambda f: Path(f).name)
        for line in _read(path, VARIANTS[variant], problems):
            if line.file in images:
                samples.append(_sample(part, line, images))
            else:
                missing.append(f"{part}/{line.file}")
    problems.check()
    if not samples and not missing:
        raise RELEASE.refuse(root)
    ordered = tuple(sorted(samples, key=lambda sample: natural(sample.id)))
    classes, absent = present(VARIANTS[variant], ordered, root)
    return Listing(
        root=root,
        layout=f"train/ and test/ with {', '.join(path.name for path in tables.values())}",
        classes=classes,
        samples=ordered,
        columns=("patient", "part", "origin"),
        notes=absent,
        checksums={
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tables.values()
        },
        missing=tuple(missing),
        unlisted="not listed in the label files",
    )


def _label_files(root: Path, wanted: str) -> tuple[str, dict[str, Path]]:
    """Return the variant, and the label file of each part.

    Raises:
        DataError: If there is none, or more than one for a part.
    """
    files: dict[str, dict[str, list[Path]]] = {}
    for path in sorted((*root.glob("*.txt"), *root.glob("labels/*.txt"))):
        part = part_of(re.split(r"[^a-z]", path.name.casefold())[0])
        if part:
            files.setdefault(_variant(path), {}).setdefault(part, []).append(path)
    if wanted != "auto":
        files = {variant: parts for variant, parts in files.items() if variant == wanted}
    if not files:
        raise DataError(
            f"no label file {'' if wanted == 'auto' else f'of variant {wanted} '}in {root} (it has "
            f"{describe(root)}); put train*.txt and test*.txt there"
        )
    several = [path.name for parts in files.values() for paths in parts.values() for path in paths]
    if len(files) > 1:
        raise DataError(
            f"label files of both variants in {root} ({some(several)}); choose with "
            "`--set variant=A` or `--set variant=B`"
        )
    ((variant, parts),) = files.items()
    if any(len(paths) > 1 for paths in parts.values()):
        raise DataError(f"several label files for a part in {root} ({some(several)}); leave one")
    return variant, {part: paths[0] for part, paths in parts.items()}


def _variant(path: Path) -> str:
    """Return the variant by the classes that the first lines name."""
    with path.open(encoding="utf-8", errors="replace") as file:
        words = {word for line, _ in zip(file, range(1000), strict=False) for word in line.split()}
    return "B" if words & set(VARIANTS["B"]) else "A"


def _read(path: Path, classes: Sequence[str], problems: Problems) -> Iterator[Line]:
    """Yield the sound lines; report the others."""
    seen: dict[str, int] = {}
    for number, text in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
        words = text.split()
        if not words:
            continue
        sourced = len(words) > 3 and words[-1] not in classes  # versions 1-5 and 7A name none
        if len(words) < 3:
            kind = f"lines of {path} without the words patient, file and class"
            problems.add(kind, f"{text!r} (line {number})", "complete them")
            continue
        line = Line(
            number=number,
            patient=words[0],
            file=" ".join(words[1 : -2 if sourced else -1]),
            label=words[-2 if sourced else -1],
            origin=words[-1] if sourced else None,
        )
        if line.label not in classes:
            kind = f"labels in {path} that are none of the classes {', '.join(classes)}"
            problems.add(kind, f"{line.file} has {line.label!r} (line {number})", "correct them")
        elif "/" in line.file or "\\" in line.file or line.file.startswith("."):
            kind = f"names in {path} that lead out of the folder"
            problems.add(kind, f"{line.file!r} (line {number})", "give the plain file name")
        elif line.file in seen:
            thing = f"{line.file} (lines {seen[line.file]} and {number})"
            problems.add(f"files twice in {path}", thing, "delete one line of each")
        else:
            seen[line.file] = number
            yield line


def _sample(part: str, line: Line, images: Mapping[str, Found[None]]) -> Sample:
    found = images[line.file]
    facts: dict[str, Fact] = {"patient": line.patient, "part": part, "origin": line.origin}
    return found.sample(f"{part}/{line.file}", line.label, facts)


sources.register(
    Source(
        name="covidx",
        summary="chest X-ray, COVIDx: 30,530 (A) or 30,882 (B) images in version 9, patients named",
        scan=scan,
        image_size=224,
        classes=VARIANTS["A"],
        options={
            "variant": Option(
                default="auto",
                choices=("auto", *VARIANTS),
                help="A: three classes, B: negative and positive; auto: by the label files",
            )
        },
        obtain=RELEASE.obtain,
        reference="Wang et al., COVID-Net, Scientific Reports 10, 2020, "
        "doi 10.1038/s41598-020-76550-z",
        licence="none of its own: that of each source it was gathered from",
    )
)
