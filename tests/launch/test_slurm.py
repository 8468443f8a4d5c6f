"""The Slurm launcher against a real Slurm on this machine; skipped where there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from sambench.errors import LaunchError
from sambench.launch import slurm_jobs
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.launchers import slurm
from sambench.launch.manifest import Manifest
from sambench.store.record import RunRecord
from sambench.store.tree import CLAIM, Store
from tests.launch import slurm_cluster
from tests.launch.conftest import ManifestMaker
from tests.patience import PATIENCE, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_slurm")]
EPOCHS = 150
OPTIONS = {"cpus_per_task": "1", "timeout_min": "10"}


def record(manifest: Manifest, index: int = 0) -> RunRecord | None:
    return Store(manifest.results).load(manifest.configs[index])


def epochs(manifest: Manifest, index: int = 0) -> int:
    path = Store(manifest.results).folder(manifest.configs[index]) / "history.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def in_background(manifest: Manifest, **options: str) -> tuple[threading.Thread, list[Tally]]:
    """Launch in a thread, where the main process's signals do not matter."""
    tallies: list[Tally] = []

    def launching() -> None:
        tallies.append(slurm.launch(manifest, {**OPTIONS, **options}, Watcher()))

    thread = threading.Thread(target=launching, daemon=True)
    thread.start()
    return thread, tallies


def names() -> set[str]:
    return {job.name for job in (slurm_jobs.read_queue() or {}).values()}


def logs(manifest: Manifest) -> str:
    return "\n".join(path.read_text() for path in manifest.results.glob("launches/*/*.log"))


