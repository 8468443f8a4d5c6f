from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sambench.config.curvature_settings import HessianSettings, Studies
from sambench.config.launcher_settings import LauncherSettings
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.config.suite import ReportSettings, Suite
from sambench.config.suite_file import KEYS, load_suite, read_suite
from sambench.errors import ConfigError
from sambench.optim.method import optimizers

NAME = "a name of at most 80 letters, digits and ._-"
SEEDS = "must be a number of seeds, at most 10000, or a list of them"

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


def no_folds(dataset: str, size: int) -> tuple[int, ...]:
    return ()


def expand(**given: Any) -> tuple[RunConfig, ...]:
    suite = read_suite({"name": "test", "defaults": DEFAULTS, **given}, "here")
    return suite.expand(no_folds)


def test_what_a_file_says(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, DEMO)) == Suite(
        name="demo",
        defaults={"dataset": "phantom", "model": "small-cnn", "epochs": 2, "lr": 0.001},
        matrix={"optimizer": ["adam", {"name": "sam", "rho": 0.1}], "batch_size": [16, 32]},
        seeds=(0, 1),
        hessian=Measurement(hessian=HessianSettings(samples=64)),
        report=ReportSettings(baseline="sam"),
    )


def test_what_a_file_may_leave_out(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, "name: bare")) == Suite(
        name="bare", defaults={}, matrix={}, seeds=(0,), hessian=None
    )


def test_every_combination_with_the_seeds_outermost(tmp_path: Path) -> None:
    runs = load_suite(write(tmp_path, DEMO)).expand(no_folds)
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


def test_a_seed_beside_seeds_would_be_the_only_one() -> None:
    assert [run.seed for run in expand(defaults={**DEFAULTS, "seed": 5})] == [5]
    for grid in ({"defaults": {**DEFAULTS, "seed": 5}}, {"matrix": {"seed": [5, 6]}}):
        assert complaint(**grid, seeds=3) == "here: seed=5 beside seeds; leave one out"


@pytest.mark.parametrize(
    ("name", "values"), [("shifts", ["ultrasound", "xray"]), ("capture", ["auto", "never"])]
)
def test_two_values_of_what_is_no_part_of_a_run_s_id(name: str, values: list[str]) -> None:
    """The runs are the same one, so the second value would be had by none."""
    assert complaint(matrix={name: values}).endswith(
        "is asked for with several values of what is no part of its id (capture, compile, shifts); "
        "keep one of each"
    )


def test_the_matrix_wins_over_the_defaults() -> None:
    assert [run.epochs for run in expand(matrix={"epochs": [1, 2]})] == [1, 2]


MANY = [*range(1, 401)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"matrix": {"epochs": MANY, "batch_size": MANY}}, "160000 combinations are asked for; al"),
        (
            {"matrix": {"optimizer": [{"name": "sam", "rho": MANY, "lr": MANY}]}},
            "160000 combinations are asked for; allowed: at most 100000",
        ),
        ({"matrix": {"epochs": MANY}, "seeds": 251}, "100400 runs are asked for; allowed: at most"),
        (
            {"matrix": {"optimizer": {"name": "sam", "rho": []}}},
            "optimizer .rho. is empty; give",
        ),
    ],
)
def test_what_nobody_can_have_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^here: {said}"):
        expand(**given)


def test_a_single_value_in_the_matrix() -> None:
    assert [run.optimizer["name"] for run in expand(matrix={"optimizer": "sam"})] == ["sam"]


def test_the_image_size_is_that_of_the_dataset_where_none_is_given() -> None:
    matrix = {"dataset": ["phantom", "bus", "unheard-of"]}
    assert [run.image_size for run in expand(matrix=matrix)] == [64, 256, 224]
    assert [run.image_size for run in expand(defaults={**DEFAULTS, "image_size": 32})] == [32]


