"""Releases with a folder for each class.

busc            originals/{benign,malignant}/*.bmp
bus-uc          {Benign,Malignant}/{images,masks}/01.png      All/ repeats them and is passed over
covid-qu-ex     Lung Segmentation Data/Lung Segmentation Data/
                    {Train,Val,Test}/{COVID-19,Non-COVID,Normal}/images/*.png, lung masks/ beside
prashant268     Data/{train,test}/{COVID19,NORMAL,PNEUMONIA}/*.jpg

busi            Dataset_BUSI_with_GT/{benign,malignant,normal}/
                    benign (1).png   benign (1)_mask.png   benign (1)_mask_1.png ...
                images/benign_id_1.png ...   masks/            a curated copy (Zenodo 19047974)

covid-radiography   COVID-19_Radiography_Dataset/
                    {COVID,Normal,Lung_Opacity,Viral Pneumonia}/images/COVID-1.png ...
                    COVID.metadata.xlsx ...                     FILE NAME, FORMAT, SIZE, URL

File names of the first four repeat between the classes, so the folder is part of an image's id.
Masks of BUSI are told by their names; it may come without any. Where an image of the COVID-19
Radiography Database comes from is a fact ("origin") if the metadata are there: it nearly tells
the class. That set grew from 219 to 1,200 to 3,616 COVID images: say which you have.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from sambench.data.family import Family, list_classes, make_listing
from sambench.data.folders import UNTOLD, find_files, find_images, subfolders
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request
from sambench.data.tables import read_table
from sambench.errors import DataError


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


for _family in Family.read_as("class folders"):
    _family.register(list_classes)
Family.published("busi").register(scan_busi)
Family.published("covid-radiography").register(scan_radiography)
