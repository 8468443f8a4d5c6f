"""What the Slurm launcher makes of Slurm's answers; here functions give them, and no job runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from msgspec.structs import replace as with_fields

from sambench.errors import LaunchError
from sambench.launch import slurm_jobs
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.launchers import slurm
from sambench.launch.manifest import Manifest
from sambench.launch.slurm_jobs import End, Job
from sambench.store.record import RunRecord
from sambench.store.study_plan import StudyPlan, write_plan
from sambench.store.tree import Store
from tests.conftest import RecordMaker
from tests.launch.conftest import ManifestMaker

DONE, LOST = End("COMPLETED", "0:0"), End("NODE_FAIL", "0:0")


@dataclass
class Cluster:
    """Jobs that end as they are told, one at each look."""

    manifest: Manifest
    ends: list[End]
    answers: Iterator[str] = field(default_factory=lambda: iter(()))  # a refusal, or nothing
    scripts: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def sbatch(self, script: str) -> str:
        if refusal := next(self.answers, ""):
            raise LaunchError(f"Slurm refused the jobs: {refusal}")
        self.scripts.append(script)
        number = len(self.scripts)
        last = int(script.partition("--array=0-")[2].partition("\n")[0].partition("%")[0])
        self.waiting += [f"{number}_{task}" for task in range(last + 1)]
        return str(number)

    def read_queue(self) -> dict[str, Job]:
        return {job: Job(job, "RUNNING", "", "node", "", "", "") for job in self.waiting[1:]}

    def read_end(self, job: str) -> End:
        if job not in self.waiting:
            return DONE  # of an earlier launch
        self.waiting.remove(job)
        return self.ends.pop(0) if self.ends else DONE


@pytest.fixture
def cluster(make_manifest: ManifestMaker, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Return a cluster that ends jobs well, and has the launcher ask it instead of Slurm."""
    made = Cluster(make_manifest(3), [])
    for name in ("sbatch", "read_queue", "read_end"):
        monkeypatch.setattr(slurm_jobs, name, getattr(made, name))
    monkeypatch.setattr(slurm.shutil, "which", lambda program: program)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(slurm_jobs, "instruct", lambda *command: "")
    return made


def launch(cluster: Cluster, **options: str) -> tuple[Tally, list[str]]:
    said: list[str] = []
    watcher = Watcher(say=said.append, failed=lambda config, error: said.append(str(error)))
    return slurm.launch(cluster.manifest, options, watcher), said


def test_a_controller_that_is_away_when_a_lost_run_is_submitted_again(cluster: Cluster) -> None:
    cluster.ends, cluster.answers = [LOST], iter(("", "Unable to contact slurm controller"))
    tally, said = launch(cluster)
    assert said[1:4] == [
        "job 1_0 was lost (NODE_FAIL, exit code 0:0); 1 of its runs go on anew",
        "warning: Slurm refused the jobs: Unable to contact slurm controller; left to submit once "
        "another job is over: 1",
        said[3],
    ]
    assert [script.count("--array=0-0\n") for script in cluster.scripts] == [0, 1]
    assert len(tally.errors) == 3  # all jobs ended, and none did its run


def test_what_is_refused_while_nothing_runs_is_an_error(cluster: Cluster) -> None:
    cluster.answers = iter(("Job violates policy",))
    with pytest.raises(LaunchError, match="Job violates policy"):
        launch(cluster)
    cluster.ends, cluster.answers = [DONE, DONE, LOST], iter(("", "Job violates policy"))
    with pytest.raises(LaunchError, match="Job violates policy"):
        launch(cluster)