@pytest.mark.parametrize(
    ("text", "hessian"),
    [
        ("hessian: true", Measurement()),
        ("hessian: {}", Measurement()),
        ("hessian: false", None),
        ("hessian:", None),
        ("hessian: {tol: 1e-3}", Measurement(hessian=HessianSettings(tol=0.001))),
        (
            "hessian: {seed: 3, density: true, sharpness: {rho: 0.1}, landscape: false}",
            Measurement(
                hessian=HessianSettings(seed=3),
                studies=Studies(density=True, sharpness=True, rho=0.1, seed=3),
            ),
        ),
    ],
)
def test_curvature(tmp_path: Path, text: str, hessian: Measurement | None) -> None:
    assert load_suite(write(tmp_path, f"name: demo\n{text}")).hessian == hessian


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: demo\nmatrx: {}",
            f"unknown key 'matrx' in a suite: did you mean 'matrix'?; known: {', '.join(KEYS)}",
        ),
        ("seeds: 3", "a suite needs 'name'"),
        ("name: 3", f"name=3 is not allowed; allowed: {NAME}"),
        ("name: ../../esc", f"name='../../esc' is not allowed; allowed: {NAME}"),
        ("name: /abs", f"name='/abs' is not allowed; allowed: {NAME}"),
        ('name: "a\\nb"', f"name='a\\nb' is not allowed; allowed: {NAME}"),
        ('name: "a\\0b"', f"name='a\\x00b' is not allowed; allowed: {NAME}"),
        (f"name: {'x' * 81}", f"name='{'x' * 81}' is not allowed; allowed: {NAME}"),
        ("name: demo\ndefaults: [adam]", "defaults=['adam'] is not allowed; allowed: a mapping"),
        ("name: demo\nmatrix: 3", "matrix=3 is not allowed; allowed: a mapping"),
        (
            "name: demo\nmatrix: {optimizer: []}",
            "matrix optimizer is empty; give at least one value",
        ),
        (
            "name: demo\nreport: {base: sam}",
            "unknown key 'base' in report: did you mean 'baseline'?; known: baseline, margins, "
            "primary, beside",
        ),
        ("name: demo\nseeds: 0", f"seeds=0 {SEEDS}"),
        ("name: demo\nseeds: []", f"seeds=[] {SEEDS}"),
        ("name: demo\nseeds: [0, 1, 1]", "seeds has 1 more than once; keep one"),
        ("name: demo\nfolds: [2, 2]", "folds has 2 more than once; keep one"),
        ("name: demo\nfolds: []", "folds=[] must be all or a list, as in [1, 2]"),
        ("name: demo\ninclude: [{}]", "include must list settings, not {}"),
        ("name: demo\nmatrix: {lr: [0.1, 1e-1]}", "matrix lr has 0.1 more than once; keep one"),
        ("name: demo\nseeds: [0, -1]", f"seeds=[0, -1] {SEEDS}"),
        ("name: demo\nseeds: true", f"seeds=True {SEEDS}"),
        ("name: demo\nseeds: x", f"seeds='x' {SEEDS}"),
        ("name: demo\nseeds: 1000000000", f"seeds=1000000000 {SEEDS}"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    line = text.count("\n") + 1 if text.startswith("name: ") else 0
    where = f"{tmp_path / 'suite.yaml'}" + (f":{line}" if line else "")
    assert refused(tmp_path, text) == f"{where}: {message}"


def test_a_bad_hessian_key(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: demo\nhessian: {sampels: 3}") == (
        f"{tmp_path / 'suite.yaml'}:2: unknown key 'sampels' in hessian: did you mean 'samples' "
        "or 'sharpness'?; "
        f"known: {', '.join(HessianSettings.__struct_fields__)}, "
        "density, sharpness, landscape"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("density: 3", "hessian density=3 is not allowed; allowed: true, false or a mapping with"),
        ("density: {step: 3}", "unknown key 'step' in hessian density: did you mean 'steps'?"),
        (
            "sharpness: {rho: -1}",
            "hessian sharpness rho=-1 is not allowed; allowed: a number above 0",
        ),
        (
            "density: {probes: 1}",
            "hessian density probes=1 is not allowed; allowed: a whole number >= 2",
        ),
        (
            "density: {steps: 1}",
            "hessian density steps=1 is not allowed; allowed: a whole number >= 2",
        ),
        ("landscape: {points: 4}", "4 landscape points are not allowed; allowed: an odd number"),
    ],
)
def test_a_bad_study(tmp_path: Path, text: str, said: str) -> None:
    assert f"suite.yaml:2: {said}" in refused(tmp_path, f"name: demo\nhessian: {{{text}}}")


