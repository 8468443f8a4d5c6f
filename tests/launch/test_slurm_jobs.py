"""What a user asks of Slurm becomes a job script that a shell takes as it was meant."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.config.launcher_settings import read_options
from sambench.errors import ConfigError, LaunchError
from sambench.launch import slurm_jobs
from sambench.launch.slurm_jobs import End, JobOptions, job_script, name_own, read_end
from tests.launch.conftest import ManifestMaker
from tests.patience import wait_until


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["partition=gpu,timeout_min=60"], {"partition": "gpu", "timeout_min": "60"}),
        (["nodelist=a,b,time=1-0"], {"nodelist": "a,b", "time": "1-0"}),
        (["partition=main,urgent"], {"partition": "main,urgent"}),
        (["gres=gpu:1,shard:2"], {"gres": "gpu:1,shard:2"}),
        (["export=ALL,FOO=bar"], {"export": "ALL,FOO=bar"}),
        (["mail-user=a@b", "mail-type=END,FAIL"], {"mail_user": "a@b", "mail_type": "END,FAIL"}),
        (["setup=module load a,b=c", "setup=x, y=z"], {"setup": "module load a,b=c\nx, y=z"}),
        (["hold="], {"hold": ""}),
        ([], {}),
    ],
)
def test_a_comma_ends_a_value_only_before_a_key(texts: list[str], expected: dict[str, str]) -> None:
    assert read_options(texts, "--slurm") == expected


@pytest.mark.parametrize("text", ["gpu", "=gpu", "a b=c", ""])
def test_what_is_no_option(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--slurm: '{text}' is not KEY=VALUE"):
        read_options([text], "--slurm")


@pytest.mark.parametrize(
    ("limit", "refused"),
    [
        ("1", True),
        ("2", False),
        ("0:90", True),
        ("1:31", False),
        ("0:1:30", True),
        ("0:1:31", False),
        ("0-0:1:30", True),
        ("1-0", False),
        ("UNLIMITED", False),
        ("0", False),  # none, as Slurm has it
        ("soon", False),  # Slurm says what is wrong with it
    ],
)
def test_a_limit_leaves_time_to_save(limit: str, refused: bool) -> None:
    if not refused:
        assert JobOptions({"time": limit}).sbatch == {"time": limit}
        return
    with pytest.raises(ConfigError, match="leaves no time before a run is asked to save itself"):
        JobOptions({"time": limit})
    assert JobOptions({"timeout_min": "1", "signal_delay_s": "50"}).lead == 50


@pytest.mark.parametrize(
    ("options", "promised"),
    [
        ({"gpus_per_node": "1"}, True),
        ({"gpus_per_node": "0"}, False),
        ({"gpus": "a100:2"}, True),
        ({"gres": "gpu:1,shard:2"}, True),
        ({"gres": "lustre:1", "partition": "gpu"}, False),
    ],
)
def test_who_is_promised_a_gpu(options: dict[str, str], promised: bool) -> None:
    assert JobOptions(options).promises_gpu == promised


@pytest.mark.parametrize(
    "options",
    [
        {"workers": "2"},
        {"array": "0-3"},
        {"clusters": "other"},
        {"retries": "-1"},
        {"runs_per_job": "0"},
        {"array_parallelism": "all"},
    ],
)
def test_options_that_make_no_sense(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        JobOptions(options)


def test_a_script_runs_as_it_reads(tmp_path: Path, make_manifest: ManifestMaker) -> None:
    """In a shell without Slurm: comments are its options."""
    folder = tmp_path / "a folder's"
    folder.mkdir()
    python = f"{shlex.quote(sys.executable)} -c 'import sys; print(sys.argv[1:])'"
    given = {"setup": "A='two words'\necho $A", "python": python, "runs_per_job": "3"}
    given |= {"array_parallelism": "4", "comment": "for us", "timeout_min": "60", "mem_gb": "8"}
    script = job_script(JobOptions(given), folder / "manifest.json", make_manifest(7))
    (tmp_path / "job.sh").write_text(script)
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "2"}
    done = subprocess.run(
        ["bash", tmp_path / "job.sh"], env=environment, capture_output=True, text=True, check=True
    )
    arguments = ["-m", "sambench.launch.job", str(folder / "manifest.json"), "6-8"]
    assert done.stdout.splitlines() == ["two words", str(arguments)]
    options = [shlex.split(line)[1] for line in script.splitlines() if line.startswith("#SBATCH")]
    expected = ("job-name=study", "array=0-2%4", "time=60", "mem=8G", "signal=B:USR2@90")
    assert {f"--{option}" for option in expected} <= {*options}
    assert "--comment=a folder's for us" in options


def test_a_setup_line_that_fails_ends_the_job(tmp_path: Path, make_manifest: ManifestMaker) -> None:
    given = JobOptions({"setup": "false\ntrue", "python": "echo not reached"})
    script = job_script(given, tmp_path / "manifest.json", make_manifest(1))
    assert f"--job-name=study:{make_manifest(1).configs[0].name}" in script
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a maker of programs of Slurm that give an answer."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name: str, out: str = "", error: str = "", code: int = 0) -> None:
        path = tmp_path / name
        said = f"printf %s {shlex.quote(out)}\nprintf %s {shlex.quote(error)} >&2\n"
        path.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/asked\n{said}exit {code}\n')
        path.chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("kept", "said", "lost"),
    [
        ("COMPLETED|0:0\n", "COMPLETED, exit code 0:0", False),
        ("FAILED|1:0\n", "FAILED, exit code 1:0", False),
        ("FAILED|0:9\n", "FAILED, exit code 0:9", True),
        ("CANCELLED by 1000|0:15\n", "CANCELLED, exit code 0:15", False),
        ("CANCELLED by 0|0:9\n", "CANCELLED, exit code 0:9", False),  # it was not saved in time
        ("OUT_OF_MEMORY|0:125\n", "OUT_OF_MEMORY, exit code 0:125", True),
        ("NODE_FAIL|1:0\n", "NODE_FAIL, exit code 1:0", True),
        ("TIMEOUT|0:0\n", "TIMEOUT, exit code 0:0", True),
        ("PREEMPTED|0:0\nCOMPLETED|0:0\n", "PREEMPTED, exit code 0:0", True),
        ("RUNNING|0:0\n", "cancelled before it began, or forgotten by Slurm", False),
        ("", "cancelled before it began, or forgotten by Slurm", False),
    ],
)
def test_of_a_job_that_slurm_has_forgotten_its_accounts_tell(
    answers: Callable[..., None], tmp_path: Path, kept: str, said: str, lost: bool
) -> None:
    answers("scontrol", error="slurm_load_jobs error: Invalid job id specified\n", code=1)
    answers("sacct", kept)
    end = read_end("26_3")
    assert end is not None
    assert (str(end), end.lost) == (said, lost)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1] == f"{tmp_path}/sacct -nPX -j 26_3 --format=State,ExitCode"


def test_what_is_known_of_a_job_without_accounts(answers: Callable[..., None]) -> None:
    answers("sacct", error="Slurm accounting storage is disabled\n", code=1)
    answers("scontrol", "JobId=29 ArrayJobId=26 JobState=NODE_FAIL ExitCode=0:0 Restarts=0\n")
    assert read_end("26_3") == End("NODE_FAIL", "0:0")
    answers("scontrol", "JobId=29 ArrayJobId=26 JobState=COMPLETING ExitCode=0:0\n")
    assert read_end("26_3") is None
    answers("scontrol", error="Unable to contact slurm controller\n", code=1)
    assert read_end("26_3") is None
    answers("scontrol", error="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert read_end("26_3") == End()
    answers("scontrol", "Job 26_3 not found\n", code=1)  # of an array that it knows
    assert read_end("26_3") == End()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Invalid job array specification", True),
        ("Job violates accounting/QOS policy (job submit limit, user's size ...)", True),
        ("QOSMaxSubmitJobPerUserLimit", True),
        ("Invalid partition name specified", False),
    ],
)
def test_where_fewer_jobs_may_help_it_is_said_how(
    answers: Callable[..., None], said: str, *, remedy: bool
) -> None:
    answers("sbatch", error=f"sbatch: error: Batch job submission failed: {said}\n", code=1)
    with pytest.raises(LaunchError, match=re.escape(said)) as refusal:
        slurm_jobs.sbatch("#!/bin/bash\n")
    assert ("`--runs-per-job 10` makes fewer jobs" in str(refusal.value)) is remedy


@pytest.mark.parametrize(
    "said", ["26\n", "26;cluster\n", "--> checking your quota: 3 of 5 TB\n2 jobs run\n26\n"]
)
def test_the_number_of_a_job_is_found_below_what_a_site_says(
    answers: Callable[..., None], said: str
) -> None:
    answers("sbatch", said)
    assert slurm_jobs.sbatch("#!/bin/bash\n") == "26"


def test_an_answer_without_a_number_is_no_submission(answers: Callable[..., None]) -> None:
    answers("sbatch", "your project has ended\n")
    with pytest.raises(LaunchError, match="Slurm refused the jobs: your project has ended"):
        slurm_jobs.sbatch("#!/bin/bash\n")
    slurm_jobs.sbatch("#!/bin/bash\n", test=True)  # which gives no number


def test_the_environment_of_a_user_changes_neither_the_jobs_nor_what_is_seen_of_them(
    answers: Callable[..., None],
    tmp_path: Path,
    make_manifest: ManifestMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slurm takes SBATCH_PARTITION before a line of the script, and after an option."""
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\nenv > {tmp_path}/environment\nprintf 26\n")
    (tmp_path / "sbatch").chmod(0o755)
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_NODE", "SQUEUE_STATES", "SCANCEL_STATE"):
        monkeypatch.setenv(name, "8")  # of the interactive job that we are in, and of a shell
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    slurm_jobs.sbatch("#!/bin/bash\n")
    seen = (tmp_path / "environment").read_text()
    assert re.findall("(SLURM_CPUS|SLURM_MEM|SQUEUE|SCANCEL|SLURM_CONF)", seen) == ["SLURM_CONF"]
    answers("sbatch", "26\n")
    given = JobOptions({"partition": "gpu", "hold": "", "comment": "for us"})
    slurm_jobs.sbatch(job_script(given, tmp_path / "x" / "manifest.json", make_manifest(2)))
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(f"{tmp_path}/sbatch --parsable --job-name=study --output={tmp_path}/x/")
    assert asked.endswith("--array=0-1 --partition=gpu --hold --comment=x for us\n")


