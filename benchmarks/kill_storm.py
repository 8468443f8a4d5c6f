"""Kill -9 at random while two processes do one suite; look for records lost, wrong or done twice.

    python benchmarks/kill_storm.py [--kills 200] [--minutes 10] [--machines] [--stale 3] [--seed 0]

Prepares 40 simulated images and does a small suite (of seven optimizers, with curvature) at peace.
Then two processes do the same suite in another results folder, as `sambench compare` would but
forked from one that has imported everything, so that a kill does not cost seconds; each is killed
after a random time and started again at once, until the suite is done. Then everything is compared
with the undisturbed results bit for bit: weights, predictions, history, metrics, curvature. Rounds
follow until the kills or the minutes are used up, and at least one.

With `--machines` the two take each other for processes of different machines, which know of each
other's death by the heartbeat alone: after `--stale` seconds without one. A living process that a
busy machine lets rest for longer is taken for dead, and its run is done twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import sambench.cli.screen
import sambench.config.suite_file
import sambench.files.claim
import sambench.files.owner
import sambench.launch.launchers.local
import sambench.report.tables
import sambench.run.single_run
import sambench.training.snapshot
from sambench.cli import app
from sambench.cli.catalogue import catalogue
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.store.tree import Store

SUITE = """
name: storm
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 6, batch_size: 4, lr: 1e-3,
           schedule: cosine, augmentation: flip-shift, selection: best-validation, validation: 0.2}
matrix: {optimizer: [OPTIMIZERS]}
seeds: SEEDS
hessian: {samples: 8, max_matvecs: 8, tol: 0.5, trace_tol: 1.0}
"""
OPTIMIZERS = "adam,sam,gcsam,esam,looksam,vasso,sgd"
MEAN_SECONDS = 0.7  # from the beginning of a process's first run to its death


@dataclass
class Tally:
    """What happened in all rounds."""

    kills: int = 0
    rounds: int = 0
    killed_within_a_run: int = 0
    runs_compared: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    done_twice: list[str] = field(default_factory=list)
    at_once: list[str] = field(default_factory=list)
    left_over_checkpoints: int = 0
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether a record was lost or wrong, or a run done twice."""
        return bool(self.lost or self.wrong or self.done_twice or self.at_once)


def start(folder: Path, results: str, machine: str | None, stale: float = 0.0) -> int:
    """Fork a process that does the suite as the command line does; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        _watch(folder / f"{results}.log")
        if machine:
            sambench.files.owner._machine = lambda: machine  # type: ignore[assignment]
            sambench.files.owner.STALE_SECONDS = stale
            sambench.files.claim.HEARTBEAT_SECONDS = stale / 30
        sambench.training.snapshot.CHECKPOINT_SECONDS = 0.01
        sambench.training.snapshot.LARGEST_SHARE = 0.5
        import torch

        torch.set_num_threads(1)
        os.chdir(folder)
        silent = os.open(folder / f"{results}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        options = ["--device", "cpu", "--workers", "1", "--data", "data", "--results", results]
        app(["compare", "storm.yaml", *options])  # in this process, which is the one to kill
    except SystemExit:
        pass
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)


def _watch(log: Path) -> None:
    """Have this process note each beginning, end, completion and measurement of a run."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(what: str, name: str) -> None:
        os.write(handle, f"{time.monotonic()} {os.getpid()} {what} {name}\n".encode())

    whole, save = sambench.run.single_run._Run.to_the_end, Store.save

    def to_the_end(run: Any) -> Any:
        note("begin", run.config.name)
        try:
            return whole(run)
        finally:
            note("end", run.config.name)

    def saved(store: Store, record: Any) -> None:
        save(store, record)
        if record.status == "completed":
            note("measured" if record.hessian else "completed", record.name)

    sambench.run.single_run._Run.to_the_end = to_the_end  # type: ignore[method-assign]
    Store.save = saved  # type: ignore[method-assign]


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that a run left, without its seconds and what is said of the machine."""
    record = json.loads((folder / "run.json").read_text())
    for changing in ("environment", "sha256", "artifacts"):  # the history's has the seconds in it
        record.pop(changing, None)
    record["cost"] = {k: record["cost"][k] for k in ("steps", "gradient_evaluations")}
    record["hessian"] = {k: v for k, v in record["hessian"].items() if "seconds" not in k}
    record["hessian"].pop("peak_memory_bytes", None)
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    predictions = np.load(folder / "predictions.npz", allow_pickle=False)
    return {
        "record": record,
        "history": [{k: v for k, v in line.items() if k != "train_seconds"} for line in lines],
        "weights": (folder / "model.safetensors").read_bytes(),
        "predictions": {name: predictions[name].tolist() for name in predictions.files},
    }


def wait_for(child: int) -> None:
    """Wait for a process to end."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def ended(child: int) -> bool:
    """Whether a process has ended by itself."""
    return os.waitpid(child, os.WNOHANG)[0] == child