def test_a_text_that_is_no_yaml(tmp_path: Path) -> None:
    message = refused(tmp_path, "name: [demo\nseeds: 3")
    assert message.startswith(f"suite {tmp_path / 'suite.yaml'} is no valid YAML: ")
    assert "line 2" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "- adam", "demo"])
def test_a_text_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text) == (
        f"suite {tmp_path / 'suite.yaml'} must be a mapping with: " + ", ".join(KEYS)
    )


def test_a_file_that_is_not_there_shows_those_beside(tmp_path: Path) -> None:
    write(tmp_path, DEMO)
    with pytest.raises(ConfigError) as caught:
        load_suite(tmp_path / "demo.yaml")
    assert str(caught.value) == (
        f"suite {tmp_path / 'demo.yaml'} does not exist: did you mean 'suite.yaml'?; "
        f"in {tmp_path}: suite.yaml"
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
    with pytest.raises(ConfigError, match="unknown key 'epoch' in a run: did you mean 'epochs'"):
        expand(defaults={**DEFAULTS, "epoch": 3})


@pytest.mark.parametrize("name", ["rho", "momentum", "max_norm"])  # of a method, a base, of all
def test_a_hyperparameter_beside_its_optimizer(name: str) -> None:
    said = rf"{name} belongs to its optimizer, as in `optimizer: \{{name: sam, {name}: VALUE\}}`"
    with pytest.raises(ConfigError, match=said):
        expand(matrix={"optimizer": ["adam", "sam"], name: [0.1, 0.2]})
    with pytest.raises(ConfigError, match=said):
        expand(exclude=[{"optimizer": "sam", name: 0.1}])


def test_an_unknown_optimizer() -> None:
    with pytest.raises(ConfigError, match="unknown optimizer 'sma': did you mean 'sam'"):
        expand(matrix={"optimizer": ["adam", "sma"]})


@pytest.mark.parametrize("dataset", [5, ["phantom", "bus"]])
def test_a_dataset_that_is_no_name(dataset: object) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(defaults={**DEFAULTS, "dataset": dataset})
    several = "; values that vary belong under `matrix`" if isinstance(dataset, list) else ""
    said = f"here: dataset={dataset!r} is not allowed; allowed: {NAME}{several}"
    assert str(caught.value) == said


def test_a_suite_without_a_dataset() -> None:
    with pytest.raises(ConfigError, match="a run needs 'dataset'"):
        expand(defaults={"model": "small-cnn"})


# grids --------------------------------------------------------------------------------------------


def settings_of(runs: tuple[RunConfig, ...], *names: str) -> list[tuple[Any, ...]]:
    return [
        tuple(run.optimizer[n] if n in run.optimizer else getattr(run, n) for n in names)
        for run in runs
    ]


def complaint(**given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        expand(**given)
    return str(caught.value)


def test_a_list_within_an_optimizer_is_a_choice_too() -> None:
    runs = expand(matrix={"optimizer": ["adam", {"name": "sam", "rho": [0.1, 0.2]}]})
    assert [(r.optimizer["name"], r.optimizer.get("rho")) for r in runs] == [
        ("adam", None),
        ("sam", 0.1),
        ("sam", 0.2),
    ]


def test_a_hyperparameter_that_is_a_list_is_one_value() -> None:
    one = expand(matrix={"optimizer": {"name": "sam", "betas": [0.8, 0.9]}})
    assert settings_of(one, "betas") == [((0.8, 0.9),)]
    two = expand(matrix={"optimizer": {"name": "sam", "betas": [[0.8, 0.9], [0.9, 0.99]]}})
    assert settings_of(two, "betas") == [((0.8, 0.9),), ((0.9, 0.99),)]


def test_all_optimizers() -> None:
    names = [run.optimizer["name"] for run in expand(matrix={"optimizer": "all"})]
    assert names == [info.name for info in optimizers.list()]


def test_include_adds_grids_over_the_defaults() -> None:
    runs = expand(
        matrix={"optimizer": ["adam", "sam"]},
        include=[{"optimizer": "sgd", "lr": [0.1, 0.2]}, {"model": "resnet18", "epochs": 3}],
    )
    assert [(r.optimizer["name"], r.model, r.optimizer["lr"], r.epochs) for r in runs] == [
        ("adam", "small-cnn", 1e-4, 50),
        ("sam", "small-cnn", 1e-4, 50),
        ("sgd", "small-cnn", 0.1, 50),
        ("sgd", "small-cnn", 0.2, 50),
        ("adam", "resnet18", 1e-4, 3),
    ]


def test_include_alone() -> None:
    runs = expand(include=[{"optimizer": "sgd"}])
    assert [run.optimizer["name"] for run in runs] == ["sgd"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ({"optimizer": "sam"}, [("adam", 16), ("adam", 32)]),
        ({"optimizer": "sam", "batch_size": 32}, [("adam", 16), ("sam", 16), ("adam", 32)]),
        ({"optimizer": {"name": "sam", "rho": 0.05}}, [("adam", 16), ("adam", 32)]),
        ({"batch_size": [32]}, [("adam", 16), ("sam", 16)]),
        ({"batch_size": 32, "optimizer": ["sam", "adam"]}, [("adam", 16), ("sam", 16)]),
        ({"lr": 1e-4, "batch_size": 16, "stop": "epochs"}, [("adam", 32), ("sam", 32)]),
    ],
)
def test_exclude(pattern: dict[str, Any], left: list[tuple[str, int]]) -> None:
    runs = expand(matrix={"batch_size": [16, 32], "optimizer": ["adam", "sam"]}, exclude=[pattern])
    assert sorted((r.optimizer["name"], r.batch_size) for r in runs) == sorted(left)


def test_exclude_that_fits_nothing_or_everything() -> None:
    assert complaint(exclude=[{"optimizer": ["adam", "samm"]}]) == (
        "here: exclude optimizer: samm fits no run of the suite"
    )
    assert complaint(exclude=[{"optimizer": "sam"}]) == (
        "here: exclude optimizer: sam fits no run of the suite"
    )
    assert complaint(exclude=[{"optimizer": "adam"}]) == "here: exclude leaves no run"
    assert complaint(exclude=[{"optimiser": "sam"}]).startswith(
        "here: unknown key 'optimiser' in a pattern: did you mean 'optimizer' or 'compile'?; known"
    )
    assert complaint(exclude=["sam"]) == (
        "here: a pattern must name settings, as in {optimizer: sam}, not 'sam'"
    )


def test_folds_of_a_numbered_split() -> None:
    runs = expand(defaults={**DEFAULTS, "split": "kfold-3"}, folds="all", seeds=2)
    assert [(run.seed, run.fold) for run in runs] == [
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 1),
        (1, 2),
        (1, 3),
    ]
    some = expand(defaults={**DEFAULTS, "split": "kfold-3"}, folds=[3, 1])
    assert [run.fold for run in some] == [1, 3]


