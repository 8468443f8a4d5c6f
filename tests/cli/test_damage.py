"""What the commands say of what is damaged, removed, or unclear; and that it stops nobody else."""

from __future__ import annotations

import csv
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from msgspec.structs import asdict, replace

from sambench.config.suite_file import load_suite
from sambench.errors import DO_AGAIN, SambenchWarning
from sambench.files.checksums import sealed
from sambench.files.owner import Owner
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import run_all
from sambench.launch.manifest import Manifest
from sambench.store.record import RunRecord
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("unpainted")
SUITE = """
name: study
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 1, batch_size: 16, lr: 1e-3}
matrix: {optimizer: [adam, sam]}
report: {baseline: adam}
"""
COMPARE = ("compare", "s.yaml", "--device", "cpu")


@pytest.fixture(scope="module")
def trained(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the suite, its data and its two finished runs; copied, not written to."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "s.yaml").write_text(SUITE)
    shutil.copytree(phantom_data, folder / "data" / "prepared")
    configs = load_suite(folder / "s.yaml").expand(lambda *_: ())
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.set_num_threads(1)
    data, results = folder / "data" / "prepared", folder / "results"
    run_all(Manifest(configs=configs, data=data, results=results), "cpu", Watcher())
    torch.use_deterministic_algorithms(before)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path, call: Call) -> tuple[Path, Path]:
    """The folders of the runs of adam and of sam, in a study of the test's own."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    adam, sam = sorted(Path("results/runs").iterdir())
    return adam, sam


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text()
    changed = change(text)
    assert changed != text
    path.write_text(changed)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def better(text: str) -> str:
    """Give the test part an accuracy that the run did not have."""
    content = json.loads(text)
    content["final"]["test"]["accuracy"] = 0.987654
    return json.dumps(content, indent=2) + "\n"


def unsealed_nan(text: str) -> str:
    """A record without its checksums, and with no accuracy."""
    content = json.loads(text)
    del content["artifacts"], content["sha256"]
    content["final"]["test"]["accuracy"] = float("nan")
    return json.dumps(content, indent=2)


@pytest.mark.parametrize("change", [better, unsealed_nan, lambda text: text[:300]])
def test_compare_report_and_hessian_agree_on_a_damaged_record(
    runs: tuple[Path, Path], call: Call, change: Callable[[str], str]
) -> None:
    adam, sam = runs
    edit(sam / "run.json", change)
    plan = call("compare", "s.yaml", "--plan", "--json", columns=300)
    standings = {s["name"]: s for s in json.loads(plan.out)["runs"]}
    assert {name: s["state"] for name, s in standings.items()} == {
        adam.name: "completed",
        sam.name: "damaged",
    }
    reason = standings[sam.name]["note"]
    assert reason.startswith(f"{sam / 'run.json'} is ")
    done = call(*COMPARE, columns=300)
    assert done.code == 1
    assert f"{sam.name} damaged: {reason}\n" in done.err
    assert "1 damaged; `--retry damaged` does them again\n" in done.err
    assert "1 of 2 runs are not in the tables: 1 damaged." in done.out
    assert "98.8" not in done.out
    answer = json.loads(call(*COMPARE, "--json").out)
    assert [run["status"] for run in answer["runs"]] == ["completed", "damaged"]
    assert answer["runs"][0]["error"] is None
    assert answer["runs"][1]["error"].startswith(reason)
    report = call("report", "s.yaml", columns=300)
    assert report.code == 0
    assert f"Record not counted: {reason}" in report.out
    assert "Missing runs of the suite" not in report.out
    hessian = call("hessian", sam.name[-10:], columns=300)
    assert hessian.code == 2
    assert "damaged" in hessian.err
    assert str(sam / "run.json") in hessian.err


def test_damaged_runs_are_moved_aside_and_done_again(runs: tuple[Path, Path], call: Call) -> None:
    adam, sam = runs
    before, weights = (sam / "run.json").read_bytes(), (sam / "model.safetensors").read_bytes()
    flip(sam / "run.json", 400)
    flipped = (sam / "run.json").read_bytes()
    flip(adam / "model.safetensors", -5)  # read, as nothing else would be, to repair it
    done = call(*COMPARE, "--retry", "damaged", "--threads", 1, columns=300)
    assert done.code == 0
    for run in (adam, sam):
        aside = Path("results") / "retired" / run.name / "1"
        assert {path.name for path in aside.iterdir()} == {
            *("run.json", "history.jsonl", "model.safetensors", "predictions.npz", "note.txt")
        }
        assert (
            (aside / "note.txt")
            .read_text()
            .startswith(
                f"{run.name} was moved here and done anew: damaged, results/runs/{run.name}/"
            )
        )
    assert (Path("results") / "retired" / sam.name / "1" / "run.json").read_bytes() == flipped
    assert json.loads((sam / "run.json").read_text())["final"] == json.loads(before)["final"]
    assert (sam / "model.safetensors").read_bytes() == weights
    assert (
        call("compare", "s.yaml", "--plan", "--retry", "damaged").out.count("completed  skip") == 2
    )


def test_train_does_a_damaged_run_again(runs: tuple[Path, Path], call: Call) -> None:
    _, sam = runs
    (sam / "run.json").write_text("{")
    options = ("--dataset", "phantom", "--size", 32, "--model", "small-cnn", "--opt", "sam")
    assert (
        call(
            "train", *options, "--epochs", 1, "--batch-size", 16, "--lr", "1e-3", "--device", "cpu"
        ).code
        == 0
    )
    assert json.loads((sam / "run.json").read_text())["status"] == "completed"


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
BESIDE = ("model.safetensors", "predictions.npz", "history.jsonl")


@pytest.mark.parametrize("file", ["run.json", *BESIDE])
def test_what_git_lfs_has_not_fetched_is_not_done_again(
    runs: tuple[Path, Path], call: Call, file: str
) -> None:
    (runs[0] / file).write_text(POINTER)
    before = {path.name: path.read_bytes() for path in runs[0].iterdir()}
    told = f"error: {runs[0] / file} is a git-lfs pointer in place of the file; run `git lfs pull`"
    one = ("train", "--dataset", "phantom", "--size", "32", "--model", "small-cnn", "--opt", "adam")
    settings = ("--epochs", "1", "--batch-size", "16", "--lr", "1e-3", "--device", "cpu")
    for words in ((*COMPARE, "--retry", "damaged"), (*one, *settings)):
        done = call(*words, columns=300)
        assert (done.code, done.err.splitlines()[-1]) == (2, told)
    assert {path.name: path.read_bytes() for path in runs[0].iterdir()} == before
    assert not Path("results/retired").exists()


def test_weights_of_another_run_are_not_measured(runs: tuple[Path, Path], call: Call) -> None:
    adam, sam = runs
    shutil.copy(adam / "model.safetensors", sam / "model.safetensors")
    options = ("--samples", 8, "--set", "max_matvecs=8", "--device", "cpu")
    done = call("hessian", sam.name, *options)
    assert done.code == 2
    assert " ".join(done.err.split()).endswith(
        f"error: {sam / 'model.safetensors'} is not the file that its run wrote (its checksum is "
        f"not the record's): it is damaged or another run's; {DO_AGAIN}"
    )
    both = call("hessian", "phantom-*", *options, columns=300)
    assert both.code == 1
    assert f"{sam.name}: damaged: " in both.err
    hessians = [json.loads((run / "run.json").read_text())["hessian"] for run in runs]
    assert hessians[0] is not None
    assert hessians[1] is None


def test_predictions_and_epochs_of_another_run_are_not_drawn(
    runs: tuple[Path, Path], call: Call
) -> None:
    adam, sam = runs
    for name in ("predictions.npz", "history.jsonl"):
        shutil.copy(adam / name, sam / name)
    shown = call("report", "s.yaml", columns=300)
    assert shown.code == 0
    assert f"- Predictions not counted: {sam / 'predictions.npz'} is not the file" in shown.out
    assert "Nothing: every run is completed" not in shown.out
    said = Path("results/reports/study/report.md").read_text()
    for name in ("predictions.npz", "history.jsonl"):
        assert said.count(f"{sam / name} is not the file that its run wrote") == 1
    done = call("compare", "adam", "sam", columns=300)
    assert f"{sam / 'predictions.npz'} is not the file that its run wrote" in done.err


def test_an_accuracy_that_was_sealed_anew_does_not_fit_its_predictions(
    runs: tuple[Path, Path], call: Call
) -> None:
    _, sam = runs

    def forged(text: str) -> str:
        content = json.loads(better(text))
        del content["sha256"]
        return sealed(json.dumps(content, indent=2) + "\n")

    edit(sam / "run.json", forged)
    assert call("report", "s.yaml").code == 0
    said = Path("results/reports/study/report.md").read_text()
    assert f"run {sam.name} has test accuracy 0.9877 in its record and " in said


def test_flipped_pixels_stop_all_that_read_them(runs: tuple[Path, Path], call: Call) -> None:
    pixels = Path("data/prepared/phantom-32/images.npy")
    whole = pixels.read_bytes()
    flip(pixels, 5000)
    sgd = ("--dataset", "phantom", "--size", 32, "--model", "small-cnn", "--opt", "sgd")
    for command in (
        ("train", *sgd, "--device", "cpu"),
        ("hessian", runs[0].name, "--device", "cpu"),
        ("compare", *sgd, "--device", "cpu"),
    ):
        done = call(*command)
        assert done.code == 2
        assert f"{pixels} is damaged: its checksum is not" in done.err.replace("\n", " ")
        assert "`sambench prepare phantom --size 32`" in done.err.replace("\n", " ")
    mending = ("prepare", "phantom", "--size", 32, "--set", "images=40", "--set", "pixels=32")
    mended = call(*mending)
    assert (mended.code, "nothing to do" in mended.err) == (0, False)
    assert pixels.read_bytes() == whole
    assert "nothing to do" in call(*mending, columns=300).err


def test_centres_of_other_images_of_the_same_names_are_not_told(
    runs: tuple[Path, Path], call: Call
) -> None:
    assert "test accuracy by centre" in call("report", "s.yaml", "--json").out
    anew = ("prepare", "phantom", "--size", 32, "--set", "images=44", "--set", "pixels=32")
    assert call(*anew).code == 0
    done = call("report", "s.yaml", "--json")
    assert (done.code, "by centre" in done.out) == (0, False)


def test_what_a_damaged_set_leaves_out_of_a_report_is_said(
    runs: tuple[Path, Path], call: Call
) -> None:
    manifest = Path("data/prepared/phantom-32/manifest.json")
    manifest.write_text(manifest.read_text().replace('"images": 40', '"images": 41', 1))
    with warnings.catch_warnings():
        warnings.simplefilter("always", SambenchWarning)
        done = call("report", "s.yaml", "--json", columns=300)
    assert (done.code, "by centre" in done.out) == (0, False)
    said = f"accuracies by centre cannot be told: {manifest} is damaged (it was altered"
    assert done.err.count(said) == 1


def test_train_says_that_it_does_a_damaged_run_again(runs: tuple[Path, Path], call: Call) -> None:
    record = runs[0] / "run.json"
    record.write_text("{")
    settings = ("--epochs", 1, "--batch-size", 16, "--lr", 0.001, "--opt", "adam")
    where = ("--dataset", "phantom", "--size", 32, "--model", "small-cnn", "--device", "cpu")
    done = call("train", *where, *settings, columns=300)
    assert (done.code, len(list(runs[0].parent.iterdir()))) == (0, 2)
    assert f"running again, since {record} is not a run record; their earlier" in done.err


def test_a_history_that_is_gone_is_named(runs: tuple[Path, Path], call: Call) -> None:
    """Without it the curve of its optimizer is drawn from the other runs alone."""
    path = runs[0] / "history.jsonl"
    path.unlink()
    done = call("report", "s.yaml", columns=300)
    text = next(Path("results/reports").glob("*/report.md")).read_text()
    assert (done.code, text.count(f"{path} cannot be read (")) == (0, 1)


def test_a_run_counts_only_in_its_own_folder(runs: tuple[Path, Path], call: Call) -> None:
    """A renamed folder is no run, and the record of another run in a folder is not its run's."""
    adam, sam = runs
    away = adam.rename(adam.with_name("mine"))
    done = call("hessian", adam.name, "--again", "--device", "cpu", columns=300)
    assert (done.code, adam.exists()) == (2, False)
    assert f"error: no run {adam.name!r} in results/runs" in done.err
    assert f"mine/run.json is of run {adam.name}, which counts only" in call("list", "runs").err
    sam.rename(adam)
    planned = json.loads(call(*COMPARE[:2], "--plan", "--json").out)["runs"]
    assert [run["state"] for run in planned] == ["damaged", "missing"]
    adam.rename(sam)
    away.rename(adam)
    planned = json.loads(call(*COMPARE[:2], "--plan", "--json").out)["runs"]
    assert [run["state"] for run in planned] == ["completed", "completed"]


