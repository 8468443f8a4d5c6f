"""Tables: what a cell says, what is bold, what is marked, and the papers' tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from sambench.analysis.claims import examine
from sambench.analysis.comparison import Comparison
from sambench.analysis.contrast import contrast_optimizers
from sambench.analysis.grouping import Names, build_groups, read_names
from sambench.analysis.inference import SEEDS
from sambench.analysis.metrics import find_metric
from sambench.analysis.predictions import Predictions
from sambench.analysis.study import build_study
from sambench.analysis.units import summarize
from sambench.config.suite import ReportSettings
from sambench.config.suite_file import load_suite
from sambench.errors import ConfigError
from sambench.report.contrasts import contrast_tables
from sambench.report.differences import COSTS, difference_tables
from sambench.report.explain import sources_of
from sambench.report.papers import _bold, claims_table, paper_tables
from sambench.report.table import (
    Cell,
    Table,
    factor,
    interval,
    listed,
    mean_and_spread,
    p_value,
    signed,
)
from sambench.report.tables import (
    baseline_tables,
    best_of,
    build_tables,
    centre_table,
    further_tables,
    main_table,
    result_sections,
)
from tests.analysis.conftest import StudyMaker
from tests.analysis.test_wrong_statements import EIGHT, PAPER, up
from tests.conftest import RecordMaker

ADAM = ReportSettings(baseline="adam")


def cell(table: Table, label: str, heading: str) -> Cell:
    (cells,) = (cells for name, cells in table.rows if name == label)
    return cells[table.headings.index(heading) - 1]


def test_shares_have_means_and_eigenvalues_geometric_ones(make_runs: StudyMaker) -> None:
    top = {"adam": [10.0, 1000.0], "sam": [1.0, 4.0]}
    table = main_table(
        build_study(make_runs({"adam": [80, 82], "sam": [90, 91]}, top=top), ADAM).groups[0]
    )
    assert cell(table, "Adam", "Test accuracy (%)").text == "81.0 ± 1.4 (2)"
    assert cell(table, "SAM", "Test accuracy (%)").bold
    found = cell(table, "Adam", "Top eigenvalue")
    assert found.text == f"100 ×÷ {np.exp(np.std(np.log([10, 1000]), ddof=1)):.2f} (2)"
    assert found.numbers["mean"] == pytest.approx(stats.gmean([10, 1000]))
    assert cell(table, "SAM", "Top eigenvalue").bold
    assert cell(table, "SAM", "Hessian trace").text == "–"


def test_marks_are_explained_where_they_stand(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": EIGHT, "sam": up(EIGHT, 3), "asam": up(EIGHT, 0.0)})
    table = main_table(build_study(runs, ADAM).groups[0])
    assert cell(table, "SAM", "Test accuracy (%)").text.endswith("*")
    assert cell(table, "ASAM", "Test accuracy (%)").text.endswith("≈")
    assert any("* differs from Adam" in note and "≈ equivalent" in note for note in table.notes)
    plain = main_table(build_study(runs[:8], ADAM).groups[0])
    assert not any("differs from" in note for note in plain.notes)


def test_no_minimum_is_never_bold(make_runs: StudyMaker) -> None:
    top = {"adam": [20.0] * 3, "gsam": [-193.0, 1.0, 2.0]}
    table = main_table(
        build_study(
            make_runs({"adam": EIGHT[:3], "gsam": EIGHT[:3]}, top=top),
            ADAM,
        ).groups[0]
    )
    found = cell(table, "GSAM", "Top eigenvalue")
    assert found.text == "1.41 ×÷ 1.63 (2)§"
    assert not found.bold
    assert any("§ a run is at no minimum (a curvature is zero" in n for n in table.notes)


def test_an_sd_of_zero_is_not_called_of_no_minimum(make_record: RecordMaker) -> None:
    """One batch has no spread: its SD has no logarithm, and is left out of a geometric mean."""
    spread = {"top": {"value": 9.0}, "mean": 9.0, "median": 9.0, "std": 0.0}
    study = build_study([make_record(hessian=spread)], ADAM)
    table = main_table(study.groups[0])
    assert cell(table, "Adam", "Hessian SD").text == "–§"
    assert any("or has a zero here, and is left out" in note for note in table.notes)
    found = sources_of(study, lambda _: Path("run.json"))
    (source,) = (one for one in found if one.name.endswith("/sd"))
    text = "\n".join(source.explain())
    assert "0 has no ratio to another value" in text
    assert "no minimum" not in text


def test_folds_are_averaged_over_seeds_and_counted(make_record: RecordMaker) -> None:
    runs = [
        make_record(fold=fold, split="kfold-3", seed=seed, accuracy=0.7 + 0.1 * fold + 0.02 * seed)
        for fold in range(3)
        for seed in range(2)
    ]
    table = main_table(build_study(runs, ADAM).groups[0])
    assert cell(table, "Adam", "Test accuracy (%)").text == "81.0 ± 10.0 (3)"


def test_rows_are_in_the_suites_order(make_runs: StudyMaker) -> None:
    runs = make_runs({"adam": [80], "sam": [81], "asam": [82]})
    planned = [run.config for run in (runs[1], runs[2], runs[0])]
    table = main_table(build_study(runs, ADAM, planned=planned).groups[0])
    assert [label for label, _ in table.rows] == ["Adam", "SAM", "ASAM"]
    assert [label for label, _ in build_tables(runs, ADAM)[0].rows] == ["Adam", "ASAM", "SAM"]


def test_margins_of_a_suite_decide_what_is_marked_as_equivalent(make_runs: StudyMaker) -> None:
    """SAM is as good as Adam in the mean, to 0.3 points in each of eight seeds."""
    gains = [0.3, -0.3] * 4
    runs = make_runs({"adam": EIGHT, "sam": [a + g for a, g in zip(EIGHT, gains, strict=True)]})

    def told(**margins: float) -> str:
        asked = ReportSettings(baseline="adam", margins=margins)
        return cell(build_tables(runs, asked)[0], "SAM", "Test accuracy (%)").text

    assert told(accuracy=0.02) == "80.4 ± 0.6 (8)≈"
    assert told(accuracy=0.0001) == "80.4 ± 0.6 (8)"
    assert told() == told(accuracy=0.01)
    for wrong in ({"accuracy": 2.0}, {"top": 0.9}, {"train_seconds": 1.0}):
        with pytest.raises(ConfigError, match="is not allowed; allowed: a "):
            told(**wrong)


def test_long_trainings_are_in_minutes(make_record: RecordMaker) -> None:
    (table,) = build_tables([make_record(seconds=720.0)], ADAM)
    assert cell(table, "Adam", "Training time (min)").text == "12.0 (1)"


def test_short_times_beside_long_ones_are_no_zeros(make_record: RecordMaker) -> None:
    seconds = {"adam": 3.0, "sam": 600.0, "asam": 0.006}
    runs = [make_record(name, seconds=time) for name, time in seconds.items()]
    (table,) = build_tables(runs, ADAM)
    column = table.headings.index("Training time (min)") - 1
    assert [cells[column].text for _, cells in table.rows] == [
        "0.0500 (1)",
        "1.00e-04 (1)",
        "10.0 (1)",
    ]


def test_differences_and_ratios(make_runs: StudyMaker) -> None:
    top = {"adam": [100.0 + s for s in range(8)], "sam": [31.0 + s for s in range(8)]}
    study = build_study(
        make_runs({"adam": EIGHT, "sam": up(EIGHT, 3, 0.3)}, top=top),
        ADAM,
    )
    accuracy, _, flat = (t for t in difference_tables(study, ("accuracy", *COSTS)))
    gains = np.array(up(EIGHT, 3, 0.3)) - EIGHT
    found = cell(accuracy, "SAM", "Difference (points)")
    low, high = stats.ttest_1samp(gains, 0).confidence_interval()
    assert found.numbers == {"estimate": pytest.approx(gains.mean())}
    ends = cell(accuracy, "SAM", "95 % interval")
    assert ends.numbers == {"low": pytest.approx(low), "high": pytest.approx(high)}
    assert ends.number == ends.numbers["low"]  # what the page sorts by
    assert cell(accuracy, "SAM", "p").numbers["p"] == pytest.approx(2 / 2**8)
    ratio = cell(flat, "SAM", "Ratio")
    assert ratio.numbers["estimate"] == pytest.approx(
        stats.gmean(np.array(top["sam"]) / np.array(top["adam"]))
    )
    assert ratio.text == "0.33x"


def test_two_classes_have_the_clinical_brier_score(make_record: RecordMaker) -> None:
    record = make_record()
    assert record.final is not None
    assert record.data is not None
    record = record.with_sections(
        final={**record.final, "test": {**record.final["test"], "brier": 0.25}},
        data={**record.data, "classes": ["benign", "malignant"]},
    )
    (table,) = further_tables(build_study([record], ADAM).groups[0], {"brier"})
    assert cell(table, "Adam", "Brier score").number == 0.125


def grid(make_runs: StudyMaker) -> list:  # type: ignore[type-arg]
    """The paper's four networks and six optimizers, eight seeds each."""
    gains = {"adam": 0.0, "sam": 2.0, "asam": -1.0, "gsam": 0.3, "wsam": 0.0, "crsam": 1.0}
    return [
        run
        for model in ("resnet50", "vgg16", "vit", "swin")
        for run in make_runs(
            {name: up(EIGHT, gain) for name, gain in gains.items()},
            top={name: [10.0 + k + 3 * gain for k in range(8)] for name, gain in gains.items()},
            seconds={"adam": 720.0, "sam": 1500.0},
            model=model,
            **PAPER,
        )
    ]


