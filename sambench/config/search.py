"""Fair tuning: every optimizer gets the same number of trials, chosen on validation images alone.

A trial is a run like any other, with seeds that no final run has and a validation part cut from its
training images. The first trial of an optimizer is the optimizer as the suite gives it; the others
are points of its grid, picked so that each value of each hyperparameter is tried about as often as
any other. Final runs take the values whose trials have the highest mean validation accuracy.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, did_you_mean
from sambench.optim.base import Setting, find_base
from sambench.optim.method import optimizers

TRIALS = " (search)"
Grid = Mapping[str, tuple[Setting, ...]]


@dataclass(frozen=True, kw_only=True)
class Search:
    """How hyperparameters are chosen.

    Attributes:
        trials: Points tried for each optimizer, the given one among them.
        seeds: Each point is tried with each; no final run may have one of them.
        validation: Fraction of the training part set aside where the runs have none of their own.
        grids: By optimizer, the grid to use in place of the declared one.
    """

    trials: int = 8
    seeds: tuple[int, ...] = (1000,)
    validation: float = 0.1
    grids: Mapping[str, Grid] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Search:
        """Check a search block; `seeds` are a tuple already.

        Raises:
            ConfigError: If a key is unknown or a value out of range.
            UnknownNameError: If a grid is of an optimizer that does not exist.
        """
        known = [f.name for f in fields(cls)]
        for key in given:
            if key not in known:
                raise ConfigError(
                    f"unknown key {key!r} in search{did_you_mean(key, known)}; "
                    f"known: {', '.join(known)}"
                )
        trials, share = given.get("trials", cls.trials), given.get("validation", cls.validation)
        if type(trials) is not int or trials < 2:
            raise ConfigError(f"search trials={trials!r} is not allowed; allowed: from 2 on")
        if not isinstance(share, float) or not 0 < share < 1:
            raise ConfigError(f"search validation={share!r} is not allowed; allowed: (0, 1)")
        grids = given.get("grids") or {}
        if not isinstance(grids, Mapping):
            raise ConfigError(f"search grids must be a mapping of optimizers, not {grids!r}")
        return cls(
            **{**given, "grids": {str(k): _checked_grid(str(k), v) for k, v in grids.items()}}
        )

    def candidates(self, given: Mapping[str, Setting]) -> tuple[dict[str, Setting], ...]:
        """Return what each trial of an optimizer changes of its settings; the first nothing.

        Raises:
            ConfigError: If the grid has too few points or one of them is out of range.
        """
        name = str(given["name"])
        grid = self.grids.get(name) or declared_grid(given)
        points = [
            dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
        ]
        others = [p for p in points if any(given.get(key) != value for key, value in p.items())]
        if len(others) + 1 < self.trials:
            raise ConfigError(
                f"the grid of {name} has {len(others) + 1} points, fewer than the {self.trials} "
                f"trials ({', '.join(grid)}); widen it under search: grids: {name}"
            )
        return ({}, *_balanced(others, self.trials - 1))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One point of an optimizer's grid.

    Attributes:
        values: What it changes of the given settings.
        optimizer: All settings.
        runs: One for each seed of the search.
    """

    values: Mapping[str, Setting]
    optimizer: Mapping[str, Setting]
    runs: tuple[RunConfig, ...]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The search for one optimizer under one setting (dataset, model, fold ...).

    Attributes:
        untuned: Final runs of the optimizer as given, one for each seed of the suite.
        trials: In order; the first is the optimizer as given.
    """

    untuned: tuple[RunConfig, ...]
    trials: tuple[Trial, ...]

    @property
    def runs(self) -> tuple[RunConfig, ...]:
        """The runs of all trials."""
        return tuple(run for trial in self.trials for run in trial.runs)

    def finals(self, chosen: Trial) -> tuple[RunConfig, ...]:
        """Return the final runs with the chosen values."""
        return tuple(replace(run, optimizer=chosen.optimizer) for run in self.untuned)


def trials_of(suite: str) -> str:
    """Return what the trials of a suite's search are filed under."""
    return f"{suite}{TRIALS}"


def plan_search(search: Search, finals: Iterable[RunConfig]) -> tuple[Tuning, ...]:
    """Return the search for each optimizer and setting among the final runs.

    Raises:
        ConfigError: If final runs and trials share a seed, or a grid is too small.
    """
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
    first = untuned[0]
    base = str(first.optimizer["base"])
    given = {k: v for k, v in first.optimizer.items() if k not in ("name", "base")}
    info = optimizers.get(str(first.optimizer["name"]))
    trials = []
    for values in search.candidates(first.optimizer):
        optimizer = info.resolve(base, {**given, **values})
        runs = tuple(
            replace(
                first,
                optimizer=optimizer,
                seed=seed,
                validation=first.validation or search.validation,
            )
            for seed in search.seeds
        )
        trials.append(Trial(values=values, optimizer=optimizer, runs=runs))
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


def _balanced(points: Sequence[dict[str, Setting]], number: int) -> Iterable[dict[str, Setting]]:
    """Pick points one by one, each the one whose values were picked least; ties by a hash."""
    picked: Counter[tuple[str, Setting]] = Counter()
    left = sorted(points, key=lambda p: hashlib.sha256(repr(p).encode()).hexdigest())
    for _ in range(number):
        best = min(left, key=lambda point: sum(picked[item] for item in point.items()))
        left.remove(best)
        picked.update(best.items())
        yield best


def _checked_grid(name: str, given: object) -> Grid:
    info = optimizers.get(name)
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"the grid of {name} must be a mapping, as in {{rho: [0.05, 0.1]}}")
    for key, values in given.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"the grid of {name} needs a list of values for {key}")
        if key in info.hyperparameters:
            for value in values:
                info.hyperparameters[key].check(value, name)
    return {str(key): tuple(values) for key, values in given.items()}
