"""An audit in words and tables, for the terminal and as Markdown, and its files beside the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.data.audit.copies import EXPECTED
from sambench.data.audit.examine import NEAR, Audit, Link
from sambench.data.drawing import write_pairs
from sambench.data.prepared import Prepared
from sambench.errors import some
from sambench.files.atomic import write_json, write_text

MOST_ROWS = 25


@dataclass(frozen=True, kw_only=True)
class Section:
    """One question and its answer: sentences and, where there are rows, a table."""

    title: str
    text: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def write_audit(prepared: Prepared, audit: Audit) -> list[Path]:
    """Write audit.json, audit.md and pictures of pairs; return their paths."""
    folder = prepared.folder
    numbers, page = folder / "audit.json", folder / "audit.md"
    write_json(numbers, audit.to_dict())
    write_text(page, in_markdown(audit))
    paths = [page, numbers]
    for name, links, title in (
        ("conflicts", audit.conflicts, "copies with different labels"),
        ("copies", audit.links, "near-duplicates, the least alike first"),
        ("possible_copies", audit.possible, "possible copies, the most alike first"),
    ):
        pairs = [((link.first, link.second), link.labels, _how(link)) for link in links]
        paths.append(folder / f"{name}.png")
        write_pairs(prepared, pairs, title, paths[-1])
    return [path for path in paths if path.exists()]


def in_markdown(audit: Audit) -> str:
    """Return the audit as a page of Markdown."""
    counts = ", ".join(f"{count} {label}" for label, count in audit.counts.items())
    head = (
        f"{audit.images} images ({counts}); always naming the most frequent class is "
        f"{_percent(audit.majority)} accurate. Fingerprint {audit.fingerprint[:10]}."
    )
    lines = [f"# Audit of {audit.name} at {audit.image_size} pixels", "", head, ""]
    for section in sections(audit):
        lines += [f"## {section.title}", ""]
        lines += [line for sentence in section.text for line in (sentence, "")]
        if section.rows:
            rows = [section.headings, ["---"] * len(section.headings), *section.rows]
            cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
            lines += [*(f"| {' | '.join(row)} |" for row in cells), ""]
    return "\n".join(lines)


def sections(audit: Audit) -> tuple[Section, ...]:
    """Return the audit, question by question."""
    tears = [
        (t.split, str(t.test), str(t.leaked), _percent(t.leaked / t.test)) for t in audit.tears
    ]
    edges = [(b.label, *map(_percent, (b.border, b.margin, b.marks))) for b in audit.burned]
    conflicting = {id for link in audit.conflicts for id in (link.first, link.second)}
    families = sum(1 for family in audit.families if conflicting & set(family))
    conflicts = [
        (c.first, c.labels[0], c.second, c.labels[1], _how(c, named=True)) for c in audit.conflicts
    ]
    found = (
        Section(title="Copies", text=tuple(_copies(audit))),
        _table(
            "Conflicting labels",
            ("image", "label", "its copy", "label", "how alike"),
            conflicts,
            f"{_number(len(audit.conflicts), 'pair')} of copies with different labels, in "
            f"{_number(families, 'family', 'families')}; `--drop-conflicts` leaves them out.",
            most=MOST_ROWS,
            none=("No copies have different labels.",),
        ),
        _table(
            "What splits tear apart",
            ("split", "images tested", "with a copy or their patient in training", "share"),
            tears,
        ),
        *_shortcuts(audit),
        _leaks(audit),
        _table(
            "Burned-in edges, share of the images",
            ("class", "flat border", "dark margin", "marks in a dark margin"),
            edges,
        ),
        _table(
            "Left out by choice",
            ("image", "label", "reason"),
            audit.dropped,
            f"{_number(len(audit.dropped), 'image')} left out when the data were prepared.",
            most=MOST_ROWS,
        ),
    )
    return tuple(section for section in found if section.text or section.rows)


def _table(
    title: str,
    headings: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *text: str,
    most: int | None = None,
    none: tuple[str, ...] = (),
) -> Section:
    """Return a section of the first rows, which says `none` where there are no rows."""
    if most and len(rows) > most:
        text = (*text, f"The first {most}; audit.json has all.")
    said = text if rows else none
    return Section(title=title, text=said, headings=headings, rows=tuple(rows[:most]))


def _copies(audit: Audit) -> Iterator[str]:
    low, high = min(audit.bars), max(audit.bars)
    bars = f"{low:.2f}" + (f" to {high:.2f}, by the bits" if high > low + 0.01 else "")
    copied = sum(map(len, audit.families))
    size = f"{audit.image_size} x {audit.image_size}"
    yield f"Identical files: {_groups(audit.same_file)}."
    yield f"Identical pixels at {size}: {_groups(audit.same_pixels)}."
    yield (
        f"Certain near-duplicates: {len(audit.links)} pairs (perceptual hashes differ in at most "
        f"{len(audit.bars) - 1} of 64 bits, fine structure correlates at least {bars}: by "
        f"the unlike pairs of this very set {EXPECTED} false pairs are expected)."
    )
    yield (
        f"Possible copies: {len(audit.possible)} pairs, to be judged by eye; they are neither "
        "grouped nor left out."
    )
    yield (
        f"Together: {copied} of {audit.images} images ({_percent(copied / audit.images)}) are in "
        f"{len(audit.families)} families of copies; {copied - len(audit.families)} could go."
    )
    if audit.families:
        yield f"The largest family: {some(max(audit.families, key=len), limit=10)}."


def _shortcuts(audit: Audit) -> Iterator[Section]:
    rows = [
        (one.column, str(len(one.counts)), *_accuracy(one.accuracy, audit), f"{one.p:.2g}")
        for one in audit.shortcuts
    ]
    yield _table(
        "Columns that tell the class",
        ("column", "values", "accuracy alone", "gain", "p"),
        rows,
        "How accurate it is to name, for each image, the most frequent class of its centre, "
        f"device or fold; naming the most frequent class of all is {_percent(audit.majority)}. "
        "The p value is of independence (chi-squared).",
    )
    for one in audit.shortcuts:
        counts = [(value or "(empty)", [*n.values()]) for value, n in one.counts.items()]
        most = [(v, *map(str, n), _percent(max(n) / sum(n))) for v, n in counts]
        yield _table(f"Classes by {one.column}", (one.column, *audit.counts, "most frequent"), most)


def _leaks(audit: Audit) -> Section:
    bar = audit.majority + 2 * (audit.majority * (1 - audit.majority) / audit.images) ** 0.5
    rows = []
    for place, leak in enumerate(audit.leaks):
        fact = leak.facts[0] if place else "all together"
        tells = "tells the class" if leak.accuracy > bar else ""
        rows.append((fact, *_accuracy(leak.accuracy, audit), tells, leak.rule))
    return _table(
        "Facts of the files that tell the class",
        ("fact", "accuracy", "gain", "", "the tree on all images"),
        rows,
        "Accuracy of a decision tree of depth 2 on facts of the files, cross-validated over five "
        f"folds that keep copies together; the most frequent class alone is "
        f"{_percent(audit.majority)}, and {_percent(bar)} is two standard errors more.",
    )


def _accuracy(accuracy: float, audit: Audit) -> tuple[str, str]:
    return _percent(accuracy), f"{100 * (accuracy - audit.majority):+.1f} %"


def _how(link: Link, *, named: bool = False) -> str:
    if link.kind != NEAR:
        return link.kind
    alike = f"{link.distance} of 64 bits differ, correlation {link.correlation:.2f}"
    return f"{link.kind}: {alike}" if named else alike


def _groups(groups: Sequence[Sequence[str]]) -> str:
    if not groups:
        return "none"
    shown = some([" = ".join(group) for group in groups], limit=5)
    return f"{sum(map(len, groups))} images in {_number(len(groups), 'group')} ({shown})"


def _number(count: int, what: str, several: str | None = None) -> str:
    return f"{count} {what if count == 1 else several or what + 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