def test_an_array_does_what_is_missing_once(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(3)
    said: list[str] = []
    tally = slurm.launch(manifest, OPTIONS, Watcher(say=said.append))
    assert (len(tally.records), tally.exit_code) == (3, 0), logs(manifest)
    assert said[0].startswith("submitted 3 runs to Slurm as job ")
    first = record(manifest)
    assert first is not None
    assert first.environment is not None
    assert first.environment["threads"] == 1


def test_a_preempted_run_is_saved_requeued_and_resumed(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(1, epochs=EPOCHS)
    thread, tallies = in_background(manifest, cpus_per_task=str(slurm_cluster.CORES))
    wait_until("the run trains", lambda: epochs(manifest) > 2)
    urgent = ["srun", "--partition=urgent", f"--cpus-per-task={slurm_cluster.CORES}", "true"]
    subprocess.run(urgent, check=True, timeout=PATIENCE)
    cut = record(manifest)
    assert cut is not None
    assert cut.status == "interrupted"
    assert cut.cost is not None
    thread.join(timeout=PATIENCE)
    assert tallies, subprocess.getoutput("squeue --me -o '%i %T %r'") + logs(manifest)
    done = record(manifest)
    assert done is not None
    assert done.cost is not None
    assert tallies[0].exit_code == 0, logs(manifest)
    assert done.cost["steps"] == 4 * EPOCHS
    assert done.cost["train_seconds"] > cut.cost["train_seconds"]
    assert "was cut and is queued again" in logs(manifest)


def test_a_time_limit_requeues_too(make_manifest: ManifestMaker) -> None:
    """Slurm's limits are minutes; the signal that it sends before them can come earlier."""
    manifest = make_manifest(1, epochs=1_000_000)
    thread, tallies = in_background(manifest, timeout_min="1", signal_delay_s="50")
    wait_until("the job is requeued", lambda: "queued again" in logs(manifest))
    cut = record(manifest)
    assert cut is not None
    assert cut.status == "interrupted"
    before = epochs(manifest)
    wait_until("the run goes on", lambda: epochs(manifest) > before)
    subprocess.run(["scancel", "--me"], check=True)
    thread.join(timeout=PATIENCE)
    assert [done.status for done in tallies[0].records] == ["interrupted"], logs(manifest)


def test_a_cut_job_leaves_the_others_of_its_array_alone(make_manifest: ManifestMaker) -> None:
    """The last task of an array has the number of the whole."""
    manifest = make_manifest(2, epochs=1_000_000)
    thread, _ = in_background(manifest)
    for index in range(2):
        wait_until("it trains", lambda index=index: epochs(manifest, index) > 0)  # type: ignore[misc]
    claim = Store(manifest.results).folder(manifest.configs[0]) / CLAIM
    before = claim.read_text()
    (last,) = (job for job in slurm_jobs.read_queue() or {} if job.endswith("_1"))
    subprocess.run(["scancel", "--batch", "--signal=USR2", last], check=True)
    wait_until("the job is requeued", lambda: f"job {last} was cut" in logs(manifest))
    wait_until("it waits", lambda: (slurm_jobs.read_queue() or {})[last].state == "PENDING")
    trained = epochs(manifest)
    wait_until("the other goes on", lambda: epochs(manifest) > trained)
    assert claim.read_text() == before
    subprocess.run(["scancel", "--me"], check=True)
    thread.join(timeout=PATIENCE)


@pytest.mark.parametrize("retries", ["1", "0"])
def test_a_killed_run_goes_on_as_often_as_allowed(
    make_manifest: ManifestMaker, retries: str
) -> None:
    manifest = make_manifest(2, epochs=60)
    thread, tallies = in_background(manifest, retries=retries)
    claim = Store(manifest.results).folder(manifest.configs[0]) / CLAIM
    wait_until("the run trains", lambda: epochs(manifest) > 0)
    os.kill(json.loads(claim.read_text())["pid"], signal.SIGKILL)
    thread.join(timeout=PATIENCE)
    killed, other = record(manifest, 0), record(manifest, 1)
    assert killed is not None
    assert other is not None
    assert other.status == "completed"
    if retries == "1":
        assert killed.status == "completed", logs(manifest)
        assert tallies[0].exit_code == 0
        return
    assert (len(tallies[0].records), len(tallies[0].errors)) == (1, 1)
    (log,) = manifest.results.glob("launches/*/*_0.log")
    assert f"_0 is over (FAILED, exit code 0:9); see {log}" in (killed.error or "")


def test_a_gpu_that_was_promised_and_is_not_there(make_manifest: ManifestMaker) -> None:
    """The stand-in GPU of the cluster is none for torch: no run on the CPU instead."""
    manifest = replace(make_manifest(1), device=None)
    tally = slurm.launch(manifest, {**OPTIONS, "gres": "gpu:1"}, Watcher())
    assert [tally.records, len(tally.errors)] == [[], 1]
    assert "device cuda is not there" in str(tally.errors[0])
    said: list[str] = []
    again = {**OPTIONS, "setup": "true\nno-such-program --now\ntrue"}
    tally = slurm.launch(manifest, again, Watcher(failed=lambda c, e: said.append(str(e))))
    assert "no-such-program: command not found" in said[0]
    assert "device cuda" not in said[0]  # which is why it had failed before


def test_several_runs_of_one_job(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(3)
    options = {**OPTIONS, "runs_per_job": "2", "cpus_per_task": "2", "runs_per_device": "2"}
    tally = slurm.launch(manifest, options, Watcher())
    assert (len(tally.records), tally.exit_code) == (3, 0), logs(manifest)
    found = [run.environment for run in map(partial(record, manifest), range(3)) if run]
    assert [(section or {})["runs_on_device"] for section in found] == [2, 2, 1]
    (submission,) = manifest.results.glob("launches/*/slurm.json")
    assert [len(ids) for ids in json.loads(submission.read_text())["runs"].values()] == [2, 1]


def test_jobs_of_any_name_are_found_and_a_damaged_file_stops_nobody(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_manifest(2)
    held = {**OPTIONS, "job_name": "mine", "comment": "for the paper", "hold": "", "wait": "no"}
    assert slurm.launch(manifest, held, Watcher()).exit_code == 0
    queued = slurm.describe_queued(manifest.results, manifest.configs)
    assert [*queued] == [config.id for config in manifest.configs]
    assert all("(JobHeldUser)" in text for text in queued.values())
    damaged = manifest.results / "launches" / "broken" / "slurm.json"
    damaged.parent.mkdir()
    damaged.write_text('{"version": 2, "ru')
    said: list[str] = []
    slurm.launch(manifest, {**held, "job_name": "other"}, Watcher(say=said.append))
    assert said[0] == f"warning: {damaged} is damaged, so jobs that it names are not found again"
    assert said[1].startswith("2 of the runs are in the queue already: ")
    assert len(said) == 2
    for answer, complaint in ((None, "squeue does not answer"), ({}, "though Slurm knows of some")):
        monkeypatch.setattr(slurm_jobs, "read_queue", lambda answer=answer: answer)
        with pytest.raises(LaunchError, match=complaint):
            slurm.launch(manifest, held, Watcher())
    subprocess.run(["scancel", "--me"], check=True)


def test_an_empty_queue_is_not_believed(
    make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the controller starts anew: the job is asked for by its number."""
    manifest = make_manifest(1)
    real = slurm_jobs.read_queue
    calls: list[int] = []

    def forgetful() -> dict[str, slurm_jobs.Job] | None:
        calls.append(1)
        return {} if len(calls) < 4 else real()

    monkeypatch.setattr(slurm_jobs, "read_queue", forgetful)
    tally = slurm.launch(manifest, OPTIONS, Watcher())
    assert (len(tally.records), tally.errors) == (1, [])


COMMAND = (
    "import sys\n"
    "from pathlib import Path\n"
    "from sambench.launch.manifest import Manifest\n"
    "from sambench.launch.launchers.slurm import launch\n"
    "from sambench.launch.launcher import Watcher\n"
    "said = Watcher(say=lambda text: print(text, flush=True))\n"
    "options = {'cpus_per_task': '1', 'timeout_min': '10'}\n"
    "sys.exit(launch(Manifest.read(Path(sys.argv[1])), options, said).exit_code)\n"
)


def launched(manifest: Manifest) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, str(manifest.write())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_lost_shell_leaves_the_jobs_and_an_interrupt_cancels_them(
    make_manifest: ManifestMaker,
) -> None:
    manifest = make_manifest(3, epochs=1_000_000)
    shell = launched(manifest)
    wait_until("the run trains", lambda: epochs(manifest) > 0)
    wait_until("its job has its name", lambda: f"study:{manifest.configs[0].name}" in names())
    assert "study" in names()  # of what waits
    shell.send_signal(signal.SIGHUP)
    shell.wait(timeout=PATIENCE)
    again = launched(manifest)
    assert again.stdout is not None
    assert again.stdout.readline().startswith("3 of the runs are in the queue already: ")
    time.sleep(0.5)
    again.send_signal(signal.SIGINT)
    rest = again.communicate(timeout=PATIENCE)[0]
    assert (again.returncode, "submitted" in rest) == (130, False)
    first = record(manifest)
    assert first is not None
    assert first.status == "interrupted"
    folder = Store(manifest.results).folder(manifest.configs[0])
    assert (folder / "checkpoint.pt").exists()
    assert record(manifest, 2) is None
    assert slurm_jobs.read_queue() == {}


def test_what_slurm_refuses_leaves_nothing(make_manifest: ManifestMaker) -> None:
    manifest = make_manifest()
    with pytest.raises(LaunchError, match="invalid partition specified: nowhere"):
        slurm.launch(manifest, {"partition": "nowhere"}, Watcher())
    assert not any(manifest.results.glob("launches/*"))
    with pytest.raises(LaunchError, match="unrecognized option '--partitoin=main'"):
        slurm.check({"partitoin": "main"})
    slurm.check({**OPTIONS, "partition": "main,urgent", "job_name": "a name, with 'quotes'"})
    assert slurm_jobs.read_end("999999") == slurm_jobs.End()  # neither scontrol nor sacct knows it
