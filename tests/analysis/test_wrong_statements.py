"""Statements that a report once made and that were wrong, each the sign of a kind."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from sambench.analysis.claims import HELD, NOT_REPRODUCED, NOT_TESTED, REFUTED, UNDECIDED, examine
from sambench.analysis.contrast import contrast_runs
from sambench.analysis.decision import decide, flat_and_accurate
from sambench.analysis.grouping import ambiguous_baseline, build_groups
from sambench.analysis.metrics import find_metric
from sambench.analysis.study import build_study
from sambench.analysis.troubles import troubles
from sambench.analysis.units import summarize, tabulate
from sambench.config.suite import ReportSettings
from sambench.report.answer import answer_text
from sambench.report.contrasts import contrast_tables
from sambench.report.differences import difference_tables
from sambench.report.methods import methods
from sambench.report.notes import how_to_read, run_notes, too_few
from sambench.store.record import RunRecord
from tests.analysis.conftest import StudyMaker, on_images
from tests.conftest import ENVIRONMENT, RecordMaker

ADAM = ReportSettings(baseline="adam")

EIGHT = [80.0, 81.0, 79.5, 80.5, 81.5, 80.2, 79.8, 80.7]
PAPER = {
    "dataset": "bus",
    "image_size": 256,
    "stop": "train-accuracy",
    "batch_size": 16,
    "epochs": 100,
}


def up(values: list[float], gain: float, wobble: float = 0.1) -> list[float]:
    return [v + gain + wobble * (-1) ** k * (k % 3) for k, v in enumerate(values)]


def of(records: list, name: str) -> dict[str, str]:  # type: ignore[type-arg]
    return {found.name: found.standing for found in examine(build_groups(records, name))}


def test_1_a_claim_is_judged_on_the_papers_own_data(make_runs: StudyMaker) -> None:
    runs = {"adam": EIGHT, "sam": up(EIGHT, 3)}
    elsewhere = [
        r
        for model in ("resnet50", "vgg16", "vit", "swin")
        for r in make_runs(runs, model=model, **{**PAPER, "dataset": "cifar10"})
    ]
    assert set(of(elsewhere, "adam").values()) == {NOT_TESTED}
    there = [
        r
        for model in ("resnet50", "vgg16", "vit", "swin")
        for r in make_runs(runs, model=model, **PAPER)
    ]
    assert of(there, "adam")["sam-beats-adam"] == HELD


def test_2_folds_are_counted_not_pairs(make_record: RecordMaker) -> None:
    """Two folds of four seeds have one degree of freedom: nothing can be shown of eight pairs."""
    records = [
        make_record(name, fold=fold, split="kfold-2", seed=seed, accuracy=0.7 + gain + 0.01 * fold)
        for name, gain in (("adam", 0.0), ("sam", 0.05))
        for fold in range(2)
        for seed in range(4)
    ]
    study = build_study(records, ADAM)
    (one,) = study.groups[0].by("accuracy")
    assert (one.n, one.pairs, one.verdict, one.p) == (2, 8, "undecided", None)
    text = answer_text(study)[0]
    assert "2 folds cannot show any difference to Adam: at least 3 are needed" in text
    assert "seed" not in text


def test_2_five_folds_are_enough_and_every_sentence_says_so(make_record: RecordMaker) -> None:
    noise = np.random.default_rng(0).normal(0, 0.004, 5)
    records = [
        make_record(
            name, fold=f, split="kfold-5", accuracy=0.7 + 0.01 * f + gain * (0.06 + noise[f])
        )
        for name, gain in (("adam", 0), ("sam", 1))
        for f in range(5)
    ]
    study = build_study(records, ADAM)
    (one,) = study.groups[0].by("accuracy")
    assert (one.n, one.verdict) == (5, "better")
    gains = 100 * (0.06 + noise)
    assert one.effect == pytest.approx(gains.mean() / gains.std(ddof=1))
    assert "SAM was shown to be more accurate than Adam" in answer_text(study)[0]
    assert "5 folds" in answer_text(study)[0]


def test_3_a_side_that_diverges_is_not_called_better(make_runs: StudyMaker) -> None:
    ten = [*EIGHT, 80.1, 80.9]
    sam = [*up(ten, 2)[:6], None, None, None, None]
    study = build_study(make_runs({"adam": ten, "sam": sam}), ADAM)
    (one,) = study.groups[0].by("accuracy")
    assert (one.n, one.lost, one.gains) == (6, (0, 4), True)
    assert (one.verdict, one.turned) == ("undecided", True)
    text = " ".join(answer_text(study))
    assert "more accurate than Adam:" not in text
    assert "SAM diverged in 4 of 10 seeds" in text


def test_3_an_interval_of_the_other_runs_is_not_cut_by_lost_ones(make_runs: StudyMaker) -> None:
    """SAM is worse for its five lost runs of twelve; in the seven others it may be better, though
    the report said "-0.2 points (95 % interval -1.0 to +0.0, p = 0.019)"."""
    adam = [*EIGHT, *EIGHT[:4]]
    wobble = [0.8, -1.0, 0.5, -1.2, 0.9, -0.9, -0.5]
    sam = [None] * 5 + [v + w for v, w in zip(adam[5:], wobble, strict=True)]
    study = build_study(make_runs({"adam": adam, "sam": sam}), ADAM)
    (one,) = study.groups[0].by("accuracy")
    assert one.verdict == "worse"
    half = stats.t.ppf(0.975, 6) * stats.sem(wobble)
    assert (one.low, one.high) == pytest.approx((np.mean(wobble) - half, np.mean(wobble) + half))
    assert (one.high or 0.0) > 0
    assert re.search(r"to \+0.6, p = 0.\d+ with lost runs, 7 seeds\)", answer_text(study)[0])


def test_3_nor_is_a_flat_minimum_of_a_collapsed_side(
    make_runs: StudyMaker, make_record: RecordMaker
) -> None:
    """Its curvature is of the runs that did not collapse, which p alone is of."""
    flat = {"value": 1.0, "converged": True}
    runs = [
        make_record("adam", seed=s, hessian={"top": {**flat, "value": 50.0 + s}}) for s in range(8)
    ]
    runs += [make_record("sam", seed=s, collapsed=s > 5, hessian={"top": flat}) for s in range(8)]
    (one,) = build_study(runs, ADAM).groups[0].by("top")
    assert (one.n, one.lost[1], one.p, one.verdict) == (6, 2, 2 / 2**6, "undecided")
    text = " ".join(answer_text(build_study(runs, ADAM)))
    assert "SAM is not called flatter, whatever p is: some of its runs diverged, collapsed" in text


def test_4_a_lost_run_of_the_baseline_does_not_undo_what_the_others_found(
    make_runs: StudyMaker,
) -> None:
    """One of Adam's nine runs found no room on the disk: eight pairs are left, and are tested."""
    nine = [*EIGHT, 80.1]
    top = {"adam": [20.0 + s for s in range(9)], "sam": [2.0 + 0.1 * s for s in range(9)]}
    runs = make_runs({"adam": nine, "sam": up(nine, 3)}, top=top)
    runs[0] = replace(runs[0], status="failed", error="disk full", final=None, cost=None)
    runs[0] = replace(runs[0], hessian=None)
    study = build_study(runs, ADAM)
    for metric, verdict in (("top", "better"), ("train_seconds", "undecided")):
        (one,) = study.groups[0].by(metric)
        assert (one.n, one.lost, one.counted, one.verdict) == (8, (1, 0), False, verdict)
        assert one.p is not None
    text = " ".join(answer_text(study))
    assert "SAM was shown to find flatter minima than Adam" in text
    assert "Only seeds in which both were measured count here: a lost run has no curvature." in text