def test_folds_that_the_data_bring_are_asked_for() -> None:
    suite = read_suite(
        {"name": "t", "defaults": {**DEFAULTS, "split": "folds"}, "folds": "all"}, "here"
    )
    asked: list[tuple[str, int]] = []

    def folds_in(dataset: str, size: int) -> tuple[int, ...]:
        asked.append((dataset, size))
        return (1, 2)

    assert [run.fold for run in suite.expand(folds_in)] == [1, 2]
    assert asked == [("phantom", 64)]


def test_folds_are_for_the_splits_that_have_some() -> None:
    runs = expand(matrix={"split": ["holdout", "kfold-2"]}, folds="all")
    assert [(run.split, run.fold) for run in runs] == [
        ("holdout", None),
        ("kfold-2", 1),
        ("kfold-2", 2),
    ]


@pytest.mark.parametrize(
    ("split", "more", "message"),
    [
        ("kfold-3", {}, "split kfold-3 needs folds; add `folds: all` to the suite"),
        ("kfold-3", {"folds": [4]}, "split kfold-3 has no fold 4; folds: 1, 2, 3"),
        (
            "kfold-3",
            {"folds": 3},
            "folds=3 is not allowed; allowed: all or a list, each a whole number >= 0",
        ),
        (
            "kfol-3",
            {"folds": "all"},
            "unknown split 'kfol-3': did you mean 'kfold-K' or 'folds'?; splits: ",
        ),
        ("holdout", {"folds": "all"}, "no run has a split with folds; set `split`, such as "),
    ],
)
def test_folds_that_do_not_fit(split: str, more: dict[str, Any], message: str) -> None:
    said = complaint(defaults={**DEFAULTS, "split": split}, **more)
    assert said.startswith(f"here: {message}")


