"""Decodes the images of a listing in threads.

Pillow releases the interpreter lock while it decodes and resizes, so threads are as fast as
processes and cost nothing to start (`benchmarks/prepare.py` measures it).
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sambench.data.decoding import Deep, Recipe, UnreadableError, bits_for, decode, shrink
from sambench.data.partial import Entry, Partial
from sambench.data.source import Listing

CHUNK = 4096
"""Images handed to the threads at once: each takes a kilobyte while it waits."""


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(
    listing: Listing,
    partial: Partial,
    states: NDArray[np.int64],
    found: Sequence[Entry | None],
    *,
    workers: int,
    on_progress: Callable[[int, int, str], None],
) -> list[Entry | str]:
    """Return for each sample its entry, or the reason why it cannot be used.

    Deep images are decoded once all have told their peaks, from which their depth follows.

    Args:
        listing: The images.
        partial: Where to put them.
        states: Size and time of each sample's file, shape (N, 2).
        found: What an earlier preparation has decoded of them.
        workers: Number of threads.
        on_progress: Called with (done, total, file) after each image.

    Raises:
        StoreError: If the disk refuses.
    """
    samples, slots = listing.samples, itertools.count(partial.next_slot)
    outcomes: list[Entry | Deep | str | None] = [*found]

    def decode_one(position: int, slot: int, recipe: Recipe) -> Entry | Deep | str:
        sample = samples[position]
        try:
            if sample.pixels is None:
                decoded = decode(sample.path, partial.image_size, recipe, sample.page)
            else:
                decoded = shrink(sample.pixels, partial.image_size, recipe)
        except UnreadableError as error:
            return str(error)
        if isinstance(decoded, Deep):
            return decoded
        size, mtime_ns = states[position].tolist()
        return partial.fill(slot, sample.place, (size, mtime_ns), decoded, recipe.depth)

    def decode_these(positions: Sequence[int], recipe: Recipe) -> None:
        done = len(samples) - len(positions)
        for start in range(0, len(positions), CHUNK):
            work = {
                pool.submit(decode_one, position, next(slots), recipe): position
                for position in positions[start : start + CHUNK]
            }
            for future in as_completed(work):
                outcome = outcomes[work[future]] = future.result()
                if isinstance(outcome, Deep):
                    continue
                if isinstance(outcome, Entry):
                    partial.add(outcome)
                done += 1
                on_progress(done, len(samples), samples[work[future]].file)

    with _no_size_warnings(), ThreadPoolExecutor(workers) as pool:
        try:
            decode_these([i for i, one in enumerate(outcomes) if one is None], partial.recipe)
            peaks = [one.peak for one in outcomes if isinstance(one, Entry | Deep) and one.peak]
            depth = partial.recipe.depth or bits_for(max(peaks, default=0))
            again = [
                i
                for i, one in enumerate(outcomes)
                if isinstance(one, Deep) or (isinstance(one, Entry) and one.depth not in (0, depth))
            ]
            decode_these(again, replace(partial.recipe, depth=depth))
        finally:
            pool.shutdown(cancel_futures=True)
            partial.commit()
    return [one for one in outcomes if isinstance(one, Entry | str)]


@contextmanager
def _no_size_warnings() -> Iterator[None]:
    """Silence Pillow's warnings of large images: `decode` refuses them with a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
