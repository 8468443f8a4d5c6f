"""Lines of one table that differ in more than the optimizer: Adam with twice the epochs."""

from __future__ import annotations

import pytest

from sambench.analysis.grouping import ambiguous_baseline, build_groups
from sambench.analysis.study import build_study
from sambench.config.suite import ReportSettings
from sambench.store.record import RunRecord
from tests.analysis.conftest import StudyMaker

EIGHT = [80.0, 81.0, 79.0, 80.5, 79.5, 80.2, 79.8, 80.1]
MORE = [value + 3 for value in EIGHT]


@pytest.fixture
def runs(make_runs: StudyMaker) -> list[RunRecord]:
    """Adam with twice the epochs comes first, so its place is not what makes it no baseline."""
    longer = make_runs({"adam": MORE}, epochs=16)
    return [*longer, *make_runs({"adam": EIGHT, "sam": EIGHT[::-1]}, epochs=8)]


def test_they_are_settings_of_their_own_unless_asked_for(runs: list[RunRecord]) -> None:
    apart = build_groups(runs, "adam")
    assert [[line.label for line in group.lines] for group in apart] == [["adam", "sam"], ["adam"]]


def test_the_unusual_setting_is_in_the_label(runs: list[RunRecord]) -> None:
    (group,) = build_groups(runs, "adam", beside=["epochs"])
    assert [line.label for line in group.lines] == ["adam", "adam (epochs=16)", "sam"]
    assert group.lines[1].title == "Adam (epochs=16)"
    assert group.setting.epochs == 8
    assert group.baseline
    assert ambiguous_baseline([group], "adam") == ()
    assert {run.config.epochs for run in group.lines[1].records} == {16}


def test_each_is_compared_with_the_baseline_as_any_other(runs: list[RunRecord]) -> None:
    (group,) = build_study(runs, ReportSettings(baseline="adam", beside=["epochs"])).groups
    longer = next(one for one in group.by("accuracy") if one.candidate == "adam (epochs=16)")
    assert longer is not None
    assert (longer.n, longer.family) == (8, 2)
    assert longer.estimate == pytest.approx(3)
    assert longer.verdict == "better"
    (other,) = build_study(
        runs, ReportSettings(baseline="adam (epochs=16)", beside=["epochs"])
    ).groups
    assert other.lines[0].label == "adam (epochs=16)"
    assert {one.candidate for one in other.by("accuracy")} == {"adam", "sam"}
