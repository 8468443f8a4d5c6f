"""Put the newest result of each benchmark into one Markdown page, ratios first.

    python benchmarks/summary.py        # results/*.json -> results/README.md

A number that a bar is set for says so; timings are those of the machine that the file is from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Found = dict[str, Any]
BARS = {"sam": 1.05, "gsam": 1.10, "crsam": 1.10}
"""Most that an optimizer may cost over its passes and Adam, on ResNet-18 of 32 pixels, batch 32."""

WRAPPER_BARS = {("resnet18 32px batch 32", "davda54/sam's loop"): 0.5}
"""Most that SAM may take beyond Adam, over what a peer takes."""

EPOCH_BAR = 1.03


def table(headings: str, rows: list[list[str]]) -> str:
    """Return a Markdown table; the headings are separated by bars."""
    names = headings.split("|")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def against(value: float, bar: float | None) -> str:
    """Return a ratio with its bar."""
    return f"{value:.3f}" + ("" if bar is None else f" (bar {bar:.2f})")


def overhead(found: Found) -> Iterator[str]:
    """Describe what optimizers cost beyond their passes."""
    yield "## A training step: (passes + step) / (passes + Adam's step)"
    workloads = list(dict.fromkeys(row["workload"] for row in found["rows"]))
    for workload in workloads:
        rows = sorted(
            (row for row in found["rows"] if row["workload"] == workload),
            key=lambda row: row["ratio"],
        )
        bars = BARS if workload.startswith("resnet18") else {}
        yield f"{workload}:"
        yield table(
            "optimizer|ratio|passes|step ms|operations|memory, copies of the weights",
            [
                [
                    row["optimizer"],
                    against(row["ratio"], bars.get(row["optimizer"])),
                    str(row["passes"]),
                    f"{row['step_ms']:.2f}",
                    str(row["operations"]),
                    f"{row['memory_copies']:.1f}",
                ]
                for row in rows
            ],
        )
    if found.get("wrapper"):
        yield "What SAM's wrapper takes beyond Adam, over the same of others:"
        yield table(
            "workload|peer|ours / peer|ours ms|peer ms",
            [
                [
                    row["workload"],
                    row["peer"],
                    against(row["ratio"], WRAPPER_BARS.get((row["workload"], row["peer"]))),
                    f"{row['ours_ms']:.2f}",
                    f"{row['peer_ms']:.2f}",
                ]
                for row in found["wrapper"]
            ],
        )
    for peer, reason in found.get("left_out", {}).items():
        yield f"Left out: {peer}: {reason}"


def epochs(found: Found) -> Iterator[str]:
    """Describe what epochs cost beyond their steps."""
    yield "## An epoch: epoch / (steps x step), and / (steps x (passes + Adam))"
    yield table(
        "case|images|changes|epoch|whole|step ms|batch ms|images/s",
        [
            [
                row["name"],
                str(row["case"]["images"]),
                f"{row['case']['augmentation']}, {row['case']['stop']}",
                against(row["epoch_ratio"], EPOCH_BAR),
                f"{row['whole_ratio']:.3f}",
                f"{row['step_ms']:.2f}",
                f"{row['batch_ms']:.2f}",
                f"{row['images_per_second']:.0f}",
            ]
            for row in found["rows"]
        ],
    )


def curvature(found: Found) -> Iterator[str]:
    """Describe Hessian-vector products and the work to a tolerance."""
    yield "## Curvature: gradients per product, products to a tolerance"
    yield table(
        "question|case|tool|products|error|note",
        [
            [
                row["question"],
                row["case"],
                row["tool"],
                "" if row["products"] is None else f"{row['products']:.4g}",
                "" if row["error"] is None else f"{row['error']:.1e}",
                row["note"],
            ]
            for row in found["rows"]
        ],
    )


def certificates(found: Found) -> Iterator[str]:
    """Describe what is called certified and is wrong, and how often intervals cover."""
    yield "## Curvature: certified values that are wrong, of networks as they are initialised"
    rows = []
    for network, counts in found["after"]["wrong_yes"].items():
        cells = [
            f"{counts.get(f'{what}: wrong yes', 0)} of {counts.get(f'{what}: yes', 0):,}"
            for what in ("dominant", "top", "top five", "lowest")
        ]
        rows.append([network, f"{found['after']['seeds']:,}", *cells])
    yield table("network|seeds|of batches|top|top five|lowest", rows)
    yield "How often 95 % intervals over batches cover, where they are given; `-` if never:"
    yield table(
        "network|steps of training|batches|median|mean",
        [
            [
                row["network"],
                str(row["steps"]),
                str(row["batches"]),
                *map(
                    _covered,
                    (
                        (row.get(f"{what}: covers", 0), row.get(f"{what}: given", 0))
                        for what in ("median", "mean")
                    ),
                ),
            ]
            for row in found["batch_coverage"]
            if row["batches"] > 4
        ],
    )


def _covered(found: tuple[int, int]) -> str:
    covers, given = found
    return f"{covers} of {given}" if given else "-"


def preparation(found: Found) -> Iterator[str]:
    """Describe decoding against bare loops."""
    yield "## Preparing images: a bare loop's seconds / ours"
    ours = sorted(found["seconds"]["prepare"])[len(found["seconds"]["prepare"]) // 2]
    rows = []
    for name, seconds in found["seconds"].items():
        middle = sorted(seconds)[len(seconds) // 2]
        rate = found["images"] / middle
        rows.append([name, f"{middle / ours:.2f}", f"{rate:.0f}"])
    yield table("loop|ratio|images/s", rows)


def launching(found: Found) -> Iterator[str]:
    """Describe what launching a run costs."""
    yield "## A run of a suite: seconds beside its own"
    kept = found["workers"]["dispatch_seconds_a_run"]
    yield table(
        "way|over kept workers|seconds a run",
        [
            [
                name.replace("_", " "),
                f"{found[name]['dispatch_seconds_a_run'] / kept:.1f}",
                f"{found[name]['dispatch_seconds_a_run']:.3f}",
            ]
            for name in ("workers", "inline", "process_each")
        ],
    )


SECTIONS: dict[str, Callable[[Found], Iterator[str]]] = {
    "optimizer-overhead": overhead,
    "epoch": epochs,
    "curvature": curvature,
    "certificates": certificates,
    "prepare": preparation,
    "dispatch": launching,
}
"""By what the name of a result file has after its date."""


def newest(folder: Path, kind: str) -> Path | None:
    """Return the newest result of a benchmark: the last by name, which begins with the date."""
    found = sorted(folder.glob(f"*-{kind}*.json")) + sorted(folder.glob(f"{kind}.json"))
    return found[-1] if found else None


def page(folder: Path) -> str:
    """Return the page over a folder of results."""
    parts = [
        "# Benchmarks",
        "Made by `make bench`; ratios first, so that the machine matters less.",
    ]
    for kind, describe in SECTIONS.items():
        path = newest(folder, kind)
        if path is None:
            parts.append(f"No result of {kind} yet.")
            continue
        found = json.loads(path.read_text())
        parts += describe(found)
        about = [str(found[key]) for key in ("torch", "cpu", "machine") if found.get(key)]
        quick = "; a quick look, not a measurement" if found.get("quick") else ""
        parts.append(f"From `{path.name}` ({', '.join(about) or 'this machine'}{quick}).")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    folder = parser.parse_args().results
    text = page(folder)
    (folder / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