def test_the_papers_tables_beside_ours(make_runs: StudyMaker) -> None:
    groups = build_groups(grid(make_runs), "adam")
    tables = paper_tables(groups, load_suite(Path("paper-bus")).tables, Names())
    assert [t.stem for t in tables] == [f"hassan2024sharpness-table-{n}" for n in range(1, 6)]
    assert [label for label, _ in tables[0].rows[::2]] == [
        *("ResNet-50", "VGG-16", "ViT", "Swin Transformer")
    ]
    second = tables[1]
    assert second.title.startswith("Table 2 of hassan2024sharpness (arXiv 2408.04065): Baseline")
    assert [label for label, _ in second.rows[:4]] == [
        "Adam",
        "Adam, printed",
        "SAM",
        "SAM, printed",
    ]
    assert second.headings[1:] == (
        *("Test accuracy (%)", "Training time (min)", "Top eigenvalue"),
        *("Hessian median", "Hessian mean", "Hessian SD", "Hessian trace"),
    )
    printed = cell(second, "GSAM, printed", "Training time (min)")
    assert (printed.text, printed.numbers) == ("1440", {"printed": 1440})
    assert cell(second, "Adam, printed", "Training time (min)").text == "12"
    assert cell(second, "ASAM, printed", "Test accuracy (%)").bold