@pytest.mark.parametrize("classes", [2, 4])
def test_4_every_primary_metric_counts_lost_runs(make_runs: StudyMaker, classes: int) -> None:
    """Naming one class of K has a balanced accuracy of 1 / K."""
    data = {"classes": [*"abcd"[:classes]], "train": 8000, "test": 2000}
    runs = [
        replace(run, final=run.final and {"test": {"balanced_accuracy": 0.8}}, data=data)
        for run in make_runs({"adam": EIGHT, "sam": [None, *EIGHT[1:]]})
    ]
    asked = ReportSettings(baseline="adam", primary="balanced_accuracy")
    study = build_study(runs, asked)
    (one,) = study.groups[0].by("balanced_accuracy")
    table = tabulate(study.groups[0], one.metric)
    assert table.counted
    assert table.imputed[0, 1] == pytest.approx(100 / classes)
    assert (one.counted, one.p) == (True, 1.0)


def test_5_it_is_said_what_a_lost_run_counts_in(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT, "sam": [None, *up(EIGHT, 3)[1:]]})
    study = build_study(runs, ADAM)
    text = " ".join(run_notes(study.groups[0]))
    assert "diverged, in no mean; p of accuracies and AUROC counts it as naming one class" in text
    (table,) = difference_tables(study, ["accuracy"])
    counted = "they count in p as naming one class for every image would, and in no mean."
    assert table.notes == (f"SAM lost 1 seed; {counted}",)
    (times,) = difference_tables(study, ["train_seconds"])
    assert times.notes[0].endswith("no value to count, so p compares the seeds that both have.")


