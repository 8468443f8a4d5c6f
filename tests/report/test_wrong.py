from __future__ import annotations

from sambench.analysis.reach import Reach
from sambench.analysis.troubles import Trouble
from sambench.report.wrong import MOST_NAMES, beyond_reach, went_wrong


def of(title: str, pairs: int, family: int, parts: int = 1) -> Reach:
    return Reach(title=title, baseline="adam", pairs=pairs, family=family, parts=parts)


def test_nothing_is_said_to_be_nothing() -> None:
    section = went_wrong((), (), ())
    assert section.items == ()
    assert section.paragraphs[0].startswith("Nothing: ")


def test_runs_are_named_with_causes_and_the_remedy() -> None:
    trouble = Trouble(kind="Failed", runs=("a", "b"), remedy="Again.", details=("broken", ""))
    (item,) = went_wrong([trouble], (), ()).items
    assert item == "Failed: 2 runs. Again. Runs: a (broken), b."


def test_many_runs_are_counted_and_their_causes_summed_up() -> None:
    names = tuple(f"r{number}" for number in range(MOST_NAMES + 5))
    causes = ("broken",) * 20 + ("bent",) * 5
    (item,) = went_wrong(
        [Trouble(kind="Failed", runs=names, remedy="Again.", details=causes)], (), ()
    ).items
    assert item.startswith("Failed: 25 runs. Again. Runs: r0, r1, ")
    assert item.endswith("r19 and 5 more; causes: broken (20); bent (5).")


def test_damaged_records_come_first() -> None:
    trouble = Trouble(kind="Failed", runs=("a",), remedy="Again.")
    items = went_wrong([trouble], ["x/run.json is damaged; run it again"], ()).items
    assert items[0] == "Record not counted: x/run.json is damaged; run it again."


def test_what_can_never_be_shown_once_for_settings_alike() -> None:
    assert beyond_reach([of("a", 6, 5), of("b", 6, 5), of("c", 8, 5), of("d", 5, 1, 5)]) == (
        "a, b: 6 pairs of runs of each of 5 optimizers and adam can never reach p < 0.05 (smallest "
        "possible 0.16 after Holm); 8 pairs are the least.",
        "d: 5 pairs of runs of the other optimizer and adam can never reach p < 0.05; 6 pairs are "
        "the least.",
    )
