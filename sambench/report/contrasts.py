"""Tables of `compare A B`: what two sides differ by, and our runs beside printed numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sambench.analysis.comparison import Comparison
from sambench.analysis.contrast import Contrast
from sambench.analysis.predictions import DeLong, McNemar
from sambench.analysis.replication import Replication
from sambench.report.table import COLLAPSED, MISSING, Cell, Table, format_summary, signed

HEADINGS = (
    *("Metric", "Baseline", "Candidate", "Difference", "95 % interval", "Pairs", "p (Holm)"),
    *("Cohen's dz", "P(better)", "Verdict"),
)
IMAGES = (
    *("Pair", "Images", "Baseline right once", "Candidate right once", "McNemar p"),
    *("AUROC difference (points)", "DeLong p"),
)
PRINTED = (
    *("Cell", "Metric", "Printed", "Ours", "Difference", "95 % of further runs"),
    "The printed number is",
)


def contrast_tables(contrast: Contrast) -> tuple[Table, ...]:
    """Return a table for each setting that both sides have, then what was not compared."""
    settings: dict[tuple[str, str, str], list[Comparison]] = {}
    for found in contrast.comparisons:
        settings.setdefault((found.setting, found.baseline, found.candidate), []).append(found)
    tables = [_setting_table(chosen, contrast) for chosen in settings.values()]
    reasons = contrast.unmatched
    if not (tables or reasons):
        reasons = ("the two sides have no setting in common",)
    if reasons:
        rows = tuple((reason, ()) for reason in reasons)
        tables.append(Table(title="Not compared", headings=("Setting",), rows=rows, notes=()))
    return tuple(tables)


def replication_table(found: Sequence[Replication]) -> Table:
    """Return our runs beside printed numbers, a row for each."""
    rows = tuple((f"{one.optimizer} on {one.model}", _replicated(one)) for one in found)
    flat = sorted({name for one in found for name in one.collapsed})
    notes = [
        "Ours is mean ± SD (runs). The last but one column holds 95 % of further runs of ours "
        "(Student t prediction): a printed number outside of it would be an unusual run of ours.",
        "Seconds are of other machines, and the papers do not define their curvature in full.",
    ]
    if flat:
        notes.append(f"{COLLAPSED} collapsed, and left out of curvature: {', '.join(flat)}.")
    papers = " and ".join(dict.fromkeys(one.paper for one in found))
    return Table(title=f"Beside {papers}", headings=PRINTED, rows=rows, notes=tuple(notes))


def predictions_table(found: Sequence[tuple[str, McNemar, DeLong | None]]) -> Table:
    """Return what two runs of each pair say of the same test images, a row for each pair."""
    rows = tuple(
        (label, tuple(Cell(text=text) for text in _on_images(errors, ranking)))
        for label, errors, ranking in found
    )
    notes = (
        "Right once: test images that only the baseline's or only the candidate's run classifies "
        "rightly; McNemar's exact test of accuracy, DeLong's of AUROC.",
        "A row is one run a side: it speaks of other images, not of other seeds; p is not "
        "corrected for the number of rows.",
    )
    return Table(title="On the same test images", headings=IMAGES, rows=rows, notes=notes)


def _on_images(errors: McNemar, ranking: DeLong | None) -> tuple[str, ...]:
    return (
        str(errors.n),
        str(errors.only_baseline),
        str(errors.only_candidate),
        f"{errors.p:.3g}",
        MISSING if ranking is None else signed(100 * ranking.difference),
        MISSING if ranking is None else f"{ranking.p:.3g}",
    )


def _setting_table(chosen: Sequence[Comparison], contrast: Contrast) -> Table:
    first = chosen[0]
    measured = [found for found in chosen if found.n]
    return Table(
        title=f"{first.candidate} against {first.baseline}: {first.setting}",
        headings=HEADINGS,
        rows=tuple((found.metric.title, _cells(found)) for found in measured),
        notes=(*_tests(measured, contrast), *_troubles(chosen)),
    )


def _cells(found: Comparison) -> tuple[Cell, ...]:
    before, after = found.baseline_summary, found.candidate_summary
    p = found.p if found.p_holm is None else found.p_holm
    interval, effect = found.interval, found.effect_size
    better = found.probability_of_improvement
    texts = (
        MISSING if before is None else format_summary(before, None),
        MISSING if after is None else format_summary(after, None),
        MISSING if found.difference is None else signed(found.difference),
        MISSING if interval is None else f"{signed(interval.low)} .. {signed(interval.high)}",
        str(found.n),
        MISSING if p is None else f"{p:.3g}",
        MISSING if effect is None else f"{effect:+.2f}",
        MISSING if better is None else f"{better:.2f}",
        found.verdict,
    )
    return tuple(Cell(text=text) for text in texts)


def _tests(measured: Sequence[Comparison], contrast: Contrast) -> Iterable[str]:
    if not measured:
        yield "No pair: no run of one side has a counterpart on the other."
        return
    for test in dict.fromkeys(found.test for found in measured):
        of_it = [found for found in measured if found.test == test]
        least = min(found.smallest_p or 0.0 for found in of_it)
        bound = (
            f"the smallest p that so many pairs allow is {least:.2g}" if least else "p has no bound"
        )
        titles = ", ".join(found.metric.title for found in of_it)
        yield f"{'All' if len(of_it) == len(measured) else titles}: {test}; {bound}."
    size = max(
        sum(c.metric == one.metric and c.p is not None for c in contrast.comparisons)
        for one in measured
    )
    if size > 1:
        yield f"p is corrected (Holm) over the {size} comparisons of each metric."
    if any(found.n < 6 for found in measured):
        yield "Under six pairs nothing is called better or worse."


def _troubles(comparisons: Sequence[Comparison]) -> Iterable[str]:
    """Say once of each run why it was not used or cannot be trusted."""
    lines: dict[str, None] = {}
    for found in comparisons:
        lines |= dict.fromkeys(f"Unpaired: {reason}." for reason in found.unpaired)
        lines |= dict.fromkeys(f"Collapsed: {name}." for name in found.collapsed)
        title = found.metric.title
        lines |= dict.fromkeys(f"{title} not converged: {name}." for name in found.unconverged)
        if found.n:
            lines |= dict.fromkeys(f"{title} left out: {reason}." for reason in found.left_out)
    return lines


def _replicated(found: Replication) -> tuple[Cell, ...]:
    interval = found.interval
    texts = (
        found.metric.title,
        f"{found.published:.4g}",
        format_summary(found.ours, None) + (COLLAPSED if found.collapsed else ""),
        signed(found.difference),
        MISSING if interval is None else f"{interval.low:.3g} .. {interval.high:.3g}",
        found.verdict,
    )
    return tuple(Cell(text=text) for text in texts)
