"""What went wrong, in words: how many runs, which, why, what to do; and where seeds are too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sambench.analysis.groups import Group, build_groups, repeat
from sambench.analysis.inference import FOLDS, SEEDS
from sambench.analysis.troubles import Trouble
from sambench.config.run_config import RunConfig
from sambench.report.document import Section
from sambench.report.notes import run_notes
from sambench.report.table import counted, listed
from sambench.store.record import RUNNING, RunRecord

MOST_NAMES = 20
"""Runs that are named for each trouble; of more the number is given."""


def problems(
    found: Sequence[Trouble], damaged: Sequence[str], groups: Sequence[Group], few: Iterable[str]
) -> Section:
    """Return the last section of a report; it says so where nothing went wrong.

    `damaged` has a message for each record that could not be read or believed, `few` the sentences
    of `too_few`.
    """
    items = (
        *(f"Record not counted: {message}." for message in damaged),
        *map(_trouble, found),
        *(note for group in groups for note in run_notes(group)),
        *few,
    )
    paragraphs = () if items else ("Nothing: every run is completed, and no measurement failed.",)
    return Section(title="What went wrong", paragraphs=paragraphs, items=items)


def planned_groups(configs: Iterable[RunConfig], baseline: str | None) -> tuple[Group, ...]:
    """Return the groups that some runs will make, done or not."""
    return build_groups((RunRecord(config=c, status=RUNNING) for c in configs), baseline)


def too_few(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return a sentence for the settings whose runs can show no difference, done or not."""
    alike: dict[tuple[str, int, int], list[str]] = {}
    for group in groups:
        if len(group.lines) < 2 or not group.baseline:
            continue
        design = FOLDS if group.folds else SEEDS
        of_lines = [
            {repeat(r)[:2] if group.folds else repeat(r) for r in line.records}
            for line in group.lines
        ]
        most = max(len(of_lines[0] & other) for other in of_lines[1:])
        if most < design.least_units:
            key = (design.unit, most, design.least_units)
            alike.setdefault(key, []).append(group.title)
    several = len(groups) >= SEEDS.least_units
    return tuple(
        f"{listed(titles, 6)}: {counted(most, unit)} cannot show any difference between "
        f"optimizers; it takes {least}"
        + (f" (`--seeds {least}`, or `seeds: {least}` in the suite)" if unit == "seed" else "")
        + ("; over all settings together differences can be shown" if several else "")
        + "."
        for (unit, most, least), titles in alike.items()
    )


def _trouble(trouble: Trouble) -> str:
    number = len(trouble.runs)
    names = ", ".join(trouble.runs[:MOST_NAMES])
    names += f" and {number - MOST_NAMES} more" if number > MOST_NAMES else ""
    if len(trouble.details) == number and any(trouble.details):
        if number <= MOST_NAMES:
            pairs = zip(trouble.runs, trouble.details, strict=True)
            names = ", ".join(f"{name} ({detail})" if detail else name for name, detail in pairs)
        else:
            causes = Counter(detail for detail in trouble.details if detail).most_common(5)
            names += f"; causes: {'; '.join(f'{cause} ({times})' for cause, times in causes)}"
    return f"{trouble.kind}: {counted(number, 'run')}. {trouble.remedy} Runs: {names}."
