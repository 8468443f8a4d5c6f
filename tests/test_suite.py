from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sambench
from sambench.config import RunConfig
from sambench.data.source import sources
from sambench.errors import ConfigError, UnknownNameError
from sambench.hessian_settings import HessianSettings
from sambench.suite import Suite, load_suite

SHIPPED = sorted((Path(sambench.__file__).parents[1] / "suites").glob("*.yaml"))
DEMO = """
name: demo
defaults: {dataset: phantom, model: small-cnn, epochs: 2, lr: 1e-3}
matrix: {optimizer: [adam, {name: sam, rho: 0.1}], batch_size: [16, 32]}
seeds: 2
hessian: {samples: 64}
report: {baseline: sam}
"""
DEFAULTS = {"dataset": "phantom", "model": "small-cnn", "optimizer": "adam"}


def write(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_suite(write(folder, text))
    return str(caught.value)


def expand(**given: Any) -> tuple[RunConfig, ...]:
    suite = Suite.from_dict({"name": "test", "defaults": DEFAULTS, **given}, "here")
    return suite.expand(lambda dataset: 64)


def test_what_a_file_says(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, DEMO)) == Suite(
        name="demo",
        defaults={"dataset": "phantom", "model": "small-cnn", "epochs": 2, "lr": 0.001},
        matrix={"optimizer": ("adam", {"name": "sam", "rho": 0.1}), "batch_size": (16, 32)},
        seeds=(0, 1),
        hessian=HessianSettings(samples=64),
        baseline="sam",
    )


def test_what_a_file_may_leave_out(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, "name: bare")) == Suite(
        name="bare", defaults={}, matrix={}, seeds=(0,), hessian=None, baseline=None
    )


def test_every_combination_with_the_seeds_outermost(tmp_path: Path) -> None:
    runs = load_suite(write(tmp_path, DEMO)).expand(lambda dataset: 64)
    assert [(run.seed, run.optimizer["name"], run.batch_size) for run in runs] == [
        (0, "adam", 16),
        (0, "adam", 32),
        (0, "sam", 16),
        (0, "sam", 32),
        (1, "adam", 16),
        (1, "adam", 32),
        (1, "sam", 16),
        (1, "sam", 32),
    ]
    assert {(run.epochs, run.image_size, run.optimizer["lr"]) for run in runs} == {(2, 64, 1e-3)}
    assert len({run.id for run in runs}) == 8


def test_a_list_of_seeds() -> None:
    assert [run.seed for run in expand(seeds=[7, 3])] == [7, 3]


def test_without_a_matrix_there_is_one_run_for_each_seed() -> None:
    assert [run.seed for run in expand(seeds=3)] == [0, 1, 2]


def test_the_same_run_twice_is_one() -> None:
    runs = expand(matrix={"optimizer": ["adam", {"name": "adam"}, {"name": "adam", "lr": 1e-4}]})
    assert len(runs) == 1


def test_a_seed_among_the_defaults_makes_the_seeds_one() -> None:
    assert [run.seed for run in expand(defaults={**DEFAULTS, "seed": 5}, seeds=3)] == [5]


def test_the_matrix_wins_over_the_defaults() -> None:
    assert [run.epochs for run in expand(matrix={"epochs": [1, 2]})] == [1, 2]


def test_a_single_value_in_the_matrix() -> None:
    assert [run.optimizer["name"] for run in expand(matrix={"optimizer": "sam"})] == ["sam"]


def test_the_image_size_is_asked_for_where_none_is_given() -> None:
    asked: list[str] = []

    def size_of(dataset: str) -> int:
        asked.append(dataset)
        return {"phantom": 64, "bus": 256}[dataset]

    suite = Suite(
        name="sizes", defaults=DEFAULTS, matrix={"dataset": ("phantom", "bus")}, seeds=(0,)
    )
    assert [run.image_size for run in suite.expand(size_of)] == [64, 256]
    given = Suite(name="sizes", defaults={**DEFAULTS, "image_size": 32})
    assert [run.image_size for run in given.expand(size_of)] == [32]
    assert asked == ["phantom", "bus"]


