from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from sambench.analysis.statistics import Summary
from sambench.report.markdown import to_markdown
from sambench.report.table import Cell, Table, format_summary
from sambench.report.tables import build_tables
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def hessian(top: float = 10.0, *, std: float | None = 0.5, unconverged: str = "") -> dict[str, Any]:
    """A curvature section whose other numbers follow from the top eigenvalue."""
    sure = {part: part != unconverged for part in ("top", "trace", "batches")}
    return {
        "definition": "per batch of 16",
        "samples": 32,
        "top": {"value": top, "converged": sure["top"]},
        "trace": {"value": 3 * top, "converged": sure["trace"]},
        "median": 1.1 * top,
        "mean": 1.2 * top,
        "std": std,
        "batch_spectrum": {"converged": sure["batches"]},
    }


def table_of(records: list[RunRecord], baseline: str = "adam") -> Table:
    (table,) = build_tables(records, baseline)
    return table


def texts(table: Table, label: str) -> dict[str, str]:
    cells = dict(table.rows)[label]
    return dict(zip(table.headings[1:], (cell.text for cell in cells), strict=True))


def bold(table: Table, heading: str) -> list[str]:
    place = table.headings.index(heading) - 1
    return [label for label, cells in table.rows if cells[place].bold]


def test_the_whole_text(make_record: RecordMaker) -> None:
    records = [
        make_record("adam", seed=0, accuracy=0.75, seconds=10, hessian=hessian(20)),
        make_record("adam", seed=1, accuracy=0.85, seconds=12, hessian=hessian(24)),
        make_record("sam", seed=0, accuracy=0.9, seconds=20, passes=200, hessian=hessian(8)),
        make_record("sam", seed=1, status="failed", error="broken"),
    ]
    failed = records[-1].name
    assert (
        to_markdown(table_of(records))
        == f"""\
### small-cnn on phantom

| Optimizer | Test accuracy (%) | Training time (s) | Gradient evaluations | Top eigenvalue \
| Median | Mean | SD | Trace |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| adam | 80.0 ± 7.1 (2) | **11.0 ± 1.4 (2)** | **100 ± 0 (2)** | 22.0 ± 2.8 (2) \
| 24.2 ± 3.1 (2) | 26.4 ± 3.4 (2) | 0.500 ± 0.000 (2) | 66.0 ± 8.5 (2) |
| sam | **90.0 (1)** | 20.0 (1) | 200 (1) | **8.00 (1)** | **8.80 (1)** | **9.60 (1)** \
| 0.500 (1) | **24.0 (1)** |

- Cells are mean ± SD (number of runs); bold is the best mean of its column.
- 32 px images, split holdout (32 train, 8 test), from scratch, batch 16, lr 0.0001 (constant), \
5 epochs, last weights, fp32, on a CPU.
- Top eigenvalue and trace: Hessian of the mean loss over 32 training images, evaluation mode. \
Median, mean and SD: over their batches (per batch of 16).
- Not counted, failed: {failed}.
- No difference to adam is marked: 1 pair of runs can show none at p < 0.05 after \
Holm's correction; 6 are the least.
"""
    )


def test_variants_are_labelled_by_what_differs(make_record: RecordMaker) -> None:
    records = [make_record("adam"), *(make_record({"name": "sam", "rho": r}) for r in (0.05, 0.1))]
    assert [label for label, _ in table_of(records).rows] == [
        "adam",
        "sam (rho=0.05)",
        "sam (rho=0.1)",
    ]


def test_a_table_for_each_dataset_and_model(make_record: RecordMaker) -> None:
    records = [make_record(dataset="bus"), make_record(model="vgg16"), make_record()]
    assert [table.title for table in build_tables(records)] == [
        "small-cnn on bus",
        "small-cnn on phantom",
        "vgg16 on phantom",
    ]


def test_what_was_not_measured_is_a_dash(make_record: RecordMaker) -> None:
    found = texts(table_of([make_record(hessian=hessian(std=None)), make_record("sam")]), "sam")
    assert found["Test accuracy (%)"] == "75.0 (1)"
    assert [found[name] for name in ("Top eigenvalue", "Median", "Trace")] == ["–", "–", "–"]


