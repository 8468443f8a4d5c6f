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
from sambench.data.folders import (
    UNTOLD,
    find_class_images,
    find_files,
    find_images,
    name_of,
    subfolders,
)
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request
from sambench.data.tables import read_table

MASK = r"_mask(_\d+)?$"


def scan_busi(busi: Family, request: Request) -> Listing:
    """List the images of BUSI, each with the number of its masks."""
    root = busi.locate(request)
    problems = Problems()
    labels, layout = {label: label for label in busi.classes}, "a folder for each class"
    found = find_class_images(root, labels, problems, id_of=name_of, masks=MASK)
    flat = subfolders(root).get("images")
    if not found and flat is not None:
        layout = "images/ (curated)"
        for id, one in find_images(root, {flat: UNTOLD}, problems).items():
            label = re.split(r"[_ (]", id)[0].casefold()
            found += [replace(one, label=label)] if label in labels else []
    problems.check()
    if not found:
        raise busi.refuse(root)
    masks = Counter(
        re.sub(MASK, "", str(path.with_suffix("")))
        for folder in {one.path.parent for one in found}
        for path in find_files(folder)
        if re.search(MASK, path.stem)
    )
    samples = [replace(one, facts={"masks": masks[str(one.path.with_suffix(""))]}) for one in found]
    wanted = busi.wanted(request)
    counts = {one.id: int(one.facts["masks"] or 0) for one in samples if one.label in wanted}
    note = "no masks beside the images; none are needed"
    if any(counts.values()):
        note = (
            f"{sum(counts.values())} masks for {len(counts)} images, read as {len(counts)} images"
        )
        several = [f"{id} ({number})" for id, number in counts.items() if number > 1]
        note += f"; several for {some(several)}" if several else ""
    return make_listing(root, layout, wanted, samples, notes=(note,), unlisted="masks")


def scan_radiography(family: Family, request: Request) -> Listing:
    """List the images of the COVID-19 Radiography Database, with their origin where it is told."""
    root = family.locate(request)
    problems = Problems()
    wanted = family.wanted(request)
    labels = {label.casefold(): label for label in family.classes}
    labels |= {"covid-19": "COVID", "viral_pneumonia": "Viral Pneumonia"}
    labels |= {"lung opacity": "Lung_Opacity"}
    samples = find_class_images(root, labels, problems, id_of=name_of)
    if not samples:
        raise family.refuse(root)
    paths = (root / f"{label}.metadata.xlsx" for label in wanted)
    tables = [read_table(path) for path in paths if path.is_file()]
    origins: dict[str, str] = {}
    for table in tables:
        names = {"id": table.need("FILE NAME"), "origin": table.need("URL")}
        rows = table.select(names).rows.values()
        origins |= {str(row["id"]).casefold(): row["origin"] or "" for row in rows}
    if origins:
        samples = [replace(s, facts={"origin": origins.get(s.id.casefold())}) for s in samples]
    there = Counter(sample.label for sample in samples)
    counts = ", ".join(f"{there[label]:,} {label}" for label in wanted if there[label])
    listing = make_listing(
        root,
        "a folder for each class",
        wanted,
        samples,
        notes=(f"this copy has {counts}; cite the version, the set has grown",),
        checksums={table.path.name: table.sha256 for table in tables},
    )
    lacking = ", ".join(label for label in wanted if not there[label])
    if lacking and request.options["classes"] != "all":
        kind = f"classes without images in {root}"
        problems.add(kind, lacking, "add them, or `--set classes=all`")
    problems.check()
    return listing


for _name in ("busc", "bus-uc", "covid-qu-ex", "prashant268"):
    Family.published(_name).register(list_classes)
Family.published("busi").register(scan_busi)
Family.published("covid-radiography").register(scan_radiography)
