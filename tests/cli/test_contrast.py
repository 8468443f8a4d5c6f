"""`sambench compare A B`: two sides, from stored records alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from sambench.cli import main
from sambench.store.record import RunRecord
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


@pytest.fixture
def compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    """Call `compare` in a folder of its own; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["sambench", "compare", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


def of(record: RunRecord, suite: str, commit: str) -> RunRecord:
    return replace(record, suite=suite, environment={**(record.environment or {}), "git": commit})


def store(folder: Path, make_record: RecordMaker, suite: str, commit: str, **made: object) -> None:
    for name in ("adam", "sam"):
        for seed in range(2):
            record = make_record(name, seed=seed, **made)
            Store(folder).save(of(record, suite, commit))


def test_two_optimizers(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "results", make_record, "demo", "abc123")
    code, out, _ = compare("adam", "sam")
    assert code == 0
    assert "sam against adam: small-cnn on phantom" in out
    assert "with fewer than 6 seeds nothing is shown" in out
    assert not (tmp_path / "results" / "reports").exists()


def test_a_label_that_no_run_has(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    for lr in (0.001, 0.01):
        Store(tmp_path / "results").save(make_record({"name": "adam", "lr": lr}))
    Store(tmp_path / "results").save(make_record("sam"))
    code, _, said = compare("adam (lr=0.010)", "sam")
    assert code == 2
    assert "'adam (lr=0.010)'; there are adam (lr=0.001), adam (lr=0.01)" in " ".join(said.split())
    _, _, said = compare("gsam (rho=0.1)", "sam")
    assert said == "error: no run is called 'gsam (rho=0.1)'\n"


def test_what_the_marks_mean_and_why_there_is_no_time(
    compare, tmp_path: Path, make_record: RecordMaker
) -> None:
    sam = make_record("sam", collapsed=True)
    moved = sam.with_sections(environment={**(sam.environment or {}), "gpu": "a GPU"})
    for record in (make_record("adam"), moved):
        Store(tmp_path / "results").save(record)
    _, out, _ = compare("adam", "sam")
    assert "\u2021 a run predicts one class for every image" in out
    assert "Not timed on the same device as Adam: SAM." in out
    assert "Training time" not in out


def test_an_option_that_would_do_nothing(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "results", make_record, "one", "a" * 40)
    for given in (["--dataset", "other"], ["--seeds", "1"], ["--plan"], ["--device", "cpu"]):
        code, out, said = compare("adam", "sam", *given)
        assert (code, out) == (2, "")
        assert f"{given[0]} does not go with two sides" in said


def test_trials_of_a_search_are_compared_with_nothing(
    compare, tmp_path: Path, make_record: RecordMaker
) -> None:
    """They were further seeds of the optimizer, though their values were chosen by them."""
    store(tmp_path / "results", make_record, "demo", "abc123", accuracy=0.5)
    for name in ("adam", "sam"):
        trial = of(make_record(name, seed=1000, accuracy=0.9), "demo (search)", "abc123")
        Store(tmp_path / "results").save(trial)
    _, out, _ = compare("adam", "sam")
    assert re.search(r"Test accuracy \(%\) +50\.0 ± 0\.0 \(2\) +50\.0 ± 0\.0 \(2\)", out)
    store(tmp_path / "other", make_record, "demo", "def456", accuracy=0.6)
    for first, second in (("abc123", "def456"), ("results", "other")):
        _, out, err = compare(first, second)
        assert "1000" not in out + err
        assert "(3)" not in out


def test_two_suites_by_name(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "results", make_record, "short", "abc123", epochs=5)
    store(tmp_path / "results", make_record, "long", "abc123", epochs=50)
    code, out, _ = compare("short", "long")
    assert code == 0
    assert "long against short: sam, small-cnn on phantom (epochs 5 against 50)" in out


def test_a_suite_file_beside_a_suite(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "results", make_record, "short", "abc123", epochs=5)
    store(tmp_path / "results", make_record, "long", "abc123", epochs=50)
    (tmp_path / "short.yaml").write_text(
        "name: short\n"
        "defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 5}\n"
        "matrix: {optimizer: [adam, sam]}\n"
        "seeds: 2\n"
    )
    code, out, _ = compare("short.yaml", "long")
    assert code == 0
    assert "long against short.yaml: adam, small-cnn on phantom (epochs 5 against 50)" in out
    code, _, err = compare("short.yaml", "short")
    assert code == 0
    assert "4 runs belong to both sides and are not compared" in err
    (tmp_path / "results" / "searches").mkdir()
    (tmp_path / "results" / "searches" / "short.json").write_text("{")
    code, _, err = compare("short.yaml", "long")
    assert (code, "short.json is no search of this sambench" in err) == (0, True)


def test_what_one_suite_alone_has_is_named_by_what_is_its_own(
    compare, tmp_path: Path, make_record: RecordMaker
) -> None:
    """Both have Adam on phantom: it was said to be only in the one that has two rates of it."""
    for rate in (0.003, 0.01):
        for seed in range(3):
            Store(tmp_path / "results").save(
                make_record({"name": "adam", "lr": rate}, seed=seed, epochs=5)
            )

    def suite(name: str, rates: str, seeds: int) -> None:
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\n"
            "defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 5}\n"
            f"matrix: {{optimizer: [{rates}]}}\n"
            f"seeds: {seeds}\n"
        )

    suite("b", "{name: adam, lr: 0.003}, {name: adam, lr: 0.01}", 2)
    suite("c", "{name: adam, lr: 0.003}", 2)
    code, out, err = compare("b.yaml", "c.yaml")
    assert (code, "2 runs belong to both sides" in err) == (0, True)
    assert "adam, small-cnn on phantom (optimizer.lr 0.01): only in b.yaml" in out
    suite("d", "{name: adam, lr: 0.003}", 3)
    _, out, _ = compare("c.yaml", "d.yaml")
    assert "adam, small-cnn on phantom (seed 2): only in d.yaml" in out
    suite("e", "{name: adam, lr: 0.01}", 2)
    store(tmp_path / "results", make_record, "sams", "abc123")
    _, out, _ = compare("e.yaml", "sams")
    assert "sam, small-cnn on phantom: only in sams" in out


def test_two_commits(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    results = tmp_path / "results"
    store(results, make_record, "study", "0123abcd4567", accuracy=0.8)
    store(results / "published" / "2026_0aaabbbb", make_record, "study", "0aaabbbb1111")
    code, out, _ = compare("0aaabbbb", "0123abc")
    assert code == 0
    assert "0123abc against 0aaabbbb: adam, small-cnn on phantom" in out
    assert "+5" in out


def test_a_run_of_two_stores_is_taken_from_the_first_and_the_other_told(
    compare, tmp_path: Path, make_record: RecordMaker
) -> None:
    results = tmp_path / "results"
    store(results, make_record, "demo", "abc123", accuracy=0.8)
    store(results / "published" / "same", make_record, "demo", "abc123", accuracy=0.8)
    _, alone, said = compare("adam", "sam")
    assert (re.findall(r"Test accuracy .*?80\.0.*?\(2\)", alone) != [], said) == (True, "")
    store(results / "published" / "theirs", make_record, "study", "def456", accuracy=0.6)
    _, both, said = compare("adam", "sam")
    assert (both, said) == (alone, "")
    store(results / "published" / "theirs too", make_record, "demo", "abc123", accuracy=0.7)
    _, out, said = compare("study", "demo")  # either name stands for the runs made for it
    told = re.findall(r"^run \S+ ended otherwise in (.+) than in (\S+), which is taken", said, re.M)
    assert told == 4 * [("results/published/theirs too", "results")]
    assert "+20" in out


def test_published_runs_do_not_join_ones_own(
    compare, tmp_path: Path, make_record: RecordMaker
) -> None:
    """They were settings more, over which means were taken and p corrected."""
    for number, model in enumerate(("resnet18", "vgg16")):
        place = tmp_path / "results" / "published" / str(number)
        store(place, make_record, "theirs", "def456", model=model)
    _, alone, _ = compare("adam", "sam")
    assert "ResNet-18" in alone and "VGG-16" in alone
    store(tmp_path / "results", make_record, "demo", "abc123")
    _, out, _ = compare("adam", "sam")
    assert "small-cnn" in out and "ResNet-18" not in out


def test_two_folders(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "old", make_record, "study", "a")
    store(tmp_path / "new", make_record, "study", "b", accuracy=0.9)
    code, out, _ = compare("old", "new")
    assert code == 0
    assert "+15" in out


def test_the_published_numbers(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "results", make_record, "bus", "a", dataset="bus", model="resnet50")
    for sides in (("published", "bus"), ("bus", "published")):
        code, out, _ = compare(*sides)
        assert code == 0
        assert "SAM on ResNet-50" in out
        assert "Adam on ResNet-50" in out
    code, out, _ = compare("sam", "published")
    assert "Adam on ResNet-50" not in out


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (("adam", "demo"), "adam is an optimizer and demo a set of runs; compare two"),
        (("adam", "smm"), "'smm' is no optimizer, suite, commit or results folder: did you mean"),
        (("published", "published"), "`published` is both sides"),
        (("demo", "published"), "demo has no completed run of which the papers print"),
        (("none.yaml", "demo"), "suite none.yaml does not exist"),
    ],
)
def test_what_cannot_be_compared(
    compare, tmp_path: Path, make_record: RecordMaker, sides: tuple[str, str], said: str
) -> None:
    store(tmp_path / "results", make_record, "demo", "abc123")
    Store(tmp_path / "results").save(make_record(seed=9))  # of `train`, so of no suite
    code, out, err = compare(*sides)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert "suites with runs in results: demo; optimizers: " in err or "smm" not in sides
    assert err.count("\n") == 1