def test_a_part_of_the_curvature_that_is_missing(make_record: RecordMaker) -> None:
    found = texts(table_of([make_record(hessian=hessian(std=None))]), "adam")
    assert (found["SD"], found["Mean"]) == ("–", "12.0 (1)")


def test_an_optimizer_without_a_completed_run_keeps_its_line(make_record: RecordMaker) -> None:
    table = table_of([make_record("adam"), make_record("sam", status="diverged")])
    assert set(texts(table, "sam").values()) == {"–"}


def test_nothing_but_failures(make_record: RecordMaker) -> None:
    table = table_of([make_record(status="failed"), make_record(status="running", seed=1)])
    assert table.notes[1].endswith(", fp32, on no finished run.")
    assert [note.partition(":")[0] for note in table.notes[2:]] == [
        "Not counted, failed",
        "Not counted, running",
    ]


def test_a_collapsed_run_is_flagged_and_never_best(make_record: RecordMaker) -> None:
    records = [
        make_record("adam", accuracy=0.6, hessian=hessian(20)),
        make_record("sam", accuracy=0.7, hessian=hessian(10)),
        make_record("gcsam", accuracy=0.8, collapsed=True, hessian=hessian(0.1)),
    ]
    table = table_of(records)
    assert texts(table, "gcsam")["Test accuracy (%)"] == "80.0 (1)‡"
    assert texts(table, "gcsam")["Top eigenvalue"] == "–‡"
    assert bold(table, "Test accuracy (%)") == ["sam"]
    assert bold(table, "Top eigenvalue") == ["sam"]
    assert (
        "‡ a run predicts one class for every test image (collapsed); curvature is of the other "
        "runs, whose number is given."
    ) in table.notes


def test_curvature_is_of_the_runs_that_did_not_collapse(make_record: RecordMaker) -> None:
    records = [
        make_record(seed=seed, collapsed=seed == 1, hessian=hessian(top))
        for seed, top in enumerate((10.0, 0.1, 20.0))
    ]
    found = texts(table_of(records), "adam")
    assert found["Test accuracy (%)"] == "75.0 ± 0.0 (3)‡"
    assert found["Top eigenvalue"] == "15.0 ± 7.1 (2)‡"


def test_one_collapsed_run_of_several_flags_the_cell(make_record: RecordMaker) -> None:
    records = [make_record(seed=seed, collapsed=seed == 1) for seed in range(3)]
    assert texts(table_of(records), "adam")["Test accuracy (%)"].endswith("(3)‡")


@pytest.mark.parametrize(
    ("part", "flagged"),
    [
        ("top", ["Top eigenvalue"]),
        ("trace", ["Trace"]),
        ("batches", ["Median", "Mean", "SD"]),
    ],
)
def test_what_did_not_converge_is_flagged_and_never_best(
    make_record: RecordMaker, part: str, flagged: list[str]
) -> None:
    records = [
        make_record("adam", hessian=hessian(20, std=1.0)),
        make_record("gcsam", hessian=hessian(15, std=0.8)),
        make_record("sam", hessian=hessian(10, std=0.5, unconverged=part)),
    ]
    table = table_of(records)
    assert [name for name, text in texts(table, "sam").items() if "†" in text] == flagged
    for heading in ("Top eigenvalue", "Median", "Mean", "SD", "Trace"):
        assert bold(table, heading) == ["gcsam" if heading in flagged else "sam"]
    assert "† not converged within its budget; its error is in the record." in table.notes


def test_both_flags(make_record: RecordMaker) -> None:
    flat = make_record(collapsed=True, hessian=hessian(2))
    unsure = make_record(seed=1, hessian=hessian(3, unconverged="top"))
    assert texts(table_of([flat, unsure]), "adam")["Top eigenvalue"] == "3.00 (1)†‡"


def test_the_best_is_the_highest_accuracy_and_the_lowest_cost(make_record: RecordMaker) -> None:
    table = table_of(
        [
            make_record("adam", accuracy=0.7, seconds=5, passes=100),
            make_record("sam", accuracy=0.8, seconds=9, passes=200),
        ]
    )
    assert bold(table, "Test accuracy (%)") == ["sam"]
    assert bold(table, "Training time (s)") == ["adam"]
    assert bold(table, "Gradient evaluations") == ["adam"]