def test_6_what_is_no_minimum_by_one_measure_is_flatter_by_none(make_runs: StudyMaker) -> None:
    top = {"adam": [20.0 + s for s in range(8)], "fsam": [1e-9] * 8, "sam": [2.0] * 8}
    runs = [
        replace(run, hessian={**(run.hessian or {}), "trace": {"value": -5.0}})
        if run.config.optimizer["name"] == "fsam"
        else run
        for run in make_runs({"adam": EIGHT, "fsam": EIGHT, "sam": EIGHT}, top=top)
    ]
    study = build_study(runs, ADAM)
    assert [(one.candidate, one.verdict) for one in study.groups[0].by("top")] == [
        ("fsam", "undecided"),
        ("sam", "better"),
    ]
    text = " ".join(answer_text(study))
    assert ". SAM was shown to find flatter minima than Adam" in text
    assert (
        "The Hessian trace of F-SAM is zero or negative in 8 of 8 runs: such a run is at no "
        in text
    )
    found = flat_and_accurate(study)
    assert found is not None
    assert found[0].runs == 16


def test_4_many_settings_do_not_hide_a_difference_of_thirty_times(make_record: RecordMaker) -> None:
    def side(seconds: float, epochs: int) -> list:  # type: ignore[type-arg]
        return [
            make_record("sam", model="small-cnn", batch_size=b, seed=s, epochs=epochs,
                        seconds=seconds * (1 + 0.01 * s))
            for b in range(2, 26)
            for s in range(8)
        ]  # fmt: skip

    study, unmatched = contrast_runs(
        side(25203, 50), side(700, 20), [find_metric("train_seconds")], names=("slow", "fast")
    )
    found = [one for group in study.groups for one in group.by("train_seconds")]
    assert len(found) == 24
    assert unmatched == ()
    assert {one.verdict for one in found} == {"better"}
    assert found[0].estimate == pytest.approx(700 / 25203)


def test_seconds_of_another_device_have_no_say_in_p(make_record: RecordMaker) -> None:
    def run(name: str, seed: int) -> RunRecord:
        if name == "sam" and seed < 2:  # a hundred times as fast
            record = make_record(name, seed=seed, seconds=0.2)
            return record.with_sections(environment={**ENVIRONMENT, "cpu": "another CPU"})
        return make_record(name, seed=seed, seconds=(20.0 if name == "sam" else 10.0) + 0.1 * seed)

    every, alike = (
        build_study([run(name, seed) for name in ("adam", "sam") for seed in seeds], ADAM)
        for seeds in (range(8), range(2, 8))
    )
    (one,), (other,) = (study.groups[0].by("train_seconds") for study in (every, alike))
    assert (one.n, one.estimate, one.p) == (6, other.estimate, other.p)
    assert one.verdict == "worse"


def test_6_ties_are_named_together_and_the_cheapest_is_the_choice(make_runs: StudyMaker) -> None:
    runs = make_runs(
        {"adam": EIGHT, "sgd": up(EIGHT, 4), "fsam": up(EIGHT, 4)},
        seconds={"adam": 10.0, "sgd": 10.0, "fsam": 20.0},
    )
    study = build_study(runs, ADAM)
    decision = decide(study)
    assert decision is not None
    assert decision.tied == ("fsam", "sgd")
    assert decision.best == ("fsam", "sgd")
    assert decision.choice == ("sgd",)
    assert "F-SAM and SGD have exactly the same mean test accuracy" in " ".join(answer_text(study))


def test_6_half_a_point_for_125_times_the_time_is_not_the_choice(make_runs: StudyMaker) -> None:
    runs = make_runs(
        {"adam": EIGHT, "sam": up(EIGHT, 4.0, 0.4), "vasso": up(EIGHT, 4.5, -0.4)},
        seconds={"adam": 10.0, "sam": 20.0, "vasso": 2500.0},
    )
    decision = decide(build_study(runs, ADAM))
    assert decision is not None
    assert decision.best == ("sam", "vasso")
    assert decision.choice == ("sam",)
    times = [decision.cost[name][1] for name in ("sam", "vasso")]
    assert [time.estimate for time in times if time] == pytest.approx([2, 250])


def test_7_settings_together_show_what_three_seeds_each_cannot(make_runs: StudyMaker) -> None:
    records, flipped = [], False
    for number in range(8):
        sam = up(EIGHT[:3], 2.2 + 0.1 * number)
        if not flipped:
            sam[0], flipped = EIGHT[0] - 0.2, True  # one pair of 24 the other way
        records += make_runs({"adam": EIGHT[:3], "sam": sam}, model=f"timm:model{number}")
    study = build_study(records, ADAM)
    (pooled,) = study.pooled["accuracy"]
    assert (pooled.wins, pooled.pairs, pooled.n, pooled.design.unit) == (23, 24, 8, "setting")
    assert pooled.p == pytest.approx(2 / 2**8)
    text = answer_text(study)
    assert text[0].startswith("Over 8 settings, SAM was shown to be more accurate than Adam: ")
    assert "cannot show any difference" not in " ".join(text)