def test_the_curvature_of_a_study_says_which_of_its_runs_are_not_there(
    runs: tuple[Path, Path], call: Call
) -> None:
    """By its name, as by its file: a run that is damaged and one that is gone."""
    adam, _ = runs
    call("compare", "s.yaml", "--device", "cpu")  # keeps its plan
    settings = ("--samples", 8, "--set", "trace_tol=0.9", "--device", "cpu")
    assert "runs of study" not in call("hessian", "study", *settings, columns=300).err
    adam.rename(adam.parents[1] / "elsewhere")
    done = call("hessian", "study", *settings, columns=300)
    assert (done.code, done.err.splitlines()[0]) == (0, "1 of 2 runs of study are there")
    done = call("hessian", "s.yaml", *settings, columns=300)
    assert (done.code, done.err) == (0, "1 of 2 runs of s.yaml are completed\n")
    adam.mkdir()
    (adam / "run.json").write_text("{")
    done = call("hessian", "study", *settings, columns=300)
    assert (done.code, f"{adam}/run.json is not a run record" in done.err) == (1, True)


def test_a_device_that_is_not_there_is_refused_before_anything_is_prepared(call: Call) -> None:
    command = ("--dataset", "phantom", "--model", "small-cnn", "--device", "cuda:77")
    for name in ("train", "compare"):
        done = call(name, *command)
        assert done.code == 2
        assert done.err.startswith("error: device cuda:77 is not there")
        assert not any(Path().iterdir())


