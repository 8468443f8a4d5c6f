"""Every number of a report can be asked for, and its arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from scipy import stats

from sambench.analysis.claims import examine
from sambench.analysis.study import build_study
from sambench.config.search import Search
from sambench.config.suite import ReportSettings
from sambench.errors import UserError
from sambench.report.explain import Source, find_source, sources_of
from sambench.report.notes import how_to_read
from sambench.store.record import RunRecord
from sambench.store.search_record import Budget, Chosen, SearchRecord, TrialRecord, TuningRecord
from tests.analysis.conftest import StudyMaker, on_images
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


def test_why_a_run_is_not_counted(make_runs: StudyMaker) -> None:
    """No run of a mean is left out without a word: by another measure too it is at no minimum."""
    runs = make_runs({"adam": EIGHT[:3]}, top={"adam": [2.0, -1.0, 3.0]})
    runs[1] = replace(runs[1], hessian={**(runs[1].hessian or {}), "trace": {"value": 5.0}})
    runs[2] = replace(runs[2], hessian={"trace": {"value": 6.0}})
    sources = tuple(sources_of(build_study(runs, ADAM), path_of))
    assert "-1 is of no minimum\n" in asked(sources, "adam/top")
    assert "run.json: no hessian.top.value" in asked(sources, "adam/top")
    assert "5 is of no minimum (top eigenvalue -1)" in asked(sources, "adam/trace")


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
    with pytest.raises(UserError, match="'sam/accuracy' fits 3 cells; name one: "):
        find_source("sam/accuracy", sources)
    without = [one for one in sources if not one.name.startswith("claim/")]
    with pytest.raises(UserError, match=r"; claims need --published$"):
        find_source("claim/sam-beats-adam", without)


def test_the_page_lists_the_first_of_many_runs(sources: tuple[Source, ...]) -> None:
    text = "\n".join(find_source("small-cnn/sam/accuracy", sources).explain(most=5))
    assert text.count("run.json") == 5
    assert text.count("seed 4\n  ... and 3 more, which `sambench report --explain` lists\n") == 1
    assert text.count("  ... and 3 more") == 2  # of its runs, and of the differences
    assert "more, which" not in asked(sources, "small-cnn/sam/accuracy")


def test_the_sum_of_many_differences(make_runs: StudyMaker) -> None:
    gains = [1.5, -0.25, *[0.5] * 11]
    runs = make_runs({"adam": [80.0] * 13, "sam": [80 + gain for gain in gains]})
    text = asked(tuple(sources_of(build_study(runs, ADAM), path_of)), "sam/accuracy")
    assert "mean difference = (1.5 - 0.25 + 0.5 + ... 13 values) / 13 = +0.519231" in text


def test_a_value_that_no_record_has_as_it_stands_says_where_it_is_from(
    sources: tuple[Source, ...], make_runs: StudyMaker
) -> None:
    text = asked(sources, "small-cnn/sam/brier")
    assert "final.test.brier, x 0.5 where there are two classes\n" in text
    assert "\n  0.25 " in text
    runs = []
    for run in make_runs({"adam": EIGHT}):
        final = dict(run.final or {})
        told = {**final["test"], "calibration_slope": 1.5, "sensitivity_at_90": 0.5}
        runs.append(replace(run, final={**final, "test": told}))
    found = tuple(sources_of(build_study(runs, ADAM), path_of))
    slope, share = (asked(found, f"adam/{m}") for m in ("calibration_slope", "sensitivity_at_90"))
    assert "\ncomputed from predictions.npz beside each record\n" in slope
    assert "\ncomputed from predictions.npz beside each record, x 100\n" in share


def test_an_interval_that_p_cuts_says_so(make_runs: StudyMaker) -> None:
    """All signs agree, but one difference is so large that a t interval reaches beyond zero."""
    gains = [*[0.1] * 7, 10.0]
    runs = make_runs(
        {"adam": EIGHT, "sam": [a + b for a, b in zip(EIGHT, gains, strict=True)]},
        top={"adam": [100.0] * 8, "sam": [90.0] * 7 + [1.0]},
    )
    found = tuple(sources_of(build_study(runs, ADAM), path_of))
    difference, ratio = asked(found, "sam/accuracy"), asked(found, "sam/top")
    assert "interval = 0 to 4.26" in difference  # 1.3375 + 2.3646 x 3.5 / sqrt(8)
    assert difference.count(", cut at 0 as the corrected p shows a difference\n") == 1
    assert " to 1: mean" in ratio
    assert ratio.count(", cut at 1 as the corrected p shows a difference\n") == 1
    assert "cut at" not in asked(found, "sam/gradient_evaluations")


@pytest.mark.parametrize("fewer", [3, 8])
def test_an_interval_is_what_its_line_says(make_runs: StudyMaker, fewer: int) -> None:
    """With three seeds each the line, and how to read it, said 1 of two comparisons."""
    runs = make_runs(
        {"adam": EIGHT, "sam": up(EIGHT[:fewer], 1, 0.5), "asam": up(EIGHT[:3], 2, 0.7)}
    )
    study = build_study(runs, ADAM)
    for one in study.groups[0].by("accuracy"):
        reach = stats.t.ppf(1 - 0.05 / (2 * one.family), one.n - 1) * stats.sem(one.differences)
        middle = one.estimate or 0.0
        low = 0.0 if one.shown and middle < reach else middle - reach
        assert (one.low, one.high) == pytest.approx((low, middle + reach))
    family = 2 if fewer == 3 else 1
    assert f"at once; by test accuracy these are {family} (" in " ".join(how_to_read(study))


def test_an_interval_that_rounding_widens_says_so(make_runs: StudyMaker) -> None:
    """Six seeds that differ by one image of eight each: 12.5 / sqrt(12) counts as their SD."""
    runs = on_images(8, make_runs({"adam": [75.0] * 6, "sam": [87.5] * 6}))
    text = asked(tuple(sources_of(build_study(runs, ADAM), path_of)), "sam/accuracy")
    half = 2.5706 * 12.5 / 12**0.5 / 6**0.5
    assert f"interval = {12.5 - half:.4g}" in text
    assert "SD = 0, which counts as the 3.60844 of rounding to whole test images\n" in text
    assert "by itself: 83.7132 to 91.2868; the SD counts as the 3.60844 of rounding" in text


def test_a_run_that_is_not_counted_says_why(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT[:2], "sam": [80.0, None]})
    found = tuple(sources_of(build_study(runs, ADAM), path_of))
    assert "not counted" in asked(found, "sam/accuracy")
    assert "run.json: diverged" in asked(found, "sam/accuracy")
    assert "p: no test (1 seed, at least 6 are needed)" in asked(found, "sam/accuracy")
