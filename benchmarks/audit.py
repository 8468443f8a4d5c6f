"""How long the audit's search for copies takes, on hashes and thumbnails made up here.

    python benchmarks/audit.py [--images 35000]

Random hashes are the easy case. Pictures of one kind have hashes that are alike: "alike" draws
them from few patterns, so that many pairs are candidates, as chest X-rays are. The search is
compared with comparing all pairs in numpy, block by block, and must find the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sambench.data.audit.copies import DISTANCE, find_copies
from sambench.data.audit.looks import SIDE, Looks, look, perceptual_hashes
from sambench.data.audit.neighbours import near_pairs

Hashes = NDArray[np.uint64]
SECONDS: dict[str, float] = {}
"""Of the processor, by what was done."""

PATTERNS = 1100
T = TypeVar("T")


def uniform(number: int, generator: np.random.Generator) -> Hashes:
    """Hashes that have nothing in common."""
    return generator.integers(0, 2**64, number, dtype=np.uint64)


def alike(number: int, generator: np.random.Generator) -> Hashes:
    """Hashes around 40 patterns, of which each bit flips with a probability of 15 %."""
    patterns = uniform(40, generator)[generator.integers(0, 40, number)]
    flips = np.packbits(generator.random((number, 64)) < 0.15, axis=1).view(np.uint64)[:, 0]
    return patterns ^ flips


def all_pairs(hashes: Hashes, distance: int) -> int:
    """Count near pairs by comparing each hash with all later ones."""
    ones = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)
    found = 0
    for start in range(0, len(hashes), 256):
        block = hashes[start : start + 256, None] ^ hashes[None, start:]
        apart = sum(ones[(block >> np.uint64(16 * b)) & np.uint64(0xFFFF)] for b in range(4))
        rows = np.arange(len(block))[:, None]
        found += int(((apart <= distance) & (np.arange(block.shape[1])[None] > rows)).sum())
    return found


def search(hashes: Hashes, distance: int) -> int:
    """Count near pairs by the audit's search."""
    return sum(len(pairs) for pairs, _ in near_pairs(hashes, distance))


def thumbnails(number: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Speckle over one of 1,100 broad patterns: the hash takes 0.09 % of all pairs for copies.

    That is its share among chest X-rays; the fine structure must tell that they are none.
    """
    coarse = (
        generator.normal(size=(PATTERNS, 8, 8)).repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2)
    )
    made = np.empty((number, SIDE, SIDE), dtype=np.uint8)
    for start in range(0, number, 1000):
        count = min(1000, number - start)
        broad = coarse[generator.integers(0, PATTERNS, count)]
        speckle = generator.normal(size=(count, SIDE, SIDE))
        made[start : start + count] = np.clip(128 + 40 * broad + 25 * speckle, 0, 255)
    return made


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
    parser.add_argument("--quick", action="store_true", help="few images, for a look")
    parser.add_argument("--json", type=Path, help="write the seconds to this file too")
    asked = parser.parse_args()
    number = 2000 if asked.quick else asked.images
    generator = np.random.default_rng(0)
    for make in (uniform, alike):
        hashes = make(number, generator)
        what = f"{number:,} hashes, {make.__name__}"
        found = timed(f"{what}: search", lambda h=hashes: search(h, DISTANCE))
        expected = timed(f"{what}: all pairs", lambda h=hashes: all_pairs(h, DISTANCE))
        print(f"  {found:,} pairs within {DISTANCE} bits")
        assert found == expected
    pictures = generator.integers(0, 256, (500, 256, 256, 1), dtype=np.uint8)
    timed("500 images of 256 x 256: look", lambda: look(pictures))
    made = thumbnails(number, generator)
    hashes = timed(f"{number:,} thumbnails: hash", lambda: perceptual_hashes(made))
    print(f"  {search(hashes, DISTANCE):,} pairs within {DISTANCE} bits")
    looks = Looks(thumbnails=made, digests=tuple(map(str, range(number))))
    copies = timed(
        f"{number:,} thumbnails: hash, search, confirm, join",
        lambda: find_copies(looks, range(number)),
    )
    print(f"  {len(copies.near):,} near-duplicates")
    if asked.json:
        found = {"quick": asked.quick, "images": number, "seconds": SECONDS}
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
