"""Every number of a report can be asked for, and its arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench.analysis.claims import examine
from sambench.analysis.study import build_study
from sambench.config.search import Search
from sambench.config.suite import ReportSettings
from sambench.errors import UserError
from sambench.report.explain import Source, find_source, sources_of
from sambench.store.record import RunRecord
from sambench.store.search_record import Budget, Chosen, SearchRecord, TrialRecord, TuningRecord
from tests.analysis.conftest import StudyMaker
from tests.analysis.test_wrong_statements import EIGHT, up

ADAM = ReportSettings(baseline="adam")


def path_of(record: RunRecord) -> Path:
    return Path("results/runs") / record.name / "run.json"


@pytest.fixture
def sources(make_runs: StudyMaker) -> tuple[Source, ...]:
    runs = [
        run
        for model in ("small-cnn", "resnet18")
        for run in make_runs({"adam": EIGHT, "sam": up(EIGHT, 2)}, model=model)
    ]
    study = build_study(runs, ADAM)
    trial = TrialRecord(
        values={"rho": 0.1},
        runs=["a run"],
        status=["completed"],
        validation_accuracy=0.5,
        validation_loss=1.0,
    )
    found = SearchRecord(
        suite="study",
        search=Search(),
        tunings=[
            TuningRecord(
                optimizer={"name": "sam"},
                setting={"model": "small-cnn", "dataset": "phantom"},
                trials=[trial],
                budget=Budget(trials=1, runs=1, gradient_evaluations=1, train_seconds=1.0),
                chosen=Chosen(values={"rho": 0.1}, changed=True, optimizer={"name": "sam"}),
                untuned=[],
                tuned=[],
            )
        ],
    )
    return tuple(sources_of(study, path_of, examine(study.groups), found))


def asked(sources: tuple[Source, ...], query: str) -> str:
    return "\n".join(find_source(query, sources).explain())


def test_a_cell_with_its_files_mean_and_difference(sources: tuple[Source, ...]) -> None:
    text = asked(sources, "small-cnn/sam/accuracy")
    assert text.count("run.json") == 8
    assert f"= {sum(up(EIGHT, 2)) / 8:.6g}" in text
    assert "difference to adam, seed by seed:" in text
    assert "p = 0.0078125, two-sided: sign-flip permutation test" in text
    assert text.endswith("verdict: better")


@pytest.mark.parametrize(
    "query",
    ["small-cnn/sam/accuracy", "small-cnn on phan/SAM/Test accuracy", "small/sam/test acc"],
)
def test_parts_may_be_shortened(sources: tuple[Source, ...], query: str) -> None:
    assert find_source(query, sources).name == "small-cnn on phantom/sam/accuracy"


def test_a_statement_over_settings(sources: tuple[Source, ...]) -> None:
    text = asked(sources, "2 settings/sam/accuracy")
    assert "runs won: 16 of 16" in text
    assert asked(sources, "over settings/sam/accuracy") == text


def test_claims_and_searches(sources: tuple[Source, ...]) -> None:
    claim = asked(sources, "claim/sam-beats-adam")
    assert claim.startswith("SAM is more accurate than Adam on all four models. (hassan2024")
    assert claim.endswith("the claim: not tested here")
    search = asked(sources, "search/sam")
    assert "50 %" in search
    assert "a run" in search
    assert search.endswith("\nchosen: rho=0.1")


def test_what_is_not_there(sources: tuple[Source, ...]) -> None:
    with pytest.raises(UserError, match="did you mean 'sam/accuracy'"):
        find_source("samm/accuracy", sources)
    with pytest.raises(UserError, match="3 cells are 'sam/accuracy'; name one: "):
        find_source("sam/accuracy", sources)
    without = [one for one in sources if not one.name.startswith("claim/")]
    with pytest.raises(UserError, match=r"; claims need --published$"):
        find_source("claim/sam-beats-adam", without)


def test_a_run_that_is_not_counted_says_why(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT[:2], "sam": [80.0, None]})
    found = tuple(sources_of(build_study(runs, ADAM), path_of))
    assert "not counted" in asked(found, "sam/accuracy")
    assert "run.json: diverged" in asked(found, "sam/accuracy")
    assert "p: no test (1 seed, 6 are the least)" in asked(found, "sam/accuracy")
