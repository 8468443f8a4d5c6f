"""A study from its suite to its table: trials first where it has a search, then the final runs."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import msgspec

from sambench.analysis.inference import SEEDS
from sambench.analysis.study import build_study
from sambench.analysis.time_estimates import Forecast, Timed, duration, forecast, untimed
from sambench.cli.checking import check_datasets, check_models, expanded, foresee, say_remarks
from sambench.cli.launching import Request, launch, run_answer, show_table
from sambench.cli.measuring import measured_otherwise
from sambench.cli.screen import Screen
from sambench.config.launcher_settings import LOCAL
from sambench.config.run_config import RunConfig
from sambench.config.search import TRIALS, plan_search
from sambench.config.suite import Suite
from sambench.errors import INTERRUPTED, ConfigError, StoreError, did_you_mean
from sambench.files.atomic import human
from sambench.launch.launcher import launchers, read_number
from sambench.launch.manifest import Manifest
from sambench.report.answer import settling
from sambench.report.contrasts import search_table
from sambench.report.notes import place_of, planned_groups, too_few
from sambench.report.table import counted
from sambench.store.environment import choose_device, git_state
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.search_record import (
    Roles,
    SearchRecord,
    found_now,
    read_search,
    search_path,
    still_asked,
    write_search,
)
from sambench.store.status import Standing, counts, pending
from sambench.store.study_plan import StudyPlan
from sambench.store.tree import Store


class Study:
    """A suite with all its runs: what there is of them, and doing what is missing."""

    def __init__(self, suite: Suite, request: Request, screen: Screen) -> None:
        self.suite, self.screen = suite, screen
        self.manifest = request.manifest
        self.finals = expanded(suite, self.manifest.data)
        self.request = replace(request, plan=StudyPlan.of(suite, self.finals))
        trials = replace(self.manifest, suite=suite.name + TRIALS, curvature=None)
        self.searching = replace(self.request, manifest=trials)
        check_datasets(self.finals, self.manifest.data, suite)
        try:
            self.tunings = plan_search(suite.search, self.finals) if suite.search else ()
        except ConfigError as error:
            raise ConfigError(f"{suite.place('search')}: {error}") from None
        self.trials = tuple(run for tuning in self.tunings for run in tuning.runs)
        self._shown: tuple[RunConfig, ...] = ()
        self._done: list[RunRecord] = []
        self._code, self._scripted, self._began = 0, False, time.monotonic()

    def plan(self, *, measure: bool = False) -> dict[str, Any]:
        """Show what is done and would run; `measure` times steps where no finished run tells."""
        request, launcher = self.request, self.request.launcher
        chosen = launchers.get(launcher.name)
        chosen.refuse_unknown(launcher.options)
        chosen.check(launcher.options)
        check_models(self.finals)
        finals, _, found = self._finals()
        searches = [tuning for tuning in found.tunings if not tuning.chosen] if found else []
        trials, wished = self._only(self.trials, finals)
        standings = self.searching.standings(trials)
        there = request.standings(finals)
        standings += _of(wished, there)
        names = {name for tuning in searches for name in tuning.untuned if not request.only}
        hessian = self.suite.hessian
        later = [
            replace(s, action="run again", left=hessian.missing(s.config, None) if hessian else ())
            for s in there
            if s.config.name in names
        ]
        queued = chosen.describe_queued(self.manifest.results, [s.config for s in standings])
        standings = [
            replace(s, action="wait", note=queued[s.config.id]) if s.config.id in queued else s
            for s in standings
        ]
        timed = time_steps(self.screen, standings, self.manifest) if measure else None
        runs_per_job = chosen.runs_per_job(launcher.options)
        left = forecast([*standings, *later], timed, runs_per_job or 1)
        self._show_plan(standings, len(later), left, runs_per_job)
        undone = [s.config for s in standings if s.action in ("run", "resume", "run again")]
        foresee(self.screen, undone, self.manifest.data)
        say_remarks(self.screen, self.finals)
        self._warn_of_reach(there)
        return {
            "suite": self.suite.name,
            "launcher": {"name": launcher.name, "options": launcher.options},
            "runs": [
                {
                    **{"id": s.config.id, "name": s.config.name},
                    **{"state": s.state, "action": s.action, "note": s.note or None},
                }
                for s in standings
            ],
            "states": counts(standings),
            "pending": len(pending(standings)),
            "tuned_runs_to_come": len(later),
            "forecast": asdict(left),
        }

    def _show_plan(
        self, standings: Sequence[Standing], coming: int, left: Forecast, runs_per_job: int | None
    ) -> None:
        """Show each run's standing, how many are in a state or still `coming`, and the time."""
        screen, launcher = self.screen, self.request.launcher
        rows = [(s.config.name, s.state, s.action, s.note) for s in standings]
        headings = ("run", "state", "would", "")[: None if any(s.note for s in standings) else 3]
        screen.listing(headings, [row[: len(headings)] for row in rows], f"{len(rows)} runs")
        sizes = sorted({(s.config.dataset, s.config.image_size) for s in standings})
        screen.show("images: " + ", ".join(f"{name} at {side} px" for name, side in sizes))
        if launcher != LOCAL:
            screen.show(f"launcher: {launcher}")
        states = ", ".join(f"{number} {state}" for state, number in counts(standings).items())
        screen.show(states + f"; up to {coming} tuned runs follow the search" * bool(coming))
        open_runs = len(pending(standings))
        if open_runs:
            done = [s.section("environment") for s in standings if s.state == COMPLETED]
            screen.show(_time_left(left, coming, sorted(set(map(place_of, done))), runs_per_job))
        codes = sorted({s.code for s in standings if s.code})
        here = git_state()
        if len(codes) > 1 or (codes and here and not codes[0].endswith(here)):
            said = f"made by sambench {', '.join(codes)}; this is {here or 'no checkout'}"
            screen.show(f"note: {said}")
        screen.show(f"to do: {open_runs} of {len(rows)} runs; nothing was run")

    def answer(self) -> dict[str, Any]:
        """Return, for a program, the runs that were carried out and the tables shown of them."""
        store = Store(self.manifest.results)
        runs = [run_answer(store, config) for config in self._shown]
        return {"suite": self.suite.name, "runs": runs, **self.screen.answer()}

    def carry_out(self) -> int:
        """Do what is missing, show the table, return the exit code."""
        trials, finals = self._only(self.trials, self.finals)
        every, _, found = self._finals()
        there = self.request.standings(every)
        say_remarks(self.screen, self.finals)
        self._warn_of_reach(there)
        if found:  # so that a report says what is not done, were this killed
            write_search(self.manifest.results, found)
        self._launch(self.searching.standings(trials), self.searching)
        there = self.request.standings(finals) if trials else _of(finals, there)
        self._launch(there, self.request)
        every, roles, found = self._finals()
        if found is not None:
            self.screen.table(search_table(found, str(write_search(self.manifest.results, found))))
        self._shown = tuple(filter(self._wanted, every))
        begun = {run.id for run in finals}
        tuned = [run for run in self._shown if run.id not in begun]
        self._launch(self.request.standings(tuned), self.request)
        self._done = show_table(
            self.screen, self.manifest.results, self._shown, self.suite.report, roles
        )
        return self._code

    def say_what_is_next(self, given: str | None) -> None:
        """Say what too few seeds lack and cost, and what is next; `given` is the suite as typed."""
        if not self._done:
            return
        if given is None:
            self.screen.say(*too_few(planned_groups(self.finals, self.suite.report)))
            if (seeds := len(self.suite.seeds)) < SEEDS.least_units and self.suite.folds is None:
                more = msgspec.structs.replace(self.suite, seeds=tuple(range(SEEDS.least_units)))
                left = forecast(self.request.standings(expanded(more, self.manifest.data)))
                self.screen.say(
                    f"`--seeds {SEEDS.least_units}` in place of {seeds} takes about "
                    f"{duration(left.seconds)} more, one run after another"
                )
        self.screen.say(
            f"next: `sambench report {given or self.suite.name}` writes the answer, all tables and "
            "the figures"
        )

    def _warn_of_reach(self, there: Sequence[Standing]) -> None:
        """Say what runs can never show, what would settle it, and which were measured otherwise.

        A comparison given by options is a quick look; its table says so.
        """
        if not self.suite.places:
            return
        known = [standing.record for standing in there if standing.record]
        self.screen.warn(*measured_otherwise(known, self.suite.hessian, self.suite.place()))
        self.screen.warn(*too_few(planned_groups(self.finals, self.suite.report)))
        records = [standing.record for standing in _of(self.finals, there)]
        done = [record for record in records if record and record.status == COMPLETED]
        open_ends = settling(build_study(done, self.suite.report, metrics=[]))
        self.screen.say(*filter(None, [open_ends]))

    def _launch(self, standings: Sequence[Standing], request: Request) -> None:
        """Do runs, if any, in what is left of the minutes, unless what was before ended it all.

        One job script is written: its runs are done before others are asked for.
        """
        failed = self._code and self.manifest.fail_fast
        if not standings or self._code == INTERRUPTED or failed or self._scripted:
            return
        minutes = read_number(request.launcher.options, "minutes", float)
        if minutes is not None and minutes > 0:
            left = max(minutes - (time.monotonic() - self._began) / 60, 1e-3)
            launcher = request.launcher.with_options({"minutes": f"{left:.6f}"})
            request = replace(request, launcher=launcher)
        self._scripted = "sbatch" in request.launcher.options and bool(pending(standings))
        self._code = launch(self.screen, standings, request) or self._code

    def _finals(self) -> tuple[tuple[RunConfig, ...], Roles, SearchRecord | None]:
        """Return the final runs known by now, their roles, and what the search has found."""
        if self.suite.search is None:
            return self.finals, {}, None
        name, store = self.suite.name, Store(self.manifest.results)
        loaded, _ = store.records(run.name for run in self.trials)
        records = {record.id: record for record in loaded}
        before = None
        with suppress(StoreError):  # it is written anew
            before = read_search(search_path(self.manifest.results, name))
        found = found_now(name, self.suite.search, self.tunings, records, before)
        _, runs, roles = still_asked(found, self.suite.search, self.finals)
        return runs, roles, found

    def _wanted(self, run: RunConfig) -> bool:
        only = self.request.only
        return not only or run.id in only or any(fnmatch.fnmatchcase(run.name, p) for p in only)

    def _only(self, *parts: Sequence[RunConfig]) -> list[tuple[RunConfig, ...]]:
        """Return the wanted runs of each part."""
        chosen = [tuple(filter(self._wanted, part)) for part in parts]
        if not any(chosen):
            names = [run.name for part in parts for run in part]
            pattern = ", ".join(self.request.only)
            raise ConfigError(
                f"--only {pattern} fits no run of suite {self.suite.name}"
                f"{did_you_mean(pattern, names)}; --plan shows all"
            )
        return chosen


