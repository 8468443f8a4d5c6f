"""What went wrong with the runs of a study, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sambench.analysis.groups import Group
from sambench.analysis.metrics import METRICS, collapsed, value_at
from sambench.config.run_config import RunConfig
from sambench.store.record import COMPLETED, DIVERGED, FAILED, INTERRUPTED, RUNNING, RunRecord

CONVERGED = tuple(dict.fromkeys(m.converged for m in METRICS if m.converged))
"""Where records say whether a measurement did."""


def sound(records: Iterable[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """Return each run once, and a message for each that lies in two folders."""
    kept: dict[str, RunRecord] = {}
    messages = []
    for record in records:
        if record.id in kept:
            messages.append(f"run {record.name} lies in two folders and is counted once")
        kept.setdefault(record.id, record)
    return list(kept.values()), messages


class Trouble(NamedTuple):
    """One kind of trouble, the runs that have it, and what to do."""

    kind: str
    runs: Mapping[str, str]  # by name what more is known of each; empty where nothing is
    remedy: str


Detail = Callable[[RunRecord], str]


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
    there = {record.id for record in records}
    missing = Trouble(
        "Missing runs of the suite",
        {config.name: "" for config in planned if config.id not in there},
        f"`sambench compare {suite}` makes them.",
    )
    found = (*_unfinished(records, suite), missing, *_doubtful(records), *_unlike(groups))
    return tuple(trouble for trouble in found if trouble.runs)


def _of(
    kind: str, runs: Iterable[RunRecord], remedy: str, detail: Detail = lambda _: ""
) -> Trouble:
    return Trouble(kind, {record.name: detail(record) for record in runs}, remedy)


def leaked(record: RunRecord) -> int:
    """Return how many test images share a patient or a copy with training, as far as known."""
    return int((record.data or {}).get("leaked", 0))


def leakage(records: Iterable[RunRecord]) -> str:
    """Say how many test images share a patient or a copy with training; nothing where none does."""
    shares = [leaked(record) / record.data["test"] for record in records if record.data]
    if not any(shares):
        return ""
    return (
        f"Up to {max(shares):.0%} of the test images share a patient or a copy with training "
        "images, so accuracies are too good"
    )


def _unfinished(records: Sequence[RunRecord], suite: str) -> Iterator[Trouble]:
    again = f"sambench compare {suite}"
    for status, remedy in (
        (FAILED, f"Put right what the error names, then `{again} --retry failed`."),
        (DIVERGED, f"Lower the learning rate or rho; `{again} --retry diverged` tries once more."),
        (INTERRUPTED, f"`{again}` goes on from the last checkpoint."),
        (RUNNING, f"Still running, or ended without a word: `{again}` goes on with the latter."),
    ):
        runs = (record for record in records if record.status == status)
        yield _of(f"{status.capitalize()}, not counted", runs, remedy, lambda r: r.error or "")


def _doubtful(records: Sequence[RunRecord]) -> Iterator[Trouble]:
    done = [record for record in records if record.status == COMPLETED]
    yield _of(
        "Collapsed: one class is predicted for every test image",
        filter(collapsed, done),
        "Another learning rate or rho, or more epochs. They count for accuracy and cost, "
        "and are left out of curvature.",
    )
    yield _of(
        "The stop rule's target was not met",
        (record for record in done if (record.final or {}).get("target_met") is False),
        "More epochs, or an easier target; their time is that of the most epochs.",
    )
    yield _of(
        "Curvature did not converge",
        filter(_unconverged, done),
        "`sambench hessian RUN --again --set max_matvecs=N` with a larger N measures again.",
        _unconverged,
    )
    yield _of(
        "Test images share a patient or a copy with training images",
        filter(leaked, done),
        "Their accuracy is too good, and differences need not hold elsewhere. `--set "
        "split=patient-5` or `split=grouped-5` keeps them together.",
        lambda record: f"{leaked(record)} of {(record.data or {}).get('test')} test images",
    )
    measured = any(record.hessian for record in done)
    yield _of(
        "Curvature was not measured, though others have it",
        (record for record in done if measured and not record.hessian),
        "`sambench hessian RUN` measures it.",
    )


def _unlike(groups: Sequence[Group]) -> Iterator[Trouble]:
    """Yield runs that ask for the same as others but are not like them."""
    yield _of(
        "Other images, another split or another code than most runs of the same setting",
        (record for group in groups if group.part > 1 for record in group.records),
        "They stand in tables of their own. `sambench compare SUITE --retry stale` makes "
        "all alike.",
    )
    measured = [[record for record in group.records if record.hessian] for group in groups]
    yield _of(
        "Curvature was measured in another way than of most runs in the same table",
        _odd(measured, _way),
        "Means over both are of no one quantity: `sambench hessian RUN` with the same "
        "options for all.",
        _way,
    )
    trained = [[record for record in group.records if record.cost] for group in groups]
    yield _of(
        "Trained on another machine or beside other runs than most of the same table",
        _odd(trained, _place),
        "Their times are not comparable with the others'; accuracy and curvature are. "
        "Remove their folders and make them again as the others were made.",
        _place,
    )


def _odd(groups: Iterable[Sequence[RunRecord]], trait: Detail) -> Iterator[RunRecord]:
    """Yield the runs whose trait is not the usual one of their group."""
    for records in groups:
        traits = list(map(trait, records))
        for usual, _ in Counter(traits).most_common(1):
            yield from (r for r, own in zip(records, traits, strict=True) if own != usual)


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
    doubtful = {path for path in CONVERGED if value_at(record, path) is False}
    return ", ".join(m.title for m in METRICS if m.converged in doubtful).lower()
