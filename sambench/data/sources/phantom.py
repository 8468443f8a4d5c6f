"""Simulated B-mode breast ultrasound, in the very layout of the real GDPH&SYSUCC release.

    phantom-<key>/
      GDPH/    benign(121).png ...  malignant(278).png ...
      SYSUCC/  benign(0).png ...    malignant(0).png ...
      BIRADS&FOLD.xlsx              ID | BIRADS-reader1 | BIRADS-reader2 | fold

Physics, anatomy and study are in `sambench.data.phantom`; this file writes the images and lets the
reader of the real release read them. The key is a hash of the options and of `GENERATOR`; the
workbook is written last, so a folder that has one is complete, and one that was cut is continued.
Options and seed fix every pixel; the bytes of a PNG also depend on the version of zlib.

A small CNN gets about 90 % of the test images right, because the signs of malignancy overlap
between the classes (see `sambench.data.phantom.cohort`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.data.source import Listing, Option, Request, Source, sources
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.data.phantom.cohort import Picture
    from sambench.data.phantom.ultrasound import Pixels

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
}


def scan(request: Request) -> Listing:
    """Make the images and the workbook unless they are there, and read them as a real release.

    Raises:
        ConfigError: If a workbook or folder was named, or an option is not a whole number.
        StoreError: If the disk refuses.

    """
    from sambench.data.sources import bus

    if request.table is not None or request.folder is not None:
        raise ConfigError(
            "dataset 'phantom' makes its own images; leave out the workbook and the folder"
        )
    folder = make(request)
    return bus.scan(replace(request, table=folder / WORKBOOK, folder=folder))


def make(request: Request) -> Path:
    """Write what is missing of the images and, last, the workbook; return their folder."""
    from sambench.data.phantom.cohort import plan
    from sambench.files.atomic import write_bytes

    images, seed, pixels = (_whole(request, name) for name in ("images", "seed", "pixels"))
    duplicates, label_noise = (float(request.options[n]) for n in ("duplicates", "label_noise"))
    folder = request.raw / f"phantom-{_key(images, seed, pixels, duplicates, label_noise)}"
    pictures = plan(images, seed, duplicates, label_noise)
    absent = [picture for picture in pictures if not image_path(folder, picture).is_file()]
    for done, _ in enumerate(_write_images(folder, absent, seed, pixels), start=1):
        request.progress(images - len(absent) + done, images, "simulated images")
    if not (folder / WORKBOOK).is_file():
        write_bytes(folder / WORKBOOK, _workbook(pictures))
    return folder


def image_path(folder: Path, picture: Picture) -> Path:
    """Return where a picture lies."""
    return folder / picture.centre / f"{picture.id}.png"


def _whole(request: Request, name: str) -> int:
    value = request.options[name]
    if value != int(value):
        raise ConfigError(f"option {name}={value} of dataset 'phantom' must be a whole number")
    return int(value)


def _key(*options: int | float) -> str:
    import hashlib

    return hashlib.sha256(repr((GENERATOR, *options)).encode()).hexdigest()[:10]


def _write_images(
    folder: Path, pictures: Iterable[Picture], seed: int, pixels: int
) -> Iterator[Path]:
    """Render and write pictures in threads: numpy, scipy and Pillow release the interpreter.

    Yields:
        Each file as it is done.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from sambench.data.phantom.cohort import render
    from sambench.files.atomic import write_bytes

    def write(picture: Picture) -> Path:
        path = image_path(folder, picture)
        write_bytes(path, _png(render(picture, seed, pixels)))
        return path

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for future in as_completed([pool.submit(write, picture) for picture in pictures]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _png(pixels: Pixels) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _workbook(pictures: Iterable[Picture]) -> bytes:
    """Return the sheet as bytes that depend on nothing but its cells."""
    import io

    from openpyxl import Workbook

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("prediction")
    sheet.append(HEADER)
    for picture in sorted(pictures, key=_natural):
        sheet.append((picture.id, *picture.grades, picture.fold))
    buffer = io.BytesIO()
    workbook.save(buffer)
    return _without_times(buffer.getvalue())


def _natural(picture: Picture) -> tuple[str, int]:
    name, number = picture.id.rstrip(")").split("(")
    return name, int(number)


def _without_times(workbook: bytes) -> bytes:
    """Rewrite an .xlsx (a zip archive) with fixed times in place of the current ones."""
    import io
    import re
    import zipfile

    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2023-01-01T00:00:00Z", content)
            target.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


sources.register(
    Source(
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
)