def _of(runs: Iterable[RunConfig], standings: Iterable[Standing]) -> list[Standing]:
    ids = {run.id for run in runs}
    return [standing for standing in standings if standing.config.id in ids]


def time_steps(screen: Screen, standings: Sequence[Standing], manifest: Manifest) -> Timed:
    """Time some passes of each kind of run of which no finished one tells, and say how long."""
    from sambench.run.estimates import measure_pace

    found = {}
    for kind, config in untimed(standings).items():
        pace = measure_pace(config, manifest.data, choose_device(manifest.device)[0])
        found[kind] = (pace.seconds, pace.images / (1 - config.validation))
        memory = f", {human(pace.memory_bytes)} of the device" if pace.memory_bytes else ""
        screen.say(
            f"timed {config.model} at {config.image_size} px: {1000 * pace.seconds:.0f} ms for a "
            f"gradient of {config.batch_size} images (slowest {pace.spread:.1f} times the "
            f"fastest){memory}"
        )
    return found


def _time_left(left: Forecast, coming: int, places: Sequence[str], runs_per_job: int | None) -> str:
    """Say how long the open runs take and how that is known, and the longest job, for its limit."""
    if not left.known:
        return "time left: unknown until such a run is completed; --measure times a few steps"
    said = f"time left: about {duration(left.seconds)}, one run after another, for "
    said += counted(left.known, "run")
    said += f", up to {coming} tuned ones to come among them, " if coming else ", "
    if left.finished:
        said += f"at the pace of {counted(left.finished, 'finished run')} on {' and '.join(places)}"
        more = counted(left.unknown, "more run")
        said += f"; nothing finished tells of {more}" * bool(left.unknown)
    else:
        said += "by timed steps; start-up and validation come on top"
    if left.unmeasured:
        said += f"; the curvature of {counted(left.unmeasured, 'run')} comes on top"
    if runs_per_job is None:
        return said
    jobs = math.ceil((left.known + left.unknown) / runs_per_job)
    each = "the job takes" if jobs == 1 else f"of {jobs} jobs the longest takes"
    return f"{said}; {each} about {duration(left.longest)}"
