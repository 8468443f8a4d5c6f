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

from sambench.data.family import NORMAL, Family, list_classes, make_listing
from sambench.data.folders import (
    UNTOLD,
    find_class_images,
    find_files,
    find_images,
    name_of,
    subfolders,
)
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Option, Request
from sambench.data.tables import read_table

Family(
    name="busc",
    summary="breast ultrasound, BUSC: 250 small images",
    asks="--source DIR",
    obtain="download it from data.mendeley.com/datasets/wmy84gzngw and unpack it",
    layout="originals/benign/ and originals/malignant/",
    wrappers=("us-dataset", "originals"),
    classes=("benign", "malignant"),
    image_size=64,
    reference="Rodrigues, Mendeley Data, 2017, doi 10.17632/wmy84gzngw",
    licence="as stated on its Mendeley Data page",
    releases=({"benign": 100, "malignant": 150},),
).register(list_classes)

Family(
    name="bus-uc",
    summary="breast ultrasound, BUS-UC: 811 images",
    asks="--source DIR",
    obtain="download it from data.mendeley.com/datasets/3ksd7w7jkx and unpack it",
    layout="Benign/ and Malignant/",
    wrappers=("BUS_UC", "BUS-UC"),
    classes=("benign", "malignant"),
    reference="Iqbal, BUS_UC, Mendeley Data, 2023, doi 10.17632/3ksd7w7jkx",
    licence="as stated on its Mendeley Data page",
    releases=({"all": 811},),
).register(list_classes)

Family(
    name="covid-qu-ex",
    summary="chest X-ray, COVID-QU-Ex: 33,920 images in train, validation and test",
    asks="--source DIR",
    obtain="download it from kaggle.com/datasets/anasmohammedtahir/covidqu (needs an account) "
    "and unpack it",
    layout="Train/, Val/ and Test/ of `Lung Segmentation Data`",
    wrappers=("COVID-QU-Ex Dataset", "COVID-QU-Ex", "Lung Segmentation Data"),
    classes=("Normal", "COVID-19", "Non-COVID"),
    image_size=224,
    reference="Tahir et al., Computers in Biology and Medicine 139, 2021, "
    "doi 10.1016/j.compbiomed.2021.105002",
    licence="as stated on its Kaggle page; gathered from sets with licences of their own",
    releases=({"Normal": 10701, "COVID-19": 11956, "Non-COVID": 11263},),
).register(list_classes)

Family(
    name="prashant268",
    summary="chest X-ray, Prashant268: 6,432 images in train and test",
    asks="--source DIR",
    obtain="download it from kaggle.com/datasets/prashant268/chest-xray-covid19-pneumonia "
    "(needs an account) and unpack it",
    layout="train/ and test/ of Data/",
    wrappers=("Data",),
    classes=("NORMAL", "COVID19", "PNEUMONIA"),
    image_size=224,
    reference="Patel, Chest X-ray (Covid-19 & Pneumonia), Kaggle, 2020",
    licence="as stated on its Kaggle page; gathered from sets with licences of their own",
    releases=({"all": 6432},),
).register(list_classes)

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
    counts = {one.id: masks[str(one.path.with_suffix(""))] for one in found if one.label in wanted}
    note = "no masks beside the images; none are needed"
    if any(counts.values()):
        note = (
            f"{sum(counts.values())} masks for {len(counts)} images, read as {len(counts)} images"
        )
        several = [f"{id} ({number})" for id, number in counts.items() if number > 1]
        note += f"; several for {some(several)}" if several else ""
    return make_listing(root, layout, wanted, samples, notes=(note,), unlisted="masks")


Family(
    name="busi",
    summary="breast ultrasound, BUSI: 780 images of 600 women, patients not named",
    asks="--source DIR",
    obtain="download Dataset_BUSI.zip from scholar.cu.edu.eg/?q=afahmy/pages/dataset and unpack it",
    layout="benign/, malignant/ and normal/",
    wrappers=("Dataset_BUSI_with_GT", "Dataset_BUSI"),
    classes=("normal", "benign", "malignant"),
    options={"normal": NORMAL},
    reference="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28, 2020",
    licence="none stated with the release; its authors ask to cite the paper",
    releases=(
        {"benign": 437, "malignant": 210, "normal": 133},
        {"benign": 222, "malignant": 164, "normal": 64},  # the curated copy
    ),
).register(scan_busi)


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


_RADIOGRAPHY = ("Normal", "COVID", "Viral Pneumonia", "Lung_Opacity")
Family(
    name="covid-radiography",
    summary="chest X-ray, COVID-19 Radiography Database: up to 21,165 images",
    asks="--source DIR",
    obtain="download it from kaggle.com/datasets/tawsifurrahman/covid19-radiography-database "
    "(needs an account) and unpack it",
    layout="COVID/, Normal/, Lung_Opacity/ and Viral Pneumonia/",
    wrappers=("COVID-19_Radiography_Dataset", "COVID-19 Radiography Database"),
    classes=_RADIOGRAPHY,
    image_size=224,
    options={
        "classes": Option(
            default="all",
            choices=("2", "3", "4", "all"),
            help="2: Normal, COVID; 3: also Viral Pneumonia; 4: also Lung_Opacity; "
            "all: those there",
        )
    },
    reference="Rahman et al., Computers in Biology and Medicine 132, 2021, "
    "doi 10.1016/j.compbiomed.2021.104319",
    licence="none of its own: that of each source it was gathered from",
    releases=tuple(
        dict(zip(_RADIOGRAPHY, counts, strict=True))
        for counts in ((10192, 3616, 1345, 6012), (1341, 1200, 1345, 0), (1341, 219, 1345, 0))
    ),
).register(scan_radiography)
