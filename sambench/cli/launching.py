"""What `train`, `hessian` and `compare` share: do runs, say what is left alone, show the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sambench.cli.checking import check_data, check_models, check_weights
from sambench.cli.progress import RunDisplay
from sambench.cli.screen import Screen
from sambench.config.launcher_settings import LOCAL, LauncherSettings
from sambench.config.run_config import RunConfig
from sambench.config.suite import ReportSettings
from sambench.data.prepared import prepared_fingerprint
from sambench.errors import ClaimError, StoreError, some
from sambench.files.claim import Claimed
from sambench.launch.launcher import Tally, launchers
from sambench.launch.launchers.local import named_devices
from sambench.launch.manifest import Manifest
from sambench.report.tables import build_tables
from sambench.store.environment import choose_device
from sambench.store.record import COMPLETED, DIVERGED, FAILED, INTERRUPTED, RUNNING, RunRecord
from sambench.store.search_record import Roles
from sambench.store.status import (
    DAMAGED,
    MISSING,
    NEWER,
    STALE,
    Standing,
    Survey,
    counts,
    damaged_or_newer,
    pending,
)
from sambench.store.study_plan import StudyPlan, write_plan
from sambench.store.tree import Store

_ABSENT = {
    **{state: state for state in (INTERRUPTED, FAILED, DIVERGED, DAMAGED)},
    **{NEWER: "of a newer sambench", MISSING: "not done", RUNNING: "being done by another process"},
}
"""Why a run is not in a table, by its state."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of runs: how they are done, which, by whom, and of which study."""

    manifest: Manifest  # how, and where their files lie; the runs themselves are not yet in it
    plan: StudyPlan | None = None  # of their study, which is kept beside them
    joins: bool = False  # whether its runs join those of the plan that is kept
    only: Sequence[str] = ()  # patterns of names, or ids; none for all
    retry: Sequence[str] = ()  # states that are done again (`sambench.store.status.REPEATABLE`)
    launcher: LauncherSettings = LOCAL  # where runs execute, and its options

    def standings(self, configs: Iterable[RunConfig]) -> list[Standing]:
        """Return the standing of each run."""
        data = self.manifest.data
        return Survey(
            store=Store(self.manifest.results),
            curvature=self.manifest.curvature,
            retry=self.retry,
            fingerprint=lambda name, side: prepared_fingerprint(data, name, side),
        ).of(configs)


def launch(screen: Screen, standings: Sequence[Standing], request: Request) -> int:
    """Do what is missing of runs; return the exit code."""
    manifest, launcher = request.manifest, request.launcher
    store, left = Store(manifest.results), pending(standings)
    failures = _say_what_is_left_alone(screen, standings)
    todo = [standing.config for standing in left]
    if todo:
        launchers.get(launcher.name)
        local = launcher.name == "local"
        named = named_devices(launcher.options, manifest.device) if local else ()
        check_runs(screen, todo, manifest.data, named or (manifest.device,) if local else ())
    if request.plan is not None:
        try:
            write_plan(manifest.results, request.plan, joins=request.joins)
        except StoreError as error:
            if todo:
                raise  # where all is done nothing else need be written
            screen.warn(f"the plan of the study was not stored: {error}")
    if not todo:
        return int(failures > 0)
    anew = [standing for standing in left if standing.state in (STALE, DAMAGED)]
    for standing in anew:
        with suppress(Claimed, ClaimError):  # another process is at it
            store.retire(standing.config, f"{standing.state}, {standing.note}")
    if why := some(sorted({s.note for s in anew}), 3):
        kept = f"their earlier files are kept in {store.root / 'retired'}"
        screen.say(f"running again, since {why}; {kept}")
    alone = len(standings) == 1
    tally = carry_out(screen, replace(manifest, configs=todo), launcher, alone=alone)
    cut = tally.interrupted or any(record.status == INTERRUPTED for record in tally.records)
    if tally.errors or tally.elsewhere:
        now = replace(request, retry=()).standings(todo)
        states, undone = counts(now), counts(pending(now))
        told = [(states.get(s), f"{s}; `--retry {s}` does them again") for s in (FAILED, DAMAGED)]
        told.append((undone.get(COMPLETED), "left to measure; the same command goes on"))
        screen.warn(*(f"{number} {said}" for number, said in told if number))
        held = [s.config for s in now if s.state == RUNNING]
        others = [config.name for config in held if config in tally.elsewhere]
        cut |= len(held) > len(others) or INTERRUPTED in undone
        failures += sum(s.state != COMPLETED or s.action != "skip" for s in now)
        if others:
            screen.warn(
                f"another process is doing {', '.join(others)}, which is missing here; the same "
                "command shows all when it has ended"
            )
    if cut:
        screen.warn("interrupted; run the same command again to continue from here")
    return tally.exit_code or int(failures > 0)


