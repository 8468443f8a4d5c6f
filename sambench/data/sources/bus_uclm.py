"""BUS-UCLM, breast ultrasound of 38 patients of Ciudad Real (Vallez et al., 2025).

    images/ALWI_000.png ...
    masks/ALWI_000.png ...      lesions in green (benign) or red (malignant) on black (normal)

The label is the colour of the mask, the patient the four letters in front.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sambench.data.family import Family, make_listing
from sambench.data.folders import UNTOLD, find_images, natural, subfolders
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request

CLASSES = ("normal", "benign", "malignant")
TEST_PATIENTS = ("ANFO", "COPE", "CRCI", "ELCO", "FLKA")  # the patients that the authors test on


def scan(family: Family, request: Request) -> Listing:
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
        read = pool.map(_classes_in, [masks[id].path for id in shown])
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
        label = next((label for label in reversed(CLASSES) if label in found), "normal")
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


def _classes_in(mask: Path) -> set[str] | str:
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


Family.published("bus-uclm").register(scan)