@pytest.mark.parametrize(
    ("text", "hessian"),
    [
        ("hessian: true", HessianSettings()),
        ("hessian: {}", HessianSettings()),
        ("hessian: false", None),
        ("hessian:", None),
        ("hessian: {tol: 1e-3}", HessianSettings(tol=0.001)),
    ],
)
def test_curvature(tmp_path: Path, text: str, hessian: HessianSettings | None) -> None:
    assert load_suite(write(tmp_path, f"name: demo\n{text}")).hessian == hessian


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: demo\nmatrx: {}",
            "unknown key 'matrx': did you mean 'matrix'?; "
            "known: name, defaults, matrix, seeds, hessian, report",
        ),
        ("seeds: 3", "a suite needs a name, as in `name: demo`"),
        ("name: 3", "a suite needs a name, as in `name: demo`"),
        ("name: demo\ndefaults: [adam]", "defaults must be a mapping, not ['adam']"),
        ("name: demo\nmatrix: 3", "matrix must be a mapping, not 3"),
        (
            "name: demo\nmatrix: {optimizer: []}",
            "matrix optimizer is empty; give at least one value",
        ),
        ("name: demo\nreport: {base: sam}", "unknown key 'base' in report; known: baseline"),
        ("name: demo\nseeds: 0", "seeds=0 must be a number of seeds or a list of them"),
        ("name: demo\nseeds: []", "seeds=[] must be a number of seeds or a list of them"),
        ("name: demo\nseeds: [0, -1]", "seeds=[0, -1] must be a number of seeds or a list of them"),
        ("name: demo\nseeds: true", "seeds=True must be a number of seeds or a list of them"),
        ("name: demo\nseeds: x", "seeds='x' must be a number of seeds or a list of them"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text) == f"{tmp_path / 'suite.yaml'}: {message}"


def test_a_bad_hessian_key(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: demo\nhessian: {sampels: 3}") == (
        "unknown key 'sampels' in hessian: did you mean 'samples'?; "
        "known: samples, tol, trace_tol, max_matvecs, seed"
    )


def test_a_text_that_is_no_yaml(tmp_path: Path) -> None:
    message = refused(tmp_path, "name: [demo\nseeds: 3")
    assert message.startswith(f"suite {tmp_path / 'suite.yaml'} is no valid YAML: ")
    assert "line 2" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "- adam", "demo"])
def test_a_text_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text) == (
        f"suite {tmp_path / 'suite.yaml'} must be a mapping with: "
        "name, defaults, matrix, seeds, hessian, report"
    )


def test_a_file_that_is_not_there_shows_those_beside(tmp_path: Path) -> None:
    write(tmp_path, DEMO)
    with pytest.raises(ConfigError) as caught:
        load_suite(tmp_path / "demo.yaml")
    assert str(caught.value) == (
        f"suite {tmp_path / 'demo.yaml'} does not exist; in {tmp_path}: suite.yaml"
    )


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^suite .* cannot be read: .*Is a directory"):
        load_suite(tmp_path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match=r"suite\.yaml cannot be read: 'utf-8' codec"):
        load_suite(tmp_path / "suite.yaml")


def test_one_bad_combination_refuses_the_whole_suite() -> None:
    with pytest.raises(ConfigError, match="sam rho=-1 is not allowed; allowed: >= 0"):
        expand(matrix={"optimizer": ["adam", {"name": "sam", "rho": -1}]})


def test_an_unknown_setting_in_the_defaults() -> None:
    with pytest.raises(ConfigError, match="unknown key 'epoch' in run: did you mean 'epochs'"):
        expand(defaults={**DEFAULTS, "epoch": 3})


def test_an_unknown_optimizer() -> None:
    with pytest.raises(UnknownNameError, match="unknown optimizer 'sma': did you mean 'sam'"):
        expand(matrix={"optimizer": ["adam", "sma"]})


@pytest.mark.parametrize("dataset", [5, ["phantom", "bus"]])
def test_a_dataset_that_is_no_name(dataset: object) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(defaults={**DEFAULTS, "dataset": dataset})
    assert str(caught.value) == f"dataset={dataset!r} is not allowed; allowed: a name"


def test_a_suite_without_a_dataset() -> None:
    with pytest.raises(ConfigError, match="a run needs 'dataset'"):
        expand(defaults={"model": "small-cnn"})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite_expands(path: Path) -> None:
    suite = load_suite(path)
    runs = suite.expand(lambda dataset: sources.get(dataset).image_size)
    assert len({run.id for run in runs}) == len(runs) >= len(suite.seeds)
    assert suite.baseline in {run.optimizer["name"] for run in runs}


def test_there_are_shipped_suites() -> None:
    assert "demo" in {path.stem for path in SHIPPED}
