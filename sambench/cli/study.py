"""A study from its suite to its table: trials first where it has a search, then the final runs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.cli.answers import run_answer, tables_answer
from sambench.cli.launching import (
    check_datasets,
    check_models,
    check_weights,
    expanded,
    launch,
    show_table,
    survey,
    warn_of_sizes,
)
from sambench.cli.planning import show_plan
from sambench.cli.searching import tuned_runs
from sambench.config.search import plan_search, trials_of
from sambench.errors import ConfigError, ModelError, did_you_mean

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.run_config import RunConfig
    from sambench.config.suite import Suite
    from sambench.store.status import Standing


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of a study.

    Attributes:
        data: Folder of the prepared datasets.
        results: Folder of the results.
        device: Name of the device, or None to choose.
        only: Patterns of names, or ids, of the runs to do; none for all.
        retry: States of runs that are done again.
        fail_fast: End with the first run that fails or diverges.
        launcher: Where runs execute, and its options.
        log: Sinks that follow each run (`sambench.run.sinks`).
    """

    data: Path
    results: Path
    device: str | None = None
    only: Sequence[str] = ()
    retry: Sequence[str] = ()
    fail_fast: bool = False
    launcher: tuple[str, Mapping[str, str]] = ("local", {})
    log: Sequence[str] = ()


class Study:
    """A suite with all its runs.

    Args:
        suite: What is compared.
        request: What is asked of it.
        screen: Where to show how it goes.

    Raises:
        UserError: If the suite does not expand or a pattern fits no run.
    """

    def __init__(self, suite: Suite, request: Request, screen: Screen) -> None:
        self.suite = suite
        self.request = request
        self.screen = screen
        self.finals = expanded(suite, request.data)
        check_datasets(self.finals, request.data)
        self.tunings = plan_search(suite.search, self.finals) if suite.search else ()
        self.trials = tuple(run for tuning in self.tunings for run in tuning.runs)
        self._shown: tuple[RunConfig, ...] = ()

    def plan(self) -> tuple[list[Standing], int]:
        """Show what is done and what would run.

        Returns:
            The standing of each run, and how many final runs a search that is not done will add.
        """
        from sambench.launch.launcher import launchers
        from sambench.store.tree import Store

        chosen, options = launchers.get(self.request.launcher[0]), self.request.launcher[1]
        chosen.refuse_unknown(options)
        chosen.check(options)
        check_models(self.finals)
        tuned = self._tuned(keep=False)
        finals = tuple({run.id: run for run in (*self.finals, *tuned)}.values())
        trials, finals = self._only(self.trials, finals)
        store, request = Store(self.request.results), self.request
        standings = survey(store, request.data, None, request.retry).of(trials)
        standings += survey(store, request.data, self.suite.hessian, request.retry).of(finals)
        coming = 0 if self.request.only or tuned else len(self.finals) * bool(self.tunings)
        queued = chosen.describe_queued(request.results, [s.config for s in standings])
        standings = [
            replace(s, action="wait", note=queued[s.config.id]) if s.config.id in queued else s
            for s in standings
        ]
        show_plan(self.screen, standings, coming)
        undone = [s.config for s in standings if s.action in ("run", "resume", "run again")]
        warn_of_sizes(self.screen, undone, request.data)
        try:
            check_weights(undone, request.data)
        except ModelError as error:
            self.screen.warn(str(error))
        self._warn_of_reach()
        return standings, coming

    def answer(self) -> dict[str, Any]:
        """Return, for a program, the runs that were carried out and the tables shown of them."""
        from sambench.store.tree import Store

        store = Store(self.request.results)
        runs = [run_answer(store, config) for config in self._shown]
        return {"suite": self.suite.name, "runs": runs, **tables_answer(self.screen.tables)}

    def carry_out(self) -> int:
        """Do what is missing, show the table, return the exit code."""
        trials, finals = self._only(self.trials, self.finals)
        self._warn_of_reach()
        code = self._launch(trials, trials_of(self.suite.name), 0, curvature=False)
        code = self._launch(finals, self.suite.name, code, curvature=True)
        tuned = self._tuned(keep=True)
        if tuned:
            tuned = tuple(run for run in tuned if run not in finals and self._wanted(run))
            code = self._launch(tuned, self.suite.name, code, curvature=True)
        self._shown = (*finals, *tuned)
        show_table(self.screen, self.request.results, self._shown, self.suite.baseline)
        return code

    def _warn_of_reach(self) -> None:
        """Say of each setting of a suite file whose runs can never show a difference.

        A comparison given by options is a quick look; its table says so.
        """
        if not self.suite.places:
            return
        from sambench.report.problems import planned_groups, too_few

        for sentence in too_few(planned_groups(self.finals, self.suite.baseline)):
            self.screen.warn(sentence)
        for sentence in self._settling():
            self.screen.say(sentence)

    def _settling(self) -> Iterable[str]:
        """Return what would settle the comparison at the spread of the runs that are there."""
        from sambench.analysis.metrics import find_metric
        from sambench.analysis.study import PRIMARY, build_study
        from sambench.report.consequences import settling
        from sambench.store.record import COMPLETED
        from sambench.store.tree import Store

        records, _ = Store(self.request.results).records(run.name for run in self.finals)
        there = [record for record in records if record.status == COMPLETED]
        baseline = self.suite.baseline
        return settling(build_study(there, baseline, metrics=[find_metric(PRIMARY)]))

    def _launch(self, runs: Sequence[RunConfig], name: str, before: int, *, curvature: bool) -> int:
        """Do runs unless what was done before ended the command; return the exit code of both."""
        request = self.request
        if not runs or before == INTERRUPTED or (before and request.fail_fast):
            return before
        code = launch(
            self.screen,
            runs,
            request.data,
            request.results,
            request.device,
            name,
            self.suite.hessian if curvature else None,
            retry=request.retry,
            fail_fast=request.fail_fast,
            launcher=request.launcher,
            log=request.log,
        )
        return code or before

    def _tuned(self, *, keep: bool) -> tuple[RunConfig, ...]:
        if not self.tunings:
            return ()
        return tuned_runs(self.screen, self.request.results, self.suite, self.tunings, keep=keep)

    def _wanted(self, run: RunConfig) -> bool:
        patterns = self.request.only
        return not patterns or any(
            run.id == pattern or fnmatch.fnmatchcase(run.name, pattern) for pattern in patterns
        )

    def _only(self, *parts: Iterable[RunConfig]) -> list[tuple[RunConfig, ...]]:
        """Return the wanted runs of each part.

        Raises:
            ConfigError: If no part has one.
        """
        listed = [tuple(part) for part in parts]
        chosen = [tuple(filter(self._wanted, part)) for part in listed]
        if not any(chosen):
            names = [run.name for part in listed for run in part]
            pattern = ", ".join(self.request.only)
            raise ConfigError(
                f"--only {pattern} fits no run of suite {self.suite.name}"
                f"{did_you_mean(pattern, names)}; --plan shows all"
            )
        return chosen


INTERRUPTED = 130
"""Exit code of a launch that was stopped by the user."""