def put_claim(folder: Path, content: str, age: float) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "claim.json").write_text(content)
    then = (folder / "claim.json").stat().st_mtime - age
    os.utime(folder / "claim.json", (then, then))


def other_machine() -> str:
    owner = replace(Owner.this_process("cpu"), machine="another", host="another", pid=1)
    return json.dumps({**asdict(owner)})


@pytest.mark.parametrize(
    ("content", "age", "said"),
    [
        ("garbage", 0.0, "cannot be read as a claim of this version of sambench"),
        ("future", -1e5, "seconds in the future"),
    ],
)
def test_a_claim_that_tells_nothing(
    runs: tuple[Path, Path], call: Call, content: str, age: float, said: str
) -> None:
    _, sam = runs
    shutil.rmtree(sam)
    put_claim(sam, other_machine() if content == "future" else content, age)
    done = call(*COMPARE, columns=400)
    assert done.code == 1
    assert said in done.err
    assert "if none does, remove this file and give the same command again" in done.err
    assert "1 of 2 runs are not in the tables: 1 being done by another process." in done.out
    (sam / "claim.json").unlink()
    assert call(*COMPARE).code == 0


def test_runs_that_another_process_does_are_missing(runs: tuple[Path, Path], call: Call) -> None:
    _, sam = runs
    shutil.rmtree(sam)
    put_claim(sam, other_machine(), 0.0)
    done = call(*COMPARE, columns=400)
    assert done.code == 1
    assert f"another process is doing {sam.name}, which is missing here; the same" in done.err
    assert "1 of 2 runs are not in the tables: 1 being done by another process." in done.out


