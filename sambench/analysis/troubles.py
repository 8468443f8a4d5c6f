"""What went wrong with the runs of a study, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sambench.analysis.groups import Group, setting_text
from sambench.analysis.metrics import METRICS, collapsed
from sambench.analysis.units import device_of
from sambench.config.run_config import RunConfig
from sambench.files.yaml_text import read_own_yaml
from sambench.store.record import COMPLETED, DIVERGED, FAILED, INTERRUPTED, RUNNING, RunRecord


class Trouble(NamedTuple):
    """One kind of trouble, the runs that have it, and what to do."""

    kind: str
    runs: Mapping[str, str]  # by name what more is known of each; empty where nothing is
    remedy: str


STUDIES = (
    *(f"landscape {of}" for of in ("line", "plane", "eigenvectors")),
    "sharpness",
    "density",
    "",
)
"""Of a run's minimum, by their places in the record; the last is the curvature itself."""

SETTLED = ("definition", "samples", "batch_norm", "hvp", "dtype", "l2", "perturbations", "sigma")

Detail = Callable[[RunRecord], str]
Runs = Mapping[str, str]


def troubles(
    groups: Sequence[Group],
    planned: Sequence[RunConfig],
    suite: str,
    stale: Mapping[str, str],
) -> tuple[Trouble, ...]:
    """Return every kind of trouble that occurs, the worst first.

    Planned are the runs of the suite, as far as known; `sambench compare` is given `suite` to make
    them. Why completed runs are stale is given by name.
    """
    records = [record for group in groups for record in group.records]
    there = {record.id for record in records}
    done = [record for record in records if record.status == COMPLETED]
    measured = [[record for record in group.records if record.hessian] for group in groups]
    trained = [[record for record in group.records if record.cost] for group in groups]
    some = any(record.hessian for record in done)
    missed = (r for r in done if (r.final or {}).get("target_met") is False)
    found: dict[str, Runs] = {
        "missing": {config.name: "" for config in planned if config.id not in there},
        "stale": stale,
        **{
            status: _named((r for r in records if r.status == status), lambda r: r.error or "")
            for status in (FAILED, DIVERGED, INTERRUPTED, RUNNING)
        },
        "collapsed": _named(filter(collapsed, done)),
        "target not met": _named(missed),
        "not converged": _named(filter(_unconverged, done), _unconverged),
        "skipped": _named(filter(skipped, done), skipped),
        "leaked": _named(
            filter(leaked, done),
            lambda r: f"{leaked(r)} of {(r.data or {}).get('test')} test images",
        ),
        "set apart": _named(filter(set_apart, done), lambda r: f"{set_apart(r)} images"),
        "not measured": _named(r for r in done if not r.hessian) if some else {},
        "resumed elsewhere": _named(filter(_begun, done), _begun),
        "other images": _named((r for g in groups if g.part > 1 for r in g.records), _own_files),
        "measured otherwise": {
            name: way
            for of in (partial(_way, study) for study in STUDIES)
            for name, way in _named(_odd(measured, of), of).items()
        },
        "trained elsewhere": _named(_odd(trained, _place), _place),
    }
    return tuple(
        Trouble(text["kind"], found[name], text["remedy"].format(suite=suite))
        for name, text in read_own_yaml("sambench.analysis", "troubles.yaml").items()
        if found[name]
    )


def leaked(record: RunRecord) -> int:
    """Return how many test images share a patient or a copy with training, as far as known."""
    return int((record.data or {}).get("leaked", 0))


def skipped(record: RunRecord) -> str:
    """Say how many steps were left out as not finite; nothing where none was, as far as known."""
    cost = record.cost or {}
    number = cost.get("skipped_steps", 0)
    return f"{number} of {cost['steps']} steps" if number else ""


def set_apart(record: RunRecord) -> int:
    """Return how many images that the source sets apart for testing were trained on, if known."""
    return int((record.data or {}).get("set_apart", 0))


def doubts(records: Iterable[RunRecord]) -> tuple[float, int]:
    """Return the largest share of test images that are `leaked`, and of images `set_apart`."""
    runs = [record for record in records if record.data]
    shares = (leaked(r) / r.data["test"] for r in runs if r.data and r.data["test"])
    return max(shares, default=0.0), max(map(set_apart, runs), default=0)


def _named(runs: Iterable[RunRecord], detail: Detail = lambda _: "") -> Runs:
    return {record.name: detail(record) for record in runs}


def _odd(groups: Iterable[Sequence[RunRecord]], trait: Detail) -> Iterator[RunRecord]:
    """Yield the runs whose trait, if they have it, is not the usual one of their group."""
    for records in groups:
        traits = [(record, own) for record in records if (own := trait(record))]
        for usual, _ in Counter(own for _, own in traits).most_common(1):
            yield from (record for record, own in traits if own != usual)


def _place(record: RunRecord) -> str:
    """Say what of a run's surroundings sets how long it takes."""
    section = record.environment or {}
    threads, together = section.get("threads", "unknown"), section.get("runs_on_device", 1)
    place = f"{device_of(record) or 'unknown'}, torch {section.get('torch', 'unknown')}"
    return f"{place}, {threads} thread{'s' * (threads != 1)}, runs on the device {together}"


def _own_files(record: RunRecord) -> str:
    """Name the files of one's own that a run needed, with what tells their versions."""
    files = (record.environment or {}).get("plugins") or {}
    return ", ".join(f"{name} {setting_text(sha256)}" for name, sha256 in files.items())


def _way(study: str, record: RunRecord) -> str:
    """Say what sets the definition of a run's curvature, or of a study; nothing without it."""
    section: Mapping[str, Any] = record.hessian or {}
    for part in study.split():
        section = section.get(part) or {}
    said = [f"{key} {section[key]}" for key in (*SETTLED, "points", "extent") if key in section]
    said += [f"{name} of rho {of['rho']}" for name, of in section.get("measures", {}).items()]
    return ", ".join(filter(None, (study, *said))) if said else ""


def _begun(record: RunRecord) -> str:
    """Say in what a run was begun otherwise than it ended, if it was resumed elsewhere."""
    now = record.environment or {}
    first: Mapping[str, Any] = next(iter(now.get("resumed_from") or ()), {})
    return ", ".join(
        f"{key} {was}, then {now[key]}" for key, was in first.items() if was != now[key]
    )


def _unconverged(record: RunRecord) -> str:
    """Name the measurements of a run that did not converge."""
    can_fail = (metric for metric in METRICS if metric.converged)
    return ", ".join(metric.in_text for metric in can_fail if not all(metric.trusted([record])))