def test_the_papers_bold_rule(make_runs: StudyMaker) -> None:
    """Every accuracy above Adam's; the least time apart from Adam's own."""
    groups = build_groups(grid(make_runs), "adam")
    second = paper_tables(groups, (), Names())[1]
    bold = {label for label, _ in second.rows if cell(second, label, "Test accuracy (%)").bold}
    assert {label for label in bold if "printed" not in label} == {"SAM", "GSAM", "CR-SAM"}
    times = {label for label, _ in second.rows if cell(second, label, "Training time (min)").bold}
    assert "Adam" not in times
    assert times - {"CR-SAM, printed"} == {"ASAM", "GSAM", "WSAM", "CR-SAM"}
    top = {"adam": [1.0] * 8, "sam": [2.0] * 8}
    runs = make_runs({"adam": EIGHT, "sam": EIGHT}, top=top, model="resnet50", dataset="bus")
    flat = paper_tables(build_groups(runs, "adam"), (), Names())[1]
    assert cell(flat, "Adam", "Top eigenvalue").bold


def test_claims_are_a_table_with_every_inequality_below(make_runs: StudyMaker) -> None:
    table = claims_table(examine(build_groups(grid(make_runs), "adam")))
    rows = {label: [c.text for c in cells] for label, cells in table.rows}
    assert rows["SAM is more accurate than Adam on all four models."][:2] == ["held", "4"]
    assert rows["WSAM is more accurate than Adam on none of the models."][0] == "held"
    assert any("sam better than adam on resnet50, test accuracy: +2.0" in n for n in table.notes)
    assert any("printed +3.8" in note for note in table.notes)


