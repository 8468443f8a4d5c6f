"""BUSI, breast ultrasound images of Baheya Hospital, Cairo (Al-Dhabyani et al., 2020).

    Dataset_BUSI_with_GT/{benign,malignant,normal}/
        benign (1).png   benign (1)_mask.png   benign (1)_mask_1.png ...
    images/benign_id_1.png ...   masks/            a curated copy (Zenodo 19047974)

Masks are told by their names and are not images of the set; it may come without any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sambench.data.class_folders import ClassFolders, Place, present, samples_of
from sambench.data.folders import SUFFIXES, Found, find_images, subfolders
from sambench.data.locating import Release
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Option, Request, Sample, Source, sources

CLASSES = ("normal", "benign", "malignant")
RELEASE = Release(
    name="busi",
    obtain="download Dataset_BUSI.zip from scholar.cu.edu.eg/?q=afahmy/pages/dataset and unpack it",
    layout="benign/, malignant/ and normal/",
    wrappers=("Dataset_BUSI_with_GT", "Dataset_BUSI"),
)


def scan(request: Request) -> Listing:
    """List the images, each with the number of its masks.

    Raises:
        DataError: If the folder is not there or not BUSI's, or files are at fault.
    """
    root = RELEASE.locate(request)
    problems = Problems()
    keep = CLASSES if request.options["normal"] == "keep" else CLASSES[1:]
    found, layout = _find(root, problems)
    problems.check()
    if not found:
        raise RELEASE.refuse(root)
    masks = Counter(_mask_owners(found))
    samples = tuple(
        replace(sample, facts={"masks": masks[str(sample.path.with_suffix(""))]})
        for sample in samples_of(found)
        if sample.label in keep
    )
    classes, absent = present(keep, samples, root)
    return Listing(
        root=root,
        layout=layout,
        classes=classes,
        samples=samples,
        columns=("masks",),
        notes=(*absent, *_notes(samples)),
        passed={
            f.file: f"of class {f.meaning.label}, not wanted"
            for f in found.values()
            if f.meaning.label not in keep
        },
        unlisted="masks",
    )


def _find(root: Path, problems: Problems) -> tuple[dict[str, Found[Place]], str]:
    """Return the images by id, and a phrase for the layout."""
    labels = {label: label for label in CLASSES}
    folders = ClassFolders(labels=labels, id_of=lambda file: Path(file).stem, keep=_is_image)
    if found := folders.find(root, problems):
        return found, "a folder for each class"
    flat = subfolders(root, problems).get("images")
    if flat is None:
        return {}, ""
    images = find_images(root, {flat: None}, problems)
    return {
        id: Found(image.path, image.file, Place(label))
        for id, image in images.items()
        if (label := re.split(r"[_ (]", id)[0].casefold()) in CLASSES
    }, "images/ (curated)"


def _is_image(stem: str) -> bool:
    return re.search(r"_mask(_\d+)?$", stem) is None


def _mask_owners(found: Mapping[str, Found[Place]]) -> Iterator[str]:
    """Yield for each mask file the path, without suffix, of the image that it belongs to."""
    for folder in sorted({image.path.parent for image in found.values()}):
        for path in folder.iterdir():
            if path.suffix.lower() in SUFFIXES and not _is_image(path.stem):
                yield re.sub(r"_mask(_\d+)?$", "", str(path.with_suffix("")))


def _notes(samples: Sequence[Sample]) -> Iterator[str]:
    masks = {sample.id: int(sample.facts["masks"] or 0) for sample in samples}
    if not any(masks.values()):
        yield "no masks beside the images; none are needed"
        return
    several = [f"{id} ({number})" for id, number in masks.items() if number > 1]
    yield f"{sum(masks.values())} masks for {len(masks)} images, read as {len(masks)} images" + (
        f"; several for {some(several)}" if several else ""
    )


sources.register(
    Source(
        name="busi",
        summary="breast ultrasound, BUSI: 780 images of 600 women, patients not named",
        scan=scan,
        image_size=256,
        classes=CLASSES,
        options={
            "normal": Option(
                default="keep", choices=("keep", "drop"), help="images without a lesion"
            )
        },
        obtain=RELEASE.obtain,
        reference="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28, 2020",
        licence="none stated with the release; its authors ask to cite the paper",
        releases=(
            {"benign": 437, "malignant": 210, "normal": 133},
            {"benign": 222, "malignant": 164, "normal": 64},  # the curated copy
        ),
    )
)