def test_a_baseline_may_be_one_of_several_settings() -> None:
    matrix = {"optimizer": ["adam", {"name": "sam", "rho": [0.05, 0.1]}]}
    assert len(expand(matrix=matrix, report={"baseline": "sam (rho=0.1)"})) == 3
    said = complaint(matrix=matrix, report={"baseline": "sma (rho=0.1)"})
    assert "baseline 'sma (rho=0.1)' is not among the optimizers" in said


def test_runs_of_several_processes_are_for_train() -> None:
    said = complaint(defaults={**DEFAULTS, "replicas": 2})
    assert said.startswith("here: replicas=2: each run of a suite is done by one process; leave it")


def test_a_fold_beside_folds() -> None:
    said = complaint(defaults={**DEFAULTS, "split": "kfold-3", "fold": 1}, folds="all")
    assert said == "here: fold=1 beside folds; leave one out"
    runs = expand(defaults={**DEFAULTS, "split": "kfold-3"}, matrix={"fold": [1, 3]})
    assert [run.fold for run in runs] == [1, 3]


def test_tables_say_which_runs_feed_them() -> None:
    suite = read_suite(
        {
            "name": "t",
            "defaults": DEFAULTS,
            "matrix": {"optimizer": ["adam", "sam"]},
            "tables": [
                {"paper": "a", "table": 2, "where": {"optimizer": "sam"}},
                {"paper": "b", "table": "F1"},
            ],
        },
        "here",
    )
    runs = suite.expand(no_folds)
    first, second = suite.tables
    assert (first.paper, first.table) == ("a", "2")
    assert [first.where.matches(run) for run in runs] == [False, True]
    assert [second.where.matches(run) for run in runs] == [True, True]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{"paper": "a"}], "tables 0 needs 'table'"),
        (["1"], "tables 0='1' is not allowed; allowed: a mapping"),
        ([{"paper": "a", "tabel": 1}], "unknown key 'tabel' in tables 0: did you mean 'table'?; "),
        (
            [{"paper": "a", "table": 1, "where": {"model": "vgg16"}}],
            "table 1 of a is fed by no run (model: vgg16)",
        ),
    ],
)
def test_bad_tables(tables: Any, message: str) -> None:
    assert complaint(tables=tables).startswith(f"here: {message}")


# who does the runs --------------------------------------------------------------------------------


def test_a_launcher_and_its_options_change_no_run(tmp_path: Path) -> None:
    given = "launcher: {name: slurm, mem-gb: 8, exclusive: true, time: 2:00:00, setup: [a, b]}"
    suite = load_suite(write(tmp_path, f"{DEMO}{given}\n"))
    options = {"mem_gb": "8", "exclusive": "", "time": "2:00:00", "setup": "a\nb"}
    assert suite.launcher == LauncherSettings(name="slurm", options=options)
    assert suite.expand(no_folds) == load_suite(write(tmp_path, DEMO)).expand(no_folds)
    child = "name: child\nextends: base.yaml\nlauncher: {qos: long, setup: null}"
    (tmp_path / "base.yaml").write_text(f"{DEMO}{given}\n")
    found = load_suite(write(tmp_path, child)).launcher
    assert found is not None
    assert found.options == {**{k: options[k] for k in options if k != "setup"}, "qos": "long"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("slurm", "launcher must be a mapping, not 'slurm'"),
        ("{account: x}", "launcher needs 'name'"),
        ("{name: [slurm]}", "launcher name=['slurm'] is not allowed; allowed: text"),
        ("{name: slurm, gres: {gpu: 1}}", "launcher 'gres'={'gpu': 1} is not allowed; allowed: a "),
        ("{name: slurm, a b: 1}", "launcher 'a b'=1 is not allowed; allowed: a key, and text"),
        ("{name: slurm, sbatch: /x}", "launcher sbatch is not for a suite; give --sbatch FILE"),
        ("{name: slurm, setup: [[a]]}", "launcher 'setup'=[['a']] is not allowed; allowed: a key"),
    ],
)
def test_a_launcher_that_is_none(tmp_path: Path, given: str, said: str) -> None:
    file = tmp_path / "suite.yaml"
    assert refused(tmp_path, f"{DEMO}launcher: {given}\n").startswith(f"{file}:8: {said}")


