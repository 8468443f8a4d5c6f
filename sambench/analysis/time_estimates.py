"""How long the rest of a suite takes, from the finished runs that are most like each."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, cast

from sambench.config.curvature_settings import LANDSCAPE
from sambench.config.run_config import RunConfig
from sambench.optim.method import optimizers
from sambench.store.record import COMPLETED
from sambench.store.status import Standing, pending

kind_of = attrgetter("dataset", "image_size", "model", "batch_size", "precision")
"""Returns what the time of a gradient evaluation of a run depends on."""
_length_of = attrgetter("epochs", "stop", "validation")
EVALUATIONS, SEEN = "gradient_evaluations", ("train", "validation")

LIKENESS: Sequence[Callable[[RunConfig], Hashable]] = (
    lambda config: (kind_of(config), _length_of(config), tuple(sorted(config.optimizer.items()))),
    lambda config: (kind_of(config), config.optimizer["name"]),
    kind_of,
    attrgetter("model", "image_size"),
)
"""From the closest on; the first that a finished run shares with an open one is used."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is left to do, on one device at the pace of the finished runs."""

    seconds: float  # for the open runs that a finished one is like
    known: int  # how many those are
    unknown: int  # how many others are open
    unmeasured: int  # of how many known ones no finished run tells how long measuring takes
    finished: int  # how many runs this was learned from
    longest: float  # seconds of the longest job: of one run, or of several one after another


Timed = Mapping[Hashable, tuple[float, float]]
"""Seconds of a gradient evaluation, and training and validation images, by `kind_of` a run."""


def untimed(standings: Iterable[Standing]) -> dict[Hashable, RunConfig]:
    """Return an open run of each kind of which no finished one tells the time."""
    everything = list(standings)
    known = {kind_of(s.config) for s in everything if s.state == COMPLETED}
    there = pending(everything)
    return {kind_of(s.config): s.config for s in there if kind_of(s.config) not in known}


def forecast(
    standings: Iterable[Standing], timed: Timed | None = None, runs_per_job: int = 1
) -> Forecast:
    """Estimate the time left.

    A run's time is its gradient evaluations times the median seconds that like runs took for one,
    and the median time of each thing that is to be measured of its minimum, which is not in it
    where no finished run tells it. A job does so many open runs, in their order.
    """
    timed = timed or {}
    everything = list(standings)
    finished = [
        s for s in everything if s.state == COMPLETED and s.section("cost").get(EVALUATIONS)
    ]

    def medians(of: Callable[[Standing], float | None]) -> _Medians:
        return _Medians((s.config, float(found)) for s in finished if (found := of(s)) is not None)

    pace = medians(lambda s: seconds_of(s.section("cost")) / s.section("cost")[EVALUATIONS])
    length = medians(lambda s: s.section("cost")[EVALUATIONS])
    images = medians(lambda s: sum(s.section("data").get(part) or 0 for part in SEEN) or None)
    open_runs = pending(everything)
    names = {name for standing in open_runs for name in standing.left}
    measuring = {name: medians(partial(_measuring, name)) for name in names}
    known, unknown, unmeasured = 0, 0, 0
    jobs: dict[int, float] = defaultdict(float)
    for place, standing in enumerate(open_runs):
        config = standing.config
        parts = [measuring[name].like(config) for name in standing.left]
        seconds = math.fsum(filter(None, parts))
        if standing.action not in ("measure curvature", "test under shifts"):
            there = timed.get(kind_of(config))
            per_evaluation = there[0] if there else pace.like(config)
            number = there[1] if there else images.like(config)
            evaluations = _evaluations(config, length, number)
            if per_evaluation is None or evaluations is None:
                unknown += 1
                continue
            anew = standing.action == "run again"
            done = 0 if anew else standing.section("cost").get(EVALUATIONS, 0)
            seconds += per_evaluation * max(0.0, evaluations - done)
        known += 1
        unmeasured += None in parts
        jobs[place // runs_per_job] += seconds
    return Forecast(
        seconds=math.fsum(jobs.values()),
        known=known,
        unknown=unknown,
        unmeasured=unmeasured,
        finished=len(finished),
        longest=max(jobs.values(), default=0.0),
    )


def _measuring(name: str, standing: Standing) -> float | None:
    """Return the seconds that measuring the curvature took, or a study or a picture."""
    hessian = standing.section("hessian")
    parts: Mapping[str, Any] = {"hessian": hessian, **hessian, **hessian.get(LANDSCAPE, {})}
    return cast("float | None", parts.get(name, {}).get("seconds"))


class _Medians:
    """Medians of a quantity over the runs that are alike, for each kind of likeness."""

    def __init__(self, values: Iterable[tuple[RunConfig, float]]) -> None:
        found: dict[Hashable, list[float]] = defaultdict(list)
        for config, value in values:
            for likeness in LIKENESS:
                found[likeness, likeness(config)].append(value)
        self._medians = {key: statistics.median(of_kind) for key, of_kind in found.items()}

    def like(self, config: RunConfig, kinds: int = len(LIKENESS)) -> float | None:
        """Return the median over the runs most like this one, by the closest kinds of likeness."""
        keys = ((likeness, likeness(config)) for likeness in LIKENESS[:kinds])
        return next((self._medians[key] for key in keys if key in self._medians), None)


def _evaluations(config: RunConfig, length: _Medians, number: float | None) -> float | None:
    """Return the gradient evaluations of a run that has a number of images, validation's too."""
    if (alike := length.like(config, kinds=1)) is not None:
        return alike
    if number is None:
        return None
    info = optimizers.get(str(config.optimizer["name"]))
    training = round(number * (1 - config.validation))
    steps = math.ceil(training / config.batch_size) * config.epochs
    budget = config.stop.value if config.stop.rule == "gradient-evaluations" else None
    return min(steps * info.gradient_evaluations, budget or math.inf)


def seconds_of(cost: Mapping[str, Any]) -> float:
    """Return what a run took, its curvature apart: training, evaluation, all else."""
    names = ("train_seconds", "evaluation_seconds", "overhead_seconds")
    return math.fsum(float(cost.get(name) or 0.0) for name in names)


def duration(seconds: float) -> str:
    """Write seconds as people say them: `40 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(hours + minutes / 60), 24)
    return f"{days} d {hours} h"
