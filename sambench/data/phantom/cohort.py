"""Simulated breast ultrasound in the folders of the real GDPH&SYSUCC release: who is imaged where.

    phantom-<key>/
      GDPH/    benign(121).png ...  malignant(278).png ...
      SYSUCC/  benign(0).png ...    malignant(0).png ...

The key is a hash of the options and of `GENERATOR`; images that are there are not made again, so a
study that was cut is continued. Options and seed fix every pixel; the bytes of a PNG also depend on
the version of zlib. Of each image is told what the real release tells: centre, fold, and the grades
of two readers. `phantom-study` is the same with more images, most of them set aside to test on: the
accuracy on 120 test images moves in steps of 0.8 points, that on 2,000 in steps of 0.05.

Two centres as in the real release (GDPH&SYSUCC, Mo et al. 2023): SYSUCC with 65 % of the images, of
which 28 % are benign, GDPH with 35 %, of which 52 % are benign; their scanners differ in frequency,
resolution, gain and dynamic range, so that the centre is a shortcut worth what prevalence gives.

Each lesion has a score, how malignant it looks: N(-δ, 1) if benign and N(+δ, 1) if malignant. An
observer who saw the score itself would still err in Φ(-δ) = 4 % of the images; who sees the image
errs more often, for each sign has noise of its own and fat, ribs and speckle hide some of it. δ was
set so that `small-cnn`, trained on 480 images of 64 x 64, gets 90 % of the other 120 right, where a
linear classifier on the pixels gets 83 % and always saying malignant 63 %.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from sambench.data.drawing import write_png
from sambench.data.family import Family
from sambench.data.folders import natural
from sambench.data.phantom.breast import draw_lesion, draw_tissue
from sambench.data.phantom.ultrasound import Pixels, Scanner, b_mode
from sambench.data.source import Listing, Progress, Request, Sample
from sambench.data.sources.image_tables import READERS, RELEASED
from sambench.errors import ConfigError

GENERATOR = 1  # version of the simulation; raise it with every change to a pixel or a fact
SEPARATION = 1.75  # δ
READER_NOISE = 0.6  # SD of a reader about the score
GAIN_SPREAD_DB = 2.0  # SD of what operators add to a scanner's gain
GRADES = ("2", "3", "4A", "4B", "4C", "5")
GRADE_LIMITS = (-2.2, -1.0, 0.0, 1.0, 2.2)  # scores between the grades
NUM_FOLDS = 5
COPY_CROP = 0.03  # at most this share is cut off each side of a near copy

Indices = NDArray[np.intp]
Flags = NDArray[np.bool_]

SCANNERS = {
    "SYSUCC": Scanner(
        frequency_mhz=7.5,
        axial_mm=0.26,
        lateral_mm=0.4,
        tgc_db_per_cm=9.5,
        gain_db=-3,
        dynamic_range_db=54,
    ),
    "GDPH": Scanner(
        frequency_mhz=10,
        axial_mm=0.2,
        lateral_mm=0.3,
        tgc_db_per_cm=12.8,
        gain_db=-5,
        dynamic_range_db=48,
    ),
}


@dataclass(frozen=True)
class Picture:
    """One image of the study; `score` is how malignant the lesion looks."""

    index: int  # position in the study; with the seed it fixes everything random in the image
    id: str  # as in the real release, e.g. "benign(0)"
    centre: str
    score: float
    malignant: bool  # what the lesion is; the label in `id` differs where there is label noise
    grades: tuple[str, ...]  # of both readers
    fold: int  # 1 to 5
    original: int | None  # index of the image that this one is a copy of
    identical: bool  # whether the copy has the very same bytes
    tested: bool  # whether it is set aside to test on

    @property
    def file(self) -> str:
        """Where it lies in the folder of the study."""
        return f"{self.centre}/{self.id}.png"


def scan(phantom: Family, request: Request) -> Listing:
    """List the images of the study; make those that are not there."""
    if request.names_files:
        remedy = "leave out the workbook and the folder"
        raise ConfigError(f"dataset {phantom.name!r} makes its own images; {remedy}")
    whole = ("images", "seed", "pixels", "test_images")
    images, seed, pixels, tested = (int(request.options[name]) for name in whole)
    if tested > images - 10:
        raise ConfigError(
            f"test_images={tested} leaves fewer than 10 of images={images} to train on; "
            f"make more, e.g. `--set images={tested + 480}`"
        )
    duplicates, label_noise = (float(request.options[n]) for n in ("duplicates", "label_noise"))
    pictures = plan(images, seed, duplicates, label_noise, tested)
    key = repr((GENERATOR, images, seed, pixels, duplicates, label_noise)).encode()
    folder = request.raw / f"phantom-{hashlib.sha256(key).hexdigest()[:10]}"
    _make(pictures, folder, seed, pixels, request.progress)
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


def _make(
    pictures: Sequence[Picture], folder: Path, seed: int, pixels: int, progress: Progress
) -> None:
    """Write the images that are missing."""
    absent = [picture for picture in pictures if not (folder / picture.file).is_file()]

    def write(picture: Picture) -> None:
        write_png(Image.fromarray(render(picture, seed, pixels)), folder / picture.file)

    pool = ThreadPoolExecutor(os.cpu_count())  # numpy, scipy and Pillow release the interpreter
    try:
        for done, _ in enumerate(pool.map(write, absent), start=len(pictures) - len(absent) + 1):
            progress(done, len(pictures), "simulated images")
    finally:
        pool.shutdown(cancel_futures=True)


def plan(
    images: int, seed: int, duplicates: float, label_noise: float, tested: int = 0
) -> tuple[Picture, ...]:
    """Decide everything about the study but the pixels.

    Copies are of images of the same centre and class; labels are flipped image by image, so some
    copies contradict their original, as in the real release. Of each centre and class its share of
    the `tested` images is set aside, to within one.
    """
    generator = np.random.default_rng([seed, 0])
    # in blocks: twice the centre, and 1 if it is malignant
    first, second = RELEASED.values()
    size = round(images * (sum(first) / sum(first + second)))
    benign = round(size * (first[0] / sum(first)))
    other = round((images - size) * (second[0] / sum(second)))
    stratum = np.repeat(np.arange(4), [benign, size - benign, other, images - size - other])
    centre, malignant = stratum // 2, stratum % 2 == 1
    score = np.where(malignant, SEPARATION, -SEPARATION) + generator.standard_normal(images)
    original = _originals(stratum, duplicates, generator)
    copies = np.flatnonzero(original >= 0)
    score[copies] = score[original[copies]]
    identical = np.zeros(images, dtype=np.bool_)
    identical[copies] = _choose(0.5, stratum[copies], generator)
    label = malignant ^ _choose(label_noise, stratum, generator)
    columns = (
        range(images),
        _number(centre, label, generator),
        np.array([*SCANNERS])[centre].tolist(),
        score.tolist(),
        malignant.tolist(),
        [_grades(value, generator) for value in score],
        _deal(np.arange(images) % NUM_FOLDS + 1, 2 * centre + label, generator).tolist(),
        [None if index < 0 else index for index in original.tolist()],
        identical.tolist(),
        _choose(tested / images, stratum, np.random.default_rng([seed, 0, 1])).tolist(),
    )
    return tuple(itertools.starmap(Picture, zip(*columns, strict=True)))


def render(picture: Picture, seed: int, pixels: int) -> Pixels:
    """Image the picture's lesion; a copy is its original, changed a little unless identical."""
    source = picture.index if picture.original is None else picture.original
    generator = np.random.default_rng([seed, 1 + source])
    scanner = SCANNERS[picture.centre]
    scanner = replace(
        scanner,
        gain_db=scanner.gain_db + GAIN_SPREAD_DB * generator.standard_normal(),
        dynamic_range_db=scanner.dynamic_range_db + generator.uniform(-4, 4),
    )
    lesion = draw_lesion(picture.score, generator)
    image = b_mode(draw_tissue(lesion, pixels, generator), scanner, generator)
    if picture.original is None or picture.identical:
        return image
    # cut a few pixels off each side, change brightness and contrast a little
    generator = np.random.default_rng([seed, 1 + picture.index])
    height, width = image.shape
    top, bottom = generator.integers(0, max(2, round(COPY_CROP * height)), 2)
    left, right = generator.integers(0, max(2, round(COPY_CROP * width)), 2)
    cropped = image[top : height - bottom, left : width - right].astype(np.float32)
    changed = cropped * generator.uniform(0.94, 1.06) + generator.uniform(-6, 6)
    return np.asarray(np.clip(changed.round(), 0, 255), dtype=np.uint8)


