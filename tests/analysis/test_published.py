from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scipy import stats

from sambench.analysis.claims import HELD, examine
from sambench.analysis.grouping import build_groups
from sambench.analysis.metrics import METRICS
from sambench.analysis.published import (
    COLUMNS,
    FAMILIES,
    WITHIN,
    family,
    printed_rows,
    printed_tables,
    replications,
)
from sambench.files.yaml_text import read_own_yaml
from sambench.report.papers import claims_table
from tests.analysis.conftest import StudyMaker
from tests.analysis.test_wrong_statements import EIGHT, PAPER, up

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def test_every_printed_row_once() -> None:
    assert sum(len(table.rows) for table in printed_tables()) == 28
    assert len(printed_rows()) == 24  # the four baselines are printed twice
    assert {row.model for row in printed_rows()} == set(FAMILIES)
    assert {row.dataset for row in printed_rows()} == {"bus"}


def test_repeated_baselines_are_the_same_numbers() -> None:
    first: dict[tuple[str, str], dict[str, object]] = {}
    for paper in read_own_yaml("sambench.analysis", "published.yaml")["papers"]:
        for table in paper["tables"]:
            for row in table["rows"]:
                numbers = {key: row[key] for key in COLUMNS}
                assert first.setdefault((row["model"], row["optimizer"]), numbers) == numbers


def test_numbers_are_as_printed_and_on_our_scale() -> None:
    asam = next(r for r in printed_rows() if (r.model, r.optimizer) == ("vgg16", "asam"))
    assert (asam.values["train_minutes"], asam.of("train_seconds")) == (840, 840 * 60)
    assert (asam.of("accuracy"), asam.of("trace")) == (89.2, 18.46)
    assert [table.number for table in printed_tables() if asam in table.rows] == ["3"]
    assert asam.bold == ("test_accuracy", "hessian_sd")


def test_printed_accuracies_are_of_481_images() -> None:
    """The finding that the reading of the paper rests on, and a check of the transcription."""
    for row in printed_rows():
        accuracy = row.values["test_accuracy"] / 100
        assert any(abs(k / 481 - accuracy) <= 0.0005 + 1e-12 for k in range(482)), accuracy


def test_columns_are_metrics() -> None:
    assert {of.name for of in COLUMNS.values()} <= {metric.name for metric in METRICS}


@pytest.mark.parametrize(
    ("model", "papers_name"),
    [
        ("resnet50", "resnet50"),
        ("vgg16-bn", "vgg16"),
        ("vit_b_16", "vit"),
        ("timm:swin_tiny_patch4_window7_224", "swin"),
        ("small-cnn", None),
    ],
)
def test_families(model: str, papers_name: str | None) -> None:
    assert family(model) == papers_name


def test_the_interval_of_one_further_run(make_record: RecordMaker) -> None:
    """mean ± t s sqrt(1 + 1 / n), the arithmetic of any textbook; 80.2 % is the printed number."""
    shares = [0.80, 0.82, 0.81, 0.79, 0.83, 0.81]
    records = [
        make_record("adam", model="resnet50", dataset="bus", seed=s, accuracy=a)
        for s, a in enumerate(shares)
    ]
    found = {one.metric.name: one for one in replications(build_groups(records, None))}
    accuracy = found["accuracy"]
    sd = stats.tstd([100 * a for a in shares])
    half = stats.t.ppf(0.975, 5) * sd * (1 + 1 / 6) ** 0.5
    assert accuracy.interval == pytest.approx((81 - half, 81 + half))
    assert (accuracy.printed, accuracy.verdict) == (80.2, WITHIN)
    assert found["train_seconds"].printed == 12 * 60


def test_what_holds_by_another_size_than_the_printed_one_says_so(
    make_runs: StudyMaker,
) -> None:
    """On ResNet-50 the paper prints SAM +3.8 points: +1 holds, and is not that."""
    for gain, other in ((1.0, True), (3.8, False)):
        accuracies = {"adam": EIGHT, "sam": up(EIGHT, gain)}
        groups = build_groups(make_runs(accuracies, model="resnet50", **PAPER), "adam")
        found = next(f for f in examine(groups) if f.claim.name == "sam-beats-adam")
        one = next(e for e in found.evidence if e.comparison is not None)
        assert (one.standing, one.other_size) == (HELD, other)
        (line,) = (note for note in claims_table([found]).notes if note.startswith("held: "))
        assert line.endswith("printed +3.8, a size that is not reproduced." if other else "+3.8.")
