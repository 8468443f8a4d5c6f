"""How long the audit's search for copies takes and how much memory, on images made up here.

    python benchmarks/audit.py [--images 35000] [--side 64]

Random hashes are the easy case. Pictures of one kind have hashes that are alike: "alike" draws
them from few patterns, so that many pairs are candidates, as chest X-rays are. The images are
speckle over one of 1,100 broad patterns: none is a copy of another, and a few true copies are put
in, so that both kinds of error can be counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sambench.data.audit.copies import NEAR, find_copies, look, near_pairs

Hashes = NDArray[np.uint64]
SECONDS: dict[str, float] = {}
"""Of the processor, by what was done."""

PATTERNS, COPIES = 1100, 20
T = TypeVar("T")


def uniform(number: int, generator: np.random.Generator) -> Hashes:
    """Hashes that have nothing in common."""
    return generator.integers(0, 2**64, number, dtype=np.uint64)


def alike(number: int, generator: np.random.Generator) -> Hashes:
    """Hashes around 40 patterns, of which each bit flips with a probability of 15 %."""
    patterns = uniform(40, generator)[generator.integers(0, 40, number)]
    flips = np.packbits(generator.random((number, 64)) < 0.15, axis=1).view(np.uint64)[:, 0]
    return patterns ^ flips


def search(hashes: Hashes, distance: int) -> int:
    """Count near pairs by the audit's search."""
    return sum(len(pairs) for pairs, _ in near_pairs(hashes, hashes, distance))


def pictures(number: int, side: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield speckle over one of 1,100 broad patterns; the last ones are copies of the first."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(size=(PATTERNS, 8, 8))
    repeat = -(-side // 8)
    first: list[NDArray[np.uint8]] = []
    for _ in range(number - COPIES):
        broad = coarse[generator.integers(PATTERNS)].repeat(repeat, 0).repeat(repeat, 1)
        speckle = generator.normal(size=(side, side))
        image = np.clip(128 + 40 * broad[:side, :side] + 25 * speckle, 0, 255).astype(np.uint8)
        if len(first) < COPIES:
            first.append(image)
        yield image[..., None]
    for image in first:
        yield np.clip(0.9 * image + 5, 0, 255).astype(np.uint8)[..., None]


def timed(what: str, work: Callable[[], T]) -> T:
    """Do it once and print how long it took."""
    start, used = time.perf_counter(), time.process_time()
    result = work()
    seconds, own = time.perf_counter() - start, time.process_time() - used
    SECONDS[what] = own
    print(f"{what:<60} {seconds:8.2f} s, {own:8.2f} s of the processor", flush=True)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the search for copies.")
    parser.add_argument("--images", type=int, default=35_000)
    parser.add_argument("--side", type=int, default=64, help="of the images in pixels")
    parser.add_argument("--quick", action="store_true", help="few images, for a look")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    asked = parser.parse_args()
    number = 2000 if asked.quick else asked.images
    generator = np.random.default_rng(0)
    for make in (uniform, alike):
        hashes = make(number, generator)
        what = f"{number:,} hashes, {make.__name__}"
        found = timed(f"{what}: search", lambda h=hashes: search(h, NEAR))
        print(f"  {found:,} pairs within {NEAR} bits")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    what = f"{number:,} images of {asked.side} x {asked.side}"
    looks = timed(f"{what}: make and look", lambda: look(pictures(number, asked.side, 0)))
    copies = timed(f"{what}: find copies", lambda: find_copies(looks, range(number)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    true = {(place, number - COPIES + place) for place in range(COPIES)}
    certain = {(pair.first, pair.second) for pair in copies.certain}
    print(
        f"  bars {min(copies.bars):.2f} to {max(copies.bars):.2f}, up to {len(copies.bars) - 1} "
        f"bits; of {COPIES} copies "
        f"{len(certain & true)} found; false: {len(certain - true)}; possible: "
        f"{len(copies.possible)}"
    )
    print(f"  memory: {before:,.0f} MB before, {peak:,.0f} MB at most")
    if asked.json:
        found = {
            "quick": asked.quick,
            "images": number,
            "seconds": SECONDS,
            "megabytes": peak - before,
            "false_pairs": len(certain - true),
        }
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