def test_settings_of_one_network_are_not_independent(make_runs: StudyMaker) -> None:
    """Three seeds at eight batch sizes begin with three weights: 38 of 100 such studies without
    any difference were called different where differences of a seed had a correlation of 0.3."""
    records = [
        run
        for batch in range(2, 10)
        for run in make_runs({"adam": EIGHT[:3], "sam": up(EIGHT[:3], 2)}, batch_size=batch)
    ]
    study = build_study(records, ADAM)
    (pooled,) = study.pooled["accuracy"]
    assert (pooled.n, pooled.design.unit, pooled.p) == (3, "seed", None)
    text = answer_text(study)[0]
    assert text.startswith("Over 8 settings, 3 seeds cannot show any difference to Adam")
    (few,) = too_few(study.groups)
    assert "over all settings together" not in few
    elsewhere = [
        run
        for number in range(5)
        for run in make_runs({"adam": EIGHT[:3], "sam": up(EIGHT[:3], 3)}, model=f"timm:m{number}")
    ]
    (pooled,) = build_study([*records, *elsewhere], ADAM).pooled["accuracy"]
    assert (pooled.n, pooled.design.unit) == (6, "setting")
    assert pooled.names[0] == "small-cnn on phantom"
    small = np.mean(np.array(up(EIGHT[:3], 2)) - EIGHT[:3])
    assert pooled.differences[0] == pytest.approx(small)
    told = how_to_read(build_study([*records, *elsewhere], ADAM))
    (p,) = (one for one in told if one.startswith("p is that of a"))
    assert p.endswith("count as one: with the same seed they begin with the same weights.")


def test_a_setting_with_more_seeds_does_not_weigh_more(make_runs: StudyMaker) -> None:
    """SAM gains three points in one setting and loses three in another: over both it is no better,
    though the first has twice the seeds (83 of 100 such reports said so)."""
    draw = np.random.default_rng(1)
    before = {"small-cnn": 85 + draw.normal(0, 1, 12), "resnet18": 80 + draw.normal(0, 1, 6)}
    gain = {"small-cnn": 3 + draw.normal(0, 1, 12), "resnet18": -3 + draw.normal(0, 1, 6)}
    runs = [
        run
        for model in before
        for run in make_runs(
            {"adam": before[model].tolist(), "sam": (before[model] + gain[model]).tolist()},
            model=model,
        )
    ]
    study = build_study(runs, ADAM)
    (pooled,) = study.pooled["accuracy"]
    assert pooled.estimate == pytest.approx(np.mean([of.mean() for of in gain.values()]))
    assert pooled.n == 12
    assert pooled.differences[11] == pytest.approx(gain["small-cnn"][11] / 2)
    both = gain["small-cnn"][0] / 2 + gain["resnet18"][0] * (12 / 6) / 2
    assert pooled.differences[0] == pytest.approx(both)
    assert pooled.verdict == "undecided"
    decision = decide(study)
    assert decision is not None
    assert decision.best == ("adam", "sam")


def test_8_the_answers_means_are_the_tables(make_runs: StudyMaker) -> None:
    """A baseline with more seeds than the candidate has one mean, that of its table."""
    runs = make_runs({"adam": [*EIGHT, 60.0], "sam": up(EIGHT, 3)})
    study = build_study(runs, ADAM)
    group = study.groups[0]
    mean = summarize(group, group.lines[0], find_metric("accuracy")).mean
    assert f"{mean:.1f} %" in answer_text(study)[0]


def test_an_interval_holds_no_accuracy_that_cannot_be(make_runs: StudyMaker) -> None:
    """Student's t of 70 and 98 % reaches from -94 to 262 %, and of two losses below zero."""
    group = build_study(make_runs({"adam": [70.0, 98.0], "sam": [80.0, 81.0]}), ADAM).groups[0]
    wide = summarize(group, group.lines[0], find_metric("accuracy"))
    assert (wide.mean, wide.low, wide.high) == (pytest.approx(84), 0, 100)
    narrow = summarize(group, group.lines[1], find_metric("accuracy"))
    assert narrow.low == pytest.approx(80.5 - 6.353, abs=1e-3)  # 12.706 * sqrt(0.5) / sqrt(2)
    assert narrow.high == pytest.approx(80.5 + 6.353, abs=1e-3)


def test_8_one_family_is_one_number(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3), "asam": up(EIGHT, 1, 2.0)})
    found = build_study(runs, ADAM).groups[0].by("accuracy")
    assert {one.family for one in found} == {2}


def test_9_a_negative_curvature_is_no_minimum(make_runs: StudyMaker) -> None:
    runs = make_runs(
        {"adam": EIGHT, "gsam": EIGHT},
        top={"adam": [20.0 + s for s in range(8)], "gsam": [-193.0] * 8},
    )
    study = build_study(runs, ADAM)
    group = study.groups[0]
    cell = summarize(group, group.lines[1], find_metric("top"))
    assert (cell.mean, cell.no_minimum, cell.sure) == (None, 8, False)
    assert study.groups[0].by("top")[0].verdict == "undecided"


