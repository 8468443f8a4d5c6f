"""Simulated B-mode breast ultrasound, in the very layout of the real GDPH&SYSUCC release.

    phantom-<key>/
      GDPH/    benign(121).png ...  malignant(278).png ...
      SYSUCC/  benign(0).png ...    malignant(0).png ...
      BIRADS&FOLD.xlsx              ID | BIRADS-reader1 | BIRADS-reader2 | fold

Physics, anatomy and study are in `sambench.data.phantom`; this file writes the images and lets the
reader of the real release read them. The key is a hash of the options and of `GENERATOR`; the
workbook is written last, so a folder that has one is complete, and one that was cut is continued.
Options and seed fix every pixel; the bytes of a PNG also depend on the version of zlib.

`phantom-study` is the same with more images, most of them set aside to test on: the accuracy on 120
test images moves in steps of 0.8 points, that on 2,000 in steps of 0.05.

A small CNN gets about 90 % of the test images right, because the signs of malignancy overlap
between the classes (see `sambench.data.phantom.cohort`).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.data.folders import natural
from sambench.data.source import Listing, Option, Request, Source, sources
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.data.phantom.cohort import Picture

GENERATOR = 1
"""Version of the simulation. Raise it with every change to a pixel or a cell of the workbook."""

WORKBOOK = "BIRADS&FOLD.xlsx"
HEADER = ("ID", "BIRADS-reader1", "BIRADS-reader2", "fold")
OPTIONS = {
    "images": Option(default=600, minimum=20, maximum=1_000_000, help="number of images"),
    "seed": Option(default=0, minimum=0, maximum=2**32 - 1, help="of all that is random"),
    "duplicates": Option(
        default=0.0,
        minimum=0,
        maximum=0.5,
        help="share of images that are copies of another one, half of them byte-identical",
    ),
    "label_noise": Option(
        default=0.0, minimum=0, maximum=0.5, help="share of images with the wrong label"
    ),
    "pixels": Option(default=128, minimum=32, maximum=1024, help="native width of an image"),
    "test_images": Option(
        default=0, minimum=0, maximum=1_000_000, help="of these, tested by split=authors"
    ),
}


def scan(request: Request) -> Listing:
    """Make the images and the workbook unless they are there, and read them as a real release."""
    from sambench.data.phantom import cohort

    if request.table is not None or request.folder is not None:
        raise ConfigError(
            "dataset 'phantom' makes its own images; leave out the workbook and the folder"
        )
    images, seed, tested = (int(request.options[n]) for n in ("images", "seed", "test_images"))
    if tested > images - 10:
        raise ConfigError(
            f"test_images={tested} leaves fewer than 10 of images={images} to train on; "
            f"make more, e.g. `--set images={tested + 480}`"
        )
    duplicates, label_noise = (float(request.options[n]) for n in ("duplicates", "label_noise"))
    pictures = cohort.plan(images, seed, duplicates, label_noise)
    folder = _make(request, pictures)
    listing = sources.get("bus").scan(replace(request, table=folder / WORKBOOK, folder=folder))
    if not tested:
        return listing
    part = cohort.parts(pictures, tested, seed)
    samples = [replace(one, facts={**one.facts, "part": part[one.id]}) for one in listing.samples]
    return replace(listing, samples=tuple(samples), columns=(*listing.columns, "part"))


def _make(request: Request, pictures: tuple[Picture, ...]) -> Path:
    """Write what is missing of the images and, last, the workbook; return their folder."""
    from PIL import Image

    from sambench.data.phantom import cohort
    from sambench.files.atomic import write_bytes

    seed, pixels = (int(request.options[name]) for name in ("seed", "pixels"))
    shares = (float(request.options[name]) for name in ("duplicates", "label_noise"))
    what = (GENERATOR, len(pictures), seed, pixels, *shares)
    folder = request.raw / f"phantom-{hashlib.sha256(repr(what).encode()).hexdigest()[:10]}"
    files = {picture: folder / picture.centre / f"{picture.id}.png" for picture in pictures}
    absent = [picture for picture, file in files.items() if not file.is_file()]

    def write(picture: Picture) -> None:
        buffer = io.BytesIO()
        Image.fromarray(cohort.render(picture, seed, pixels)).save(buffer, format="PNG")
        write_bytes(files[picture], buffer.getvalue())

    pool = ThreadPoolExecutor(os.cpu_count())  # numpy, scipy and Pillow release the interpreter
    try:
        written = as_completed([pool.submit(write, picture) for picture in absent])
        for done, future in enumerate(written, start=len(pictures) - len(absent) + 1):
            future.result()
            request.progress(done, len(pictures), "simulated images")
    finally:
        pool.shutdown(cancel_futures=True)
    if not (folder / WORKBOOK).is_file():
        write_bytes(folder / WORKBOOK, _workbook(pictures))
    return folder


def _workbook(pictures: Iterable[Picture]) -> bytes:
    """Return the sheet as bytes that depend on nothing but its cells: with fixed times."""
    from openpyxl import Workbook

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("prediction")
    sheet.append(HEADER)
    for picture in sorted(pictures, key=lambda picture: natural(picture.id)):
        sheet.append((picture.id, *picture.grades, picture.fold))
    written, fixed = io.BytesIO(), io.BytesIO()
    workbook.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(fixed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2023-01-01T00:00:00Z", content)
            target.writestr(zipfile.ZipInfo(name), content)
    return fixed.getvalue()


PHANTOM = Source(
    name="phantom",
    summary="simulated breast ultrasound, no download: any number of images, two centres",
    scan=scan,
    image_size=64,
    classes=("benign", "malignant"),
    options=OPTIONS,
    obtain="made on the spot",
    reference="simulation of sambench; speckle after Wagner et al., IEEE T-SU 30(3), 1983",
    licence="none needed: made on your machine",
    simulated=True,
)
STUDY = {"images": 2480, "test_images": 2000}

sources.register(PHANTOM)
sources.register(
    replace(
        PHANTOM,
        name="phantom-study",
        summary="the same with 480 images to train on and 2,000 to test (split=authors)",
        options=OPTIONS | {n: replace(OPTIONS[n], default=value) for n, value in STUDY.items()},
    )
)
