"""The methods text: every setting, and what differs among the runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sambench.analysis.study import build_study
from sambench.config.suite import ReportSettings
from sambench.report.methods import methods, said
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

HESSIAN: dict[str, Any] = {
    **{
        "definition": "batch-dominant-eigenvalue",
        "samples": 256,
        "batches": 8,
        "batch_norm": "eval",
    },
    **{"hvp": "reverse", "dtype": "float32", "l2": 0.0, "seed": 0, "parameters": 79378},
    "trace": {"method": "hutchinson"},
    "settings": {"tol": 0.01, "trace_tol": 0.1, "max_matvecs": 40},
    "seconds": 1800.0,
    "top": {"value": 3.0},
}
ENVIRONMENT = {
    **{"sambench": "0.1.0", "python": "3.11.7", "torch": "2.14.1", "cuda": None, "gpu": None},
    **{"cpu": "a CPU", "threads": 4, "git": "abc", "deterministic": "bitwise", "device": "cpu"},
    **{"platform": "Linux", "command": "sambench compare /home/me/suites/x.yaml"},
}


def text_of(records: Sequence[RunRecord]) -> str:
    section = methods(build_study(records, ReportSettings(baseline="adam")))
    return "\n".join((*section.paragraphs, *section.items))


def test_where_defaults_are_from(make_record: RecordMaker) -> None:
    records = [make_record(name) for name in ("adam", "sam")]
    note = (
        "the authors named no values for Adam: they used these on SGD "
        "(github.com/google-research/sam)"
    )
    assert f" ({note})." in text_of(records)
    tuned = replace(records[1].config, optimizer={**records[1].config.optimizer, "rho": 0.07})
    assert "named no values" not in text_of([records[0], replace(records[1], config=tuned)])


def test_every_setting_and_version(make_record: RecordMaker) -> None:
    records = [
        replace(make_record(name, seed=s, hessian=HESSIAN), environment=ENVIRONMENT)
        for name in ("adam", "sam")
        for s in (0, 1, 2, 5)
    ]
    text = text_of(records)
    for expected in (
        "phantom: 2 classes (benign, malignant), malignant the positive one, 32 px, "
        "split holdout (split seed 0) into "
        "training / validation / test images 40000 / 0 / 10000;",
        "Pixels are scaled to [0, 1]; augmentation: none;",
        "small-cnn from scratch, 79,378 parameters.",
        "Batches of 16, epochs at most 5, learning rate schedule constant, precision fp32, seeds "
        "0-2, 5 ",
        "Stop rule epochs; tested are the last weights; epochs done: 5.",
        "over 256 training images at the tested weights, batch normalisation in mode eval",
        "to a relative error of 0.01; trace by hutchinson to a relative half width of 0.1",
        "two-sided tests: over seeds the sign-flip permutation test, corrected by Westfall and",
        "a CPU, device cpu, threads: 4, runs on it at a time: 1, Linux. Reproducible: bitwise.",
        "sambench 0.1.0, python 3.11.7, torch 2.14.1; commit abc; command: sambench compare x.yaml",
        "sam: base adam, rho 0.05, lr 0.0001, betas (0.9, 0.999)",
    ):
        assert expected in text
    assert "and 4.00 h of curvature" in text


def test_what_differs_is_said_with_the_number_of_runs(make_record: RecordMaker) -> None:
    records = [make_record(seed=0), make_record(seed=1), make_record(seed=2, hessian=HESSIAN)]
    other = replace(records[0], environment={"cpu": "another CPU", "torch": "2.0"})
    text = text_of([other, *records[1:]])
    assert "Hardware. a CPU (2 runs), another CPU (1 run)" in text
    assert "Curvature, of 1 run." in text


def test_settings_that_some_runs_alone_have(make_record: RecordMaker) -> None:
    records = [make_record("adam"), make_record("adam", seed=1)]
    assert "precision fp32, seeds 0 " in text_of(records[:1])
    records[1] = replace(records[1], config=replace(records[1].config, label_noise=0.1))
    assert "precision fp32, label_noise=0.1, seeds 1 " in text_of(records[1:])
    told = "precision fp32, no more settings (1 run), label_noise=0.1 (1 run), seeds 0, 1 "
    assert told in text_of(records)


def test_files_of_ones_own_are_said_with_their_versions(make_record: RecordMaker) -> None:
    files = [{"mine.py": 64 * "a"}, {"mine.py": 64 * "b", "net.py": 64 * "c"}]
    records = [
        replace(make_record(seed=seed), environment={"torch": "2.0", "plugins": own})
        for seed, own in enumerate(files)
    ]
    text = text_of([*records, make_record(seed=2)])
    assert (
        "plug-in mine.py of sha256 aaaaaaaaaa (1 run), bbbbbbbbbb (1 run), "
        "plug-in net.py of sha256 cccccccccc; commit"
    ) in text


def test_failed_runs_say_nothing_of_the_method(make_record: RecordMaker) -> None:
    failed = replace(make_record(seed=1, status="failed"), environment={"cpu": "a broken CPU"})
    assert "broken" not in text_of([make_record(), failed])


def test_only_failures_still_have_settings(make_record: RecordMaker) -> None:
    text = text_of([replace(make_record(status="failed"), data=None, environment=None)])
    assert "test images not recorded" in text
    assert "versions not recorded" in text


def test_two_data_sets_and_folds(make_record: RecordMaker) -> None:
    folds = [make_record(split="kfold-5", fold=f) for f in (1, 2)]
    text = text_of([*folds, make_record(dataset="bus", normalization="imagenet")])
    assert "phantom: " in text
    assert "bus: " in text
    assert "(split seed 0, folds 1, 2)" in text
    assert "ImageNet's means and SDs" in text


def test_many_values_are_counted(make_record: RecordMaker) -> None:
    runs = [make_record(seed=s) for s in range(20)]
    assert said(run.config.seed for run in runs).endswith("7 (1 run) and 12 more values")
    assert said(None for _ in runs) == "not recorded"