def test_bytes_that_are_no_text(answers: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "squeue").write_bytes(b"#!/bin/sh\necho '26_0|RUNNING|None|n|N/A|c|pr\xfcfung'\n")
    (tmp_path / "squeue").chmod(0o755)
    queue = slurm_jobs.read_queue()
    assert queue is not None
    assert queue["26_0"].name == "pr\N{REPLACEMENT CHARACTER}fung"


def test_why_slurm_cancels_or_queues_nothing_is_returned(
    answers: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers("scancel")
    assert slurm_jobs.instruct("scancel", "26_0") == ""
    answers("scancel", error="scancel: error: Unable to contact\n  slurm controller\n", code=1)
    assert (
        slurm_jobs.instruct("scancel", "26_0")
        == "scancel: error: Unable to contact slurm controller"
    )
    monkeypatch.setenv("PATH", str(tmp_path))  # as in a container
    assert slurm_jobs.instruct("scontrol", "requeue", "26_0").startswith(
        "scontrol does not answer: [Errno 2] No such file"
    )


def test_a_job_is_named_after_its_run_unless_the_user_named_it(
    answers: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers("scontrol")
    name_own("study", "run")  # in no job
    monkeypatch.setenv("SLURM_JOB_ID", "26")
    monkeypatch.setenv("SLURM_JOB_NAME", "mine")
    name_own("study", "run")
    monkeypatch.setenv("SLURM_JOB_NAME", "study:another run of it")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "26")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    name_own("study", "run")
    asked = f"{tmp_path}/scontrol update JobId=26_3 JobName=study:run\n"
    wait_until("it is asked", (tmp_path / "asked").exists)
    wait_until("all is asked", lambda: (tmp_path / "asked").read_text() == asked)


def test_which_ends_are_no_fault_of_the_run() -> None:
    lost = [End(state=state, exit_code="0:0").lost for state in ("NODE_FAIL", "OUT_OF_MEMORY")]
    assert lost == [True, True]
    assert End(state="FAILED", exit_code="0:9").lost
    assert not End(state="FAILED", exit_code="1:0").lost
    assert not End(state="CANCELLED", exit_code="0:15").lost
    assert not End().lost
