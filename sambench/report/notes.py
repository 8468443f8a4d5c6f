"""What a reader of a table must know: protocol, marks, tests, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from sambench.analysis.comparison import ALPHA, LEAST_PAIRS, Comparison
from sambench.analysis.groups import Group
from sambench.analysis.metrics import collapsed
from sambench.analysis.reach import pairs_needed
from sambench.report.cells import Column
from sambench.report.table import COLLAPSED, DIFFERENT, MISSING, UNCONVERGED, Row
from sambench.store.record import COMPLETED, RunRecord, Section

FAITHFUL = 0.9
"""Cosine of a perturbation with what rounding leaves of it, below which a reader is warned."""


def table_notes(
    group: Group, columns: Sequence[Column], rows: Sequence[Row], comparisons: Sequence[Comparison]
) -> Iterable[str]:
    """Return the sentences below a table, the protocol first.

    Args:
        group: The runs behind the table.
        columns: Of the table.
        rows: As printed.
        comparisons: Of its lines with the baseline by its columns; empty where there is none.
    """
    setting = group.setting
    done = [record for line in group.lines for record in line.completed]
    yield "Cells are mean ± SD (number of runs); bold is the best mean of its column."
    yield _protocol(group, done)
    if any(chosen.metric.curvature for chosen in columns):
        yield from _curvature_note(done)
    yield from _rounding_notes(group)
    missing = [r for line in group.lines for r in line.records if r.status != COMPLETED]
    for status in sorted({record.status for record in missing}):
        names = [record.name for record in missing if record.status == status]
        yield f"Not counted, {status}: {', '.join(names)}."
    if any(map(collapsed, done)):
        left_out = any(chosen.metric.curvature for chosen in columns)
        yield (
            f"{COLLAPSED} a run predicts one class for every test image (collapsed)"
            + ("; curvature is of the other runs, whose number is given." if left_out else ".")
        )
    if any(UNCONVERGED in cell.text for _, cells in rows for cell in cells):
        yield f"{UNCONVERGED} not converged within its budget; its error is in the record."
    if setting.stop.rule != "epochs":
        met = sum(bool(record.final and record.final["target_met"]) for record in done)
        yield f"Stop rule {setting.stop.rule} was met by {met} of {len(done)} runs."
    yield from _evidence(group, comparisons)
    yield from _untested(columns, rows, comparisons)
    if done and any(cell.summary is None for _, cells in rows for cell in cells):
        yield f"{MISSING} missing: no completed run that counts measured it."


def _rounding_notes(group: Group) -> Iterable[str]:
    """Warn of optimizers whose perturbation the precision's rounding has turned aside."""
    for line in group.lines:
        found = [(r.sharpness or {}).get("rounding") for r in line.completed]
        seen = [rounding for rounding in found if rounding]
        if not seen:
            continue
        cosine = fmean(rounding["cosine"] for rounding in seen)
        if cosine < FAITHFUL:
            changed = fmean(rounding["changed"] for rounding in seen)
            yield (
                f"{line.label}: rounding to {seen[0]['precision']} left its perturbation "
                f"{changed:.0%} of the weights and a cosine of {cosine:.2f} with the one asked for "
                "(mean of the runs); only fp32 perturbs exactly."
            )


def _protocol(group: Group, done: list[RunRecord]) -> str:
    setting = group.setting
    sizes = sorted({(r.data["train"], r.data["test"]) for r in done if r.data})
    parts = (
        f" ({'; '.join(f'{train} train, {test} test' for train, test in sizes)})" if sizes else ""
    )
    rates = _rates(group)
    stop = setting.stop.rule + ("" if setting.stop.value is None else f" {setting.stop.value:g}")
    until = (
        f"{setting.epochs} epochs"
        if stop == "epochs"
        else f"until {stop}, at most {setting.epochs} epochs"
    )
    start = "pretrained" if setting.pretrained else "from scratch"
    hardware = sorted({_place(record.environment) for record in done if record.environment})
    return (
        f"{setting.image_size} px images, split {setting.split}{parts}, {start}, batch "
        f"{setting.batch_size}, lr {rates} "
        f"({setting.schedule}), {until}, {setting.selection} weights, {setting.precision}, "
        f"on {'; '.join(hardware) or 'no finished run'}."
    )