def test_sections_of_several_settings_begin_with_the_statement_over_all(
    make_runs: StudyMaker,
) -> None:
    study = build_study(grid(make_runs), ADAM)
    sections = {section.title: section for section in result_sections(study)}
    assert sections["Results"].tables[0].title == "Adam on GDPH & SYSUCC, by model"
    first = sections["Differences in accuracy"].tables[0]
    assert first.title == "Over 4 settings: Test accuracy, difference to Adam"
    assert first.rows[0][0] == "SAM"


def test_names_of_ones_own(tmp_path: Path, make_runs: StudyMaker) -> None:
    path = tmp_path / "names.yaml"
    in_lines = "optimizers:\n  sam: |\n    Foret's\n    SAM\n  adam: ' '\n"  # but a row is one
    path.write_text(f"{in_lines}models: {{small-cnn: CNN}}\n")
    study = build_study(
        make_runs({"adam": [80], "sam": [81]}),
        ADAM,
        names=read_names(path),
    )
    assert study.groups[0].title == "CNN on phantom"
    assert [study.title_of(name) for name in ("sam", "adam")] == ["Foret's SAM", "Adam"]
    path.write_text("optimizers: {sam: Adam}\n")
    with pytest.raises(ConfigError, match="--names shows adam and sam as Adam; give each a name"):
        build_study(make_runs({"adam": [80], "sam": [81]}), ADAM, names=read_names(path))
    path.write_text("optimisers: {sam: SAM}\n")
    with pytest.raises(ConfigError, match="did you mean 'optimizers'"):
        read_names(path)
    for damage in (b"optimizers: {sam: [", "optimizers: {}".encode("utf-16")):
        path.write_bytes(damage)
        with pytest.raises(ConfigError, match=r"names\.yaml cannot be read \(.*\); give a YAML"):
            read_names(path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (signed(1.234, 1), "+1.2"),
        (signed(-0.0123, 1), "-0.01"),
        (signed(0.0, 1), "+0.0"),
        (factor(0.312), "0.31"),
        (factor(2.04), "2.0"),
        (factor(61.2), "61"),
        (factor(1.004), "1.00"),
        (factor(0.0041), "0.0041"),
        (factor(2.4e-9), "2e-09"),
        (factor(825144666.0), "8e+08"),
        (p_value(0.0004), "< 0.001"),
        (p_value(0.0004, named=True), "p < 0.001"),
        (p_value(0.0312), "0.031"),
        (p_value(102 / 2048), "0.0498"),  # a difference is shown, which 0.050 would hide
        (p_value(0.04996, named=True), "p = 0.04996"),
        (p_value(0.0503), "0.0503"),
        (p_value(0.05), "0.050"),
        (p_value(None), "–"),
        (mean_and_spread(84.04, 1.25, 1, ratio=False), "84.0 ± 1.2"),
        (mean_and_spread(0.144, 1.25, 1, ratio=True), "0.144 ×÷ 1.25"),  # seconds of a tiny run
        (mean_and_spread(1.44, 1.25, 1, ratio=True), "1.4 ×÷ 1.25"),
        (mean_and_spread(5.0, 1.25, 0, ratio=True), "5 ×÷ 1.25"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (listed(["a", "b", "c"], 2), "a, b and 1 more"),
    ],
)
def test_how_numbers_are_written(written: str, expected: str) -> None:
    assert written == expected


