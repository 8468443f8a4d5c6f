"""The findings of `gpu.py` as Markdown, ratios first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of one table."""
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]


def to_markdown(found: dict[str, Any]) -> str:
    """Return all tables of what was found; sections that were left out have none."""
    about = found["about"]
    lines = [f"{about['gpu'] or 'CPU'}, torch {about['torch']}, {about['date']}", ""]
    lines += _checks(found.get("checks", {}))
    for name, steps in found.get("steps", {}).items():
        lines += _steps(name, steps)
    for name, steps in found.get("compiled", {}).items():
        lines += _steps(f"{name}, compiled", steps)
    lines += _optimizers(found.get("optimizers", {}))
    lines += _epochs(found.get("epochs", {}))
    lines += _packing(found.get("packing", {}))
    lines += _products(found.get("products", {}))
    bad = {k: v["status"] for k, v in found["sections"].items() if v["status"] != "done"}
    lines += [f"{name}: {status}" for name, status in bad.items()]
    return "\n".join(lines)


def _checks(checks: dict[str, Any]) -> list[str]:
    rows = [
        (kind, name, "passed" if one["passed"] else "FAILED", _brief(one))
        for kind, ones in checks.items()
        for name, one in ones.items()
    ]
    failed = sum(row[2] == "FAILED" for row in rows)
    if not rows:
        return []
    shown = [r for r in rows if r[2] == "FAILED" or r[0] == "ways" or "not captured" in r[3]]
    head = [f"Checks: {len(rows) - failed} of {len(rows)} passed.", ""]
    return head + (table(("check", "of", "", "found"), shown) if shown else [])


def _brief(check: dict[str, Any]) -> str:
    said = [f"{k} {v:.2g}" for k, v in check.items() if isinstance(v, float)]
    if check.get("captured") is False:
        said.append(f"not captured: {check['reason']}")
    return ", ".join(said)


def _steps(name: str, steps: dict[str, Any]) -> list[str]:
    roof = steps.get("roof", {}).get("step_ms")
    rows = [
        (
            way,
            _ratio(row.get("to_floor")),
            _ratio(row.get("loop_over_it")),
            _ratio(roof and roof / row["ms"]),
            f"{row['ms']:.3f} ({row['low']:.3f}-{row['high']:.3f})",
            f"{row['images_per_second']:.0f}",
            _ratio(row["peak_bytes"] and row["peak_bytes"] / 2**30),
        )
        for way, row in steps["rows"].items()
    ]
    headings = ("SAM step", "to floor", "loop / it", "share of roof", "ms", "images/s")
    failed = [f"{way}: {why}" for way, why in steps.get("failed", {}).items()]
    return [f"### {name}", "", *table((*headings, "peak GiB with set-up"), rows), *failed]


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _optimizers(found: dict[str, Any]) -> list[str]:
    rows = [
        (name, f"{one['to_floor']:.3f}", one["passes"], f"{one['captured']['ms']:.3f}")
        for name, one in found.items()
    ]
    headings = ("optimizer, captured", "to its bare passes", "passes", "ms")
    return table(headings, rows) if rows else []


def _epochs(found: dict[str, Any]) -> list[str]:
    rows = [
        (name, f"{one['epoch_over_steps']:.3f}", one["epoch_seconds"], one["images_per_second"])
        for name, one in found.items()
    ]
    return table(("epoch", "over its steps", "seconds", "images/s"), rows) if rows else []


def _packing(found: dict[str, Any]) -> list[str]:
    rows = [
        (name, number, f"{one['gain']:.2f}", one["steps_per_second"])
        for name, by_number in found.items()
        for number, one in by_number.items()
    ]
    return table(("packed", "processes", "gain", "steps/s together"), rows) if rows else []


def _products(found: dict[str, Any]) -> list[str]:
    rows = [
        (name, one.get("product_over_pass", "-"), one["product"]["ms"])
        for name, one in found.items()
        if "product" in one
    ]
    return table(("Hessian-vector product", "over a pass", "ms"), rows) if rows else []
