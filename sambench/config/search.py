"""Fair tuning: every optimizer gets the same number of trials, chosen on validation images alone.

A trial is a run like any other, with seeds that no final run has, and with validation images cut
from its training images. The first trial of an optimizer is the optimizer as the suite gives it;
the others are points of its grid, no two alike, picked so that each value of each hyperparameter is
tried about as often as any other. Final runs take the values with the highest mean validation
accuracy; of equal ones those with the lowest mean validation loss, then the earlier.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, shown
from sambench.files.definition import EMPTY, Count, Definition, Several, build
from sambench.optim.base import Setting, find_base
from sambench.optim.method import optimizers

TRIALS = " (search)"
"""Behind the name of a suite, what the trials of its search are filed under."""

MOST_POINTS = 10_000
"""Of one grid, of which a search tries a few."""

Grid = Mapping[str, tuple[Setting, ...]]
Point = tuple[dict[str, Setting], RunConfig]
"""What is changed of an optimizer's settings, and a run with these changes."""


class Search(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hyperparameters are chosen."""

    trials: Annotated[
        Several, "Number of points tried for each optimizer, its given settings included."
    ] = 8
    seeds: Annotated[
        tuple[Count, ...],
        "Seeds with which each point is tried; no final run may have one of them.",
    ] = (1000,)
    validation: Annotated[
        Annotated[float, Meta(gt=0, lt=1)],
        "Share of the training part set aside where the runs have none of their own.",
    ] = 0.1
    grids: Annotated[
        dict[str, dict[str, tuple[Setting, ...]]],
        "Grids by optimizer, to use instead of those on the optimizers' pages.",
    ] = EMPTY

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Search:
        """Check a search block; `seeds` are a tuple already.

        A key that is unknown or a value out of range is a ConfigError, a grid of an optimizer that
        does not exist an UnknownNameError.
        """
        search = build(cls, {k: v for k, v in given.items() if v is not None}, "search")
        for name, grid in search.grids.items():
            _check_grid(name, grid)
        return search

    def candidates(self, given: RunConfig) -> tuple[Point, ...]:
        """Return the points tried of a run's optimizer; the first changes nothing.

        Points that come to the same settings are one. A value out of range, or too few points, is a
        ConfigError; points of a declared grid that the run's other settings forbid are left out.
        """
        own = dict(given.optimizer)
        name, base = str(own.pop("name")), str(own.pop("base"))
        info, grid = optimizers.get(name), self.grids.get(name) or declared_grid(given.optimizer)
        if (number := math.prod(map(len, grid.values()))) > MOST_POINTS:
            said = f"the grid of {name} has {number} points; allowed: at most {MOST_POINTS}"
            raise ConfigError(said)
        points: dict[str, Point] = {}
        others = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
        for point in ({}, *others):
            try:
                run = replace(given, optimizer=info.resolve(base, {**own, **point}))
                run.check_combinations()
            except ConfigError:
                if name in self.grids:
                    raise
                continue
            points.setdefault(repr(sorted(run.optimizer.items())), (point, run))
        if len(points) < self.trials:
            raise ConfigError(
                f"the grid of {name} has {len(points)} points, fewer than the {self.trials} "
                f"trials ({', '.join(grid)}); widen it under search: grids: {name}"
            )
        first, *further = points.values()
        return (first, *_balanced(further, self.trials - 1))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One point of an optimizer's grid."""

    values: Mapping[str, Setting]  # what it changes of the given settings
    optimizer: Mapping[str, Setting]  # all settings
    runs: tuple[RunConfig, ...]  # one for each seed of the search


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The search for one optimizer under one setting (dataset, model, fold ...)."""

    untuned: tuple[RunConfig, ...]  # final runs as given, one for each seed of the suite
    trials: tuple[Trial, ...]  # in order; the first is the optimizer as given

    @property
    def runs(self) -> tuple[RunConfig, ...]:
        """The runs of all trials."""
        return tuple(run for trial in self.trials for run in trial.runs)

    def finals(self, chosen: Trial) -> tuple[RunConfig, ...]:
        """Return the final runs with the chosen values."""
        return tuple(replace(run, optimizer=chosen.optimizer) for run in self.untuned)


def plan_search(search: Search, finals: Sequence[RunConfig]) -> tuple[Tuning, ...]:
    """Return the search for each optimizer and setting among the final runs.

    A seed that final runs and trials share, or a grid that is too small or of no optimizer among
    them, is a ConfigError.
    """
    names = dict.fromkeys(str(config.optimizer["name"]) for config in finals)
    if others := [name for name in search.grids if name not in names]:
        raise ConfigError(
            f"search grids {others[0]}: no run is of {others[0]}, so nothing of it is tried; "
            f"optimizers with runs: {', '.join(names)}"
        )
    groups: dict[str, list[RunConfig]] = {}
    for config in finals:
        if config.seed in search.seeds:
            raise ConfigError(
                f"seed {config.seed} is one of the search and of a final run; final runs need "
                "fresh seeds: change search: seeds"
            )
        key = json.dumps({**config.to_dict(), "seed": None}, sort_keys=True)
        groups.setdefault(key, []).append(config)
    return tuple(_tuning(search, tuple(group)) for group in groups.values())


def _tuning(search: Search, untuned: tuple[RunConfig, ...]) -> Tuning:
    trials, share = [], untuned[0].validation or search.validation
    for values, run in search.candidates(untuned[0]):
        runs = tuple(replace(run, validation=share, seed=seed) for seed in search.seeds)
        trials.append(Trial(values=values, optimizer=run.optimizer, runs=runs))
    return Tuning(untuned=untuned, trials=tuple(trials))


def declared_grid(given: Mapping[str, Setting]) -> Grid:
    """Return an optimizer's own grid and its base optimizer's, around the given settings."""
    info, base = optimizers.get(str(given["name"])), find_base(str(given["base"]))
    own = {name: h.grid for name, h in info.hyperparameters.items() if h.grid}
    around = {
        name: tuple(float(f"{float(str(given[name])) * factor:.6g}") for factor in factors)
        for name, factors in base.factors.items()
    }
    return {**own, **around, **base.grid}


def _balanced(points: Sequence[Point], number: int) -> Iterable[Point]:
    """Pick points one by one, each the one whose values were picked least; ties by a hash."""
    picked: Counter[tuple[str, Setting]] = Counter()
    left = sorted(points, key=lambda p: hashlib.sha256(repr(p[0]).encode()).hexdigest())
    for _ in range(number):
        best = min(left, key=lambda point: sum(picked[item] for item in point[0].items()))
        left.remove(best)
        picked.update(best[0].items())
        yield best


def _check_grid(name: str, grid: Grid) -> None:
    info = optimizers.get(name)
    if not grid:
        raise ConfigError(f"the grid of {name} must be a mapping, as in {{rho: [0.05, 0.1]}}")
    for key, values in grid.items():
        if not values:
            raise ConfigError(f"the grid of {name} needs a list of values for {shown(key)}")
        if key in ("name", "base"):
            raise ConfigError(f"search grids {name}: {key} is not searched; list it under matrix")
        if key in info.hyperparameters:
            for value in values:
                info.hyperparameters[key].check(value, name)
