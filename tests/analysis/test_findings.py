from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sambench.analysis.claims import CLAIMS
from sambench.analysis.findings import Finding, examine
from sambench.analysis.frame import frame
from sambench.analysis.metrics import find_metric
from sambench.analysis.published import FAMILIES
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

BY_NAME = {claim.name: claim for claim in CLAIMS}


def finding(name: str, records: list[RunRecord]) -> Finding:
    (found,) = examine(frame(records), [BY_NAME[name]])
    return found


def cells(
    make_record: RecordMaker, gains: dict[tuple[str, str], float], pairs: int = 8, **made: object
) -> list[RunRecord]:
    """Runs of models and optimizers with an accuracy of 0.7 plus their gain, and a little noise."""
    return [
        make_record(
            optimizer,
            model=model,
            image_size=32,
            seed=seed,
            accuracy=0.7 + gain + 0.001 * ((seed * 7 + len(optimizer)) % 5),
            **made,
        )
        for (model, optimizer), gain in gains.items()
        for seed in range(pairs)
    ]


def on_all(**gains: float) -> dict[tuple[str, str], float]:
    return {(model, name): gain for model in FAMILIES for name, gain in gains.items()}


def test_the_papers_own_numbers_satisfy_its_claims() -> None:
    """Each inequality holds in the printed tables; so claims and transcription agree."""
    for found in examine(frame([])):
        for evidence in found.evidence:
            expectation = evidence.expectation
            assert evidence.printed is not None
            better = (evidence.printed > 0) == find_metric(expectation.metric).higher_is_better
            if evidence.printed:
                assert better == (expectation.expected == "better"), (found.claim.name, expectation)


def test_without_runs_everything_is_undecided() -> None:
    assert {found.standing for found in examine(frame([]))} == {"undecided"}


def test_a_claim_that_holds(make_record: RecordMaker) -> None:
    found = finding("sam-beats-adam", cells(make_record, on_all(adam=0.0, sam=0.05)))
    assert found.standing == "held"
    assert len(found.evidence) == 4
    assert found.evidence[0].comparison.difference == pytest.approx(5.0, abs=0.3)
    assert found.evidence[0].printed == pytest.approx(3.8)


def test_one_failing_inequality_fails_the_claim(make_record: RecordMaker) -> None:
    gains = {**on_all(adam=0.0, sam=0.05), ("swin", "sam"): -0.05}
    found = finding("sam-beats-adam", cells(make_record, gains))
    assert found.standing == "not held"
    assert [e.standing for e in found.evidence] == ["held"] * 3 + ["not held"]


def test_a_missing_model_leaves_it_open(make_record: RecordMaker) -> None:
    gains = {k: v for k, v in on_all(adam=0.0, sam=0.05).items() if k[0] != "swin"}
    assert finding("sam-beats-adam", cells(make_record, gains)).standing == "undecided"


def test_too_few_pairs_leave_it_open(make_record: RecordMaker) -> None:
    few = cells(make_record, on_all(adam=0.0, sam=0.05), pairs=5)
    assert finding("sam-beats-adam", few).standing == "undecided"


def test_no_improvement_needs_an_interval_below_the_margin(make_record: RecordMaker) -> None:
    small = cells(make_record, on_all(adam=0.0, wsam=0.002))
    assert finding("wsam-helps-none", small).standing == "held"
    large = cells(make_record, on_all(adam=0.0, wsam=0.03))
    assert finding("wsam-helps-none", large).standing == "not held"
    worse = cells(make_record, on_all(adam=0.0, wsam=-0.03))
    assert finding("wsam-helps-none", worse).standing == "held"


def test_far_cheaper_asks_for_a_factor(make_record: RecordMaker) -> None:
    def trained(dear: float) -> list[RunRecord]:
        seconds = {"sam": 100.0, "crsam": 110.0, "asam": dear, "gsam": dear, "wsam": dear}
        return [
            make_record(name, model=model, seed=seed, seconds=time + seed)
            for model in FAMILIES
            for name, time in seconds.items()
            for seed in range(6)
        ]

    assert finding("sam-and-crsam-are-cheap", trained(1000.0)).standing == "held"
    assert finding("sam-and-crsam-are-cheap", trained(130.0)).standing == "not held"


def test_models_are_compared_by_the_same_seeds(make_record: RecordMaker) -> None:
    tops = {"resnet50": 900.0, "vgg16": 90.0, "swin": 80.0, "vit": 5.0}
    records = [
        make_record("adam", model=model, seed=seed, hessian={"top": {"value": top + seed}})
        for model, top in tops.items()
        for seed in range(6)
    ]
    found = finding("vit-is-flattest", records)
    assert found.standing == "held"
    assert (found.evidence[0].comparison.baseline, found.evidence[0].comparison.candidate) == (
        "resnet50",
        "vit",
    )


def test_two_protocols_in_one_cell_are_not_mixed(make_record: RecordMaker) -> None:
    once = cells(make_record, on_all(adam=0.0, sam=0.05))
    again = cells(make_record, on_all(sam=0.05), batch_size=32)
    found = finding("sam-beats-adam", once + again)
    assert found.standing == "undecided"
    assert "one of 2 runs alike" in found.evidence[0].comparison.unpaired[0]