# files that build on others -----------------------------------------------------------------------


def test_extends_merges_mappings_and_replaces_the_rest(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(DEMO)
    suite = load_suite(
        write(
            tmp_path,
            "name: child\nextends: base.yaml\nseeds: [5]\nhessian: null\n"
            "defaults: {epochs: 7, lr: null}\nmatrix: {optimizer: [adam, sam]}\n"
            "report: {baseline: adam}",
        )
    )
    assert suite == Suite(
        name="child",
        defaults={"dataset": "phantom", "model": "small-cnn", "epochs": 7},
        matrix={"optimizer": ["adam", "sam"], "batch_size": [16, 32]},
        seeds=(5,),
        report=ReportSettings(baseline="adam"),
    )


def test_extends_a_shipped_suite(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, "name: mine\nextends: demo\nseeds: 1"))
    assert suite.seeds == (0,)
    assert suite.defaults == load_suite(Path("demo")).defaults


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: demo", "1: a suite that extends another needs a name of its own"),
        ("name: x\nextends: [demo]", "2: extends must name one suite, not ['demo']"),
        ("name: x\nextends: dmo", "2: suite 'dmo' does not exist: did you mean 'demo'?; shipped: "),
        ("name: x\nextends: suite.yaml", "2: {file} extends itself by way of {file}"),
    ],
)
def test_extends_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "suite.yaml"
    assert refused(tmp_path, text).startswith(f"{file}:{message.format(file=file)}")


def test_a_circle_of_files(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("name: b\nextends: suite.yaml")
    assert "extends itself by way of" in refused(tmp_path, "name: x\nextends: base.yaml")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("matrix:\n  optimizer:\n    - adam\n    - {name: sam, rho: -1}", 6, "sam rho=-1 is not"),
        ("matrix:\n  lr: 0.1\n  optimizer: {name: sam, rho: '0.2'}", 5, "sam rho='0.2' is not"),
        ("matrix:\n  epochs: [3, -3]\n  optimizer: [adam]", 4, "epochs=-3 is not allowed"),
        ("include:\n  - optimizer: sam\n  - {optimzer: sam}", 5, "unknown key 'optimzer' in a run"),
        ("search:\n  trails: 3", 4, "unknown key 'trails' in search: did you mean 'trials'"),
    ],
)
def test_complaints_name_the_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = write(tmp_path, f"name: x\ndefaults: {DEFAULTS}\n{text}")
    with pytest.raises(ConfigError) as caught:
        load_suite(path).expand(no_folds)
    found, _, said = str(caught.value).partition(": ")
    assert said.startswith(message)
    assert found == f"{path}:{line}"


def test_complaints_name_the_file_that_was_extended(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(f"name: b\ndefaults: {DEFAULTS}\nmatrix: {{epoch: 1}}")
    path = write(tmp_path, "name: x\nextends: base.yaml\nseeds: 2")
    with pytest.raises(ConfigError, match=r"base\.yaml:3: unknown key 'epoch'"):
        load_suite(path).expand(no_folds)


def test_a_key_given_twice(tmp_path: Path) -> None:
    said = refused(tmp_path, "name: x\nseeds: 1\nseeds: 2")
    assert "key 'seeds' is given twice" in said
    assert "line 3" in said


def test_margins_of_equivalence_are_the_suite_s(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = "name: s\ndefaults: {dataset: phantom, model: small-cnn, optimizer: adam}\n"
    path.write_text(text + "report: {margins: {accuracy: 0.02, top: 1.5}}\n")
    assert load_suite(path).report.margins == {"accuracy": 0.02, "top": 1.5}
    path.write_text(text + "report: {margins: {accuracy: -1}}\n")
    with pytest.raises(ConfigError, match=r"s.yaml:3: .*accuracy"):
        load_suite(path)