def test_10_claims_are_refuted_and_not_reproduced(make_runs: StudyMaker) -> None:
    """On ResNet-50 the paper prints SAM +3.8 points; -3 refutes it, +1 does not reproduce it."""
    worse = make_runs({"adam": EIGHT, "sam": up(EIGHT, -3)}, model="resnet50", **PAPER)
    assert of(worse, "adam")["sam-beats-adam"] == REFUTED
    same = make_runs({"adam": EIGHT, "sam": up(EIGHT, 0.0)}, model="resnet50", **PAPER)
    assert of(same, "adam")["sam-beats-adam"] == REFUTED  # shown to be equivalent
    assert of(on_images(8, same), "adam")["sam-beats-adam"] == UNDECIDED
    noisy = up(EIGHT, 0.6, 1.0)
    less = make_runs({"adam": EIGHT, "sam": noisy}, model="resnet50", **PAPER)
    assert of(less, "adam")["sam-beats-adam"] == NOT_REPRODUCED


def test_a_printed_difference_of_one_run_a_side_is_compared_with_single_pairs(
    make_runs: StudyMaker,
) -> None:
    """The mean of eight of ours is +1.5 ± 1.5 points; pairs are 2.5 points away from it as often as
    not. That an interval of the mean excludes +3.8 does not speak against the paper: of such
    inequalities a third was called not reproduced where the paper's runs were ours."""
    gains = [4.0, -1.0, 2.0, 3.5, -0.5, 1.0, 2.5, 0.5]
    runs = {"adam": EIGHT, "sam": [v + gain for v, gain in zip(EIGHT, gains, strict=True)]}
    found = examine(build_groups(make_runs(runs, model="resnet50", **PAPER), "adam"))
    claim = next(one for one in found if one.name == "sam-beats-adam")
    one = next(e for e in claim.evidence if e.comparison is not None)
    assert one.comparison is not None
    assert (one.comparison.high or 0) < one.printed == pytest.approx(3.8)
    assert max(gains) > 3.8
    assert (one.standing, one.other_size) == (UNDECIDED, False)


def test_flatter_optimizers_do_not_make_flatter_runs_better(make_runs: StudyMaker) -> None:
    """SAM is flatter and more accurate, perhaps for two reasons: of six optimizers that differ in
    both at random, 58 of 100 reports judged the claim."""
    scatter = [0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.4, -0.4]
    flat = [1.0, 1.1, 1.2, 1.3, 1.3, 1.2, 1.1, 1.0]
    for own, standing in (([0.0] * 8, UNDECIDED), (flat, HELD)):
        runs = [
            run
            for model in ("resnet50", "vgg16", "vit", "swin")
            for run in make_runs(
                {
                    name: [mean + s - 9 * f for s, f in zip(scatter, own, strict=True)]
                    for name, mean in (("adam", 80), ("sam", 90))
                },
                top={"adam": [100 * f for f in flat], "sam": flat},
                model=model,
                **PAPER,
            )
        ]
        assert of(runs, "adam")["flatter-generalizes"] == standing


def test_12_eigenvalues_are_compared_as_ratios(make_runs: StudyMaker) -> None:
    adam = [1000.0, 4000.0, 500.0, 2000.0, 1500.0, 800.0, 3000.0, 1200.0]
    runs = make_runs(
        {"adam": EIGHT, "sam": EIGHT}, top={"adam": adam, "sam": [0.3 * v for v in adam]}
    )
    (one,) = build_study(runs, ADAM).groups[0].by("top")
    assert (one.estimate, one.low, one.high) == pytest.approx((0.3, 0.3, 0.3))
    assert one.verdict == "better"


def test_12_counts_that_never_vary_are_not_tested(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT, "sam": EIGHT})
    (one,) = build_study(runs, ADAM).groups[0].by("gradient_evaluations")
    assert (one.fixed, one.p, one.verdict) == (True, None, "undecided")


def test_14_several_radii_are_said_to_be_chosen_on_test_images(make_record: RecordMaker) -> None:
    runs = [make_record("adam", seed=s, accuracy=a / 100) for s, a in enumerate(EIGHT)]
    runs += [
        make_record({"name": "sam", "rho": rho}, seed=s, accuracy=(a + rho * 20) / 100)
        for rho in (0.01, 0.05, 0.1, 0.2)
        for s, a in enumerate(EIGHT)
    ]
    text = " ".join(answer_text(build_study(runs, ADAM)))
    assert "SAM was run with several settings on the same test images" in text


