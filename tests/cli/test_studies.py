"""`sambench compare` on studies: plans, choices of runs, repetitions, searches."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from typer.testing import CliRunner

from sambench.analysis.time_estimates import Forecast
from sambench.cli import app, study
from sambench.cli.launching import Request
from sambench.cli.screen import Screen
from sambench.cli.study import _time_left
from sambench.errors import ConfigError, UserError
from sambench.store.tree import Store
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("unpainted")
SUITE = """
name: study
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 1, batch_size: 16, lr: 1e-3}
matrix: {optimizer: [adam, {name: sgd, lr: 1e30}, sam]}
seeds: 2
report: {baseline: adam}
"""
SEARCH = """
name: tuned
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 1, batch_size: 16, lr: 1e-3}
matrix: {optimizer: [adam, sam]}
seeds: 2
search: {trials: 3, validation: 0.25}
"""


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def folder(tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(SUITE)
    (tmp_path / "tuned.yaml").write_text(SEARCH)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared").symlink_to(phantom_data)
    return tmp_path


def killed(*_: object) -> int:
    raise KeyboardInterrupt


def compare(arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["compare", *shlex.split(arguments)], env={"COLUMNS": "200"})
    if isinstance(done.exception, UserError):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def statuses(folder: Path) -> dict[str, str]:
    records, _ = Store(folder / "results").records()
    return {f"{r.config.optimizer['name']}-{r.config.seed}": r.status for r in records}


def test_one_failing_run_does_not_stop_the_others_and_is_left_alone_after(folder: Path) -> None:
    code, _, said = compare("study.yaml --device cpu")
    assert code == 1
    assert "diverged: the training loss became nan" in said
    done = {"adam-0": "completed", "adam-1": "completed", "sam-0": "completed"}
    expected = {**done, "sam-1": "completed", "sgd-0": "diverged", "sgd-1": "diverged"}
    assert statuses(folder) == expected
    code, _, said = compare("study.yaml --device cpu")
    assert code == 1
    assert said == (
        "small-cnn on phantom: 2 seeds cannot show any difference between optimizers; at least "
        "6 are needed (`--seeds 6`, or `seeds: 6` in the suite).\n"
        "4 of 6 runs are done already\n"
        + "".join(
            f"{path.parent.name} diverged: {json.loads(path.read_text())['error']}\n"
            for path in sorted((folder / "results" / "runs").glob("*-sgd-*/run.json"))
        )
        + "2 diverged; `--retry diverged` does them again\n"
    )
    code, shown, _ = compare("study.yaml --plan")
    assert code == 0
    assert "2 diverged, 4 completed\n" in shown
    assert "to do: 0 of 6 runs; nothing was run" in shown
    code, shown, _ = compare("study.yaml --plan --retry diverged,failed")
    assert "to do: 2 of 6 runs; nothing was run" in shown
    said = "time left: about 0 s, one run after another, for 2 runs, at the pace of 4 finished runs"
    assert f"{said} on " in shown


def test_only_some(folder: Path) -> None:
    code, _, _ = compare("study.yaml --device cpu --only '*-sam-s1-*' --only '*-adam-s0-*'")
    assert code == 0
    assert statuses(folder) == {"adam-0": "completed", "sam-1": "completed"}
    with pytest.raises(ConfigError, match=r"--only \*-smm-\* fits no run of suite study; --plan"):
        compare("study.yaml --only '*-smm-*'")


def test_fail_fast(folder: Path) -> None:
    code, _, _ = compare("study.yaml --device cpu --fail-fast")
    assert code == 1
    assert statuses(folder) == {"adam-0": "completed", "sgd-0": "diverged"}


def test_a_state_that_cannot_be_retried(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compare("study.yaml --retry faild")
    assert str(caught.value) == (
        "--retry: no state 'faild': did you mean 'failed'?; "
        "states: failed, diverged, damaged, interrupted, stale"
    )


def test_stale_runs_are_kept_until_asked_for_and_then_put_aside(folder: Path) -> None:
    compare("study.yaml --device cpu --only '*-adam-s0-*'")
    store = Store(folder / "results")
    (done,), _ = store.records()
    store.save(replace(done, data={**(done.data or {}), "fingerprint": "of other images"}))
    path = store.folder(done.config) / "run.json"
    record = json.loads(path.read_text())
    code, _, said = compare("study.yaml --device cpu --only '*-adam-s0-*'")
    assert code == 0
    assert said == (
        "small-cnn on phantom: 2 seeds cannot show any difference between optimizers; at least "
        "6 are needed (`--seeds 6`, or `seeds: 6` in the suite).\n"
        "1 stale (the data were prepared anew and differ); `--retry stale` does them again\n"
        "next: `sambench report study.yaml` writes the answer, all tables and the figures\n"
    )
    code, _, _ = compare("study.yaml --device cpu --only '*-adam-s0-*' --retry stale")
    assert code == 0
    assert json.loads(path.read_text())["data"]["fingerprint"] != "of other images"
    aside = folder / "results" / "retired" / path.parent.name / "1"
    assert json.loads((aside / "run.json").read_text()) == record
    assert (aside / "model.safetensors").exists()


def test_runs_on_classes_in_another_order_are_stale_and_not_measured(
    call: Call, tmp_path: Path
) -> None:
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        path = tmp_path / "ours" / ("benign", "malignant")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    ours = ("prepare", "folder", "--source", "ours", "--size", 16)
    run = ("--dataset", "folder", "--size", 16, "--model", "small-cnn", "--epochs", 1)
    call(*ours)
    trained = call("train", *run, "--device", "cpu")
    assert trained.code == 0, trained.err
    assert call(*ours, "--set", "classes=malignant,benign").code == 0
    plan = call("compare", *run, "--opt", "adam", "--seeds", 1, "--plan", columns=200)
    assert "1 stale" in plan.out + plan.err
    measured = call("hessian", "folder-*", "--device", "cpu", columns=300)
    assert measured.code != 0
    assert "was trained on other data than" in measured.err
    assert call(*ours).code == 0
    plan = call("compare", *run, "--opt", "adam", "--seeds", 1, "--plan", columns=200)
    assert "stale" not in plan.out + plan.err


def test_a_search_and_its_final_runs(folder: Path) -> None:
    _, shown, _ = compare("tuned.yaml --plan")
    assert "10 missing; up to 4 tuned runs follow the search\n" in shown
    code, shown, _ = compare("tuned.yaml --device cpu")
    assert code == 0
    assert "Search of tuned" in shown
    found = json.loads((folder / "results" / "searches" / "tuned.json").read_text())
    assert [tuning["optimizer"]["name"] for tuning in found["tunings"]] == ["adam", "sam"]
    for tuning in found["tunings"]:
        assert tuning["budget"]["trials"] == 3
        best = max(
            tuning["trials"], key=lambda t: (t["validation_accuracy"], -t["validation_loss"])
        )
        assert tuning["chosen"]["values"] == best["values"]
        assert len(tuning["untuned"]) == len(tuning["tuned"]) == 2
    there = {path.name for path in (folder / "results" / "runs").iterdir()}
    finals = {name for t in found["tunings"] for name in (*t["untuned"], *t["tuned"])}
    trials = {name for t in found["tunings"] for trial in t["trials"] for name in trial["runs"]}
    assert there == finals | trials
    assert not finals & trials
    assert compare("tuned.yaml --device cpu")[0] == 0
    done = CliRunner().invoke(app, ["report"], env={"COLUMNS": "200"})
    assert (
        done.stdout.count("\nsmall-cnn on phantom\n") == 1
    )  # trials would be a table of their own


def test_the_launches_of_a_search_share_the_minutes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials, final runs and tuned runs are launched one after the other."""
    minutes, clock = [], itertools.count(0.0, 60.0)

    def launched(screen: Screen, standings: object, request: Request) -> int:
        minutes.append(float(request.launcher.options["minutes"]))
        return 0

    monkeypatch.setattr(study, "launch", launched)
    monkeypatch.setattr(study.time, "monotonic", lambda: next(clock))
    compare("tuned.yaml --device cpu --minutes 1.5")
    assert minutes == [0.5, 0.001]  # of the last what is needed to say that it is over


