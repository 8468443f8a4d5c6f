"""What the answer chooses among: it says of what it speaks, and no verdict contradicts it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sambench.analysis.comparison import BETTER, WORSE
from sambench.analysis.decision import decide, settle
from sambench.analysis.study import Study, build_study
from sambench.config.suite import ReportSettings
from sambench.report.answer import answer_text
from sambench.report.differences import difference_tables, untimed
from sambench.report.tables import result_sections
from tests.analysis.conftest import StudyMaker
from tests.analysis.test_wrong_statements import EIGHT, up

if TYPE_CHECKING:
    from sambench.store.record import RunRecord
    from tests.conftest import RecordMaker

ADAM = ReportSettings(baseline="adam")
LONG = {"epochs": 50}


def paragraphs(runs: list[RunRecord]) -> tuple[str, ...]:
    return answer_text(build_study(runs, ADAM))


def choice(runs: list[RunRecord]) -> str:
    """Return the paragraph behind the first."""
    return paragraphs(runs)[1]


def folds_of(make_record: RecordMaker, gains: dict[str, Any], **settings: Any) -> list[RunRecord]:
    """Make a run of each of five folds, by gains in points, each with a wobble or one for all."""
    return [
        make_record(name, fold=f, split="kfold-5", accuracy=(70 + f + gain[f]) / 100, **settings)
        for name, gain in gains.items()
        for f in range(5)
    ]


def contradicted(study: Study) -> list[str]:
    """Return what of a choice the verdicts of its own settings deny."""
    decision = decide(study)
    if decision is None:
        return []
    verdicts = study.over(decision.scope.groups, study.primary)
    worse = [one.candidate for one in verdicts if one.verdict == WORSE]
    beaten = [one.baseline for one in verdicts if one.verdict == BETTER]
    return [label for label in (*worse, *beaten) if label in decision.best]


def test_one_run_of_another_does_not_undo_a_comparison(make_runs: StudyMaker) -> None:
    runs = {"adam": EIGHT, "sam": up(EIGHT, 5), "asam": EIGHT[:1]}
    study = build_study(make_runs(runs), ADAM)
    decision = decide(study)
    assert decision is not None
    assert decision.best == ("sam",)
    assert answer_text(study)[1] == (
        "SAM is the best of the 2 compared: every other of them was shown to be less accurate. Not "
        "compared, with fewer than 6 seeds in common with the baseline: ASAM."
    )


def test_who_is_shown_worse_may_not_be_the_best(make_record: RecordMaker) -> None:
    """By Holm's method all are, by Bonferroni's the closest is not."""
    noise = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    falls = {"sam": 3.3, "asam": 3.15, "gsam": 2.9, "wsam": 2.75, "crsam": 2.5, "gcsam": 2.05}
    gains: dict[str, Any] = {"adam": np.zeros(5)}
    for place, (name, fall) in enumerate(falls.items()):
        gains[name] = -fall - 1.25 * np.roll(noise, place)
    study = build_study(folds_of(make_record, gains), ADAM)
    verdicts = {one.candidate: one.verdict for one in study.main("accuracy")}
    assert verdicts["gcsam"] == WORSE
    assert contradicted(study) == []
    assert "Adam is the best: every other optimizer" in answer_text(study)[1]


@given(
    gains=st.lists(st.sampled_from([-6.0, -2.0, 0.0, 2.0, 6.0]), min_size=1, max_size=4),
    seeds=st.lists(st.integers(1, 10), min_size=5, max_size=5),
    several=st.booleans(),
    source=st.integers(0, 10_000),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_choice_contradicts_a_verdict(
    make_runs: StudyMaker, gains: list[float], seeds: list[int], several: bool, source: int
) -> None:
    draw = np.random.default_rng(source)
    names = ("adam", "sam", "asam", "gsam", "wsam")
    records = [
        run
        for epochs in ((5, 50) if several else (5,))
        for run in make_runs(
            {
                name: (80 + gain + draw.normal(0, 1, number)).round(1).tolist()
                for name, gain, number in zip(names, (0.0, *gains), seeds, strict=False)
            },
            epochs=epochs,
        )
    ]
    assert contradicted(build_study(records, ADAM)) == []


def test_a_choice_over_settings_says_who_was_not_in_all(make_runs: StudyMaker) -> None:
    both = {"adam": EIGHT, "sam": up(EIGHT, 3)}
    runs = make_runs({**both, "fsam": up(EIGHT, 9)}) + make_runs(both, **LONG)
    assert choice(runs) == (
        "Over 2 settings, SAM is the best of the 2 compared: every other of them was shown to be "
        "less accurate. Not compared here, for lack of a completed run in each of these "
        "settings: F-SAM."
    )


def test_what_ran_with_other_code_is_named_as_not_compared(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3), "fsam": up(EIGHT, 5)})
    other = [
        run.with_sections(numerics=2) if run.config.optimizer["name"] == "sam" else run
        for run in runs
    ]
    assert choice(other) == (
        "For small-cnn on phantom (code 1 of 2), F-SAM is the best of the 2 compared: every other "
        "of them was shown to be less accurate. Not compared here, for lack of a completed run in "
        "this setting: SAM. Settings that are left out here: small-cnn on phantom (code 2 of 2)."
    )


def test_folds_beside_seeds_are_named_as_not_compared(
    make_runs: StudyMaker, make_record: RecordMaker
) -> None:
    both = {"adam": EIGHT, "sam": up(EIGHT, 3)}
    runs = make_runs(both) + make_runs(both, **LONG)
    runs += folds_of(make_record, {"adam": np.zeros(5), "gsam": np.ones(5)}, model="resnet18")
    said = choice(runs)
    assert said.startswith("Over 2 settings, SAM is the best of the 2 compared")
    assert "of these settings: GSAM." in said
    assert "left out here: ResNet-18 on phantom." in said


def test_the_choice_is_over_the_settings_of_the_first_paragraph(
    make_runs: StudyMaker, make_record: RecordMaker
) -> None:
    runs = make_runs({"adam": EIGHT, "fsam": up(EIGHT, 3)})
    for model in ("resnet18", "vgg16"):
        runs += folds_of(make_record, {"adam": np.zeros(5), "gsam": np.arange(5) - 2}, model=model)
    first, second, *_ = paragraphs(runs)
    assert first.startswith("Over 2 settings, no optimizer was shown to be more accurate")
    assert second.startswith("Over 2 settings, either of the 2 compared may be the most")
    assert "of these settings: F-SAM." in second


def two_baselines(make_runs: StudyMaker, make_record: RecordMaker) -> list[RunRecord]:
    flat = {"adam": [100.0 + k for k in range(8)], "sam": [10.0 + k for k in range(8)]}
    both = {"adam": EIGHT, "sam": up(EIGHT, 3)}
    runs = make_runs(both, top=flat) + [
        run
        for run in make_runs(both, top=flat, model="resnet18")
        if run.config.optimizer["name"] == "sam"
    ]
    return runs + [
        make_record({"name": "adam", "lr": rate}, seed=s, accuracy=v / 100, model="resnet18",
                    hessian={"top": {"value": flat["adam"][s], "converged": True}})
        for rate in (0.01, 0.02)
        for s, v in enumerate(EIGHT)
    ]  # fmt: skip


def test_each_is_named_once_with_its_settings(
    make_runs: StudyMaker, make_record: RecordMaker
) -> None:
    text = " ".join(paragraphs(two_baselines(make_runs, make_record)))
    assert (
        "In 2 settings, SAM (in 2 settings) was shown to be more accurate than Adam: SAM (" in text
    )
    assert "SAM and SAM" not in text
    assert "In 2 settings, SAM (in 2 settings) was shown to find flatter minima than Adam" in text


def test_where_baselines_differ_a_choice_is_of_one_setting(
    make_runs: StudyMaker, make_record: RecordMaker
) -> None:
    runs = two_baselines(make_runs, make_record)
    assert choice(runs).startswith("For ResNet-18 on phantom, SAM is the best of the 3 compared")
    assert "left out here: small-cnn on phantom." in choice(runs)


def test_why_nothing_is_chosen_is_said(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT, "sam": EIGHT}) + make_runs(
        {"adam": EIGHT, "gsam": EIGHT}, **LONG
    )
    assert choice(runs) == (
        "No choice is named: only Adam has a result in each of the 2 settings that compare "
        "optimizers."
    )


def test_flatness_says_over_which_settings_and_what_one_alone_shows(
    make_record: RecordMaker,
) -> None:
    """SAM is flatter in one setting and sharper in the other."""
    tops = {("resnet18", "adam"): 5, ("resnet18", "sam"): 100}
    tops |= {("vgg16", "adam"): 100, ("vgg16", "sam"): 5}
    runs = [
        make_record(name, fold=f, split="kfold-5", model=model,
                    hessian={"top": {"value": top * (1.0 + 0.3 * f), "converged": True}})
        for (model, name), top in tops.items()
        for f in range(5)
    ]  # fmt: skip
    text = " ".join(paragraphs(runs))
    assert "Over 2 settings, in 5 folds, no optimizer was shown to find flatter minima" in text
    assert "Shown in one setting alone: SAM sharper in ResNet-18 on phantom, 20 times (" in text
    assert "; SAM flatter in VGG-16 on phantom, 0.05 times (" in text


def test_flatness_over_folds_here_and_seeds_there_says_how_many_of_each(
    make_record: RecordMaker,
) -> None:
    """It said "in 5 to 8 folds"."""
    runs = [
        make_record(name, hessian={"top": {"value": 5.0 + part, "converged": True}}, **own)
        for name in ("adam", "sam")
        for part in range(8)
        for own in (
            {"seed": part},
            {"fold": part % 5, "split": "kfold-5", "seed": part // 5, "model": "resnet18"},
        )
    ]
    text = " ".join(paragraphs(runs))
    assert "in 5 folds and 8 seeds, no optimizer was shown to find flatter minima" in text


def test_costs_are_the_tables(make_record: RecordMaker) -> None:
    """Of seeds that both have, whatever the others took."""
    runs = [
        make_record(name, seed=s, accuracy=v / 100, seconds=took * (1 if s < 6 else 5))
        for name, took, seeds in (("adam", 10.0, 8), ("sam", 20.0, 6))
        for s, v in enumerate(EIGHT[:seeds])
    ]
    study = build_study(runs, ADAM)
    (table,) = difference_tables(study, ["train_seconds"])
    assert table.rows[0][1][0].text == "2.0x"
    assert "(training time in parentheses): SAM 1.00 (2.0)." in " ".join(answer_text(study))


def test_times_of_other_devices_are_not_compared(make_runs: StudyMaker) -> None:
    seconds = {"adam": 10.0, "sam": 2.0}
    runs = make_runs({"adam": EIGHT, "sam": EIGHT, "gsam": [None] * 8}, seconds=seconds)
    moved = [
        run.with_sections(environment={**(run.environment or {}), "gpu": "a GPU"})
        if run.config.optimizer["name"] == "sam"
        else run
        for run in runs
    ]
    study = build_study(moved, ADAM)
    one, lost = study.main("train_seconds")
    assert (one.n, one.verdict, lost.n) == (0, "undecided", 0)
    assert untimed(study.groups[0]) == ("Not timed on the same device as Adam: SAM.",)
    said = " ".join(answer_text(study))
    assert "SAM 1.00 (not comparable: another device)." in said
    (main,) = result_sections(study)[0].tables
    times = [cells[1] for _, cells in main.rows]
    assert not any("*" in cell.text or cell.bold for cell in times)


def test_ties_are_no_gain_and_no_loss(make_runs: StudyMaker) -> None:
    first = paragraphs(make_runs({"adam": EIGHT, "sam": EIGHT, "asam": EIGHT}))[0]
    assert "None differed from Adam: ASAM and SAM have exactly its mean: ASAM " in first
    assert "smallest loss" not in first
    some = paragraphs(make_runs({"adam": EIGHT, "sam": EIGHT, "asam": up(EIGHT, -1, 3)}))[0]
    assert "None gained anything; SAM lost nothing: " in some
    down = paragraphs(make_runs({"adam": EIGHT, "sam": up(EIGHT, -3), "asam": up(EIGHT, -3)}))[0]
    assert "ASAM and SAM were shown to be less accurate; the largest loss was that of ASAM" in down
    assert re.search(r"that of ASAM and SAM, equal: A?SAM 77\.", down)


def test_the_interval_behind_equal_means_is_said_to_be_of_one_of_them(
    make_runs: StudyMaker,
) -> None:
    spread = [v + (2 if n % 2 else -2) for n, v in enumerate(EIGHT)]
    for by, said in (
        (0.5, "The largest gain of the 2 was that of ASAM and SAM, equal: ASAM "),
        (-0.5, "the smallest loss was that of ASAM and SAM, equal: ASAM "),
    ):
        sides = {"adam": EIGHT, "sam": up(EIGHT, by, 1), "asam": up(spread, by, 1)}
        study = build_study(make_runs(sides), ADAM)
        (one,) = (c for c in study.main("accuracy") if c.candidate.startswith("asam"))
        text = " ".join(answer_text(study))
        assert said in text
        assert f"{one.low:+.1f} to {one.high:+.1f}" in text.split(said)[1][:80]


def test_a_time_by_chance_makes_nothing_the_cheapest(make_record: RecordMaker) -> None:
    """Runs of as many passes whose times spread by 1.5: one of two was "the cheapest" in 58 of 100
    studies, one of six in all. A time that is shown to be longer counts."""
    draw = np.random.default_rng(0)
    names = ("adam", "adamw", "sgd", "msam", "fsam")
    runs = [
        make_record(name, seed=seed, accuracy=float(0.8 + draw.normal(0, 0.01)),
                    seconds=float((30 if name == "fsam" else 10) * np.exp(draw.normal(0, 0.4))))
        for name in names
        for seed in range(8)
    ]  # fmt: skip
    study = build_study(runs, ADAM)
    found = decide(study)
    assert found is not None
    assert set(found.best) == set(names)
    assert found.choice[0] == "adam"
    assert set(found.choice) == {"adam", "adamw", "sgd", "msam"}
    cheapest = "the cheapest of them, not shown to differ in cost, are Adam, "
    assert cheapest in " ".join(answer_text(study))
    runs += [make_record("sam", seed=s, accuracy=0.8, passes=600, seconds=9.0) for s in range(8)]
    more = decide(build_study(runs, ADAM))
    assert more is not None
    assert "sam" not in more.choice


def test_what_cannot_be_compared_by_cost_is_not_the_cheapest(make_record: RecordMaker) -> None:
    runs = [make_record("adam", seed=seed, accuracy=0.8) for seed in range(2)]
    runs += [make_record("sam", seed=seed, accuracy=0.8, passes=200) for seed in range(2)]
    runs += [make_record("asam", seed=9, accuracy=0.8, passes=200)]
    found = decide(build_study(runs, ADAM))
    assert found is not None
    assert found.best == ("adam", "asam", "sam")
    assert found.choice == ("adam",)


def test_a_slow_seed_is_not_the_price_of_the_next(make_record: RecordMaker) -> None:
    noise = (0.0, 3.0, -3.0, 2.0, -2.0, 1.0, -1.0, 0.5)
    runs = [
        make_record(name, seed=s, accuracy=(v + (name == "sam") * noise[s]) / 100,
                    seconds=900.0 if s == 0 else 100.0)
        for name in ("adam", "sam")
        for s, v in enumerate(EIGHT)
    ]  # fmt: skip
    found = settle(build_study(runs, ADAM))
    assert found is not None
    seeds, seconds = found
    assert seconds == pytest.approx((seeds - 8) * 200, rel=0.2)


def test_a_hash_is_cut_alike_everywhere(make_runs: StudyMaker) -> None:
    runs = [run for digit in "ab" for run in make_runs({"adam": EIGHT[:2]}, weights=64 * digit)]
    study = build_study(runs, ADAM)
    assert [group.title for group in study.groups] == [
        f"small-cnn on phantom (weights={10 * digit})" for digit in "ab"
    ]
    text = " ".join(note for t in result_sections(study)[0].tables for note in t.notes)
    assert re.search(r"from weights a{10},", text)
