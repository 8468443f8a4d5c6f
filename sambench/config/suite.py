"""A suite of runs: what is compared, expanded in full before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from sambench.config.grid import (
    MOST_RUNS,
    SETTINGS,
    Combination,
    Pattern,
    guilty,
    product,
    where_it_belongs,
)
from sambench.config.launcher_settings import LauncherSettings
from sambench.config.measurement import Measurement
from sambench.config.run_config import AFTERWARDS, EXECUTION, RunConfig
from sambench.config.search import Search
from sambench.data.source import default_size
from sambench.data.splits import folds_of
from sambench.errors import ConfigError, UserError, did_you_mean
from sambench.files.definition import EMPTY, Count, Definition, Fault, Name, Path, Positive

FoldsIn = Callable[[str, int], Sequence[int]]


class TableReference(
    Definition, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A published table or figure that some of a suite's runs are compared with."""

    paper: Annotated[str, "Id of the paper."]
    table: Annotated[str, "Number or name of the table or figure in it."]
    where: Annotated[Pattern, "Which runs, as a pattern; all if left out."] = Pattern()


class ReportSettings(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a suite is reported."""

    baseline: Annotated[
        str | None, "The optimizer that the others are compared with: `adam`, 'sam (rho=0.1)'."
    ] = None
    margins: Annotated[
        dict[str, Positive],
        "Differences within which optimizers count as equivalent, by metric, such as "
        "{accuracy: 0.02, top: 1.5}: a fraction for `accuracy` and the like (0.01 is one point, "
        "the default), a ratio for costs and curvature (1.25 is the default).",
    ] = EMPTY
    primary: Annotated[
        Literal["accuracy", "balanced_accuracy", "auroc"],
        "The metric that the answer is about; all others are secondary.",
    ] = "accuracy"
    beside: Annotated[
        tuple[Literal["epochs", "batch_size", "schedule", "augmentation", "average"], ...],
        "Settings in which the lines of one table may differ. With `epochs`, Adam with twice as "
        "many epochs can stand beside SAM, and is compared with the baseline like any other.",
    ] = ()


class Suite(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A named study: the content of a suite file."""

    name: Annotated[Name, "Name of the study and of its report."]
    extends: Annotated[str | None, "Another suite that this one takes over and changes."] = None
    defaults: Annotated[dict[str, Any], "Settings shared by all runs."] = EMPTY
    matrix: Annotated[dict[str, Any], "Settings that vary; every combination is run."] = EMPTY
    include: Annotated[
        tuple[dict[str, Any], ...], "More grids like `matrix`, each combined with the defaults."
    ] = ()
    exclude: Annotated[tuple[Pattern, ...], "Combinations to leave out, each a pattern."] = ()
    seeds: Annotated[
        tuple[Count, ...], "Seeds of each combination: a list, or a number (3 is 0, 1, 2)."
    ] = (0,)
    folds: Annotated[
        Literal["all"] | tuple[Count, ...] | None,
        'Folds on which each combination is run, if its split has folds: a list, or "all".',
    ] = None
    search: Annotated[
        Search | None,
        "How hyperparameters are chosen before the final runs; leave it out to choose none.",
    ] = None
    hessian: Annotated[
        Measurement | None,
        "How curvature is measured after each run; leave it out to measure none.",
    ] = None
    tables: Annotated[tuple[TableReference, ...], "Published tables to compare the runs with."] = ()
    report: Annotated[ReportSettings, "How the study is reported."] = ReportSettings()
    launcher: Annotated[
        LauncherSettings | None,
        "Where runs execute, with options, such as {name: slurm, account: ab123}. It changes no "
        "number, and options of the command line override it.",
    ] = None

    places: ClassVar[Mapping[Path, str]] = {}
    """File and line of what was written, for messages; no part of what the suite is."""

    def grids(self) -> list[tuple[Path, Mapping[str, Any]]]:
        """Return matrix and includes, each with where it was written."""
        include = [(("include", number), grid) for number, grid in enumerate(self.include)]
        return [(("matrix",), self.matrix), *include]

    def place(self, *path: str | int) -> str:
        """Return file and line of what was written there, or of what that is a part of."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, f"suite {self.name}")

    def _wrong(self, said: str, *path: str | int) -> ConfigError:
        """Return the error of what was written there."""
        return ConfigError(f"{self.place(*path)}: {said}")

    def expand(self, folds_in: FoldsIn) -> tuple[RunConfig, ...]:
        """Return every run, seeds and folds outermost so that whole comparisons come early.

        `folds_in` tells the folds that a dataset of some size brings itself, where `folds: all`
        meets `split: folds`. If a setting is unknown or out of range, or something picks no run, a
        ConfigError names the place. Nothing has run then.
        """
        runs: dict[str, tuple[tuple[int, int], RunConfig]] = {}
        for combination in self._combinations():
            for number, seed in enumerate(self.seeds):
                for config in self._configs(combination, seed, folds_in):
                    _, first = runs.setdefault(config.id, ((number, config.fold or 0), config))
                    if first != config:
                        names = ", ".join((*EXECUTION, *AFTERWARDS))
                        said = f"run {config.name} is asked for with several values of what is no"
                        raise self._wrong(f"{said} part of its id ({names}); keep one of each")
        ordered = [config for _, config in sorted(runs.values(), key=lambda item: item[0])]
        if self.folds is not None and all(config.fold is None for config in ordered):
            said = "no run has a split with folds; set `split`, such as kfold-5, or leave folds out"
            raise self._wrong(said, "folds")
        kept = self._without_excluded(ordered)
        self._check_report(kept)
        return tuple(kept)

    def _combinations(self) -> Sequence[Combination]:
        grids = [grid for grid in self.grids() if grid[1] or not self.include]
        defaults = {key: (value, ("defaults", key)) for key, value in self.defaults.items()}
        try:
            found = [{**defaults, **own} for path, grid in grids for own in product(grid, path)]
        except Fault as fault:
            raise self._wrong(str(fault), *fault.path) from None
        if (runs := len(found) * len(self.seeds)) > MOST_RUNS:
            raise self._wrong(f"{runs} runs are asked for; allowed: at most {MOST_RUNS}", "seeds")
        return found

    def _configs(
        self, combination: Combination, seed: int, folds_in: FoldsIn
    ) -> Iterable[RunConfig]:
        settings = {"seed": seed, **{key: value for key, (value, _) in combination.items()}}
        dataset = settings.get("dataset")
        if settings.get("image_size") is None and isinstance(dataset, str):
            settings["image_size"] = default_size(dataset)
        try:
            config = RunConfig.from_dict(settings)
        except UserError as error:
            path = guilty(combination, str(error))
            place = f"suite {self.name}" if path is None else self.place(*path)
            vary = path and path[0] == "defaults" and isinstance(combination[str(path[1])][0], list)
            remedy = "; values that vary belong under `matrix`" if vary else ""
            remedy += "".join(where_it_belongs(key) for key in combination if key not in SETTINGS)
            raise ConfigError(f"{place}: {error}{remedy}") from error
        if config.replicas > 1:
            said = f"replicas={config.replicas}: each run of a suite is done by one process"
            remedy = "leave it out; `sambench train --devices N` does a run by several"
            raise self._wrong(f"{said}; {remedy}", *combination["replicas"][1])
        for one, several, usual in (("seed", "seeds", (0,)), ("fold", "folds", None)):
            value, path = combination.get(one, (None, ()))
            if value is not None and getattr(self, several) != usual:
                raise self._wrong(f"{one}={value} beside {several}; leave one out", *path)
        for fold in self._folds(config, combination, folds_in):
            yield config if fold is None else RunConfig.from_dict({**settings, "fold": fold})

    def _folds(
        self, config: RunConfig, combination: Combination, folds_in: FoldsIn
    ) -> Sequence[int | None]:
        """Return the folds to run a combination on; None for the split as it is."""
        try:
            there = folds_of(config.split)
        except ConfigError as error:
            _, path = combination.get("split", (None, ("defaults",)))
            raise self._wrong(str(error), *path) from error
        if there == () or config.fold is not None:
            return [None]
        if self.folds is None:
            said = f"split {config.split} needs folds; add `folds: all` to the suite"
            raise self._wrong(said, *combination["split"][1])
        if there is None:
            there = tuple(folds_in(config.dataset, config.image_size))
        chosen = there if self.folds == "all" else self.folds
        if missing := [fold for fold in chosen if fold not in there]:
            said = f"split {config.split} has no fold {missing[0]}; folds: "
            raise self._wrong(said + ", ".join(map(str, there)), "folds")
        return [int(fold) for fold in chosen]

    def _without_excluded(self, configs: Sequence[RunConfig]) -> list[RunConfig]:
        for number, pattern in enumerate(self.exclude):
            each = [Pattern({k: (v,)}) for k, values in pattern.wanted.items() for v in values]
            for part in (*each, pattern):
                if not any(map(part.matches, configs)):
                    said = f"exclude {part} fits no run of the suite"
                    raise self._wrong(said, "exclude", number)
        kept = [c for c in configs if not any(p.matches(c) for p in self.exclude)]
        if not kept:
            raise self._wrong("exclude leaves no run", "exclude")
        return kept

    def _check_report(self, configs: Sequence[RunConfig]) -> None:
        names = {str(config.optimizer["name"]) for config in configs}
        baseline = self.report.baseline
        if baseline is not None and baseline.partition(" (")[0] not in names:
            near, all_names = did_you_mean(baseline, names), ", ".join(sorted(names))
            said = f"baseline {baseline!r} is not among the optimizers{near}"
            raise self._wrong(f"{said}; they are: {all_names}", "report", "baseline")
        for number, table in enumerate(self.tables):
            if not any(map(table.where.matches, configs)):
                said = f"table {table.table} of {table.paper} is fed by no run ({table.where})"
                raise self._wrong(said, "tables", number)
