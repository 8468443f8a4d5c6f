"""Turns a listing of image files into the prepared format.

What is decoded is kept beside the result until that is complete (`partial.py`); the finished
folder is renamed into place, so no reader ever sees half a dataset.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sambench.data.accounting import Account
from sambench.data.assembling import assemble
from sambench.data.decoding import Recipe
from sambench.data.manifest import FORMAT_VERSION, LeftOut
from sambench.data.partial import Entry, FileState, Partial, decode_all, open_partial
from sambench.data.prepared import Prepared, check_pixels, open_prepared, prepared_folder
from sambench.data.problems import Problems
from sambench.data.selection import NO_DROPS, Decoded, Drops, Selection, select
from sambench.data.source import COMMON, Listing, Request, Setting, Source
from sambench.data.writing import write_prepared
from sambench.errors import DataError, UnpreparedError
from sambench.files.atomic import Room, free_bytes, replace_folder
from sambench.files.claim import lock

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The outcome of `prepare`; `reused` if nothing was to be done."""

    prepared: Prepared  # the dataset
    reused: bool = False
    resumed: int = 0  # how many images had been decoded by an earlier preparation that was cut


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a preparation is about to do: images, those decoded already, and the room it takes."""

    images: int
    resumed: int
    room: Room


def prepare(
    source: Source,
    request: Request,
    root: Path,
    image_size: int,
    *,
    name: str | None = None,
    workers: int | None = None,
    skip_unreadable: bool = False,
    drops: Drops = NO_DROPS,
    on_start: Callable[[Outlook], None] = lambda outlook: None,
    on_progress: Progress = lambda done, total, file: None,
) -> Preparation:
    """Prepare a dataset, continue a preparation that was cut, or find it already done.

    Args:
        source: The dataset family.
        request: Where its files are, and its settings.
        root: Folder of the prepared datasets.
        image_size: Side of the square images in pixels.
        name: What to call it; the family's name unless told otherwise.
        workers: Threads that decode; one for each core unless told otherwise.
        skip_unreadable: Leave out missing and unreadable images, and record them.
        drops: Which copies to leave out; recorded too.
        on_start: Called before the first image, with what is to be done and the room it takes.
        on_progress: Called with (done, total, file) after each image.

    Raises:
        DataError: If the listing is at fault, images are missing or unreadable, or another process
            is preparing the same dataset.
        StoreError: If the disk refuses, or has not the room.
    """
    listing, account = assemble(source, replace(request, image_size=image_size))
    skipped = [LeftOut(id=id, file="", reason="has no image file") for id in listing.missing]
    if not skip_unreadable:
        _refuse(skipped, listing.root)
    source = replace(source, name=name or source.name)
    final = prepared_folder(root, source.name, image_size)
    states = np.array([_state(sample.path) for sample in listing.samples]).reshape(-1, 2)
    key = _key(listing, states, request, image_size, drops, account)
    with lock(final, "preparing"):
        prepared = _same(root, source.name, image_size, key)
        if prepared and (skip_unreadable or not prepared.manifest["skipped"]):
            return Preparation(prepared=prepared, reused=True)
        work = final.with_name(f".{final.name}.partial")
        if not work.exists():
            _outlook(root, listing, 0, image_size)  # what has no room leaves nothing
        with open_partial(work, image_size, recipe_of(request.options)) as partial:
            found = partial.find(listing.samples, states)
            resumed = sum(entry is not None for entry in found)
            on_start(_outlook(root, listing, resumed, image_size))
            outcomes = decode_all(listing, partial, states, found, workers, on_progress)
            for sample, outcome in zip(listing.samples, outcomes, strict=True):
                if isinstance(outcome, str):
                    skipped.append(LeftOut(id=sample.id, file=sample.file, reason=outcome))
            if not skip_unreadable:
                _refuse(skipped, listing.root)
            selection = _select(listing, outcomes, partial, drops, request.progress)
            asked = {"drops": asdict(drops), "options": _own(request.options), "listing": key}
            done = work / "finished"
            write_prepared(done, source, listing, selection, partial, account, skipped, asked)
        replace_folder(done, final)
        shutil.rmtree(work, ignore_errors=True)
        del listing, states, found, outcomes, selection, partial  # a long table takes their room
        return Preparation(prepared=open_prepared(root, source.name, image_size), resumed=resumed)


def _outlook(root: Path, listing: Listing, resumed: int, image_size: int) -> Outlook:
    """Reckon the room: each image is written twice, in its slot and in the result.

    A grey image takes a third of what a colour image takes; which they are, decoding tells. There
    must be the room for grey ones.
    """
    images, grey = len(listing.samples), image_size**2
    least = (2 * images - resumed) * grey
    free, kept = free_bytes(root), 3 * images * grey
    room = Room(folder=root, least=least, most=3 * least, kept=kept, free=free)
    what = f"preparing {images} images at {image_size}x{image_size}"
    room.check(what, "free some space, or give another folder with `--data DIR`")
    return Outlook(images=images, resumed=resumed, room=room)


def _own(options: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings without those of every dataset that are at their default."""
    usual = {name: option.default for name, option in COMMON.items()}
    return {name: value for name, value in options.items() if usual.get(name) != value}


