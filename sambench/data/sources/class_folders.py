"""Class folders, and the releases that are folders of images with masks or facts beside them.

`published.yaml` tells how each lies on the disk, and of the sets that need no more.

Masks of BUSI are told by their names; it may come without any, or as a curated copy with all its
images in one folder, images/benign_id_1.png ... (Zenodo 19047974). Where an image of the COVID-19
Radiography Database comes from is a fact ("origin") if the metadata are there: it nearly tells the
class. That set grew from 219 to 1,200 to 3,616 COVID images: say which you have. Of BUS-UCLM (38
patients of Ciudad Real, Vallez et al., 2025) the label is the colour of the mask: lesions are green
(benign) or red (malignant), normal is black. The patient is the four letters in front.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from operator import attrgetter
from pathlib import Path

from sambench.data.family import Family, make_listing
from sambench.data.folders import (
    UNTOLD,
    Meaning,
    find_files,
    find_images,
    natural,
    part_of,
    same_name,
    subfolders,
    unseparated,
)
from sambench.data.source import NO_FACTS, Listing, Request
from sambench.data.tables import read_table
from sambench.errors import DataError, Problems, some
from sambench.files.checksums import read_whole

LEAST_ALIKE = 6  # letters from which names that differ in one of them are one, misspelled

MASKS = re.compile("masks|gt|ground_?truth|annotations|overlays|segmentations?")
PICTURES = re.compile("images?|imgs?|originals?|scans")
"""Names of folders, in lower case, that are no classes when they lie side by side."""

TEST_PATIENTS = ("ANFO", "COPE", "CRCI", "ELCO", "FLKA")  # whom the authors of BUS-UCLM test on


def list_classes(family: Family, request: Request) -> Listing:
    """Return the listing of a set that is class folders and nothing else.

    A family without classes has those of its folders, in natural order.
    """
    root, problems = family.locate(request), Problems()
    labels = {same_name(label): label for label in family.classes} | {**family.spellings}
    of_patients = request.options.get("patient")
    deep = of_patients == "folder"
    folders = dict(class_folders(root, labels or None, problems, of_patients=deep))
    id_of = attrgetter("stem") if family.unique else lambda file: file.with_suffix("").as_posix()
    found = find_images(root, folders, problems, id_of=id_of, masks=family.masks)
    problems.check()
    samples = sorted(found.values(), key=lambda sample: natural(sample.id))
    if not samples:
        nested = of_patients and not deep and any(subfolders(folder) for folder in folders)
        theirs = ", or add `--set patient=folder` if the folders within the classes are patients"
        raise family.refuse(root, remedy=theirs if nested else "")
    classes: Sequence[str] = family.wanted(request)
    if not family.classes:
        there = {sample.label for sample in samples}
        if request.options.get("similar") != "keep":
            refuse_misspelled(sorted(there, key=natural), root)
        classes = sorted(there | {label for label, _ in folders.values()}, key=natural)
    parts = any("part" in sample.facts for sample in samples)
    layout = f"a folder for each {'part and ' if parts else ''}class"
    return make_listing(root, layout, classes, samples)


def refuse_misspelled(labels: Sequence[str], where: Path) -> None:
    """Ask whether two class names are one, where they probably are.

    Either a long word of each differs in a letter, where first letters must agree ("typical" is not
    "atypical"), and numbers too. Or they differ in what separates their words.
    """
    bare = {label: unseparated(label) for label in labels}
    for one, other in combinations(labels, 2):
        words = [re.findall(r"[^\W\d_]+|\d+", name.casefold()) for name in (one, other)]
        differing = [pair for pair in zip(*words, strict=False) if pair[0] != pair[1]]
        alike = len(words[0]) == len(words[1]) and len(differing) == 1 and _one_off(*differing[0])
        if alike or bare[one] == bare[other]:
            raise DataError(
                f"classes {one!r} and {other!r} in {where} differ in one letter or separator: "
                "rename one, or `--set similar=keep` if they are two classes"
            )


def _one_off(one: str, other: str) -> bool:
    """Whether two words differ in one letter more, less, another, or two that are swapped."""
    if min(len(one), len(other)) < LEAST_ALIKE or one[0] != other[0] or one.isdecimal():
        return False
    if len(one) == len(other):
        differing = sum(a != b for a, b in zip(one, other, strict=True))
        return differing == 1 or (differing == 2 and sorted(one) == sorted(other))
    short, long = sorted((one, other), key=len)
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))


def class_folders(
    root: Path, labels: Mapping[str, str] | None, problems: Problems, *, of_patients: bool
) -> Iterator[tuple[Path, Meaning]]:
    """Yield the folders of classes, in parts or not, with what they tell of their images.

    `labels` has the class by the `same_name` of its folder; None takes every folder for a class,
    which has one spelling, that of the training part. Folders of a class may hold the images in a
    folder `images/`, or a folder `of_patients` each.
    """
    inside = subfolders(root, problems)
    parts = {name: part for name in inside if (part := part_of(name))}
    spelled: dict[str, str] = {}
    places = [] if labels is None and parts else [(inside, NO_FACTS)]
    for name, part in sorted(parts.items(), key=lambda item: item[1] != "train"):
        places.append((subfolders(inside[name], problems), {"part": part}))
    for there, facts in places:
        classes = labels
        if classes is None:  # pictures beside their masks are no class either
            pictures = {name for name in there if PICTURES.fullmatch(name)}
            masks = {n for n in there if MASKS.fullmatch(n) or (pictures and n == "mask")}
            names = there.keys() - masks - (pictures if masks else set()) - {"__macosx"}
            classes = {name: spelled.setdefault(name, there[name].name) for name in names}
        for name, path in there.items():
            if name in classes:
                deeper = subfolders(path, problems)
                yield deeper.get("images", path), (classes[name], facts)
                for folder in deeper.values() if of_patients else ():
                    yield folder, (classes[name], {**facts, "patient": folder.name})


def scan_busi(busi: Family, request: Request) -> Listing:
    """List the images of BUSI, each with the number of its masks."""
    inside = subfolders(busi.locate(request))
    curated = "images" in inside and not inside.keys() & {*busi.classes}
    listing = _curated(busi, request) if curated else list_classes(busi, request)
    masks = Counter(
        re.sub(busi.masks, "", str(path.with_suffix("")))
        for folder in {one.path.parent for one in listing.samples}
        for path in find_files(folder)
        if re.search(busi.masks, path.stem)
    )
    counts = [masks[str(one.path.with_suffix(""))] for one in listing.samples]
    told = list(zip(listing.samples, counts, strict=True))
    note = "no masks beside the images; none are needed"
    if any(counts):
        note = f"{sum(counts)} masks for {len(counts)} images, read as {len(counts)} images"
        several = [f"{one.id} ({count})" for one, count in told if count > 1]
        note += f"; several for {some(several)}" if several else ""
    samples = tuple(replace(one, facts={**one.facts, "masks": count}) for one, count in told)
    return replace(listing, samples=samples, notes=(*listing.notes, note), unlisted="masks")


def _curated(busi: Family, request: Request) -> Listing:
    root, problems = busi.locate(request), Problems()
    found = find_images(root, {subfolders(root)["images"]: UNTOLD}, problems)
    problems.check()
    samples = [replace(s, label=re.split(r"[_ (]", s.id)[0].casefold()) for s in found.values()]
    if not {sample.label for sample in samples} & {*busi.classes}:
        raise busi.refuse(root)
    return make_listing(root, "images/ (curated)", busi.wanted(request), samples)


def scan_radiography(family: Family, request: Request) -> Listing:
    """List the images of the COVID-19 Radiography Database, with their origin where it is told."""
    listing, wanted = list_classes(family, request), family.wanted(request)
    there = Counter(sample.label for sample in listing.samples)
    lacking = ", ".join(label for label in wanted if not there[label])
    if lacking and request.options["classes"] != "all":
        empty = f"classes without images in {listing.root}: {lacking}"
        raise DataError(f"{empty}; add them, or `--set classes=all`")
    paths = (listing.root / f"{label}.metadata.xlsx" for label in wanted)
    tables = [read_table(path) for path in paths if path.is_file()]
    origins: dict[str, str | None] = {}
    for table in tables:
        rows = table.select({"id": "FILE NAME", "origin": "URL"}).rows.values()
        origins |= {str(row["id"]).casefold(): row["origin"] for row in rows}
    samples = listing.samples
    if origins:
        samples = tuple(
            replace(s, facts={**s.facts, "origin": origins.get(s.id.casefold())}) for s in samples
        )
    counts = ", ".join(f"{there[label]:,} {label}" for label in wanted if there[label])
    note = f"this copy has {counts}; cite the version, the set has grown"
    checksums = {table.path.name: table.sha256 for table in tables}
    return replace(listing, samples=samples, notes=(*listing.notes, note), checksums=checksums)


def scan_bus_uclm(family: Family, request: Request) -> Listing:
    """List the images with patient and part; every mask is read for its colour."""
    root, problems = family.locate(request), Problems()
    inside = subfolders(root, problems)
    if not {"images", "masks"} <= inside.keys():
        raise family.refuse(root, "folders images/ and masks/")
    images, masks = (find_images(root, {inside[n]: UNTOLD}, problems) for n in ("images", "masks"))
    told: dict[str, set[str] | str] = {}
    with ThreadPoolExecutor() as pool:
        shown = sorted(images.keys() & masks.keys(), key=natural)
        read = pool.map(_lesions_in, [masks[id].path for id in shown])
        for done, (id, found) in enumerate(zip(shown, read, strict=True), start=1):
            told[id] = found
            request.progress(done, len(shown), "reading masks")
    samples, both = [], []
    for id in sorted(images, key=natural):
        patient, joint, _ = id.partition("_")
        found = told.get(id, "is missing")
        if not joint:
            problems.add(f"names in {root} without a patient in front", id, "restore the names")
        if isinstance(found, str):
            thing = f"{masks[id].file if id in masks else f'masks/{id}'} {found}"
            problems.add(f"masks in {root} that tell no class", thing, "restore the files")
            continue
        label = next((label for label in reversed(family.classes) if label in found), "normal")
        both += [id] if len(found) > 1 else []
        facts = {"patient": patient, "part": "test" if patient in TEST_PATIENTS else "train"}
        samples.append(replace(images[id], label=label, facts=facts))
    problems.check()
    return make_listing(
        root,
        "images/ with masks/",
        family.wanted(request),
        samples,
        notes=(f"masks with both colours, taken as malignant: {some(both)}",) if both else (),
        missing=tuple(sorted(masks.keys() - images.keys(), key=natural)),
    )


def _lesions_in(mask: Path) -> set[str] | str:
    """Return the classes of the lesions in a mask, or why it cannot be read."""
    import numpy as np
    from PIL import Image

    from sambench.data.decoding import FORMATS

    try:
        with Image.open(io.BytesIO(read_whole(mask)), formats=FORMATS) as image:
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")) >= 128, 2, 0)
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        return f"is unreadable ({error})"
    if (blue | (red & green)).any():
        return "has a colour besides green, red and black"
    return {label for label, there in (("malignant", red), ("benign", green)) if there.any()}