def test_the_reason_of_every_failed_run_is_shown_each_time(
    runs: tuple[Path, Path], call: Call
) -> None:
    adam, sam = runs
    store = Store(Path("results"))
    for run, error in ((adam, "Traceback\n  here\nValueError: the\n reason"), (sam, "of sam")):
        record = store.read(run / "run.json")
        failed = RunRecord(config=record.config, status="failed", error=error)
        store.save(failed)
    for _ in range(2):
        done = call(*COMPARE, columns=300)
        assert done.code == 1
        assert f"{adam.name} failed: reason\n{sam.name} failed: of sam\n2 failed; " in done.err
    plan = call("compare", "s.yaml", "--plan", columns=300)
    assert [line.split()[1:] for line in plan.out.splitlines() if "failed  " in line] == [
        ["failed", "skip", "reason"],
        ["failed", "skip", "of", "sam"],
    ]


def test_results_that_are_deleted_under_a_running_suite(
    runs: tuple[Path, Path], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are gone once the first run has written its epochs; the second is done all the same."""
    adam, sam = runs
    shutil.rmtree("results")
    add = Store.add_to_history

    def add_and_lose(self: Store, *given: Any) -> None:
        add(self, *given)
        if not Path("gone").exists():
            Path("results").rename("gone")

    monkeypatch.setattr(Store, "add_to_history", add_and_lose)
    done = call(*COMPARE, columns=400)
    assert done.code == 1
    assert (
        f"{adam.name}: not done: {adam / 'claim.json'} was removed, alone or with its "
        "folder, while this process worked there; nothing more was written, and the same command "
        "does it again"
    ) in done.err
    assert not adam.exists()
    assert json.loads((sam / "run.json").read_text())["status"] == "completed"
    assert "1 of 2 runs are not in the tables: 1 not done." in done.out
    assert call(*COMPARE).code == 0


def test_predictions_that_are_gone_are_said_and_made_again(
    runs: tuple[Path, Path], call: Call
) -> None:
    adam, sam = runs
    before = (adam / "predictions.npz").read_bytes()
    (adam / "predictions.npz").unlink()
    table = Path("results/reports/study/predictions.csv")
    done = call("report", "s.yaml", "--predictions", columns=300)
    told = "1 of 2 runs have no sound predictions and are not in predictions.csv"
    assert (done.code, f"{told}: {adam.name}; {DO_AGAIN}\n" in done.err) == (0, True)
    with np.load(sam / "predictions.npz") as tested:
        ids = sorted(tested["ids"])
    rows = list(csv.DictReader(table.open()))
    assert sorted(row["image"] for row in rows) == ids
    assert {row["run"] for row in rows} == {sam.name}
    assert call(*COMPARE, "--retry", "damaged", "--threads", 1).code == 0
    assert (adam / "predictions.npz").read_bytes() == before
    assert told not in call("report", "s.yaml", "--predictions", columns=300).err
    rows = list(csv.DictReader(table.open()))
    assert Counter(row["run"] for row in rows) == {run.name: len(ids) for run in runs}
