"""Simulated B-mode breast ultrasound, in the folders of the real GDPH&SYSUCC release.

    phantom-<key>/
      GDPH/    benign(121).png ...  malignant(278).png ...
      SYSUCC/  benign(0).png ...    malignant(0).png ...

Physics, anatomy and study (also how hard it is) are in `sambench.data.phantom`; this file makes the
images, and tells of each what the real release tells: centre, fold, and the grades of two readers.
The key is a hash of the options and of `GENERATOR`; images that are there are not made again, so a
study that was cut is continued. Options and seed fix every pixel; the bytes of a PNG also depend on
the version of zlib.

`phantom-study` is the same with more images, most of them set aside to test on: the accuracy on 120
test images moves in steps of 0.8 points, that on 2,000 in steps of 0.05.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.data.family import Family
from sambench.data.folders import natural
from sambench.data.source import Listing, Request, Sample
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.data.phantom.cohort import Picture

GENERATOR = 1  # version of the simulation; raise it with every change to a pixel or a fact
READERS = ("birads_reader1", "birads_reader2")


def scan(phantom: Family, request: Request) -> Listing:
    """List the images of the study; make those that are not there."""
    from sambench.data.phantom import cohort

    if request.names_files:
        remedy = "leave out the workbook and the folder"
        raise ConfigError(f"dataset {phantom.name!r} makes its own images; {remedy}")
    images, seed, tested = (int(request.options[n]) for n in ("images", "seed", "test_images"))
    if tested > images - 10:
        raise ConfigError(
            f"test_images={tested} leaves fewer than 10 of images={images} to train on; "
            f"make more, e.g. `--set images={tested + 480}`"
        )
    duplicates, label_noise = (float(request.options[n]) for n in ("duplicates", "label_noise"))
    pictures = cohort.plan(images, seed, duplicates, label_noise, tested)
    folder = _make(request, pictures)
    samples = tuple(
        Sample(
            id=picture.id,
            path=folder / picture.file,
            file=picture.file,
            label=picture.id.partition("(")[0],
            facts={
                "centre": picture.centre,
                "fold": picture.fold,
                **dict(zip(READERS, picture.grades, strict=True)),
                **({"part": "test" if picture.tested else "train"} if tested else {}),
            },
        )
        for picture in sorted(pictures, key=lambda picture: natural(picture.id))
    )
    return Listing(root=folder, layout=phantom.layout, classes=phantom.classes, samples=samples)


def _make(request: Request, pictures: tuple[Picture, ...]) -> Path:
    """Write the images that are missing; return their folder."""
    from PIL import Image

    from sambench.data.drawing import write_png
    from sambench.data.phantom import cohort

    seed, pixels = (int(request.options[name]) for name in ("seed", "pixels"))
    shares = (float(request.options[name]) for name in ("duplicates", "label_noise"))
    what = (GENERATOR, len(pictures), seed, pixels, *shares)
    folder = request.raw / f"phantom-{hashlib.sha256(repr(what).encode()).hexdigest()[:10]}"
    absent = [picture for picture in pictures if not (folder / picture.file).is_file()]

    def write(picture: Picture) -> None:
        write_png(Image.fromarray(cohort.render(picture, seed, pixels)), folder / picture.file)

    pool = ThreadPoolExecutor(os.cpu_count())  # numpy, scipy and Pillow release the interpreter
    try:
        written = as_completed([pool.submit(write, picture) for picture in absent])
        for done, future in enumerate(written, start=len(pictures) - len(absent) + 1):
            future.result()
            request.progress(done, len(pictures), "simulated images")
    finally:
        pool.shutdown(cancel_futures=True)
    return folder
