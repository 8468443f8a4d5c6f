"""What went wrong, in words: how many runs, which, why, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sambench.analysis.comparison import ALPHA
from sambench.analysis.reach import Reach
from sambench.analysis.troubles import Trouble
from sambench.report.document import Section

MOST_NAMES = 20
"""Runs that are named for each trouble; of more the number is given."""


def went_wrong(found: Sequence[Trouble], damaged: Sequence[str], reach: Sequence[Reach]) -> Section:
    """Return the last section of a report; it says so where nothing went wrong.

    Args:
        found: Troubles of the runs.
        damaged: A message for each record that could not be read or believed.
        reach: What the suite can show at most.
    """
    items = (
        *(f"Record not counted: {message}." for message in damaged),
        *map(_trouble, found),
        *(f"Too few pairs. {sentence}" for sentence in beyond_reach(reach)),
    )
    paragraphs = () if items else ("Nothing: every run is completed, and no measurement failed.",)
    return Section(title="What went wrong", paragraphs=paragraphs, items=items)


def beyond_reach(found: Sequence[Reach]) -> tuple[str, ...]:
    """Return a sentence for the settings whose runs can never show a difference."""
    alike: dict[str, list[str]] = {}
    for one in found:
        if not one.possible:
            alike.setdefault(_short_of(one), []).append(one.title)
    return tuple(f"{', '.join(titles)}: {sentence}" for sentence, titles in alike.items())


def _short_of(one: Reach) -> str:
    each = f"each of {one.family} optimizers" if one.family > 1 else "the other optimizer"
    bound = f" (smallest possible {one.smallest_p:.2g} after Holm)" if one.parts == 1 else ""
    return (
        f"{one.pairs} pair{'s' * (one.pairs != 1)} of runs of {each} and {one.baseline} can never "
        f"reach p < {ALPHA:g}{bound}; {one.needed} pairs are the least."
    )


def _trouble(trouble: Trouble) -> str:
    number = len(trouble.runs)
    if len(trouble.details) == number and any(trouble.details):
        names = [_with_detail(n, d) for n, d in zip(trouble.runs, trouble.details, strict=True)]
        causes = Counter(detail for detail in trouble.details if detail)
        if number > MOST_NAMES:
            told = "; ".join(f"{cause} ({times})" for cause, times in causes.most_common(5))
            names = [*trouble.runs]
            return _sentence(trouble, f"{_some(names)}; causes: {told}")
        return _sentence(trouble, ", ".join(names))
    return _sentence(trouble, _some(trouble.runs))


def _sentence(trouble: Trouble, names: str) -> str:
    number = len(trouble.runs)
    return f"{trouble.kind}: {number} run{'s' * (number != 1)}. {trouble.remedy} Runs: {names}."


def _with_detail(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
