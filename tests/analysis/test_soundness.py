"""Which records are counted, of those that could be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sambench.analysis.troubles import sound

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def test_runs_of_every_status_are_kept(make_record: RecordMaker) -> None:
    runs = [make_record(), make_record(seed=1, status="failed"), make_record(seed=2)]
    assert sound(runs) == (runs, [])


def test_a_copied_folder_counts_once(make_record: RecordMaker) -> None:
    run = make_record()
    kept, messages = sound([run, run])
    assert kept == [run]
    assert messages == [f"run {run.name} lies in two folders and is counted once"]
