"""Decodes the images of a listing in threads.

Pillow releases the interpreter lock while it decodes and resizes, so threads are as fast as
processes and cost nothing to start (`benchmarks/prepare.py` measures it).
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace

from PIL import Image

from sambench.data.decoding import Deep, Recipe, UnreadableError, bits_for, decode, shrink
from sambench.data.partial import Entry, FileState, Partial
from sambench.data.source import Listing, Sample

CHUNK = 4096
"""Images handed to the threads at once: each takes a kilobyte while it waits."""


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(
    listing: Listing,
    partial: Partial,
    *,
    states: Mapping[str, FileState],
    found: Mapping[str, Entry],
    workers: int,
    on_progress: Callable[[int, int, str], None],
) -> dict[str, Entry | str]:
    """Return the entry of each sample or the reason why it cannot be used, by id.

    Deep images are decoded once all have told their peaks, from which their depth follows.

    Args:
        listing: The images.
        partial: Where to put them.
        states: Size and time of each sample's file.
        found: Those that an earlier preparation has decoded.
        workers: Number of threads.
        on_progress: Called with (done, total, file) after each image.

    Raises:
        StoreError: If the disk refuses.
    """
    outcomes: dict[str, Entry | str] = dict(found)
    slots = itertools.count(partial.next_slot)
    peaks = {id: entry.peak for id, entry in found.items() if entry.peak}

    def decode_one(sample: Sample, slot: int, recipe: Recipe) -> Entry | Deep | str:
        try:
            if sample.pixels is None:
                decoded = decode(sample.path, partial.image_size, recipe, sample.page)
            else:
                decoded = shrink(sample.pixels, partial.image_size, recipe)
        except UnreadableError as error:
            return str(error)
        if isinstance(decoded, Deep):
            return decoded
        return partial.fill(slot, sample.place, states[sample.id], decoded, recipe.depth)

    def decode_these(samples: Iterable[Sample], recipe: Recipe) -> None:
        source = iter(samples)
        while chunk := list(itertools.islice(source, CHUNK)):
            work = {pool.submit(decode_one, one, next(slots), recipe): one for one in chunk}
            for future in as_completed(work):
                sample, outcome = work[future], future.result()
                if isinstance(outcome, Deep):
                    peaks[sample.id] = outcome.peak
                    continue
                outcomes[sample.id] = outcome
                if isinstance(outcome, Entry):
                    partial.add(outcome)
                on_progress(len(outcomes), len(listing.samples), sample.file)

    with _no_size_warnings(), ThreadPoolExecutor(workers) as pool:
        try:
            todo = (sample for sample in listing.samples if sample.id not in found)
            decode_these(todo, partial.recipe)
            if peaks:
                depth = partial.recipe.depth or bits_for(max(peaks.values()))
                again = {i for i in peaks if i not in found or found[i].depth != depth}
                for id in again & found.keys():
                    del outcomes[id]
                deep = (sample for sample in listing.samples if sample.id in again)
                decode_these(deep, replace(partial.recipe, depth=depth))
        finally:
            pool.shutdown(cancel_futures=True)
            partial.commit()
    return outcomes


@contextmanager
def _no_size_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of large images: `decode` refuses them with a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