def test_14_two_baselines_are_not_one_silently(make_record: RecordMaker) -> None:
    runs = [
        make_record({"name": name, "lr": rate}, seed=s, accuracy=a / 100)
        for name in ("adam", "sam")
        for rate in (1e-4, 1e-3)
        for s, a in enumerate(EIGHT)
    ]
    study = build_study(runs, ADAM)
    assert ambiguous_baseline(study.groups, "adam") == ("adam (lr=0.0001)", "adam (lr=0.001)")
    assert "the baseline is Adam (lr=0.0001)" in " ".join(answer_text(study))
    chosen = build_study(runs, ReportSettings(baseline="adam (lr=0.001)"))
    assert chosen.groups[0].lines[0].label == "adam (lr=0.001)"
    assert "the baseline is" not in " ".join(answer_text(chosen))


def test_16_seeds_and_folds_share_one_family_in_equivalence_too(
    make_runs: StudyMaker, make_record: RecordMaker
) -> None:
    """p of two one-sided tests by scipy, times the two comparisons of the report."""
    gaps = np.array([0.2, -0.3, 0.5, -0.4, 0.3, -0.2, 0.4, -0.1])
    seeds = make_runs({"adam": EIGHT, "msam": [a + g for a, g in zip(EIGHT, gaps, strict=True)]})
    folds = [
        make_record(name, fold=f, split="kfold-5", accuracy=0.8 + 0.01 * f + 0.001 * f * gain)
        for name, gain in (("adam", 0), ("msam", 1))
        for f in range(5)
    ]
    alone, beside = (
        group.by("accuracy")[0]
        for runs in (seeds, seeds + folds)
        for group in build_study(runs, ADAM).groups
        if not group.folds
    )
    tail = stats.t.sf((1 - abs(gaps.mean())) / (gaps.std(ddof=1) / 8**0.5), 7)
    assert (beside.family, alone.family) == (2, 1)
    assert alone.p_equivalent == pytest.approx(tail)
    assert beside.p_equivalent == pytest.approx(2 * tail)


def test_22_runs_of_another_split_are_not_paired(make_record: RecordMaker) -> None:
    def side(epochs: int, split: str, share: float = 0.0) -> list:  # type: ignore[type-arg]
        runs = [
            make_record(name, seed=s, epochs=epochs, validation=share)
            for name in ("adam", "sam")
            for s in range(8)
        ]
        return [replace(r, data={**(r.data or {}), "split_sha256": split}) for r in runs]

    metrics = [find_metric("accuracy")]
    study, unmatched = contrast_runs(side(20, "a"), side(50, "b"), metrics, names=("old", "new"))
    assert study.groups == ()
    assert unmatched == tuple(
        f"{name}, small-cnn on phantom: 8 pairs of runs had other test images"
        for name in ("adam", "sam")
    )
    held = side(50, "c", share=0.1)  # out of the training images
    study, unmatched = contrast_runs(side(20, "a"), held, metrics, names=("old", "new"))
    assert unmatched == ()
    assert [one.n for one in study.pooled["accuracy"]] == [8]
    over = contrast_tables(study, ())[0]
    assert (over.title, over.notes) == ("new against old, over 2 optimizers", ())
    both = [[*side(n, "a"), *(make_record(seed=s, epochs=n, batch_size=32) for s in range(8))]
            for n in (20, 50)]  # fmt: skip
    study, _ = contrast_runs(*both, metrics, names=("old", "new"))
    titles = [table.title for table in contrast_tables(study, ())]
    assert titles[0] == "new against old, over 3 settings of 2 optimizers"


def test_test_images_that_are_known_from_training_are_said_beside_the_answer(
    make_runs: StudyMaker,
) -> None:
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3)})
    torn = [
        r.with_sections(data={**(r.data or {}), "test": 200, "leaked": 79 if n else 0})
        for n, r in enumerate(runs)
    ]
    said = "Up to 40 % of the test images share a patient or a copy with training images"
    study = build_study(torn, ADAM)
    assert said in " ".join(answer_text(study))
    assert any(said in paragraph for paragraph in methods(study).paragraphs)
    [trouble] = [t for t in troubles(study.groups, (), "s", {}) if "share a patient" in t.kind]
    assert len(trouble.runs) == len(runs) - 1
    assert said not in " ".join(answer_text(build_study(runs, ADAM)))


def test_images_set_apart_for_testing_that_were_trained_on_are_said_beside_the_answer(
    make_runs: StudyMaker,
) -> None:
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3)})
    mixed = [
        r.with_sections(data={**(r.data or {}), "set_apart": 12 if n else 0})
        for n, r in enumerate(runs)
    ]
    said = "Up to 12 images that the source sets apart for testing were trained on, so accuracies"
    study = build_study(mixed, ADAM)
    assert f"{said} cannot be compared" in " ".join(answer_text(study))
    assert "; `--split authors` keeps them apart." in " ".join(answer_text(study))
    assert any(said in paragraph for paragraph in methods(study).paragraphs)
    [trouble] = [t for t in troubles(study.groups, (), "s", {}) if "sets apart" in t.kind]
    assert len(trouble.runs) == len(runs) - 1
    assert said not in " ".join(answer_text(build_study(runs, ADAM)))


