from __future__ import annotations

from typing import TYPE_CHECKING

from sambench.analysis.contrast import contrast_optimizers
from sambench.analysis.frame import frame
from sambench.analysis.metrics import find_metrics
from sambench.analysis.published import published_frame
from sambench.analysis.replication import replications
from sambench.report.contrasts import contrast_tables, replication_table
from sambench.report.markdown import to_markdown

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def test_the_whole_text(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=s, accuracy=0.70) for s in range(7)]
    sam = [make_record("sam", seed=s, accuracy=0.71 + s / 100, seconds=20) for s in range(6)]
    metrics = find_metrics(["accuracy", "train_seconds", "top"])
    (table,) = contrast_tables(contrast_optimizers([*adam, *sam], "adam", "sam", metrics))
    assert (
        to_markdown(table)
        == f"""\
### sam against adam: small-cnn on phantom

| Metric | Baseline | Candidate | Difference | 95 % interval | Pairs | p (Holm) | Cohen's dz \
| P(better) | Verdict |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| Test accuracy (%) | 70.0 ± 0.0 (6) | 73.5 ± 1.9 (6) | +3.50 | +1.54 .. +5.46 | 6 | 0.0312 \
| +1.87 | 1.00 | better |
| Training time (s) | 10.0 ± 0.0 (6) | 20.0 ± 0.0 (6) | +10.0 | +10.0 .. +10.0 | 6 | 0.0312 \
| – | 0.00 | worse |

- All: sign-flip permutation, exact (64 flips); the smallest p that so many pairs allow is 0.031.
- Unpaired: {adam[6].name}: no counterpart.
"""
    )


def test_two_tests_two_notes_and_the_rule_of_six(make_record: RecordMaker) -> None:
    records = [
        make_record(name, split="kfold-3", fold=fold, hessian={"top": {"value": top}})
        for name in ("adam", "sam")
        for fold, top in ((1, 5.0), (2, 6.0), (3, None))
    ]
    metrics = find_metrics(["accuracy", "top"])
    (table,) = contrast_tables(contrast_optimizers(records, "adam", "sam", metrics))
    assert table.notes[0] == (
        "Test accuracy (%): Nadeau-Bengio corrected resampled t (3 test parts, n_test / n_train = "
        "0.25); p has no bound."
    )
    assert table.notes[1].startswith("Top eigenvalue: Nadeau-Bengio corrected resampled t (2 test")
    assert table.notes[2] == "Under six pairs nothing is called better or worse."
    assert sum(note.startswith("Top eigenvalue left out: ") for note in table.notes) == 1


def test_collapsed_and_unconverged_runs_are_named(make_record: RecordMaker) -> None:
    adam = make_record("adam", hessian={"top": {"value": 2000.0, "converged": False}})
    sam = make_record("sam", collapsed=True, hessian={"top": {"value": 0.0, "converged": True}})
    other = make_record("gcsam", hessian={"top": {"value": 10.0, "converged": True}})
    metrics = find_metrics(["accuracy", "top"])
    (table,) = contrast_tables(contrast_optimizers([adam, sam, other], "adam", "sam", metrics))
    assert [label for label, _ in table.rows] == ["Test accuracy (%)"]
    assert f"Collapsed: {sam.name}." in table.notes
    (table,) = contrast_tables(contrast_optimizers([adam, sam, other], "adam", "gcsam", metrics))
    assert f"Top eigenvalue not converged: {adam.name}." in table.notes
    assert table.rows[1][1][2].text == "-1990"


def test_nothing_in_common_is_said(make_record: RecordMaker) -> None:
    records = [make_record("adam"), make_record("sam", dataset="bus")]
    (table,) = contrast_tables(
        contrast_optimizers(records, "adam", "sam", find_metrics(["accuracy"]))
    )
    assert table.title == "Not compared"
    assert [label for label, _ in table.rows] == [
        "small-cnn on bus: only sam",
        "small-cnn on phantom: only adam",
    ]
    (table,) = contrast_tables(contrast_optimizers([], "adam", "sam", []))
    assert table.rows == (("the two sides have no setting in common", ()),)


def test_our_runs_beside_printed_numbers(make_record: RecordMaker) -> None:
    runs = [
        make_record("sam", dataset="bus", model="vit", seed=s, accuracy=0.8, collapsed=s == 1)
        for s in (0, 1)
    ]
    found = replications(frame(runs), published_frame(), find_metrics(["accuracy"]))
    table = replication_table(found)
    ((label, cells),) = table.rows
    assert table.title == "Beside hassan2024sharpness"
    assert [label, *(cell.text for cell in cells)] == [
        *("sam on vit", "Test accuracy (%)", "82.5", "80.0 ± 0.0 (2)‡", "-2.50", "80 .. 80"),
        "too few runs",
    ]
    assert runs[1].name in table.notes[-1]
