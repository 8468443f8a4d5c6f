"""What went wrong with the runs of a study, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sambench.analysis.groups import Group
from sambench.analysis.metrics import METRICS, collapsed
from sambench.config.run_config import RunConfig
from sambench.store.record import COMPLETED, DIVERGED, FAILED, INTERRUPTED, RUNNING, RunRecord


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One kind of trouble.

    Attributes:
        kind: In a few words.
        runs: Names of the runs that have it.
        remedy: What to do.
        details: A line for each run where more is known, in the same order; else empty.
    """

    kind: str
    runs: tuple[str, ...]
    remedy: str
    details: tuple[str, ...] = ()


def troubles(
    groups: Sequence[Group], planned: Sequence[RunConfig], suite: str
) -> tuple[Trouble, ...]:
    """Return every kind of trouble that occurs, the worst first.

    Args:
        groups: The runs there are.
        planned: The runs of the suite; empty where that is not known.
        suite: What `sambench compare` is given to make them.
    """
    records = [record for group in groups for record in group.records]
    found = (
        *_unfinished(records, suite),
        *_missing(records, planned, suite),
        *_doubtful(records),
        *_unlike(groups),
    )
    return tuple(trouble for trouble in found if trouble.runs)


def _unfinished(records: Sequence[RunRecord], suite: str) -> Iterable[Trouble]:
    again = f"sambench compare {suite}"
    for status, remedy in (
        (FAILED, f"Put right what the error names, then `{again} --retry failed`."),
        (DIVERGED, f"Lower the learning rate or rho; `{again} --retry diverged` tries once more."),
        (INTERRUPTED, f"`{again}` goes on from the last checkpoint."),
        (RUNNING, f"Still running, or ended without a word: `{again}` goes on with the latter."),
    ):
        runs = [record for record in records if record.status == status]
        yield Trouble(
            kind=f"{status[0].upper()}{status[1:]}, not counted",
            runs=tuple(record.name for record in runs),
            remedy=remedy,
            details=tuple(record.error or "" for record in runs) if status != RUNNING else (),
        )


def _missing(
    records: Sequence[RunRecord], planned: Sequence[RunConfig], suite: str
) -> Iterable[Trouble]:
    there = {record.id for record in records}
    yield Trouble(
        kind="Missing runs of the suite",
        runs=tuple(config.name for config in planned if config.id not in there),
        remedy=f"`sambench compare {suite}` makes them.",
    )


def _doubtful(records: Sequence[RunRecord]) -> Iterable[Trouble]:
    done = [record for record in records if record.status == COMPLETED]
    measured = any(record.hessian for record in done)

    def chosen(condition: Callable[[RunRecord], bool]) -> tuple[str, ...]:
        return tuple(record.name for record in done if condition(record))

    yield Trouble(
        kind="Collapsed: one class is predicted for every test image",
        runs=chosen(collapsed),
        remedy="Another learning rate or rho, or more epochs. They count for accuracy and cost, "
        "and are left out of curvature.",
    )
    yield Trouble(
        kind="The stop rule's target was not met",
        runs=chosen(lambda record: (record.final or {}).get("target_met") is False),
        remedy="More epochs, or an easier target; their time is that of the most epochs.",
    )
    yield Trouble(
        kind="Curvature did not converge",
        runs=chosen(lambda record: bool(_unconverged(record))),
        remedy="`sambench hessian RUN --max-matvecs N` with a larger N measures again.",
        details=tuple(text for record in done if (text := _unconverged(record))),
    )
    yield Trouble(
        kind="Curvature was not measured, though others have it",
        runs=chosen(lambda record: measured and not record.hessian),
        remedy="`sambench hessian RUN` measures it.",
    )


def _unlike(groups: Sequence[Group]) -> Iterable[Trouble]:
    """Yield runs that ask for the same as others but are not like them."""
    yield Trouble(
        kind="Other images, another split or another code than most runs of the same setting",
        runs=tuple(r.name for group in groups if group.part > 1 for r in group.records),
        remedy="They stand in tables of their own. `sambench compare SUITE --retry stale` makes "
        "all alike.",
    )
    measured = [{r.name: _way(r) for r in group.records if r.hessian} for group in groups]
    yield Trouble(
        kind="Curvature was measured in another way than of most runs in the same table",
        **_odd(measured),
        remedy="Means over both are of no one quantity: `sambench hessian RUN` with the same "
        "options for all.",
    )
    trained = [{r.name: _place(r) for r in group.records if r.cost} for group in groups]
    yield Trouble(
        kind="Trained on another machine or beside other runs than most of the same table",
        **_odd(trained),
        remedy="Their times are not comparable with the others'; accuracy and curvature are. "
        "Remove their folders and make them again as the others were made.",
    )


def _odd(groups: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the runs whose trait is not the usual one of their panel, and the traits."""
    odd = [
        (name, trait)
        for traits in groups
        for usual, _ in Counter(traits.values()).most_common(1)
        for name, trait in traits.items()
        if trait != usual
    ]
    return {
        "runs": tuple(name for name, _ in odd),
        "details": tuple(trait for _, trait in odd),
    }


def _place(record: RunRecord) -> str:
    """Say what of a run's surroundings sets how long it takes."""
    section = record.environment or {}
    machine = section.get("gpu") or section.get("cpu") or "unknown"
    threads, together = section.get("threads", "unknown"), section.get("runs_on_device", 1)
    return f"{machine}, {threads} threads, runs on the device {together}"


def _way(record: RunRecord) -> str:
    """Say what of a run's curvature sets its definition."""
    section = record.hessian or {}
    keys = ("definition", "samples", "batch_norm", "hvp", "dtype", "l2")
    return ", ".join(f"{key} {section[key]}" for key in keys if key in section)


def _unconverged(record: RunRecord) -> str:
    """Name what of a run's curvature did not converge."""
    titles = [m.title for m in METRICS if m.converged and not m.trusted(record)]
    return ", ".join(titles).lower()
