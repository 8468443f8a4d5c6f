"""The one idempotent unit of work that every launcher starts: a manifest and an index.

What is finished is skipped, what was cut is resumed, and no result is handed back: whoever wants to
know how a run stands reads its files. `python -m sambench.launch.job MANIFEST INDEX` does one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sambench.config.run_config import RunConfig
from sambench.errors import (
    ClaimError,
    DamagedError,
    LaunchError,
    RunFailed,
    RunInterrupted,
    StoreError,
    UserError,
    is_of_surroundings,
)
from sambench.files.claim import Claimed
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.manifest import Manifest
from sambench.run.sinks import Following
from sambench.store.environment import naming_faults
from sambench.store.record import COMPLETED, FAILED, INTERRUPTED, RUNNING, RunRecord
from sambench.store.status import in_one_line
from sambench.store.tree import Store
from sambench.training.events import Event

if TYPE_CHECKING:
    import torch

_PATIENT_SECONDS = 5.0
"""How often a run that another process holds is asked for."""


def _perform(
    manifest: Manifest,
    index: int,
    device: torch.device,
    watcher: Watcher,
    stop_requested: Callable[[], bool],
) -> RunRecord:
    """Do one run of a manifest and measure its minimum, as far as they are not done."""
    import torch

    from sambench.run.single_run import Paths, run_one

    if device.type == "cuda":  # for code of one's own, which may say "cuda" alone
        torch.cuda.set_device(device.index or 0)

    def on_progress(what: str, done: int, most: int) -> None:
        watcher.curvature(what, done, most)
        if stop_requested():
            raise KeyboardInterrupt

    def told(event: Event) -> None:
        watcher.event(event)
        following.event(event)

    config, paths = manifest.configs[index], Paths(data=manifest.data, results=manifest.results)
    following = Following(manifest.log, Store(manifest.results).folder(config))
    record: RunRecord | None = None
    try:
        record = run_one(
            config,
            paths,
            device=device,
            suite=manifest.suite,
            on_event=told,
            stop_requested=stop_requested,
        )
        wanted = manifest.curvature
        if record.status != COMPLETED or not wanted or wanted.is_done(config, record.hessian):
            return record
        from sambench.run.measure import measure_minimum

        watcher.measuring(config)
        record = measure_minimum(record, wanted, paths, device=device, on_progress=on_progress)
        minutes, left = wanted.hessian.minutes, wanted.missing(config, record.hessian)
        if minutes is not None and left:
            watcher.say(
                f"{record.name}: {minutes:g} minutes are over; left to measure: "
                f"{', '.join(left)}; the same command goes on"
            )
        return record
    finally:
        following.end(record)


def attempt(
    manifest: Manifest,
    index: int,
    device: torch.device,
    watcher: Watcher,
    stop_requested: Callable[[], bool],
    *,
    mark: bool = True,
) -> RunRecord | Exception | None:
    """Do one run; return its record, what went wrong, or None while another process is at it.

    What another process holds is waited for with the patience of the manifest. `mark` writes what
    went wrong into the record, for a process that nobody listens to. A results folder that cannot
    be written is a StoreError, a measurement that was interrupted a KeyboardInterrupt.
    """
    give_up = time.monotonic() + manifest.patience
    while True:
        try:
            with naming_faults(device):
                return _perform(manifest, index, device, watcher, stop_requested)
        except Claimed:
            if time.monotonic() >= give_up or stop_requested():
                return None
            time.sleep(min(_PATIENT_SECONDS, manifest.patience))
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                raise
            if mark:
                plain = isinstance(error, UserError | RunFailed)
                said = str(error) if plain else "".join(traceback.format_exception(error))
                status = INTERRUPTED if is_of_surroundings(error) else FAILED
                with suppress(StoreError):  # of a disk that has no room for this either
                    mark_ended(Store(manifest.results), manifest.configs[index], said, status)
            return error


def let_go(error: BaseException | None, device: torch.device) -> None:
    """Drop the tracebacks of an error that was told: their frames hold the network of its run.

    An error of a GPU's own, which ends its use by this process for good, is a LaunchError.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    if device.type == "cuda":
        import torch

        try:
            torch.cuda.synchronize(device)
        except RuntimeError as lost:
            said = f"{device} is lost to this process ({str(lost).splitlines()[0]})"
            raise LaunchError(f"{said}; the same command goes on with the other runs") from lost


def mark_ended(store: Store, config: RunConfig, reason: str, status: str) -> None:
    """Write into a run's record how its process ended, unless the record knows better.

    Its checkpoints stay: doing the run again resumes it. Nothing is written while the claim of
    another process may be alive, nor over damage, which is said wherever it is read.
    """
    with suppress(Claimed, ClaimError, DamagedError), store.claim(config):
        record = store.load(config) or RunRecord(config=config, status=RUNNING)
        if record.status in (RUNNING, INTERRUPTED, FAILED, status):
            store.save(replace(record, status=status, error=reason))


def conclude(
    manifest: Manifest,
    index: int,
    watcher: Watcher,
    tally: Tally,
    reason: str,
    *,
    raised: bool = False,
    ended_well: bool = False,
) -> None:
    """Read from its files how a run ended whose process is gone, tell it and count it.

    The reason is what is known of the end of its process, for a run whose files do not say.
    `raised`: the process is known to have failed, in measuring where the run is completed.
    `ended_well`: it is known not to have failed, and so left the run to whoever holds it.
    """
    config, store = manifest.configs[index], Store(manifest.results)
    record, damage = store.look(config)
    ending = tally.interrupted or (manifest.fail_fast and tally.exit_code)
    if record is None and not damage and ending:
        return  # it was never begun
    if not damage and (record is None or record.status == RUNNING):
        mark_ended(store, config, reason, INTERRUPTED)
        record, damage = store.look(config)
        raised = True
    found: RunRecord | Exception | None
    if record is None or record.status == RUNNING:  # another process may hold it
        found = None if ended_well and not damage else RunFailed(damage or reason)
    elif record.status == FAILED:
        found = RunFailed(in_one_line(record.error or reason))
    elif record.status == INTERRUPTED and raised and not ending:
        found = RunInterrupted(in_one_line(record.error or reason))
    elif _unmeasured(record, manifest, raised):
        if tally.interrupted:
            return
        found = RunFailed(f"its minimum was not measured: {reason}")
    else:
        found = record
    tally.count(config, found, watcher)


def _unmeasured(record: RunRecord, manifest: Manifest, raised: bool) -> bool:
    """Whether the minimum of a completed run is not measured, by failure and not for its minutes.

    Of a minimum that is to be measured again the record cannot tell.
    """
    wanted = manifest.curvature
    if wanted is None or record.status != COMPLETED:
        return False
    failed = raised or wanted.hessian.minutes is None or record.hessian is None
    left = wanted.missing(record.config, record.hessian)
    return bool(failed and left) or (raised and wanted.again)
