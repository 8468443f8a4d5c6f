"""Simulated data are made when a run first asks for them; other data are asked for."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from msgspec.structs import replace
from typer.testing import CliRunner

from sambench.cli import app
from sambench.cli.checking import expanded
from sambench.cli.launching import check_runs
from sambench.config.run_config import RunConfig
from sambench.config.suite_file import read_suite
from sambench.data.prepared import open_prepared
from sambench.data.source import Option, sources
from sambench.errors import SambenchWarning, UnpreparedError
from sambench.store.tree import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sambench.cli.launching import Request
    from sambench.cli.screen import Screen
    from sambench.store.status import Standing
    from tests.cli.conftest import Call
    from tests.conftest import RecordMaker

RUN = ["--model", "small-cnn", "--opt", "adam", "--epochs", "1", "--device", "cpu"]
FEW = Option(default=24, minimum=20, maximum=100, help="number of images")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sources.get("phantom").options, "images", FEW)
    return tmp_path


@pytest.mark.parametrize("command", ["train", "compare"])
def test_the_phantom_is_made_for_the_run_that_asks_for_it(folder: Path, command: str) -> None:
    done = CliRunner().invoke(app, [command, "--dataset", "phantom", "--size", "32", *RUN])
    assert done.exit_code == 0, done.output
    assert "dataset 'phantom' is not prepared; making it in data/prepared" in done.output
    assert len(open_prepared(folder / "data" / "prepared", "phantom", 32)) == 24
    assert (folder / "data" / "raw").is_dir()


def test_a_plan_makes_nothing(folder: Path) -> None:
    done = CliRunner().invoke(app, ["compare", "--dataset", "phantom", *RUN, "--plan"])
    assert done.exit_code == 0, done.output
    assert list(folder.iterdir()) == []


def test_nothing_is_made_for_a_run_that_cannot_be_done(folder: Path) -> None:
    done = CliRunner().invoke(app, ["train", "--dataset", "phantom", *RUN, "--model", "smal-cnn"])
    assert done.exit_code != 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pretrained",), "model 'small-cnn' has no published weights; leave out --pretrained"),
        (("--split", "kfold-3"), "folds: 1, 2, 3, as `--set fold=1`"),
        (("--devices", "cpu,cpu", "--pretrained"), "has no published weights"),
        (("--devices", "cpu,cpu", "--set", "replicas=2"), "give it by --devices instead"),
        (("--devices", "cpu,xpu"), "runs are done on cpu and cuda, not on xpu"),
        (("--device", "cpu", "--devices", "cpu"), "--device and --devices contradict each other"),
        (("--set", "compile=[1, 2]"), "compile=[1, 2] is not allowed; allowed: auto, always"),
        (("--set", "capture={a: 1}"), "capture={'a': 1} is not allowed; allowed: auto, always"),
    ],
)
def test_what_cannot_begin_is_refused_in_one_line(
    call: Call, words: tuple[str, ...], said: str
) -> None:
    done = call("train", "--dataset", "phantom", "--size", "32", *RUN[:-2], *words, "--json")
    line = done.err.splitlines()[-1].removeprefix("error: ")
    assert (done.code, json.loads(done.out)) == (2, {"error": line})
    assert said in line
    assert not Path("results").exists()


def test_a_side_of_no_pixel_is_not_taken_for_the_usual_one(call: Call) -> None:
    done = call("train", "--dataset", "phantom", *RUN, "--set", "image_size=0")
    said = "error: image_size=0 is not allowed; allowed: a whole number >= 8\n"
    assert (done.code, done.err) == (2, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--batch-size", "20"), "phantom: batch_size=20 is more than the 19 training images, so "),
        (
            ("--set", "precision=tf32"),
            "note: precision=tf32 needs a CUDA device with TensorFloat-32; ",
        ),
        (
            ("--set", "label_noise=0.5"),
            "phantom: label_noise=0.5 leaves the right label no ",
        ),
        (
            ("--set", "normalization=pretrained"),
            "note: model 'small-cnn' has no published weights; normalization=pretrained scales its "
            "pixels by the means 0.485, 0.456, 0.406 and the standard deviations 0.229, 0.224, ",
        ),
        (("--opt", "sgd"), "note: lr=0.0001 suits Adam, as does the default of 0.0001, but sgd "),
    ],
)
def test_what_does_nothing_or_little_is_said_before_a_run(
    call: Call, words: tuple[str, ...], said: str
) -> None:
    quiet = ("--batch-size", "19", "--set", "label_noise=0.49")
    usual = call("train", "--dataset", "phantom", "--size", "32", *RUN, *quiet)
    own = [*RUN[:2], *RUN[4:]] if "--opt" in words else RUN
    done = call("train", "--dataset", "phantom", "--size", "32", *own, *words)
    assert (usual.code, done.code) == (0, 0)
    assert sum(line.startswith(said) for line in done.err.splitlines()) == 1
    assert said not in usual.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--split", "authors"), 2, "the data have no complete 'part' column, which this split "),
        (("--split", "centre:X"), 2, "no image has centre 'X'; there are: GDPH, SYSUCC"),
        (("--split", "grouped-30"), 2, "split grouped-30 leaves no image for the test part; "),
        (("--set", "validation=0.001"), 2, "split holdout leaves no image for the validation part"),
        (("--split", "kfold-12"), 0, "split kfold-12: no image of benign is in 3 of the 12 test "),
    ],
)
def test_a_plan_says_what_its_runs_are_refused_for_or_warned_of(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.setattr("sambench.cli.study.launch", check_alone)
    command = ("compare", "--dataset", "phantom", "--size", "32", *RUN, *words)
    unprepared = call(*command, "--plan", columns=200)
    assert (unprepared.code, unprepared.err) == (0, "")
    assert call("prepare", "phantom", "--size", "32", "--quiet").code == 0
    plan, done = call(*command, "--plan", columns=200), call(*command, columns=200)
    assert (plan.code, plan.err.count(said)) == (0, 1)
    assert plan.err.count("phantom: ") == 1
    assert (done.code, done.err.count(said)) == (code, 1)


def check_alone(screen: Screen, standings: Sequence[Standing], request: Request) -> int:
    """Refuse runs as `launch` does, and do none."""
    check_runs(screen, [standing.config for standing in standings], request.manifest.data, ())
    return 0


@pytest.mark.parametrize(("capability", "notes"), [((7, 5), 1), ((8, 0), 0)])
def test_a_gpu_without_tensorfloat_is_said_to_compute_in_fp32(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capability: tuple[int, int], notes: int
) -> None:
    """A T4, and an A100."""
    monkeypatch.setattr("sambench.cli.launching.choose_device", lambda name: (torch.device(name),))
    monkeypatch.setattr("sambench.cli.launching.check_data", lambda *given: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    given = {"dataset": "d", "image_size": 32, "model": "small-cnn", "optimizer": "sam"}
    said = list[str]()
    screen: Any = SimpleNamespace(warn=said.append)
    config = RunConfig.from_dict({**given, "precision": "tf32"})
    check_runs(screen, [config], folder, ["cuda:0"])
    assert len(said) == notes
    assert all("precision=tf32" in note and "on cuda:0 it is fp32" in note for note in said)


def test_a_comparison_says_which_optimizer_does_not_take_a_setting(call: Call) -> None:
    words = ["--dataset", "phantom", "--model", "small-cnn", "--plan", "--set", "rho=0.1"]
    with warnings.catch_warnings():
        warnings.simplefilter("always", SambenchWarning)
        done = call("compare", *words, "--opt", "adam,sam,gsam")
    assert "warning: --set rho: gsam has no rho and keeps its own settings\n" in done.err
    assert call("compare", *words, "--opt", "adam,sam,asam").code == 0  # warnings are errors here
    words += ["--set", "base=sgd", "--lr", "0.1"]
    said = "note: sam runs on sgd, but is compared with adam: compare with sgd too"
    assert said in call("compare", *words, "--opt", "adam,sam", columns=200).err


def test_no_run_of_a_comparison_fails_for_want_of_weights(call: Call, folder: Path) -> None:
    done = call("compare", "--dataset", "phantom", *RUN, "--pretrained")
    assert done.code == 2
    assert list(folder.iterdir()) == []


def test_an_optimizer_that_is_named_twice(call: Call) -> None:
    done = call("compare", "--opt", "adam,sam,adam", "--plan")
    assert (done.code, done.err) == (2, "error: --opt names adam twice; keep one\n")


def test_folds_are_told_by_the_data_or_else_by_the_records(
    tmp_path: Path, phantom_data: Path, make_record: RecordMaker
) -> None:
    settings = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "split": "folds"}
    content = {"name": "s", "defaults": settings, "matrix": {"optimizer": "adam"}, "folds": "all"}
    suite, store = read_suite(content, "s.yaml"), Store(tmp_path)
    assert [run.fold for run in expanded(suite, phantom_data)] == [1, 2, 3, 4, 5]
    for fold, changed in ((2, {}), (4, {}), (3, {"image_size": 64}), (None, {"split": "holdout"})):
        run = RunConfig.from_dict({**settings, "optimizer": "sam", "fold": fold, **changed})
        store.save(replace(make_record(), config=run))
    assert [run.fold for run in expanded(suite, tmp_path, store)] == [2, 4]
    for records in (None, Store(tmp_path / "none")):
        with pytest.raises(UnpreparedError, match="dataset 'phantom' is not prepared at 32 pixels"):
            expanded(suite, tmp_path, records)


def test_a_plan_names_weights_and_sizes_that_are_not_there(call: Call) -> None:
    assert call("prepare", "phantom", "--size", "32", "--quiet").code == 0
    settings = f"dataset: phantom, image_size: 64, model: small-cnn, weights: '{'0' * 64}'"
    Path("s.yaml").write_text(f"name: s\ndefaults: {{{settings}}}\nmatrix: {{optimizer: adam}}\n")
    told = call("compare", "s.yaml", "--plan", columns=300)
    assert (told.code, "to do: 1 of 1 runs" in told.out) == (0, True)
    assert "phantom is needed at 64 pixels but prepared only at 32: choose --size 32" in told.err
    assert f"the weights of sha256 {'0' * 64} are not kept in data/prepared/.weights;" in told.err


def test_each_dataset_is_looked_at_for_the_splits_of_its_own_runs(call: Call) -> None:
    for name in ("phantom", "other"):
        assert call("prepare", "phantom", "--name", name, "--size", "32", "--quiet").code == 0
    grids = "[{dataset: phantom}, {dataset: other, split: kfold-12}]"
    settings = "{image_size: 32, model: small-cnn, optimizer: adam}"
    Path("s.yaml").write_text(f"name: s\ndefaults: {settings}\ninclude: {grids}\nfolds: all\n")
    told = call("compare", "s.yaml", "--plan", columns=300)
    assert (told.code, "to do: 13 of 13 runs" in told.out) == (0, True)
    assert "other: split kfold-12: no image of benign is in 3 of the 12 test parts" in told.err
    assert "phantom: " not in told.err
