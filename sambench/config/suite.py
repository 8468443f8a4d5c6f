"""A suite of runs: what is compared, expanded in full before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from sambench.config.grid import MOST_RUNS, Combination, Pattern, guilty, product
from sambench.config.launcher_settings import LauncherSettings
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.config.search import Search
from sambench.data.source import default_size
from sambench.data.splits import folds_of
from sambench.errors import ConfigError, UserError, did_you_mean
from sambench.files.definition import Count, Definition, Fault, Name, Path, Positive, about

SizeOf = Callable[[str], int]
FoldsIn = Callable[[str, int], Sequence[int]]


class TableReference(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published table or figure that some of a suite's runs stand beside."""

    paper: Annotated[str, about("Id of the paper.")]
    table: Annotated[str, about("Number or name of the table or figure in it.")]
    where: Annotated[Pattern, about("Which runs, as a pattern; all where it is left out.")] = (
        Pattern()
    )


class ReportSettings(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a suite is reported."""

    baseline: Annotated[str | None, about("The optimizer that the others are compared with.")] = (
        None
    )
    margins: Annotated[
        dict[str, Positive],
        about(
            "Differences within which optimizers count as equivalent, by metric: a fraction for "
            "`accuracy` and its like (0.01 is one point), a ratio for costs and curvature (1.25)."
        ),
    ] = msgspec.field(default_factory=dict)
    primary: Annotated[
        Literal["accuracy", "balanced_accuracy", "auroc"],
        about("The metric that the answer is about; all others are secondary."),
    ] = "accuracy"
    beside: Annotated[
        tuple[Literal["epochs", "batch_size", "schedule", "augmentation", "average"], ...],
        about(
            "Settings in which the lines of one table may differ: with `epochs`, Adam with twice "
            "as many stands beside SAM, and is compared with the baseline like any other."
        ),
    ] = ()


def _no_folds(dataset: str, image_size: int) -> Sequence[int]:
    raise ConfigError(f"the folds of {dataset!r} are not known here; list them: folds: [1, 2]")


class Suite(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A named study: the content of a suite file."""

    name: Annotated[Name, about("Names its reports.")]
    extends: Annotated[str | None, about("Another suite that this one changes.")] = None
    defaults: Annotated[dict[str, Any], about("Settings shared by all runs.")] = msgspec.field(
        default_factory=dict
    )
    matrix: Annotated[dict[str, Any], about("Settings that vary; every combination is run.")] = (
        msgspec.field(default_factory=dict)
    )
    include: Annotated[
        tuple[dict[str, Any], ...],
        about("Further grids beside the matrix, each over the defaults."),
    ] = ()
    exclude: Annotated[
        tuple[Pattern, ...],
        about("Combinations of matrix and include to leave out, each a pattern."),
    ] = ()
    seeds: Annotated[
        tuple[Count, ...],
        about("Each combination is run with each: a list, or how many from 0 on."),
    ] = (0,)
    folds: Annotated[
        Literal["all"] | tuple[Count, ...] | None,
        about(
            'A list; combinations whose split has folds are run on each. "all" for all there are.'
        ),
    ] = None
    search: Annotated[
        Search | None,
        about("How hyperparameters are chosen before the final runs; leave it out for none."),
    ] = None
    hessian: Annotated[
        Measurement | None,
        about("What is measured of each run's minimum; leave it out to measure nothing."),
    ] = None
    tables: Annotated[
        tuple[TableReference, ...], about("Published tables that the runs stand beside.")
    ] = ()
    report: Annotated[
        ReportSettings,
        about(
            "`baseline`: the optimizer that the others are compared with. `margins`: within which "
            "differences optimizers count as equivalent, by metric, as {accuracy: 0.02, top: 1.5}. "
            "`primary`: the metric of the answer: accuracy, balanced_accuracy or auroc. `beside`: "
            "settings in which lines of one table may differ, as [epochs]."
        ),
    ] = ReportSettings()
    launcher: Annotated[
        LauncherSettings | None,
        about(
            "Who does the runs, and its options, as {name: slurm, account: ab123, qos: normal}. "
            "The command line goes first; no run changes by it."
        ),
    ] = None

    places: ClassVar[Mapping[Path, str]] = {}
    """File and line of what was written, for messages; no part of what the suite is."""

    @property
    def baseline(self) -> str | None:
        """The optimizer that the others are compared with; None for no particular one."""
        return self.report.baseline

    def grids(self) -> list[tuple[Path, Mapping[str, Any]]]:
        """Return matrix and includes, each with where it was written."""
        include = [(("include", number), grid) for number, grid in enumerate(self.include)]
        return [(("matrix",), self.matrix), *include]

    def written_at(self, places: Mapping[Path, str]) -> Suite:
        """Return the suite, which knows from now on where it was written."""
        self.__dict__["places"] = places
        return self

    def place(self, *path: str | int) -> str:
        """Return file and line of what was written there, or of what that is a part of."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, f"suite {self.name}")

    def expand(
        self, image_size: SizeOf = default_size, folds_in: FoldsIn = _no_folds
    ) -> tuple[RunConfig, ...]:
        """Return every run, seeds and folds outermost so that whole comparisons come early.

        Args:
            image_size: The side to use for a dataset where the suite names none.
            folds_in: The folds that a dataset of that size brings itself; asked where `folds: all`
                meets `split: folds`.

        Raises:
            ConfigError: If a setting is unknown or out of range, or something picks no run; names
                the place. Nothing has run then.
        """
        runs: dict[str, tuple[tuple[int, int], RunConfig]] = {}
        for combination in self._combinations():
            for number, seed in enumerate(self.seeds):
                for config in self._configs(combination, seed, image_size, folds_in):
                    runs.setdefault(config.id, ((number, config.fold or 0), config))
        ordered = [config for _, config in sorted(runs.values(), key=lambda item: item[0])]
        kept = self._without_excluded(ordered)
        self._check_baseline(kept)
        self._check_tables(kept)
        return tuple(kept)

    def _combinations(self) -> list[Combination]:
        grids = [grid for grid in self.grids() if grid[1] or not self.include]
        try:
            found = [
                combination.over(
                    {k: v for k, v in self.defaults.items() if k not in grid}, ("defaults",)
                )
                for path, grid in grids
                for combination in product(grid, path)
            ]
        except Fault as fault:
            raise ConfigError(f"{self.place(*fault.path)}: {fault}") from None
        if (runs := len(found) * len(self.seeds)) > MOST_RUNS:
            raise ConfigError(
                f"{self.place('seeds')}: {runs} runs are asked for; allowed: at most {MOST_RUNS}"
            )
        return found

    def _configs(
        self, combination: Combination, seed: int, image_size: SizeOf, folds_in: FoldsIn
    ) -> Iterable[RunConfig]:
        settings = {"seed": seed, **combination.settings}
        dataset = settings.get("dataset")
        if settings.get("image_size") is None and isinstance(dataset, str):
            settings["image_size"] = image_size(dataset)
        try:
            config = RunConfig.from_dict(settings)
        except UserError as error:
            path = guilty(combination, str(error))
            place = f"suite {self.name}" if path is None else self.place(*path)
            raise ConfigError(f"{place}: {error}") from error
        for fold in self._folds(config, combination, folds_in):
            yield config if fold is None else RunConfig.from_dict({**settings, "fold": fold})

    def _folds(
        self, config: RunConfig, combination: Combination, folds_in: FoldsIn
    ) -> Sequence[int | None]:
        """Return the folds to run a combination on; None for the split as it is."""
        try:
            there = folds_of(config.split)
        except ConfigError as error:
            place = self.place(*combination.paths.get("split", ("defaults",)))
            raise ConfigError(f"{place}: {error}") from error
        if there == () or config.fold is not None:
            if config.fold is not None and self.folds is not None:
                place = self.place(*combination.paths["fold"])
                raise ConfigError(f"{place}: fold={config.fold} beside folds; leave one out")
            return [None]
        if self.folds is None:
            place = self.place(*combination.paths["split"])
            raise ConfigError(
                f"{place}: split {config.split} needs folds; add `folds: all` to the suite"
            )
        if there is None:
            there = tuple(folds_in(config.dataset, config.image_size))
        chosen = there if self.folds == "all" else self.folds
        for fold in chosen:
            if fold not in there:
                raise ConfigError(
                    f"{self.place('folds')}: split {config.split} has no fold {fold}; folds: "
                    f"{', '.join(map(str, there))}"
                )
        return [int(fold) for fold in chosen]

    def _without_excluded(self, configs: Sequence[RunConfig]) -> list[RunConfig]:
        for number, pattern in enumerate(self.exclude):
            if not any(map(pattern.matches, configs)):
                place = self.place("exclude", number)
                raise ConfigError(f"{place}: exclude {pattern} fits no run of the suite")
        kept = [c for c in configs if not any(p.matches(c) for p in self.exclude)]
        if not kept:
            raise ConfigError(f"{self.place('exclude')}: exclude leaves no run")
        return kept

    def _check_baseline(self, configs: Sequence[RunConfig]) -> None:
        names = {str(config.optimizer["name"]) for config in configs}
        if self.baseline is not None and self.baseline not in names:
            raise ConfigError(
                f"{self.place('report', 'baseline')}: baseline {self.baseline!r} is not among the "
                f"optimizers{did_you_mean(self.baseline, names)}; they are: "
                f"{', '.join(sorted(names))}"
            )

    def _check_tables(self, configs: Sequence[RunConfig]) -> None:
        for number, table in enumerate(self.tables):
            if not any(map(table.where.matches, configs)):
                raise ConfigError(
                    f"{self.place('tables', number)}: table {table.table} of {table.paper} is fed "
                    f"by no run ({table.where})"
                )