def test_a_setting_with_one_optimizer_is_no_second_setting(make_runs: StudyMaker) -> None:
    """Adam trained for longer stands beside the others; alone it compares nothing."""
    runs = make_runs({"adam": EIGHT, "sam": EIGHT[1:] + EIGHT[:1]})
    longer = make_runs({"adam": up(EIGHT, 2)}, epochs=999)
    said = " ".join(answer_text(build_study([*runs, *longer], ADAM)))
    assert "Taken alone" not in said
    assert "no optimizer was shown to be more accurate than Adam" in said


def test_flatter_optimizers_are_not_flatter_runs(make_runs: StudyMaker) -> None:
    """SAM is flatter and more accurate; which of its own runs is flatter says nothing."""
    scatter = [0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.4, -0.4]
    flat = [1.0, 1.1, 1.2, 1.3, 1.3, 1.2, 1.1, 1.0]
    runs = make_runs(
        {"adam": [80 + s for s in scatter], "sam": [90 + s for s in scatter]},
        top={"adam": [100 * f for f in flat], "sam": flat},
    )
    study = build_study(runs, ADAM)
    found = flat_and_accurate(study)
    assert found is not None
    every, within = found
    assert every.interval is not None
    assert within.interval is not None
    assert every.interval[1] < 0
    assert within.interval[0] < 0 < within.interval[1]
    assert within.pairs == 2 * 28  # of eight runs each
    text = " ".join(answer_text(study))
    assert "Over the 16 runs flatter runs were more accurate" in text
    same = "among runs of the same optimizer, flatness and accuracy were not shown to go together"
    assert same in text


def with_file(run: RunRecord, name: str, version: str) -> RunRecord:
    """Return a run as one that needed a file of one's own, whose sha256 is of one letter."""
    return run.with_sections(environment={**ENVIRONMENT, "plugins": {name: 64 * version}})


def test_runs_of_two_versions_of_an_optimizers_file_are_not_averaged(make_runs: StudyMaker) -> None:
    """Another optimizer may have come into the file meanwhile: each is looked at alone."""
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3), "asam": up(EIGHT, 2)})
    versions = {"sam": "aaaaaabb", "asam": "cccccccc"}
    runs = [
        with_file(run, "mine.py", versions[name][run.config.seed]) if name in versions else run
        for run in runs
        for name in [str(run.config.optimizer["name"])]
    ]
    first, second = build_study(runs, ADAM).groups
    assert [(line.label, len(line.records)) for line in first.lines] == [
        ("adam", 8),
        ("asam", 8),
        ("sam", 6),
    ]
    assert [(line.label, len(line.records)) for line in second.lines] == [("sam", 2)]
    assert second.title == "small-cnn on phantom (code 2 of 2)"
    (trouble,) = troubles((first, second), (), "SUITE", {})
    assert "other code" in trouble.kind
    assert trouble.runs == {run.name: "mine.py bbbbbbbbbb" for run in second.records}
    assert len(build_study(runs[:14] + runs[16:], ADAM).groups) == 1


def test_optimizers_on_two_versions_of_a_models_file_are_not_compared(
    make_runs: StudyMaker,
) -> None:
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3)})
    runs = [
        with_file(run, "net.py", "a" if run.config.optimizer["name"] == "adam" else "b")
        for run in runs
    ]
    study = build_study(runs, ADAM)
    assert [line.label for group in study.groups for line in group.lines] == ["adam", "sam"]
    assert len(study.groups) == 2
    assert not any(one.n for one in study.every())


def test_folds_of_other_images_or_code_are_not_averaged(make_record: RecordMaker) -> None:
    """Each fold is of one version, and all folds are of two."""
    runs = [make_record(split="kfold-5", fold=f, seed=s) for f in range(5) for s in range(2)]
    for change in ({"numerics": 1}, {"data": {**(runs[0].data or {}), "fingerprint": "g"}}):
        anew = [r.with_sections(**change) if (r.config.fold or 0) > 2 else r for r in runs]
        groups = build_groups(anew, "adam")
        assert [len(group.records) for group in groups] == [6, 4]