def _place(environment: Section) -> str:
    """Say where a run was timed: on a CPU with how many threads, and beside how many others."""
    threads, at_once = environment.get("threads"), environment.get("runs_on_device", 1)
    told = [f"{at_once} runs at once"] if at_once > 1 else []
    if threads and not environment.get("gpu"):
        told.append(f"{threads} thread{'' if threads == 1 else 's'} each")
    place = str(environment.get("gpu") or environment.get("cpu"))
    return f"{place} ({', '.join(told)})" if told else place


def _rates(group: Group) -> str:
    """Return the learning rate, and whose are others where few have them."""
    owners: dict[float, list[str]] = {}
    for line in group.lines:
        if "lr" in line.optimizer:
            owners.setdefault(float(str(line.optimizer["lr"])), []).append(line.label)
    if not owners:
        return "not recorded"
    usual, *others = sorted(owners, key=lambda rate: (-len(owners[rate]), rate))
    told = [f"{', '.join(owners[rate])} {rate:g}" for rate in others]
    return f"{usual:g}" + (f" (but {'; '.join(told)})" if told else "")


def _curvature_note(done: list[RunRecord]) -> Iterable[str]:
    sections = [record.hessian for record in done if record.hessian]
    for definition in sorted({str(section["definition"]) for section in sections}):
        samples = sorted({int(s["samples"]) for s in sections if s["definition"] == definition})
        yield (
            "Top eigenvalue and trace: Hessian of the mean loss over "
            f"{' or '.join(map(str, samples))} training images, {_arithmetic(sections)}. Median, "
            f"mean and SD: over their batches ({definition})."
        )


def _arithmetic(sections: Iterable[Section]) -> str:
    """Return what else sets Hessians apart, of those that were not measured as usual too."""
    ways = {
        "batch_norm": {str(s.get("batch_norm", "eval")) for s in sections},
        "hvp": {str(s.get("hvp", "reverse")) for s in sections},
        "l2": {f"{s.get('l2', 0.0):g}" for s in sections},
    }
    named = {
        "eval": "evaluation mode",
        "train": "batch normalisation in train mode",
        "recalibrate": "evaluation mode with recalibrated statistics",
    }
    text = " or ".join(named[mode] for mode in sorted(ways["batch_norm"]))
    if ways["hvp"] != {"reverse"}:
        text += ", products by finite differences"
    if ways["l2"] != {"0"}:
        text += f", with an L2 penalty of {' or '.join(sorted(ways['l2']))}"
    return text


def _untested(
    columns: Sequence[Column], rows: Sequence[Row], comparisons: Sequence[Comparison]
) -> Iterable[str]:
    """Name the columns of which there are numbers but no test beside those of others."""
    tested = {found.metric.name for found in comparisons if found.n}
    titles = [
        chosen.title
        for place, chosen in enumerate(columns)
        if chosen.metric.name not in tested and any(cells[place].summary for _, cells in rows)
    ]
    if tested and titles:
        yield f"Not tested: {', '.join(titles)}."


def _evidence(group: Group, comparisons: Sequence[Comparison]) -> Iterable[str]:
    """Say which test the marks are of, or why there can be none."""
    tested = [found for found in comparisons if found.n]
    if not tested:
        return
    baseline, most = tested[0].baseline, max(found.n for found in tested)
    family = len(group.lines) - 1
    if most < LEAST_PAIRS:
        needed = pairs_needed(family, min(found.partitions for found in tested))
        yield (
            f"No difference to {baseline} is marked: {most} pair{'s' * (most != 1)} of runs can "
            f"show none at p < {ALPHA:g} after Holm's correction; {needed} are the least."
        )
        return
    names = "; ".join(dict.fromkeys(found.test for found in tested))
    possible = [found.smallest_p or 0.0 for found in tested]
    least, greatest = min(possible), max(possible)
    reach = f", with the fewest pairs {greatest:.2g}" if greatest > least else ""
    if least * family >= ALPHA:
        reach += ", too large for so many optimizers"
    yield (
        f"{DIFFERENT} differs from {baseline}, p < {ALPHA:g} after Holm's correction over "
        f"{family} optimizer{'s' * (family != 1)}; runs paired by seed and fold; {names}; "
        f"smallest possible p {least:.2g}{reach}."
    )