def recipe_of(options: Mapping[str, Setting]) -> Recipe:
    """Return how images become squares by the settings of a request."""
    depth = options.get("depth", "auto")
    return Recipe(fit=str(options.get("fit", "squash")), depth=0 if depth == "auto" else int(depth))


def _refuse(skipped: Sequence[LeftOut], root: Path) -> None:
    """Stop if any image is missing or unreadable."""
    problems = Problems()
    remedy = "restore the files or leave these images out with `--skip-unreadable`"
    for image in skipped:
        thing = f"{image.file or image.id} {image.reason}"
        problems.add(f"unusable images in {root}", thing, remedy)
    problems.check()


def _state(path: Path) -> FileState:
    """Return size and time of a file, by which a later preparation sees that it is the same."""
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)  # reading it will fail too, and then there is a reason to report
    return (status.st_size, status.st_mtime_ns)


def _select(
    listing: Listing,
    outcomes: Sequence[Entry | str],
    partial: Partial,
    drops: Drops,
    progress: Progress,
) -> Selection:
    """Group the images and leave out what was asked; stop if a class has lost all of them."""
    pairs = zip(listing.samples, outcomes, strict=True)
    decoded: Decoded = [(sample, one) for sample, one in pairs if isinstance(one, Entry)]
    if not decoded:
        raise DataError(f"no usable image in {listing.root}; give another folder")
    selection = select(decoded, partial, drops, progress)
    left = {sample.label for sample, _ in selection.kept}
    for label in sorted({sample.label for sample, _ in selection.dropped} - left):
        raise DataError(
            f"no image of class {label!r} in {listing.root} is left without its copies; "
            "leave out `--drop-conflicts` and look at `--audit`"
        )
    return selection


def _key(
    listing: Listing,
    states: NDArray[np.int64],
    request: Request,
    image_size: int,
    drops: Drops,
    account: Account,
) -> str:
    """Return a sha256 over all that decides what is written."""
    key = {
        "format_version": FORMAT_VERSION,
        "image_size": image_size,
        "preprocessing": recipe_of(request.options).in_words,
        "account": account.to_dict(),
        "options": _own(request.options),
        "drops": asdict(drops),
        "classes": listing.classes,
        "columns": listing.columns,
        "checksums": dict(listing.checksums),
        "missing": listing.missing,
    }
    digest = hashlib.sha256(json.dumps(key).encode())
    for sample, state in zip(listing.samples, states, strict=True):
        one = [sample.id, sample.file, sample.label, dict(sample.facts), state.tolist()]
        digest.update(json.dumps(one).encode())
    return digest.hexdigest()


def _same(root: Path, name: str, image_size: int, key: str) -> Prepared | None:
    """Return the dataset as prepared before, if it is whole and made from the same files."""
    try:
        prepared = open_prepared(root, name, image_size)
        if prepared.manifest["listing"] != key:
            return None
        check_pixels(prepared)
    except UnpreparedError:
        return None  # not there, or damaged: preparing anew is the remedy
    return prepared