@dataclass
class Target:
    """One of the processes, and when to kill it.

    One in five is killed while it starts, the others a random time after their first run began.
    """

    folder: Path
    machine: str | None
    stale: float
    chance: random.Random
    child: int = 0
    due: float = 0.0

    def start(self) -> None:
        """Start it (again)."""
        self.child = start(self.folder, "storm", self.machine, self.stale)
        early = self.chance.random() < 0.2
        self.due = time.monotonic() + self.chance.random() if early else float("inf")

    def begun(self) -> None:
        """Aim at it, now that its first run has begun."""
        if self.due == float("inf"):
            self.due = time.monotonic() + self.chance.expovariate(1 / MEAN_SECONDS)


def storm(
    folder: Path, runs: int, kills: int, machines: bool, stale: float, chance: random.Random
) -> Deaths:
    """Do the suite under fire; return who was killed when."""
    names = ["machine 0", "machine 1"] if machines else [None, None]
    targets = [Target(folder, name, stale, chance) for name in names]
    for target in targets:
        target.start()
    deaths: Deaths = {}
    while not complete(folder / "storm", runs):
        working = {pid for _, pid, what, _ in _notes(folder / "storm.log") if what == "begin"}
        for target in targets:
            if target.child in working:
                target.begun()
            now = time.monotonic()
            hit = now > target.due and len(deaths) < kills
            if hit:
                os.kill(target.child, signal.SIGKILL)
                deaths[target.child] = time.monotonic()
                wait_for(target.child)
            if hit or ended(target.child):
                target.start()
        time.sleep(0.01)
    for target in targets:
        wait_for(target.child)
    return deaths


Deaths = dict[int, float]


def complete(results: Path, runs: int) -> bool:
    """Whether all runs of the suite are there, measured."""
    found = 0
    for path in (results / "runs").glob("*/run.json"):
        record = json.loads(path.read_text())
        found += record["status"] == "completed" and record["hessian"] is not None
    return found == runs


def judge(folder: Path, deaths: Deaths, expected: dict[str, Any], tally: Tally) -> None:
    """Compare a round with the undisturbed results."""
    for name, wanted in expected.items():
        run = folder / "storm" / "runs" / name
        if not (run / "run.json").exists():
            tally.lost.append(name)
            continue
        tally.runs_compared += 1
        if outcome(run) != wanted:
            tally.wrong.append(name)
        tally.left_over_checkpoints += any(run.glob("checkpoint*"))
    done: Counter[tuple[str, str]] = Counter()
    at_work: dict[str, int] = {}
    for when, pid, what, name in _notes(folder / "storm.log"):
        if what in ("completed", "measured"):
            done[what, name] += 1
        elif what == "begin":
            other = at_work.get(name)
            if other is not None and deaths.get(other, float("inf")) > when:
                tally.at_once.append(name)
            tally.killed_within_a_run += other is not None
            at_work[name] = pid
        elif at_work.get(name) == pid:
            del at_work[name]
    tally.done_twice += [f"{name} {what}" for (what, name), times in done.items() if times > 1]


def _notes(log: Path) -> Iterator[tuple[float, int, str, str]]:
    for line in log.read_text().splitlines() if log.exists() else ():
        when, pid, what, name = line.split()
        yield float(when), int(pid), what, name


def main() -> None:
    """Do the rounds, print the tally, exit with 1 if anything was lost, wrong or done twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--machines", action="store_true")
    parser.add_argument("--stale", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimizers", default=OPTIMIZERS)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    begin, chance, tally = time.monotonic(), random.Random(given.seed), Tally()
    until = begin + 60 * given.minutes
    catalogue()  # imports what the registries hold, once for all processes
    import torch._inductor  # noqa: F401  (as deterministic algorithms do)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        text = SUITE.replace("OPTIMIZERS", given.optimizers).replace("SEEDS", str(given.seeds))
        (folder / "storm.yaml").write_text(text)
        phantom = sources.get("phantom")
        options = phantom.resolve({"images": 40, "pixels": 32})
        prepare(phantom, Request(raw=folder / "raw", options=options), folder / "data", 32)
        wait_for(start(folder, "whole", None))
        expected = {p.name: outcome(p) for p in sorted((folder / "whole" / "runs").iterdir())}
        while not tally.rounds or (tally.kills < given.kills and time.monotonic() < until):
            left = given.kills - tally.kills
            deaths = storm(folder, len(expected), left, given.machines, given.stale, chance)
            tally.kills += len(deaths)
            tally.rounds += 1
            judge(folder, deaths, expected, tally)
            shutil.rmtree(folder / "storm")
            (folder / "storm.log").unlink()
        errors = Counter((folder / "storm.err").read_text().splitlines())
    tally.seconds = round(time.monotonic() - begin, 1)
    print(json.dumps(asdict(tally), indent=2))
    for line, times in errors.items():
        if "rror" in line:
            print(f"{times} x {line}", file=sys.stderr)
    sys.exit(tally.bad)


if __name__ == "__main__":
    main()