def test_sides_of_two_versions_of_a_file_are_told_apart(make_runs: StudyMaker) -> None:
    runs = make_runs({"sam": EIGHT})
    ours, theirs = ([with_file(r, "mine.py", version) for r in runs] for version in "ab")
    study, unmatched = contrast_runs(
        ours, theirs, [find_metric("accuracy")], names=("one", "other")
    )
    assert study.groups[0].title.endswith("(mine.py aaaaaaaaaa against bbbbbbbbbb)")
    assert unmatched == ()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"decayed": "matrices"}, "decayed all against matrices"),
        ({"label_smoothing": 0.1}, "label_smoothing 0 against 0.1"),
        ({"average": "ema"}, "average none against ema"),
        (
            {"optimizer": {"name": "sam", "weight_decay": 0.01, "max_norm": 1.0}},
            "optimizer.max_norm 0 against 1",
        ),
        (
            {"optimizer": {"name": "sam-on", "weight_decay": 0.01, "adaptive": True}},
            "optimizer.rho 0.5 against 10, optimizer.adaptive False against True",
        ),
    ],
)
def test_a_setting_that_a_record_leaves_out_is_at_its_default(
    make_record: RecordMaker, settings: dict[str, Any], told: str
) -> None:
    """It said "decayed None against matrices", as if nothing had decayed."""
    name = settings.get("optimizer", {}).get("name", "sam")
    left_out = {"optimizer": {"name": name, "weight_decay": 0.01}}
    usual, other = (
        [make_record(**{**left_out, **own}, seed=s) for s in range(6)] for own in ({}, settings)
    )
    study, _ = contrast_runs(usual, other, [find_metric("accuracy")], names=("one", "other"))
    assert study.groups[0].title.endswith(f"({told})")


def test_tables_of_several_settings_say_which_they_are_of(make_record: RecordMaker) -> None:
    """Two folders with the same runs: all tables of an optimizer had one title."""
    grid = [(lr, epochs) for lr in (0.1, 0.2) for epochs in (3, 4)]
    sides = [
        [make_record("adam", seed=s, lr=lr, epochs=e, accuracy=a) for lr, e in grid for s in (0, 1)]
        for a in (0.7, 0.8)
    ]
    study, _ = contrast_runs(*sides, [find_metric("accuracy")], names=("one", "other"))
    assert [group.title for group in study.groups] == [
        f"adam, small-cnn on phantom (epochs {epochs}, optimizer.lr {lr})" for lr, epochs in grid
    ]


def test_averaged_weights_are_not_called_the_last(make_record: RecordMaker) -> None:
    runs = [make_record("sam", seed=s, average="ema") for s in range(6)]
    study = build_study(runs, ReportSettings(baseline="sam"))
    text = " ".join(methods(study).paragraphs)
    assert "tested are the last weights, averaged over the steps;" in text
    assert "average=ema" in text


@pytest.mark.parametrize(("images", "shown"), [(12, False), (1200, True)])
def test_folds_that_agree_by_chance_are_no_certainty(
    make_record: RecordMaker, images: int, shown: bool
) -> None:
    """A dozen images more right by one in each of three folds: no spread, and p was 0."""
    records = [
        make_record(name, fold=f, split="kfold-3", accuracy=(8 + f + gain) / 12)
        for name, gain in (("adam", 0), ("sam", 1))
        for f in range(3)
    ]
    (one,) = build_study(on_images(images, records, folds=3), ADAM).groups[0].by("accuracy")
    error = 100 / images / 12**0.5 * (1 / 3 + 1 / 2) ** 0.5  # rounding to whole images
    assert one.p == pytest.approx(2 * stats.t.sf(100 / 12 / error, 2))
    half = stats.t.ppf(0.975, 2) * error
    assert (one.low, one.high) == pytest.approx((100 / 12 - half, 100 / 12 + half))
    assert (one.verdict == "better", one.sd) == (shown, pytest.approx(0, abs=1e-9))


def test_seeds_that_tie_by_chance_bound_no_loss_at_nothing(make_runs: StudyMaker) -> None:
    """Two seeds of eight images: "loses at most 0.0 points (95 %)"."""
    runs = make_runs({"adam": [75.0, 75.0], "sam": [75.0, 75.0]})
    study = build_study(on_images(8, runs), ADAM)
    decision = decide(study)
    assert decision is not None
    error = 100 / 8 / 12**0.5 / 2**0.5
    assert decision.loss == pytest.approx(stats.t.ppf(0.95, 1) * error)
    summary = summarize(study.groups[0], study.groups[0].lines[0], find_metric("accuracy"))
    half = stats.t.ppf(0.975, 1) * error
    assert (summary.low, summary.high) == pytest.approx((75 - half, min(75 + half, 100)))


def test_folds_of_unknown_sizes_are_taken_for_those_of_k(make_record: RecordMaker) -> None:
    """Five folds: n_test / n_train is 1 / 4, and no interval is that of independent seeds."""
    folds = {"split": "kfold-5"}
    runs = [make_record(seed=0, fold=k, accuracy=0.7 + k / 100, **folds) for k in range(1, 6)]
    (known,) = build_groups(on_images(100, runs), "adam")
    (unknown,) = build_groups([replace(run, data=None) for run in runs], "adam")
    assert known.test_over_train == pytest.approx(0.25)
    assert unknown.test_over_train == 0.25
