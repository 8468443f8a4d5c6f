"""Measure `prepare` against a bare Pillow loop that only decodes and resizes.

    python benchmarks/prepare.py --images 2405 --rounds 3 --json prepare.json

Writes speckled 800 x 600 RGB PNGs of about 0.7 MB, the size of real ultrasound PNGs, to a temporary
folder in the layout of the release; `--distinct` of them are really different and the others are
copies. Then prepares them and runs the loops, in turn, so that whatever else the machine does
meets all alike. `prepare` also hashes, journals and writes, and looks for copies; its decoding
alone hashes, journals and keeps the pixels; the loops keep nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import PIL
from PIL import Image

from sambench.data.assembling import assemble
from sambench.data.decoding import Recipe
from sambench.data.partial import Partial, decode_all, default_workers
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources

SIZE = 256


def make_release(root: Path, images: int, distinct: int) -> list[Path]:
    """Write images and workbook; returns the image files."""
    generator = np.random.default_rng(0)
    (root / "GDPH").mkdir()
    (root / "SYSUCC").mkdir()
    workbook = openpyxl.Workbook()
    sheet = workbook.create_sheet("prediction", 0)
    sheet.append(["ID", "BIRADS-reader1", "BIRADS-reader2", "fold"])
    paths: list[Path] = []
    for number in range(images):
        name = f"{('benign', 'malignant')[number % 2]}({number})"
        path = root / ("GDPH", "SYSUCC")[number % 3 > 0] / f"{name}.png"
        if number < distinct:
            speckle(generator).save(path)
        else:
            shutil.copyfile(paths[number % distinct], path)
        sheet.append([name, "4a", 3, number % 5])
        paths.append(path)
    workbook.save(root / "BIRADS&FOLD.xlsx")
    return paths


def speckle(generator: np.random.Generator) -> Image.Image:
    """Return a tissue-like map under multiplicative speckle, 800 x 600 RGB with equal channels."""
    tissue = np.kron(generator.gamma(2, 30, (150, 200)), np.ones((4, 4)))
    pixels = np.clip(tissue * generator.gamma(4, 0.25, tissue.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([pixels // 2 * 2] * 3, axis=-1))


def bare(path: Path) -> int:
    """Read, decode and resize one image, and keep nothing."""
    image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    return image.resize((SIZE, SIZE), Image.Resampling.BILINEAR).width


def loop(paths: Sequence[Path]) -> None:
    """Run the bare loop in this thread."""
    for path in paths:
        bare(path)


def pool(executor: Executor, paths: Sequence[Path], chunk: int) -> None:
    """Run the bare loop in threads or processes, started and ended within the measured time."""
    with executor:
        for _ in executor.map(bare, paths, chunksize=chunk):
            pass


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall-clock and the CPU seconds of one call, those of its processes included."""
    start, before = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - start, sum(os.times()[:4]) - before


def measure(
    root: Path, paths: Sequence[Path], workers: int, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Return wall-clock and CPU seconds of each contestant in each round, contestants in turn."""
    request = Request(table=root / "BIRADS&FOLD.xlsx")
    source = sources.get("bus")

    def once() -> None:
        prepare(source, request, root / "prepared", SIZE, workers=workers)

    listing, _ = assemble(source, replace(request, image_size=SIZE))

    def decode() -> None:
        partial = Partial(root / "decoded", "", len(listing.samples), SIZE, Recipe())
        decode_all(listing, partial, workers, lambda done, total, file: None)

    contestants: dict[str, Callable[[], object]] = {
        "prepare": once,
        "its decoding alone": decode,
        f"loop, {workers} threads": lambda: pool(ThreadPoolExecutor(workers), paths, 1),
        f"loop, {workers} processes": lambda: pool(ProcessPoolExecutor(workers), paths, 8),
        "loop, 1 thread": lambda: loop(paths),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    loop(paths)  # warm-up: the files come from the page cache from now on
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(seconds(work))
        for folder in ("prepared", "decoded"):
            shutil.rmtree(root / folder)
    return times


def describe(
    images: int, ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]
) -> str:
    """Return one line: the speed, and ours as a multiple of it in wall clock and in CPU time."""
    rate = statistics.median(images / wall for wall, _ in theirs)
    cpu = statistics.median(cpu for _, cpu in theirs) / images
    in_wall = [wall / our for (our, _), (wall, _) in zip(ours, theirs, strict=True)]
    in_cpu = [cpu / our for (_, our), (_, cpu) in zip(ours, theirs, strict=True)]
    return (
        f"{rate:6.1f} images/s, {1000 * cpu:5.1f} ms CPU each; prepare is "
        f"{statistics.median(in_wall):.2f} x as fast ({min(in_wall):.2f} to {max(in_wall):.2f}), "
        f"by CPU time {statistics.median(in_cpu):.2f} x"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2405)
    parser.add_argument("--distinct", type=int, default=200, help="really different images")
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few images, once, for a look")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    asked = parser.parse_args()
    if asked.quick:
        asked.images, asked.distinct, asked.rounds = 60, 20, 1
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = make_release(root, asked.images, min(asked.distinct, asked.images))
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
        times = measure(root, paths, asked.workers, asked.rounds)
    print(
        f"{asked.images} PNGs 800x600, {megabytes / asked.images:.2f} MB each "
        f"({min(asked.distinct, asked.images)} distinct), to {SIZE}x{SIZE}, {asked.rounds} rounds"
    )
    result: dict[str, object] = {
        "quick": asked.quick,
        "images": asked.images,
        "distinct": asked.distinct,
        "megabytes": megabytes,
        "workers": asked.workers,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
        "seconds": {name: [wall for wall, _ in measured] for name, measured in times.items()},
        "cpu_seconds": {name: [cpu for _, cpu in measured] for name, measured in times.items()},
    }
    for name, measured in times.items():
        print(f"{name:20s} {describe(asked.images, times['prepare'], measured)}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
