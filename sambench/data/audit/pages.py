"""An audit in words and tables, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sambench.data.audit.copies import EXPECTED
from sambench.data.audit.findings import NEAR, Audit, Link
from sambench.data.problems import some

MOST_ROWS = 25


@dataclass(frozen=True, kw_only=True)
class Section:
    """One question and its answer.

    Attributes:
        title: The question's subject.
        text: Sentences.
        headings: Of the table.
        rows: Of the table; empty where there is none.
    """

    title: str
    text: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sections(audit: Audit) -> tuple[Section, ...]:
    """Return the audit, question by question."""
    found = (
        _copies(audit),
        _conflicts(audit),
        _tears(audit),
        _shortcuts(audit),
        *_balances(audit),
        _leaks(audit),
        _burned(audit),
        *_dropped(audit),
    )
    return tuple(section for section in found if section.text or section.rows)


def in_markdown(audit: Audit) -> str:
    """Return the audit as a page of Markdown."""
    lines = [f"# Audit of {audit.name} at {audit.image_size} pixels", "", _head(audit), ""]
    for section in sections(audit):
        lines += [f"## {section.title}", "", *_paragraphs(section.text)]
        if section.rows:
            lines += [_row(section.headings), _row(["---"] * len(section.headings))]
            lines += [*map(_row, section.rows), ""]
    return "\n".join(lines)


def _head(audit: Audit) -> str:
    counts = ", ".join(f"{count} {label}" for label, count in audit.counts.items())
    return (
        f"{audit.images} images ({counts}); always naming the most frequent class is "
        f"{_percent(audit.majority)} accurate. Fingerprint {audit.fingerprint[:10]}."
    )


def _copies(audit: Audit) -> Section:
    copied = sum(map(len, audit.families))
    text = [
        f"Identical files: {_groups(audit.same_file)}.",
        f"Identical pixels at {audit.image_size} x {audit.image_size}: "
        f"{_groups(audit.same_pixels)}.",
        f"Certain near-duplicates: {len(audit.links)} pairs (perceptual hashes differ in at most "
        f"{len(audit.bars) - 1} of 64 bits, fine structure correlates at least {_bars(audit)}: by "
        f"the unlike pairs of this very set {EXPECTED} false pairs are expected).",
        f"Possible copies: {len(audit.possible)} pairs, to be judged by eye; they are neither "
        "grouped nor left out.",
        f"Together: {copied} of {audit.images} images ({_percent(copied / audit.images)}) are in "
        f"{len(audit.families)} families of copies; {copied - len(audit.families)} could go.",
    ]
    if audit.families:
        largest = max(audit.families, key=len)
        text.append(f"The largest family: {some(largest, limit=10)}.")
    return Section(title="Copies", text=tuple(text))


def _bars(audit: Audit) -> str:
    low, high = min(audit.bars), max(audit.bars)
    return f"{low:.2f}" + (f" to {high:.2f}, by the bits" if high > low + 0.01 else "")


def _conflicts(audit: Audit) -> Section:
    if not audit.conflicts:
        return Section(title="Conflicting labels", text=("No copies have different labels.",))
    conflicting = {id for link in audit.conflicts for id in (link.first, link.second)}
    families = sum(1 for family in audit.families if conflicting & set(family))
    text = (
        f"{_number(len(audit.conflicts), 'pair')} of copies with different labels, in "
        f"{_number(families, 'family', 'families')}; `--drop-conflicts` leaves them out.",
    )
    rows = tuple(
        (link.first, link.labels[0], link.second, link.labels[1], _how(link))
        for link in audit.conflicts
    )
    headings = ("image", "label", "its copy", "label", "how alike")
    return Section(
        title="Conflicting labels", text=(*text, *_more(rows)), headings=headings, rows=_few(rows)
    )


def _tears(audit: Audit) -> Section:
    rows = tuple(
        (tear.split, str(tear.test), str(tear.leaked), _percent(tear.leaked / tear.test))
        for tear in audit.tears
    )
    headings = ("split", "images tested", "with a copy or their patient in training", "share")
    return Section(title="What splits tear apart", headings=headings, rows=rows)


def _shortcuts(audit: Audit) -> Section:
    rows = tuple(
        (
            shortcut.column,
            str(len(shortcut.counts)),
            _percent(shortcut.accuracy),
            _percent(shortcut.accuracy - audit.majority, sign=True),
            f"{shortcut.p:.2g}",
        )
        for shortcut in audit.shortcuts
    )
    text = (
        "How accurate it is to name, for each image, the most frequent class of its centre, "
        f"device or fold; naming the most frequent class of all is {_percent(audit.majority)}. "
        "The p value is of independence (chi-squared).",
    )
    headings = ("column", "values", "accuracy alone", "gain", "p")
    return Section(
        title="Columns that tell the class", text=text if rows else (), headings=headings, rows=rows
    )


def _balances(audit: Audit) -> Iterator[Section]:
    for shortcut in audit.shortcuts:
        rows = tuple(
            (
                value or "(empty)",
                *(str(count) for count in counts.values()),
                _percent(max(counts.values()) / sum(counts.values())),
            )
            for value, counts in shortcut.counts.items()
        )
        headings = (shortcut.column, *audit.counts, "most frequent")
        yield Section(title=f"Classes by {shortcut.column}", headings=headings, rows=rows)


def _leaks(audit: Audit) -> Section:
    spread = (audit.majority * (1 - audit.majority) / audit.images) ** 0.5
    rows = tuple(
        (
            "all together" if place == 0 else leak.facts[0],
            _percent(leak.accuracy),
            _percent(leak.accuracy - audit.majority, sign=True),
            "tells the class" if leak.accuracy > audit.majority + 2 * spread else "",
            leak.rule,
        )
        for place, leak in enumerate(audit.leaks)
    )
    text = (
        "Accuracy of a decision tree of depth 2 on facts of the files, cross-validated over five "
        f"folds that keep copies together; the most frequent class alone is "
        f"{_percent(audit.majority)}, and {_percent(audit.majority + 2 * spread)} is two standard "
        "errors more.",
    )
    headings = ("fact", "accuracy", "gain", "", "the tree on all images")
    return Section(
        title="Facts of the files that tell the class",
        text=text if rows else (),
        headings=headings,
        rows=rows,
    )


def _burned(audit: Audit) -> Section:
    rows = tuple(
        (one.label, _percent(one.border), _percent(one.margin), _percent(one.marks))
        for one in audit.burned
    )
    headings = ("class", "flat border", "dark margin", "marks in a dark margin")
    return Section(title="Burned-in edges, share of the images", headings=headings, rows=rows)


def _dropped(audit: Audit) -> Iterator[Section]:
    if audit.dropped:
        text = (f"{_number(len(audit.dropped), 'image')} left out when the data were prepared.",)
        yield Section(
            title="Left out by choice",
            text=(*text, *_more(audit.dropped)),
            headings=("image", "label", "reason"),
            rows=_few(audit.dropped),
        )


def _few(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(rows[:MOST_ROWS])


def _more(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return (f"The first {MOST_ROWS}; audit.json has all.",) if len(rows) > MOST_ROWS else ()


def _how(link: Link) -> str:
    if link.kind != NEAR:
        return link.kind
    return f"{link.kind}: {link.distance} of 64 bits differ, correlation {link.correlation:.2f}"


def _groups(groups: Sequence[Sequence[str]]) -> str:
    if not groups:
        return "none"
    shown = some([" = ".join(group) for group in groups], limit=5)
    images = sum(map(len, groups))
    return f"{images} images in {_number(len(groups), 'group')} ({shown})"


def _number(count: int, what: str, several: str | None = None) -> str:
    return f"{count} {what if count == 1 else several or what + 's'}"


def _percent(share: float, *, sign: bool = False) -> str:
    return f"{100 * share:+.1f} %" if sign else f"{100 * share:.1f} %"


def _paragraphs(text: Sequence[str]) -> list[str]:
    return [line for sentence in text for line in (sentence, "")]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