def test_accuracy_by_centre(make_runs: StudyMaker) -> None:
    """Four images of two centres: at A one of two is right, at B both."""
    runs = make_runs({"adam": [75.0, 75.0]})
    told = Predictions(
        ids=np.array(["a", "b", "c", "d"]),
        probabilities=np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]),
        labels=np.array([0, 1, 1, 1]),
    )
    group = build_study(runs, ADAM).groups[0]
    centres = {"a": "A", "b": "A", "c": "B", "d": "B"}
    table = centre_table(group, {run.id: told for run in runs}, centres)
    assert table is not None
    assert [c.text for c in table.rows[0][1]] == ["50.0 ± 0.0 (2)", "100.0 ± 0.0 (2)"]
    assert table.notes[0].endswith("(n): A 2, B 2 images. Differences were not tested.")
    others = Predictions(  # of another fold: all are counted, not those of the last run alone
        ids=np.array(["e", "f"]), probabilities=told.probabilities[:2], labels=told.labels[:2]
    )
    of_folds = {run.id: part for run, part in zip(runs, (told, others), strict=True)}
    folded = centre_table(group, of_folds, centres | {"e": "A", "f": "A"})
    assert folded is not None
    assert folded.notes[0].endswith("(n): A 4, B 2 images. Differences were not tested.")
    assert centre_table(group, {}, centres) is None
    assert centre_table(group, {run.id: told for run in runs}, dict.fromkeys("abcd", "A")) is None


def test_accuracy_by_centre_counts_folds_not_runs(make_record: RecordMaker) -> None:
    """Of A one of two seeds of a fold is right, and the only one of another."""
    runs = [
        make_record("adam", split="kfold-5", fold=fold, seed=seed)
        for fold, seed in ((0, 0), (0, 1), (1, 0))
    ]
    told = {}
    for run, right in zip(runs, (0.1, 0.9, 0.9), strict=True):
        probabilities = np.array([[right, 1 - right], [0.2, 0.8]])
        told[run.id] = Predictions(
            ids=np.array(["a", "b"]), probabilities=probabilities, labels=np.array([0, 1])
        )
    table = centre_table(build_study(runs, ADAM).groups[0], told, {"a": "A", "b": "B"})
    assert table is not None
    assert [c.text for c in table.rows[0][1]] == ["75.0 ± 35.4 (2)", "100.0 ± 0.0 (2)"]


def test_equal_means_are_bold_alike_whatever_rounding_makes_of_them() -> None:
    """101, 106, 103, 98 and 102 of 129 images right, or 107, 100, 98, 102 and 103."""
    hits = ((101, 106, 103, 98, 102), (107, 100, 98, 102, 103))
    one, other = (math.fsum(100.0 * (n / 129) for n in five) / 5 for five in hits)
    assert one != other
    accuracy = find_metric("accuracy")
    assert best_of({0: one, 1: other, 2: 70.0}, accuracy) == [0, 1]
    assert best_of({0: one, 1: other}, accuracy) == []
    assert best_of({}, accuracy) == []


def test_whoever_ties_with_adam_is_not_bold_as_above_it(make_record: RecordMaker) -> None:
    """As above, in a paper's table, where accuracies above Adam's are bold."""
    hits = {"adam": (101, 106, 103, 98, 102), "sam": (107, 100, 98, 102, 103)}
    runs = [
        make_record(name, seed=seed, accuracy=right / 129)
        for name, five in hits.items()
        for seed, right in enumerate(five)
    ]
    group = build_study(runs, ADAM).groups[0]
    accuracy = find_metric("accuracy")
    cells = [summarize(group, line, accuracy) for line in group.lines]
    assert (cells[0].mean or 0.0) < (cells[1].mean or 0.0)
    assert _bold(cells, accuracy, 0) == []


def test_each_pair_over_settings_is_a_table_of_its_own(make_runs: StudyMaker) -> None:
    """Where an optimizer was run with several settings, each says what itself has lost."""
    sams = [{"name": "sam", "rho": rho} for rho in (0.05, 0.1)]
    runs = [
        replace(run, config=replace(run.config, optimizer={**run.config.optimizer, **chosen}))
        for model in ("small-cnn", "resnet18")
        for chosen, last in ((None, 81), (sams[0], 82), (sams[1], None))
        for run in make_runs({"sam" if chosen else "adam": [80, last]}, model=model)
        for chosen in [chosen or {}]
    ]
    study, _ = contrast_optimizers(runs, "adam", "sam", [find_metric("accuracy")])
    first, second, *_ = contrast_tables(study, ())
    assert first.title == "sam (rho=0.05) against adam, over 2 settings"
    assert second.title == "sam (rho=0.1) against adam, over 2 settings"
    assert [label for label, _ in (*first.rows, *second.rows)] == ["Test accuracy (%)"] * 2
    assert first.notes == ()
    where = "they count in p as naming one class for every image would, and in no mean"
    assert second.notes == (f"Test accuracy: SAM (rho=0.1) lost 2 seeds; {where}.",)