def test_what_is_refused_to_a_launch_that_does_not_wait_is_an_error(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would submit the rest once another job is over."""
    monkeypatch.setattr(slurm, "ARRAY_SIZE", 2)
    cluster.answers = iter(("", "Job violates policy"))
    with pytest.raises(LaunchError, match="Job violates policy"):
        launch(cluster, wait="no")
    assert [script.count("--array=0-1\n") for script in cluster.scripts] == [1]


def test_what_is_refused_while_jobs_of_an_earlier_launch_are_queued_waits_for_them(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, queue = cluster.manifest, cluster.read_queue
    cluster.manifest = replace(whole, configs=whole.configs[:2])
    launch(cluster, wait="no")
    comment = cluster.scripts[0].partition("--comment=")[2].partition("\n")[0]

    def read_queue() -> dict[str, Job]:
        jobs = {job: Job(job, "RUNNING", "", "node", "", comment, "") for job in cluster.waiting}
        monkeypatch.setattr(slurm_jobs, "read_queue", queue)
        return jobs

    monkeypatch.setattr(slurm_jobs, "read_queue", read_queue)
    cluster.manifest, cluster.answers = whole, iter(("job submit limit",))
    _, said = launch(cluster)
    assert said[0] == "2 of the runs are in the queue already: 1_0, 1_1"
    assert said[1].endswith("left to submit once another job is over: 1")
    assert [script.count("--array=0-0\n") for script in cluster.scripts] == [0, 1]


def test_jobs_that_slurm_does_not_cancel_are_said_and_cancelled_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = iter(("Unable to contact slurm controller", "")), []

    def instruct(*command: str) -> str:
        asked.append(command)
        return next(answers)

    monkeypatch.setattr(slurm_jobs, "instruct", instruct)
    cluster.manifest = replace(cluster.manifest, fail_fast=True)
    cluster.ends = [End("FAILED", "1:0")]
    _, said = launch(cluster)
    assert asked == [("scancel", "1_1", "1_2")] * 2
    told = "warning: not all were cancelled (Unable to contact slurm controller); trying again"
    assert said.count(told) == 1


def test_each_program_of_slurm_is_needed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `scontrol` nobody would learn that a job is over."""
    for absent in ("sbatch", "squeue", "scontrol", "scancel"):
        monkeypatch.setattr(
            slurm.shutil, "which", lambda name, absent=absent: name != absent or None
        )
        with pytest.raises(LaunchError, match=rf"there is no Slurm here \(no {absent}\)"):
            launch(cluster)


def test_a_run_that_its_job_left_to_another_process(cluster: Cluster) -> None:
    config = cluster.manifest.configs[0]
    store = Store(cluster.manifest.results)
    store.save(RunRecord(config=config, status="running"))
    with store.claim(config):
        tally, said = launch(cluster)
        assert tally.elsewhere == [config]
        assert len(tally.errors) == 2
        cluster.ends = [End("FAILED", "1:0")]  # that was its own process, on another machine
        tally, said = launch(cluster)
    assert not tally.elsewhere
    assert "its Slurm job 2_0 is over (FAILED, exit code 1:0); it left no log" in said[1]


def test_jobs_of_another_user_say_nothing_about_our_queue(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`squeue --me` does not show them, and `scontrol` does."""
    launch(cluster, wait="no")
    monkeypatch.setattr(slurm_jobs, "read_queue", dict)
    monkeypatch.setattr(slurm_jobs, "read_end", lambda job: None)
    with pytest.raises(LaunchError, match="squeue shows no job, though Slurm knows of some"):
        launch(cluster, wait="no")
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert launch(cluster, wait="no")[1][0].startswith("submitted 3 runs")


def test_a_launch_that_does_not_wait_knows_of_no_end(
    cluster: Cluster, make_record: RecordMaker, tmp_path: Path
) -> None:
    config = cluster.manifest.configs[0]
    Store(cluster.manifest.results).save(with_fields(make_record(), config=config))
    for options in ({"wait": "no"}, {"sbatch": str(tmp_path / "job.sh")}):
        assert launch(cluster, **options)[0] == Tally()


def test_a_percent_sign_in_a_path_is_none_of_slurm(cluster: Cluster, tmp_path: Path) -> None:
    cluster.manifest = replace(cluster.manifest, results=tmp_path / "50%x")
    launch(cluster)
    assert f"--output={tmp_path}/50%%x/launches/" in cluster.scripts[0]
    assert "/%A_%a.log\n" in cluster.scripts[0]


@pytest.mark.parametrize(
    ("each", "jobs"), [("1", ["1_0", "1_1", "1_2"]), ("2", ["1_0", "1_0", "1_1"])]
)
def test_a_launch_that_is_killed_once_its_jobs_are_submitted_finds_them_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, each: str, jobs: list[str]
) -> None:
    def killed(script: str) -> str:
        cluster.sbatch(script)
        raise SystemExit  # before anybody could write down the number

    def read_queue() -> dict[str, Job]:
        comment = cluster.scripts[0].partition("--comment=")[2].partition("\n")[0]
        return {job: Job(job, "PENDING", "", "", "", comment, "") for job in cluster.waiting}

    with monkeypatch.context() as patch:
        patch.setattr(slurm_jobs, "sbatch", killed)
        with pytest.raises(SystemExit):
            launch(cluster, runs_per_job=each)
    monkeypatch.setattr(slurm_jobs, "read_queue", read_queue)
    queued = slurm.describe_queued(cluster.manifest.results, cluster.manifest.configs)
    assert [text.split()[2] for text in queued.values()] == jobs
    _, said = launch(cluster, wait="no", runs_per_job=each)
    assert said == [f"3 of the runs are in the queue already: {', '.join(sorted(set(jobs)))}"]
    assert len(cluster.scripts) == 1


def queue_of(cluster: Cluster, script: str) -> Callable[[], dict[str, Job]]:
    """Return a `read_queue` that shows the jobs of a script as waiting."""
    comment = script.partition("--comment=")[2].partition("\n")[0]
    return lambda: {job: Job(job, "PENDING", "", "", "", comment, "") for job in cluster.waiting}


def test_a_script_that_the_user_submits_is_found_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    launch(cluster, sbatch=str(tmp_path / "job.sh"), runs_per_job="2")
    script = (tmp_path / "job.sh").read_text()
    assert cluster.sbatch(script) == "1"  # as the user does
    monkeypatch.setattr(slurm_jobs, "read_queue", queue_of(cluster, script))
    queued = slurm.describe_queued(cluster.manifest.results, cluster.manifest.configs)
    assert [text.split()[2] for text in queued.values()] == ["1_0", "1_0", "1_1"]
    _, said = launch(cluster, wait="no")
    assert said == ["3 of the runs are in the queue already: 1_0, 1_1"]
    assert cluster.scripts == [script]


def test_jobs_whose_runs_a_changed_suite_no_longer_has_are_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cluster.manifest
    launch(cluster, wait="no")
    monkeypatch.setattr(slurm_jobs, "read_queue", queue_of(cluster, cluster.scripts[0]))
    cluster.manifest = replace(whole, configs=whole.configs[2:])
    queued = "1 of the runs are in the queue already: 1_2"
    write_plan(whole.results, StudyPlan(suite="study", runs=[*whole.configs]))
    assert launch(cluster, wait="no")[1] == [queued]  # the others may be chosen by `--only`
    write_plan(whole.results, StudyPlan(suite="study", runs=[*whole.configs[1:]]))
    assert launch(cluster, wait="no")[1] == [
        "warning: the queue has jobs for runs that study no longer has: 1_0; `scancel` takes them "
        "out",
        queued,
    ]
    cluster.manifest = replace(cluster.manifest, suite="another")
    assert launch(cluster, wait="no")[1] == [queued]


def test_what_a_plan_says_of_a_job() -> None:
    waiting = Job("26_3", "PENDING", "Priority", "", "N/A", "", "")
    assert str(waiting) == "queued as 26_3 (Priority)"
    soon = waiting._replace(start="2030-01-01T08:00:00")
    assert str(soon) == "queued as 26_3 (Priority, start 2030-01-01T08:00:00)"
    assert str(waiting._replace(state="RUNNING", node="gpu7")) == "running as 26_3 on gpu7"
    assert slurm._summary([waiting, soon, soon._replace(reason="None", state="RUNNING")]) == (
        "Slurm: 2 pending, 1 running (Priority), next start 2030-01-01T08:00:00"
    )
    assert slurm._summary([waiting]) == "Slurm: 1 pending (Priority)"