def test_a_damaged_record_costs_no_other(compare, tmp_path: Path, make_record: RecordMaker) -> None:
    store(tmp_path / "results", make_record, "demo", "abc123")
    broken = tmp_path / "results" / "runs" / "broken" / "run.json"
    broken.parent.mkdir()
    broken.write_text('{"schema_version": 99}')
    code, out, err = compare("adam", "sam")
    assert code == 0
    assert "upgrade sambench" in err
    assert "sam against adam" in out


@pytest.mark.parametrize("folder", [".", "published/study"])
def test_the_same_test_images(
    compare, tmp_path: Path, make_record: RecordMaker, folder: str
) -> None:
    """Of ten images, Adam's run has one right that SAM's has not, and SAM's six that Adam's not."""
    labels, runs = np.arange(10) % 2, Store(tmp_path / "results" / folder)
    for name, wrong in (("adam", range(6)), ("sam", (9,))):
        guesses = labels.copy()
        guesses[list(wrong)] ^= 1
        record = make_record(name, accuracy=1 - len(wrong) / 10)
        runs.save(record)
        np.savez(
            runs.predictions(record.config),
            version=1,
            ids=np.array([str(k) for k in range(10)]),
            probabilities=np.eye(2)[guesses],
            labels=labels,
        )
    code, out, _ = compare("adam", "sam")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("phantom-small-cnn-sam-s0"))
    assert row.split()[3:7] == ["10", "1", "6", "0.12"]


def test_damaged_predictions_cost_their_pair_alone(
    compare, tmp_path: Path, make_record: RecordMaker
) -> None:
    store(tmp_path / "results", make_record, "demo", "abc123")
    for name in ("adam", "sam"):
        (folder,) = (tmp_path / "results" / "runs").glob(f"*-{name}-s0-*")
        (folder / "predictions.npz").write_bytes(b"no archive")
    code, out, err = compare("adam", "sam")
    assert code == 0
    assert "left out of the tests on the same images" in err
    assert "sam against adam" in out
