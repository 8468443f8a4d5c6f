"""BUS-UCLM, breast ultrasound of 38 patients of Ciudad Real (Vallez et al., 2025).

    images/ALWI_000.png ...
    masks/ALWI_000.png ...      lesions in green (benign) or red (malignant) on black (normal)

The label is the colour of the mask, the patient the four letters in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sambench.data.family import NORMAL, Family, make_listing
from sambench.data.folders import UNTOLD, find_images, natural, subfolders
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request, Sample

CLASSES = ("normal", "benign", "malignant")
TEST_PATIENTS = ("ANFO", "COPE", "CRCI", "ELCO", "FLKA")
"""The patients that the authors test on."""


def scan(family: Family, request: Request) -> Listing:
    """List the images with patient and part; every mask is read for its colour."""
    root = family.locate(request)
    problems = Problems()
    inside = subfolders(root, problems)
    if not {"images", "masks"} <= inside.keys():
        raise family.refuse(root, "folders images/ and masks/")
    images = find_images(root, {inside["images"]: UNTOLD}, problems)
    masks = find_images(root, {inside["masks"]: UNTOLD}, problems)
    for id in sorted(images.keys() - masks.keys(), key=natural):
        problems.add(f"images in {root} without a mask, which tells the class", id, "restore them")
    for id in sorted(images, key=natural):
        if "_" not in id:
            problems.add(f"names in {root} without a patient in front", id, "restore the names")
    labels, both = _labels({id: masks[id] for id in images if id in masks}, request, problems)
    problems.check()
    mixed = f"masks with both colours, taken as malignant: {some(both)}"
    samples = []
    for id in sorted(images, key=natural):
        patient = id.partition("_")[0]
        facts = {"patient": patient, "part": "test" if patient in TEST_PATIENTS else "train"}
        samples.append(replace(images[id], label=labels[id], facts=facts))
    return make_listing(
        root,
        "images/ with masks/",
        family.wanted(request),
        samples,
        columns=("patient", "part"),
        notes=(mixed,) if both else (),
        missing=tuple(sorted(masks.keys() - images.keys(), key=natural)),
    )


def _labels(
    masks: Mapping[str, Sample], request: Request, problems: Problems
) -> tuple[dict[str, str], list[str]]:
    """Return the class of each mask by id, and the ids of those that show two."""
    from concurrent.futures import ThreadPoolExecutor

    labels, both = {}, []
    with ThreadPoolExecutor() as pool:
        read = pool.map(_classes_in, [mask.path for mask in masks.values()])
        for done, (id, found) in enumerate(zip(masks, read, strict=True), start=1):
            request.progress(done, len(masks), "reading masks")
            if isinstance(found, str):
                kind = f"masks in {request.folder or request.raw} that tell no class"
                problems.add(kind, f"{masks[id].file} {found}", "restore the files")
                continue
            labels[id] = next((label for label in reversed(CLASSES) if label in found), "normal")
            both += [id] if len(found) > 1 else []
    return labels, both


def _classes_in(mask: Path) -> set[str] | str:
    """Return the classes of the lesions in a mask, or why it cannot be read."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(mask) as image:
            lit = np.asarray(image.convert("RGB")) >= 128
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        return f"is unreadable ({error})"
    red, green, blue = lit[..., 0], lit[..., 1], lit[..., 2]
    if (blue | (red & green)).any():
        return "has a colour besides green, red and black"
    return {label for label, there in (("malignant", red), ("benign", green)) if there.any()}


Family(
    name="bus-uclm",
    summary="breast ultrasound, BUS-UCLM: 683 images of 38 patients, two thirds normal",
    obtain="download it from data.mendeley.com/datasets/7fvgj4jsp7 and unpack it",
    layout="images/ and masks/",
    wrappers=("BUS-UCLM", "BUS_UCLM", "BUS-UCLM Breast ultrasound lesion segmentation dataset"),
    classes=CLASSES,
    options={"normal": NORMAL},
    reference="Vallez et al., BUS-UCLM, Scientific Data 12, 2025, doi 10.17632/7fvgj4jsp7",
    licence="CC BY 4.0 by its README, CC BY-NC 4.0 by its LICENSE.md: keep to the stricter",
    releases=({"normal": 419, "benign": 174, "malignant": 90},),
).register(scan)