def test_equal_means_share_the_bold(make_record: RecordMaker) -> None:
    records = [
        make_record("adam", accuracy=0.8),
        make_record("gcsam", accuracy=0.8),
        make_record("sam", accuracy=0.7),
    ]
    assert bold(table_of(records), "Test accuracy (%)") == ["adam", "gcsam"]


def test_where_all_are_equal_none_is_best(make_record: RecordMaker) -> None:
    table = table_of([make_record("adam"), make_record("sam")])
    assert bold(table, "Test accuracy (%)") == []


def test_a_single_line_has_no_best(make_record: RecordMaker) -> None:
    assert bold(table_of([make_record()]), "Test accuracy (%)") == []


@pytest.mark.parametrize(
    ("seconds", "heading", "cell"),
    [
        (120, "Training time (s)", "120.0 (1)"),
        (121, "Training time (min)", "2.0 (1)"),
        (3600, "Training time (min)", "60.0 (1)"),
    ],
)
def test_long_trainings_are_in_minutes(
    make_record: RecordMaker, seconds: float, heading: str, cell: str
) -> None:
    assert texts(table_of([make_record(seconds=seconds)]), "adam")[heading] == cell


def test_one_unit_for_a_table(make_record: RecordMaker) -> None:
    table = table_of([make_record("adam", seconds=60), make_record("sam", seconds=180)])
    assert texts(table, "adam")["Training time (min)"] == "1.0 (1)"


def test_how_often_a_stop_rule_was_met(make_record: RecordMaker) -> None:
    records = [
        make_record(seed=seed, stop="train-accuracy=0.9", target_met=seed != 1) for seed in range(3)
    ]
    notes = table_of(records).notes
    assert "Stop rule train-accuracy was met by 2 of 3 runs." in notes
    assert ", until train-accuracy 0.9, at most 5 epochs, " in notes[1]


def test_the_protocol_names_every_learning_rate(make_record: RecordMaker) -> None:
    table = table_of([make_record("adam", lr=0.001), make_record("sam", lr=0.01)])
    assert ", lr 0.001 (but sam 0.01) (constant), " in table.notes[1]


def test_the_protocol_of_pretrained_models(make_record: RecordMaker) -> None:
    table = table_of([make_record(pretrained=True, selection="best-validation")])
    assert ", pretrained, batch 16, " in table.notes[1]
    assert ", best-validation weights, " in table.notes[1]


@pytest.mark.parametrize(
    ("mean", "sd", "decimals", "text"),
    [
        (81.25, 1.25, 1, "81.2 ± 1.2 (4)"),
        (81.25, None, 1, "81.2 (4)"),
        (123456.0, 7.0, None, "123456 ± 7 (4)"),
        (1234.5, 67.8, None, "1234 ± 68 (4)"),
        (12.345, 0.5, None, "12.3 ± 0.5 (4)"),
        (1.2345, 0.25, None, "1.23 ± 0.25 (4)"),
        (0.012345, 0.001, None, "0.0123 ± 0.0010 (4)"),
        (-0.5, 0.1, None, "-0.500 ± 0.100 (4)"),
        (0.0, 0.0, None, "0.00 ± 0.00 (4)"),
    ],
)
def test_numbers(mean: float, sd: float | None, decimals: int | None, text: str) -> None:
    assert format_summary(Summary(mean, sd, 4), decimals) == text


def test_markdown_of_any_table() -> None:
    table = Table(
        title="T",
        headings=("Optimizer", "A"),
        rows=(("adam", (Cell(text="1", bold=True),)), ("sam", (Cell(text="2"),))),
        notes=("one.", "two."),
    )
    assert to_markdown(table) == (
        "### T\n\n| Optimizer | A |\n| --- | ---: |\n| adam | **1** |\n| sam | 2 |\n\n"
        "- one.\n- two.\n"
    )


def marked(table: Table) -> dict[str, list[str]]:
    """The headings of the marked cells of each line that has one."""
    return {
        label: found
        for label, cells in table.rows
        if (found := [h for h, c in zip(table.headings[1:], cells, strict=True) if "*" in c.text])
    }