@pytest.mark.parametrize(
    ("metric", "low", "high", "text"),
    [
        ("accuracy", -1.23, 2.34, "-1.2 to +2.3"),
        ("auroc", -4693.4, 4667.2, "-100.0 to +100.0"),
        ("top", 0.31, 2.0, "0.31 to 2.0"),
        ("top", 1e-9, 7e45, "under 0.001 to over 1000"),
        ("top", 0.0002, 0.0008, "2e-04 to 8e-04"),
        ("top", 2000.0, 3000.0, "2000 to 3000"),
        ("loss", -1.5, 200.0, "-1.50 to +200"),
    ],
)
def test_ends_of_an_interval(metric: str, low: float, high: float, text: str) -> None:
    found = Comparison(
        setting="", metric=find_metric(metric), baseline="adam", candidate="sam", design=SEEDS,
        low=low, high=high,
    )  # fmt: skip
    assert interval(found) == text


def test_the_baseline_by_model_where_all_other_settings_agree(make_runs: StudyMaker) -> None:
    """A table a protocol: other seeds are no other protocol, another batch or data set is one."""
    both = {"adam": [80, 82], "sam": [90, 91]}
    records = [
        *make_runs(both, model="small-cnn"),
        *make_runs({"adam": [70, 72, 74]}, model="resnet18"),
        *make_runs({"sam": [60, 61]}, model="vgg16"),
        *make_runs({"adam": [None]}, model="vit"),
        *make_runs(both, model="small-cnn", batch_size=8),
        *make_runs(both, model="resnet18", batch_size=8),
        *make_runs(both, model="resnet18", dataset="cifar10"),
    ]
    tables = baseline_tables(build_study(records, ADAM))
    assert [table.title for table in tables] == [
        "Adam on phantom (batch_size=8), by model",
        "Adam on phantom (batch_size=16), by model",
    ]
    assert [[label for label, _ in table.rows] for table in tables] == [
        ["ResNet-18", "small-cnn"],
        ["ResNet-18", "small-cnn"],
    ]
    second, first = (
        [cell(table, model, "Test accuracy (%)") for model in ("ResNet-18", "small-cnn")]
        for table in tables
    )
    assert [found.text for found in first] == ["72.0 ± 2.0 (3)", "81.0 ± 1.4 (2)"]
    assert [found.bold for found in first] == [False, True]
    assert [found.bold for found in second] == [False, False]  # equal means: none is the best
    assert tables[0].headings[0] == "Model" and not tables[0].keys
    assert first[0].source == "ResNet-18 on phantom (batch_size=16)/adam/accuracy"


def test_one_model_on_other_test_images_is_no_table_by_model(make_runs: StudyMaker) -> None:
    """Five drawings of a holdout were five rows called ResNet-18, all under the first's title."""
    records = [
        run
        for split_seed in (0, 1)
        for run in make_runs({"adam": [80, 82]}, model="resnet18", split_seed=split_seed)
    ]
    assert baseline_tables(build_study(records, ADAM)) == ()
    records += make_runs({"adam": [70, 72]}, model="small-cnn", split_seed=1)
    (table,) = baseline_tables(build_study(records, ADAM))
    assert table.title == "Adam on phantom (split_seed=1), by model"
    assert [label for label, _ in table.rows] == ["ResNet-18", "small-cnn"]


def test_no_table_by_model_for_a_single_model(make_runs: StudyMaker) -> None:
    study = build_study(make_runs({"adam": [80, 82], "sam": [90, 91]}), ADAM)
    assert baseline_tables(study) == ()