def test_the_job_script_of_a_search_is_that_of_its_trials(folder: Path) -> None:
    """That of the final runs was written over it, and nobody submitted the trials."""
    _, _, said = compare("tuned.yaml --sbatch job.sh")
    assert said.count("submit it with `sbatch job.sh`\n") == 1
    assert "--array=0-5\n" in Path("job.sh").read_text()


def test_what_a_search_has_not_done_is_kept_before_it_is_begun(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is killed in its trials leaves a report that says so."""
    monkeypatch.setattr(study, "launch", killed)
    assert compare("tuned.yaml --device cpu")[0] != 0
    found = json.loads((folder / "results" / "searches" / "tuned.json").read_text())
    assert [tuning["chosen"] for tuning in found["tunings"]] == [None, None]


def test_what_is_wrong_with_a_search_has_a_place(folder: Path) -> None:
    path = folder / "tuned.yaml"
    path.write_text(path.read_text().replace("trials: 3", "trials: 3, grids: {asam: {rho: [1]}}"))
    with pytest.raises(ConfigError, match=r"^tuned\.yaml:6: search grids asam: no run is of asam"):
        compare("tuned.yaml --plan")


def test_a_plan_says_how_many_tuned_runs_may_come(folder: Path) -> None:
    """Of those searches that are not done."""
    assert compare("tuned.yaml --device cpu --only '*-adam-s1000-*'")[0] == 0
    _, shown, _ = compare("tuned.yaml --plan")
    assert "; up to 2 tuned runs follow the search\n" in shown
    assert ", for 11 runs, up to 2 tuned ones to come among them, at the pace of 3 " in shown


def test_a_shipped_suite_by_name(folder: Path) -> None:
    code, shown, _ = compare("bus-folds --plan")
    assert code == 0
    assert "to do: 210 of 210 runs; nothing was run" in shown
    with pytest.raises(ConfigError, match=r"suite 'bus-fold' does not exist: did you mean 'bus-fo"):
        compare("bus-fold --plan")


def test_a_suite_names_its_launcher_and_the_plan_says_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line goes first, and no run is another by it."""
    monkeypatch.setattr("sambench.launch.launchers.slurm.shutil.which", lambda name: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    compare("study.yaml --device cpu --only '*-adam-s0-*'")
    plain = compare("study.yaml --plan")[1]
    assert "launcher" not in plain
    assert "job" not in plain
    named = "launcher: {name: slurm, account: ab123, time: 1:30:00, qos: long}\n"
    (folder / "slurm.yaml").write_text(SUITE + named)
    shown = compare("slurm.yaml --plan --slurm qos=short --runs-per-job 4")[1]
    told = "launcher: slurm, account=ab123, time=1:30:00, qos=short, runs_per_job=4\n"
    assert told in shown
    assert re.search(r" 1 finished run on .*; of 2 jobs the longest takes about \d+ s\n", shown)
    assert compare("slurm.yaml --plan --launcher local")[1] == plain
    answer = json.loads(compare("slurm.yaml --plan --json")[1])
    options = {"account": "ab123", "time": "1:30:00", "qos": "long"}
    assert answer["launcher"] == {"name": "slurm", "options": options}
    again = json.loads(compare("study.yaml --plan --json")[1])
    assert again["launcher"] == {"name": "local", "options": {}}
    assert answer["runs"] == again["runs"]


@pytest.mark.parametrize(
    ("launcher", "said"),
    [
        ("{name: slrum}", "unknown launcher 'slrum': did you mean 'slurm'"),
        ("{name: ray, num_gpu: 1}", "launcher ray has no option 'num_gpu': did you mean 'num_gpus"),
    ],
)
def test_a_launcher_that_is_none_is_told_with_its_line(
    folder: Path, launcher: str, said: str
) -> None:
    (folder / "study.yaml").write_text(f"{SUITE}launcher: {launcher}\n")
    for command in (["compare", "study.yaml", "--plan"], ["hessian", "study.yaml"]):
        done = CliRunner().invoke(app, command)
        assert isinstance(done.exception, ConfigError)
        assert str(done.exception).startswith(f"study.yaml:7: {said}")


def test_the_time_of_measuring_that_nothing_tells_comes_on_top() -> None:
    left = Forecast(seconds=90.0, known=2, unknown=1, unmeasured=2, finished=3, longest=60.0)
    said = _time_left(left, 0, ["a CPU"], None)
    assert said.endswith(
        "on a CPU; nothing finished tells of 1 more run; the curvature of 2 runs comes on top"
    )
    left = dataclasses.replace(left, unmeasured=0)
    assert "curvature" not in _time_left(left, 0, ["a CPU"], None)
