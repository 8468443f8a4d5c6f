"""Turns a listing of image files into the prepared format.

What is decoded is kept in a hidden folder (`partial.py`), which becomes the dataset when that is
complete, so no reader ever sees half of one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sambench.data.assembling import assemble
from sambench.data.decoding import Recipe
from sambench.data.manifest import FORMAT_VERSION, Account, LeftOut
from sambench.data.partial import Partial, decode_all
from sambench.data.prepared import Prepared, check_pixels, open_prepared, prepared_folder
from sambench.data.source import COMMON, Listing, Progress, Request, Source
from sambench.data.writing import NO_DROPS, Drops, changed_order, select, write_prepared
from sambench.errors import DataError, Problems, UnpreparedError
from sambench.files.atomic import check_room, free_bytes, replace_folder
from sambench.files.claim import lock
from sambench.files.definition import plain

ROOM = "free some space, or give another folder with `--data DIR`"


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The outcome of `prepare`; `reused` if nothing was to be done."""

    prepared: Prepared  # the dataset
    reused: bool = False
    resumed: int = 0  # how many images had been decoded by an earlier preparation that was cut


@dataclass(frozen=True)
class Outlook:
    """What a preparation is about to do: images, those decoded already, and the bytes it takes."""

    images: int
    resumed: int
    folder: Path  # on whose disk
    most: int  # that it takes at a time
    kept: int  # the most of them that stay when it is done
    free: int
    replaces: Prepared | None = None  # what was prepared before, of other files or settings


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

    The `root` is the folder of the prepared datasets, the `name` that of the family unless told
    otherwise; `workers` are threads, one for each core. With `skip_unreadable` missing and
    unreadable images are left out, and recorded as the copies are that `drops` leaves out.
    `on_start` is called before the first image, `on_progress` with (done, total, file) after each.
    `DataError` if the listing is at fault, images are missing or unreadable, or another process is
    preparing the same dataset; `StoreError` if the disk refuses, or has not the room.
    """
    request = replace(request, image_size=image_size)
    listing, account = assemble(source, request)
    skipped = [LeftOut(id=id, file="", reason="has no image file") for id in listing.missing]
    if not skip_unreadable:
        _refuse(skipped, listing.root)
    source = replace(source, name=name or source.name)
    final = prepared_folder(root, source.name, image_size)
    states = np.array([_state(sample.path) for sample in listing.samples]).reshape(-1, 2)
    asked, key = _asked(source, listing, account, states, request, drops)
    with lock(final, "preparing"):
        before: Prepared | None = None
        with suppress(UnpreparedError):  # not there, or damaged: preparing anew is the remedy
            before = open_prepared(root, source.name, image_size)
        other = before if before and before.manifest.listing != asked["listing"] else None
        if before and not other and (skip_unreadable or not before.manifest.skipped):
            with suppress(UnpreparedError):  # damaged
                check_pixels(before)
                return Preparation(prepared=before, reused=True)
        work, recipe = final.with_name(f".{final.name}.partial"), Recipe.of(request.options)
        number, free = len(listing.samples), free_bytes(root)
        grey = number * image_size**2  # bytes, if no image is in colour
        if not work.exists():  # what has no room leaves nothing
            check_room(f"preparing {number} images at {image_size}x{image_size}", grey, root, ROOM)
        partial = Partial(work, key, number, image_size, recipe)
        partial.records["size"] = states[:, 0]
        resumed = int(np.count_nonzero(partial.records["channels"]))
        # places of grey ones are there until the first image in colour takes three times as much;
        # where some may be left out, those that are kept are written once more
        most = (6 if skip_unreadable or drops != NO_DROPS else 4) * grey
        on_start(Outlook(number, resumed, root, most, kept=3 * grey, free=free, replaces=other))
        try:
            skipped += decode_all(listing, partial, workers, on_progress)
            if not skip_unreadable:
                _refuse(skipped, listing.root)
            groups, of_copies = select(listing, partial, drops, request.progress)
            known = {**asked, **of_copies, "skipped": skipped}
            finished = write_prepared(source, listing, groups, partial, known)
        except DataError:
            shutil.rmtree(work, ignore_errors=True)  # else it would lie there for ever
            raise
        replace_folder(finished, final)
        shutil.rmtree(work, ignore_errors=True)
        del listing, states, groups, partial  # a long table takes their room
        return Preparation(prepared=open_prepared(root, source.name, image_size), resumed=resumed)


def _refuse(skipped: Sequence[LeftOut], root: Path) -> None:
    """Stop if any image is missing or unreadable."""
    problems = Problems()
    remedy = "restore the files or leave these images out with `--skip-unreadable`"
    for image in skipped:
        thing = f"{image.file or image.id} {image.reason}"
        problems.add(f"unusable images in {root}", thing, remedy)
    problems.check()


def _state(path: Path) -> tuple[int, int]:
    """Return size and time of a file, by which a later preparation sees that it is the same."""
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)  # reading it will fail too, and then there is a reason to report
    return (status.st_size, status.st_mtime_ns)


def _asked(
    source: Source,
    listing: Listing,
    account: Account,
    states: NDArray[np.int64],
    request: Request,
    drops: Drops,
) -> tuple[dict[str, Any], str]:
    """Return what a manifest keeps of the request, with a sha256 over all that decides about it.

    Also one over what decides how images are decoded: which files, in which state, and how.
    """
    usual = {name: option.default for name, option in COMMON.items()}
    usual |= {"patient": "none", "centre_column": "", "device_column": ""}  # later than some sets
    asked = {
        "format_version": FORMAT_VERSION,
        "image_size": request.image_size,
        "preprocessing": Recipe.of(request.options).in_words,
        "account": plain(account),
        "options": {k: v for k, v in request.options.items() if v != usual.get(k)},
        "drops": asdict(drops),
    }
    key = {
        **asked,
        "classes": listing.classes,
        "columns": listing.columns,
        "checksums": dict(listing.checksums),
        "missing": listing.missing,
    }
    if order := changed_order(source, listing.classes):  # sets of before it counted are made anew
        key["changed"] = order
    digest = hashlib.sha256(json.dumps(key).encode())
    decoded = hashlib.sha256(json.dumps([request.image_size, asked["preprocessing"]]).encode())
    for sample, state in zip(listing.samples, states.tolist(), strict=True):
        one = [sample.id, sample.file, sample.label, dict(sample.facts), state]
        digest.update(json.dumps(one).encode())
        decoded.update(json.dumps([str(sample.path.absolute()), sample.id, state]).encode())
    return {**asked, "listing": digest.hexdigest()}, decoded.hexdigest()
