"""The page of `make bench`, from the results that are kept and from none."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.summary import RESULTS, SECTIONS, newest, page


def test_the_kept_results_make_a_page() -> None:
    text = page(RESULTS)
    assert "## A training step" in text
    assert "(bar 1.05)" in text
    lines = [line for line in text.splitlines() if line.startswith("| sam |")]
    ratios = [float(line.split("|")[2].split()[0]) for line in lines]
    found = json.loads((newest(RESULTS, "optimizer-overhead") or Path()).read_text())
    told = [row["ratio"] for row in found["rows"] if row["optimizer"] == "sam"]
    assert sorted(ratios) == sorted(round(ratio, 3) for ratio in told)


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    assert page(tmp_path).count("No result of") == len(SECTIONS)


def test_the_newest_result_counts(tmp_path: Path) -> None:
    for name in ("2026-01-02-epoch.json", "2026-01-10-epoch-2-cores.json", "2025-12-31-epoch.json"):
        (tmp_path / name).write_text(json.dumps({"rows": [], "quick": True}))
    found = newest(tmp_path, "epoch")
    assert found is not None
    assert found.name == "2026-01-10-epoch-2-cores.json"
    assert "a quick look, not a measurement" in page(tmp_path)
