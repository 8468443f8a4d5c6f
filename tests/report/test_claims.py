from __future__ import annotations

from typing import TYPE_CHECKING

from sambench.analysis.findings import examine
from sambench.analysis.frame import frame
from sambench.analysis.published import FAMILIES
from sambench.report.claims import claims_table

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def test_claims_with_their_numbers(make_record: RecordMaker) -> None:
    records = [
        make_record(name, model=model, seed=seed, accuracy=accuracy + seed / 100)
        for model in FAMILIES
        for name, accuracy in (("adam", 0.70), ("sam", 0.75))
        for seed in range(6)
    ]
    table = claims_table(examine(frame(records)))
    rows = {label: [cell.text for cell in cells] for label, cells in table.rows}
    assert rows["SAM is more accurate than Adam on all four models."] == [
        *("held", "4", "0", "0", "6")
    ]
    assert rows["WSAM is more accurate than Adam on none of the models."] == [
        *("undecided", "0", "0", "4", "–")
    ]
    assert (
        "held: sam on resnet50 better than adam on resnet50 by Test accuracy (%): +5 points "
        "(+5 to +5), 6 pairs, p = 0.031; printed +3.8."
    ) in table.notes
    assert not any("wsam" in note for note in table.notes)


def test_without_runs() -> None:
    table = claims_table(examine(frame([])))
    assert {cells[0].text for _, cells in table.rows} == {"undecided"}
    assert len(table.notes) == 1