def _deal(values: NDArray[Any], stratum: Indices, generator: Generator) -> NDArray[Any]:
    """Give each position one of as many values: in order, by stratum, and shuffled within each."""
    dealt = np.empty_like(values)
    dealt[np.lexsort((generator.random(len(stratum)), stratum))] = values
    return dealt


def _choose(share: float, stratum: Indices, generator: Generator) -> Flags:
    """Choose a share of all, to the nearest one, and of each stratum to within one."""
    quota = np.floor(share * np.arange(len(stratum) + 1) + 0.5)
    return _deal(np.diff(quota) > 0, stratum, generator)


def _originals(stratum: Indices, share: float, generator: Generator) -> Indices:
    """Return which image of the same stratum each one copies, -1 for those that copy none."""
    original = np.full(len(stratum), -1)
    copies = _choose(share, stratum, generator)
    for value in np.unique(stratum):
        members = stratum == value
        wanted, pool = members & copies, np.flatnonzero(members & ~copies)
        original[wanted] = generator.choice(pool, np.count_nonzero(wanted))
    return original


def _number(centre: Indices, label: Flags, generator: Generator) -> list[str]:
    """Return ids numbered per class over both centres, SYSUCC first, in random order."""
    ids = [""] * len(label)
    for malignant, name in ((False, "benign"), (True, "malignant")):
        rank = _deal(np.arange(len(label)), centre, generator)
        members = np.flatnonzero(label == malignant)
        for number, index in enumerate(members[np.argsort(rank[members])]):
            ids[index] = f"{name}({number})"
    return ids


def _grades(score: float, generator: Generator) -> tuple[str, ...]:
    """Return what two readers say of a lesion."""
    seen = score + READER_NOISE * generator.standard_normal(2)
    generator.random(2)  # what once made letters small; all that is drawn later depends on it
    return tuple(GRADES[place] for place in np.searchsorted(GRADE_LIMITS, seen))
