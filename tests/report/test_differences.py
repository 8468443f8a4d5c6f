from __future__ import annotations

from typing import TYPE_CHECKING

from sambench.analysis.panels import build_panels
from sambench.report.differences import MOST_LINES, difference_tables
from sambench.report.table import Table

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


NAMES = ("accuracy", "train_seconds", "top")


def lines(table: Table) -> dict[str, list[str]]:
    return {label: [cell.text for cell in cells] for label, cells in table.rows}


def test_differences_with_everything_that_is_known(make_record: RecordMaker) -> None:
    """Differences 6, 7, 8, 9, 10, 11, 12, 13: mean 9.5, SD sqrt(6), t(7) 2.3646, p 2 / 256."""
    records = [
        *(make_record("adam", seed=s, accuracy=0.5) for s in range(8)),
        *(make_record("sam", seed=s, accuracy=0.56 + s / 100) for s in range(8)),
        *(make_record("gsam", seed=s, accuracy=0.5) for s in range(8)),
    ]
    (panel,) = build_panels(records, "adam")
    accuracy, seconds = difference_tables(panel, NAMES)
    assert accuracy.title == "small-cnn on phantom: Test accuracy (%), difference to adam"
    assert seconds.title == "small-cnn on phantom: Training time (s), difference to adam"
    assert accuracy.headings[1] == "Difference (points)"
    assert lines(accuracy) == {
        "sam": [
            *("+9.50", "+7.45 .. +11.5", "8", "0.0078", "0.016", "+3.88", "1.00", "better"),
        ],
        "gsam": ["+0.00", "+0.00 .. +0.00", "8", "1", "1", "–", "0.50", "no difference shown"],
    }
    assert [cell.bold for cell in accuracy.rows[0][1]] == [True, *[False] * 6, True]
    assert accuracy.notes[1] == (
        "Interval: Student t. It speaks of other seeds on the same test images, not of other "
        "images."
    )


def test_lower_times_come_first(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=s, seconds=seconds)
        for name, seconds in (("adam", 10), ("sam", 20), ("gsam", 5))
        for s in range(8)
    ]
    (panel,) = build_panels(records, "adam")
    table = difference_tables(panel, NAMES)[1]
    assert [label for label, _ in table.rows] == ["gsam", "sam"]
    assert lines(table)["gsam"][-1] == "better"


def test_who_cannot_be_paired_is_named(make_record: RecordMaker) -> None:
    adam = [make_record(seed=s) for s in range(2)]
    sam = [make_record("sam", seed=0), make_record("sam", seed=1, status="failed")]
    (panel,) = build_panels([*adam, *sam], "adam")
    notes = difference_tables(panel, NAMES)[0].notes
    assert f"Unpaired: {sam[1].name}: failed." in notes
    assert f"Unpaired: {adam[1].name}: no counterpart." in notes
    assert "Under 6 pairs nothing is called better or worse." in notes


def test_collapsed_runs_are_left_out_of_curvature_and_named(make_record: RecordMaker) -> None:
    records = [
        make_record(name, seed=s, collapsed=name == "sam" and s == 0, hessian={"top": {"value": s}})
        for name in ("adam", "sam")
        for s in range(3)
    ]
    (panel,) = build_panels(records, "adam")
    table = difference_tables(panel, NAMES)[-1]
    assert table.rows[0][1][2].text == "2"
    flat = next(record for record in records if record.final and record.final["test"]["collapsed"])
    assert f"Left out: {flat.name}: collapsed, so its curvature says nothing." in table.notes


def test_a_long_list_of_the_unpaired_is_cut(make_record: RecordMaker) -> None:
    adam = [make_record(seed=s) for s in range(MOST_LINES + 4)]
    (panel,) = build_panels([*adam, make_record("sam")], "adam")
    assert difference_tables(panel, NAMES)[0].notes[-1] == "And 3 more such runs."


def test_a_single_line_has_no_differences(make_record: RecordMaker) -> None:
    (panel,) = build_panels([make_record()], "adam")
    assert difference_tables(panel, NAMES) == ()