def check_runs(
    screen: Screen, configs: Sequence[RunConfig], data: Path, devices: Iterable[str | None]
) -> None:
    """Refuse runs that could not begin; the data, which may take a while, are looked at last."""
    check_models(configs)
    check_weights(configs, data)
    there = [choose_device(device)[0] for device in devices]
    if there and any(config.precision == "tf32" for config in configs):
        from sambench.training.precision import rounds

        if not any(rounds("tf32", device) for device in there):
            needs = "a CUDA device with TensorFloat-32"
            screen.warn(f"note: precision=tf32 needs {needs}; on {there[0]} it is fp32")
    check_data(screen, configs, data)


def carry_out(
    screen: Screen,
    manifest: Manifest,
    launcher: LauncherSettings,
    *,
    alone: bool,
    show: Callable[[RunRecord], None] | None = None,
) -> Tally:
    """Have a launcher do runs and their minima and show it; raise the error of a run `alone`."""
    with RunDisplay(screen, manifest.configs, alone=alone, show=show) as display:
        tally = launchers.get(launcher.name).start(manifest, launcher.options, display.watcher())
    if alone and tally.errors:
        raise tally.errors[0]
    return tally


def _say_what_is_left_alone(screen: Screen, standings: Sequence[Standing]) -> int:
    """Tell which runs are not done (again), and of each that is no result why; return how many."""
    left_alone = [standing for standing in standings if standing.action == "skip"]
    numbers = counts(left_alone)
    if done := numbers.get(COMPLETED):
        screen.say(f"{done} of {len(standings)} runs are done already")
    bad = (FAILED, DIVERGED, DAMAGED, NEWER)
    for standing in left_alone:
        if standing.state in bad:
            screen.warn(f"{standing.config.name} {standing.state}: {standing.note or 'no reason'}")
    for state in (*bad, STALE):
        if number := numbers.get(state):
            reasons = sorted({s.note for s in left_alone if s.state == state == STALE})
            why = f" ({'; '.join(reasons)})" if reasons else ""
            way = "upgrade sambench" if state == NEWER else f"`--retry {state}` does them again"
            screen.warn(f"{number} {state}{why}; {way}")
    return sum(numbers.get(state, 0) for state in bad)


def run_answer(store: Store, config: RunConfig) -> dict[str, Any]:
    """Return what is stored of a run, for a program."""
    record, damage = store.look(config)
    stored = {} if record is None else record.to_dict()
    return {
        "id": config.id,
        "name": config.name,
        "path": str(store.folder(config)),
        "status": record.status if record else damaged_or_newer(damage) if damage else MISSING,
        "error": record.error if record else str(damage or "") or None,
        **{name: stored.get(name) for name in ("final", "cost", "sharpness", "hessian")},
    }


def show_table(
    screen: Screen,
    results: Path,
    configs: Sequence[RunConfig],
    asked: ReportSettings,
    roles: Roles | None = None,
) -> list[RunRecord]:
    """Show the tables of the runs that have a sound record, and how many have none.

    Nothing is shown before one is completed. Returns the completed ones.
    """
    store = Store(results)
    records, _ = store.records(config.name for config in configs)
    completed = [record for record in records if record.status == COMPLETED]
    if not completed:
        return []
    states = counts(Survey(store=store, known={r.id: r for r in records}).of(configs))
    absent = {why: states[state] for state, why in _ABSENT.items() if state in states}
    first, *rest = build_tables(records, asked, configs, roles)
    if absent:
        said = ", ".join(f"{number} {why}" for why, number in absent.items())
        note = f"{sum(absent.values())} of {len(configs)} runs are not in the tables: {said}."
        first = replace(first, notes=(*first.notes, note))
    screen.table(first, *rest)
    return completed