def test_a_difference_that_the_runs_show_is_marked(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=seed, accuracy=accuracy + seed / 1000, passes=100)
        for name, accuracy in (("adam", 0.7), ("sam", 0.8), ("gcsam", 0.7))
        for seed in range(8)
    ]
    table = table_of(records)
    assert marked(table) == {"sam": ["Test accuracy (%)"]}
    assert texts(table, "sam")["Test accuracy (%)"] == "80.4 ± 0.2 (8)*"
    assert bold(table, "Test accuracy (%)") == ["sam"]
    assert (
        "* differs from adam, p < 0.05 after Holm's correction over 2 optimizers; runs paired by "
        "seed and fold; sign-flip permutation, exact (256 flips); smallest possible p 0.0078."
    ) in table.notes


def test_a_worse_one_is_marked_too(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=seed, seconds=seconds)
        for name, seconds in (("adam", 10.0), ("sam", 20.0))
        for seed in range(6)
    ]
    assert marked(table_of(records)) == {"sam": ["Training time (s)"]}


def test_five_pairs_are_never_marked(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=seed, accuracy=accuracy)
        for name, accuracy in (("adam", 0.1), ("sam", 0.9))
        for seed in range(5)
    ]
    table = table_of(records)
    assert marked(table) == {}
    assert table.notes[-2] == (
        "No difference to adam is marked: 5 pairs of runs can show none at p < 0.05 after Holm's "
        "correction; 6 are the least."
    )


def test_the_pairs_needed_grow_with_the_family(make_record: RecordMaker) -> None:
    """7, as 2 optimizers times 2 of 2^7 sign flips is the first product below 0.05."""
    names = ("adam", "sam", "gcsam")
    records = [make_record(name, seed=seed) for name in names for seed in range(3)]
    assert table_of(records).notes[-2].endswith("after Holm's correction; 7 are the least.")


def test_a_family_too_large_for_its_pairs_is_said(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=seed, accuracy=accuracy)
        for name, accuracy in (("adam", 0.1), ("sam", 0.9), ("gcsam", 0.9))
        for seed in range(6)
    ]
    table = table_of(records)
    assert marked(table) == {}
    assert table.notes[-2].endswith("smallest possible p 0.031, too large for so many optimizers.")


def test_an_optimizer_with_fewer_pairs_does_not_hide_what_the_others_can_show(
    make_record: RecordMaker,
) -> None:
    records = [
        make_record(name, seed=seed, accuracy=accuracy)
        for name, accuracy, seeds in (("adam", 0.1, 10), ("sam", 0.9, 10), ("gcsam", 0.9, 5))
        for seed in range(seeds)
    ]
    table = table_of(records)
    assert marked(table) == {"sam": ["Test accuracy (%)"]}
    assert table.notes[-2].endswith("smallest possible p 0.002, with the fewest pairs 0.062.")


def test_without_a_baseline_nothing_is_marked(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=seed, accuracy=accuracy)
        for name, accuracy in (("sgd", 0.1), ("sam", 0.9))
        for seed in range(8)
    ]
    table = table_of(records, "adam")
    assert marked(table) == {}
    assert not any("differs" in note for note in table.notes)


def test_missing_cells_are_said_to_be_missing(make_record: RecordMaker) -> None:
    note = "– missing: no completed run that counts measured it."
    assert note in table_of([make_record(hessian=hessian()), make_record("sam")]).notes
    assert note not in table_of([make_record(hessian=hessian())]).notes


def test_a_perturbation_that_rounding_turned_aside_is_warned_of(make_record: RecordMaker) -> None:
    records = [make_record("adam")]
    for seed, cosine in enumerate((0.58, 0.62)):
        rounding = {"precision": "bf16", "changed": 0.016, "cosine": cosine}
        records.append(replace(make_record("sam", seed=seed), sharpness={"rounding": rounding}))
    (warning,) = [note for note in table_of(records).notes if "rounding" in note]
    assert warning == (
        "sam: rounding to bf16 left its perturbation 2% of the weights and a cosine of 0.60 with "
        "the one asked for (mean of the runs); only fp32 perturbs exactly."
    )


def test_a_perturbation_that_survives_rounding_is_not_warned_of(make_record: RecordMaker) -> None:
    kept = {"rounding": {"precision": "tf32", "changed": 0.3, "cosine": 0.98}}
    records = [replace(make_record("sam"), sharpness=kept), make_record("adam")]
    assert not any("rounding" in note for note in table_of(records).notes)
