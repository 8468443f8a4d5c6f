"""Releases that are folders of images: one for each class, or one for all beside their masks.

busi            Dataset_BUSI_with_GT/{benign,malignant,normal}/
                    benign (1).png   benign (1)_mask.png   benign (1)_mask_1.png ...
                images/benign_id_1.png ...   masks/            a curated copy (Zenodo 19047974)

covid-radiography   COVID-19_Radiography_Dataset/
                    {COVID,Normal,Lung_Opacity,Viral Pneumonia}/images/COVID-1.png ...
                    COVID.metadata.xlsx ...                     FILE NAME, FORMAT, SIZE, URL

bus-uclm            images/ALWI_000.png ...
                    masks/ALWI_000.png ...      lesions in green (benign) or red (malignant)

Masks of BUSI are told by their names; it may come without any. Where an image of the COVID-19
Radiography Database comes from is a fact ("origin") if the metadata are there: it nearly tells
the class. That set grew from 219 to 1,200 to 3,616 COVID images: say which you have. Of BUS-UCLM
(38 patients of Ciudad Real, Vallez et al., 2025) the label is the colour of the mask (black is
normal), the patient the four letters in front. `published.yaml` tells of sets that need no more.
"""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sambench.data.family import Family, list_classes, make_listing
from sambench.data.folders import UNTOLD, find_files, find_images, natural, subfolders
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request
from sambench.data.tables import read_table
from sambench.errors import DataError

TEST_PATIENTS = ("ANFO", "COPE", "CRCI", "ELCO", "FLKA")  # whom the authors of BUS-UCLM test on


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
    labels = {id: re.split(r"[_ (]", id)[0].casefold() for id in found}
    samples = [replace(one, label=labels[id]) for id, one in found.items()]
    if not {*labels.values()} & {*busi.classes}:
        raise busi.refuse(root)
    return make_listing(root, "images/ (curated)", busi.wanted(request), samples)


def scan_radiography(family: Family, request: Request) -> Listing:
    """List the images of the COVID-19 Radiography Database, with their origin where it is told."""
    listing, wanted = list_classes(family, request), family.wanted(request)
    there = Counter(sample.label for sample in listing.samples)
    lacking = ", ".join(label for label in wanted if not there[label])
    if lacking and request.options["classes"] != "all":
        raise DataError(
            f"classes without images in {listing.root}: {lacking}; add them, or `--set classes=all`"
        )
    paths = (listing.root / f"{label}.metadata.xlsx" for label in wanted)
    tables = [read_table(path) for path in paths if path.is_file()]
    origins: dict[str, str | None] = {}
    for table in tables:
        names = {"id": table.need("FILE NAME"), "origin": table.need("URL")}
        rows = table.select(names).rows.values()
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
    root = family.locate(request)
    problems = Problems()
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

    try:
        with Image.open(mask) as image:
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")) >= 128, 2, 0)
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        return f"is unreadable ({error})"
    if (blue | (red & green)).any():
        return "has a colour besides green, red and black"
    return {label for label, there in (("malignant", red), ("benign", green)) if there.any()}


for _family in Family.read_as("class folders"):
    _family.register(list_classes)
Family.published("busi").register(scan_busi)
Family.published("covid-radiography").register(scan_radiography)
Family.published("bus-uclm").register(scan_bus_uclm)
