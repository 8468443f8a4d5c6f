"""Runs whose values a search chose are one line, whatever these are in each fold and setting."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sambench.analysis.study import Study, build_study
from sambench.config.suite import ReportSettings
from sambench.report.answer import answer_text
from sambench.report.forms import runs_table
from sambench.report.methods import methods
from sambench.report.notes import planned_groups, too_few
from sambench.store.record import RunRecord
from sambench.store.search_record import AS_GIVEN, TUNED, Role, Roles
from tests.conftest import RecordMaker

FOLDS = (1, 2, 3)
SETTINGS = ("phantom", "ph2")
CHOSEN = {
    ("adam", 1): {"lr": 0.01},
    ("adam", 2): {},
    ("adam", 3): {"lr": 0.001},
    ("sam", 1): {"rho": 0.2},
    ("sam", 2): {"rho": 0.01},
    ("sam", 3): {},
}
"""By optimizer and fold; by optimizer and setting the first two."""


def study_of(pairs: list[tuple[RunRecord, RunRecord]]) -> Study:
    """A study of runs as given and as chosen."""
    runs = {one.id: one for one, _ in pairs} | {two.id: two for _, two in pairs}
    return build_study(runs.values(), ReportSettings(baseline="adam"), roles=roles_of(pairs))


def roles_of(pairs: list[tuple[RunRecord, RunRecord]]) -> Roles:
    """What `still_asked` says of them."""
    changed = {str(one.config.optimizer) for one, two in pairs if one.id != two.id}
    roles: dict[str, list[Role]] = {}
    for one, _ in pairs:
        given = one.config.optimizer
        roles[one.id] = [Role(given, AS_GIVEN if str(given) in changed else "")]
    for one, two in pairs:
        if str(one.config.optimizer) in changed:
            roles.setdefault(two.id, []).append(Role(one.config.optimizer, TUNED))
    return roles


@pytest.fixture
def in_folds(make_record: RecordMaker) -> Study:
    def made(name: str, fold: int, values: Mapping[str, float]) -> RunRecord:
        gain = 0.02 * (name == "sam") + 0.001 * fold * len(values)
        given = {"name": name, "lr": 0.003, **values}
        return make_record(given, split="kfold-3", fold=fold, accuracy=0.8 + gain)

    return study_of([(made(n, f, {}), made(n, f, own)) for (n, f), own in CHOSEN.items()])


@pytest.fixture
def in_settings(make_record: RecordMaker) -> Study:
    def made(name: str, place: int, seed: int, values: Mapping[str, float]) -> RunRecord:
        gain = 0.02 * (name == "sam") + 0.001 * seed * len(values)
        given = {"name": name, "lr": 0.003, **values}
        return make_record(given, dataset=SETTINGS[place], seed=seed, accuracy=0.8 + gain)

    return study_of([
        (made(name, fold - 1, seed, {}), made(name, fold - 1, seed, own))
        for (name, fold), own in CHOSEN.items() if fold < 3 for seed in range(6)
    ])  # fmt: skip


def test_folds_that_were_tuned_apart_are_compared_together(in_folds: Study) -> None:
    (group,) = in_folds.groups
    assert [line.label for line in group.lines] == [
        "adam (tuned)", "adam (as given)", "sam (as given)", "sam (tuned)"
    ]  # fmt: skip
    for line in group.lines:
        assert [run.config.fold for run in line.records] == [1, 2, 3]
    for line in group.lines:
        for run in line.records:
            chosen = CHOSEN[line.optimizer["name"], run.config.fold] if line.role == "tuned" else {}
            values = {"lr": 0.003, **({"rho": 0.05} if line.optimizer["name"] == "sam" else {})}
            assert {k: run.config.optimizer[k] for k in values} == {**values, **chosen}
    assert [one.n for one in group.by("accuracy")] == [3, 3, 3]


def test_a_run_of_two_lines_is_counted_once(in_folds: Study) -> None:
    (group,) = in_folds.groups
    assert len(group.records) == len(group.completed) == 10  # of 12, two were kept as given
    columns, *rows = runs_table(in_folds.groups)
    assert len(rows) == len({row[0] for row in rows}) == 10
    place = list(columns).index("accuracy")
    assert [row[place] for row in rows] == [
        100 * r.final["test"]["accuracy"] for r in group.records
    ]


def test_settings_that_were_tuned_apart_are_pooled_and_it_is_said(in_settings: Study) -> None:
    found = {one.candidate: one.settings for one in in_settings.pooled["accuracy"]}
    assert found == {"adam (as given)": 2, "sam (as given)": 2, "sam (tuned)": 2}
    text = " ".join(answer_text(in_settings))
    assert (
        "Pooled, though not the same in each setting: Adam (tuned)'s lr (0.003 and 0.01) and "
        "SAM (tuned)'s rho (0.01 and 0.2). Methods lists them."
    ) in text
    assert "run with several settings on the same test images" not in text
    said = (
        "Adam (tuned) and SAM (tuned) were run with values that a search chose on validation images"
    )
    assert said in text


def test_the_tuned_line_is_the_baseline_unless_another_is_named(in_folds: Study) -> None:
    assert in_folds.groups[0].first is not None
    assert in_folds.groups[0].first.label == "adam (tuned)"
    assert in_folds.groups[0].first.is_called("adam (tuned)")
    given = [line for line in in_folds.groups[0].lines if line.is_called("adam (as given)")]
    assert [line.label for line in given] == ["adam (as given)"]
    said = "the baseline is Adam (tuned). Name another with `--baseline 'adam (as given)'`."
    assert said in " ".join(answer_text(in_folds))


def test_methods_name_the_values_of_every_fold(in_folds: Study) -> None:
    items = methods(in_folds).items
    assert any("lr 0.001 or 0.003 or 0.01" in item and "(tuned by fold)" in item for item in items)
    assert any("lr 0.003," in item and "(as given)" in item for item in items)
    of_sam = [item for item in items if "rho 0.01 or 0.05 or 0.2" in item]
    assert len(of_sam) == 1
    assert "they used these" not in of_sam[0]  # two of the three folds are not at the default


def test_a_tuned_line_says_from_which_values_it_was_tuned(make_record: RecordMaker) -> None:
    """Not as if it had these: two that were given end at the same."""
    pairs = []
    for rho in (0.05, 0.1):
        given = make_record({"name": "sam", "rho": rho})
        pairs.append((given, make_record({"name": "sam", "rho": 0.2})))
    (group,) = study_of(pairs).groups
    assert sorted(line.label for line in group.lines) == [
        "sam (as given, rho=0.05)",
        "sam (as given, rho=0.1)",
        "sam (tuned from rho=0.05)",
        "sam (tuned from rho=0.1)",
    ]
    for line in group.lines:
        assert line.is_called(line.label)
        assert [other.label for other in group.lines if other.is_called(line.label)] == [line.label]


def test_a_search_that_changed_nothing_changes_no_name(make_record: RecordMaker) -> None:
    runs = [make_record(name, seed=seed) for name in ("adam", "sam") for seed in range(6)]
    (group,) = study_of([(run, run) for run in runs]).groups
    assert [line.label for line in group.lines] == ["adam", "sam"]


def test_planned_folds_are_enough_though_tuned_apart(in_folds: Study) -> None:
    (group,) = in_folds.groups
    sides = [
        [run for name in ("adam", "sam") for run in group.line(f"{name} ({role})").records]
        for role in ("as given", "tuned")
    ]
    roles = roles_of([*zip(*sides, strict=True)])
    asked = ReportSettings(baseline="adam")
    (planned,) = planned_groups([run.config for run in group.records], asked, roles)
    assert too_few([planned]) == ()
    assert [line.label for line in planned.lines] == [line.label for line in group.lines]
