from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sambench.analysis.frame import DATASET, MODEL, OPTIMIZER, STATUS, frame
from sambench.analysis.metrics import METRICS, find_metrics
from sambench.analysis.published import COLUMNS, FAMILIES, family, papers, published_frame
from sambench.analysis.replication import prediction_interval, replications
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def test_every_printed_row_once() -> None:
    found = published_frame()
    printed = [row for paper in papers() for table in paper["tables"] for row in table["rows"]]
    assert len(printed) == 28
    assert len(found) == 24  # the four baselines are printed twice
    assert set(found[STATUS]) == {"published"}
    assert set(found[MODEL]) == set(FAMILIES)
    assert set(found[DATASET]) == {"bus"}


def test_repeated_baselines_are_the_same_numbers() -> None:
    first: dict[tuple[str, str], dict[str, object]] = {}
    for paper in papers():
        for table in paper["tables"]:
            for row in table["rows"]:
                numbers = {key: row[key] for key in COLUMNS}
                assert first.setdefault((row["model"], row["optimizer"]), numbers) == numbers


def test_units_are_those_of_the_records() -> None:
    found = published_frame().set_index([MODEL, OPTIMIZER])
    asam = found.loc[("vgg16", "asam")]
    assert asam["final.test.accuracy"] == pytest.approx(0.892)
    assert asam["cost.train_seconds"] == 840 * 60
    assert asam["hessian.trace.value"] == 18.46
    assert asam["table"] == "3"


def test_printed_accuracies_are_of_481_images() -> None:
    """The finding that PAPERS.md rests on, and a check of the transcription."""
    for accuracy in published_frame()["final.test.accuracy"]:
        assert any(abs(k / 481 - accuracy) <= 0.0005 + 1e-12 for k in range(482)), accuracy


def test_columns_are_metrics() -> None:
    assert {column for column, _ in COLUMNS.values()} <= {metric.column for metric in METRICS}


@pytest.mark.parametrize(
    ("model", "papers_name"),
    [
        ("resnet50", "resnet50"),
        ("vgg16-bn", "vgg16"),
        ("timm:vit_tiny_patch16_224", "vit"),
        ("swin", "swin"),
        ("small-cnn", None),
        ("resnet18", None),
    ],
)
def test_families(model: str, papers_name: str | None) -> None:
    assert family(model) == papers_name


def ours(make_record: RecordMaker, accuracies: list[float], **settings: object) -> list[RunRecord]:
    return [
        make_record("sam", dataset="bus", model="vit", seed=s, accuracy=a, **settings)
        for s, a in enumerate(accuracies)
    ]


def test_one_more_run_by_hand() -> None:
    """Values 1, 2, 3: mean 2, SD 1, t(2) = 4.302653, reach sqrt(4 / 3)."""
    found = prediction_interval([1, 2, 3])
    assert found is not None
    assert found.high == pytest.approx(2 + 4.302653 * math.sqrt(4 / 3), rel=1e-6)
    assert prediction_interval([1.0]) is None


def test_a_printed_number_beside_our_runs(make_record: RecordMaker) -> None:
    """SAM on ViT is printed as 82.5 %."""
    metrics = find_metrics(["accuracy"])
    for accuracies, verdict in (
        ([0.80, 0.81, 0.82, 0.83, 0.84, 0.85], "within our runs"),
        ([0.70, 0.71, 0.72, 0.71, 0.70, 0.72], "above"),
        ([0.90, 0.91, 0.92, 0.91, 0.90, 0.92], "below"),
        ([0.70, 0.71, 0.72, 0.71, 0.70], "too few runs"),
    ):
        runs = frame(ours(make_record, accuracies))
        (found,) = replications(runs, published_frame(), metrics)
        assert (found.published, found.verdict) == (pytest.approx(82.5), verdict)
        assert found.ours.n == len(accuracies)
        mean = 100 * sum(accuracies) / len(accuracies)
        assert found.difference == pytest.approx(mean - 82.5)


def test_only_completed_runs_of_the_cell(make_record: RecordMaker) -> None:
    runs = [
        *ours(make_record, [0.8, 0.9]),
        make_record("sam", dataset="bus", model="vit", seed=7, status="failed"),
        make_record("sam", dataset="phantom", model="vit"),
        make_record("adam", dataset="bus", model="resnet18"),
    ]
    (found,) = replications(frame(runs), published_frame(), find_metrics(["accuracy"]))
    assert found.ours.n == 2
    assert replications(frame([]), published_frame(), METRICS) == ()


def test_collapsed_runs_say_nothing_of_curvature(make_record: RecordMaker) -> None:
    flat = ours(make_record, [0.6], collapsed=True, hessian={"top": {"value": 0.0}})
    runs = frame([*flat, *ours(make_record, [0.8, 0.8], hessian={"top": {"value": 5.0}})[1:]])
    accuracy, top = replications(runs, published_frame(), find_metrics(["accuracy", "top"]))
    assert (accuracy.ours.n, top.ours.n, top.ours.mean) == (2, 1, 5.0)
    assert top.collapsed == (flat[0].name,)
