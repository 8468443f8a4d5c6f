from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from sambench.analysis.claims import HELD, NOT_BETTER, examine
from sambench.analysis.comparison import BETTER, WORSE
from sambench.analysis.grouping import Names, build_groups
from sambench.analysis.metrics import METRICS
from sambench.analysis.published import (
    COLUMNS,
    DATASETS,
    FAMILIES,
    TOO_FEW,
    WITHIN,
    family,
    printed_rows,
    printed_tables,
    replications,
)
from sambench.config.run_config import RunConfig
from sambench.data.source import sources
from sambench.data.splits import folds_of
from sambench.files.yaml_text import read_own_yaml
from sambench.optim.method import optimizers
from sambench.report.papers import claims_table, paper_tables, replication_table
from tests.analysis.conftest import StudyMaker
from tests.analysis.test_wrong_statements import EIGHT, PAPER, up

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


BUS = "hassan2024sharpness"
PLACE = ("dataset", "model", "optimizer")
EXPECTED = ("optimizer", "against", "models", "against_model", "expected", "factor")


def printed(part: str) -> list[dict[str, Any]]:
    """Return what `published.yaml` or `claims.yaml` says of each paper."""
    return list(read_own_yaml("sambench.analysis", part)["papers"])


def test_every_printed_row_once() -> None:
    tables = [table for table in printed_tables() if table.paper == BUS]
    rows = [row for row in printed_rows() if row.paper == BUS]
    assert sum(len(table.rows) for table in tables) == 28
    assert len(rows) == 24  # the four baselines are printed twice
    assert {row.model for row in rows} == set(FAMILIES)
    assert {row.dataset for row in rows} == {"bus"}


def test_what_is_printed_is_what_we_can_set_beside_it() -> None:
    """A row with a misspelt column, name or number would stand beside no run, and be missed."""
    for paper in printed("published.yaml"):
        assert len({str(table["id"]) for table in paper["tables"]}) == len(paper["tables"])
        for row in (row for table in paper["tables"] for row in table["rows"]):
            place, numbers = {key: row[key] for key in PLACE}, {*row} - {*PLACE, "bold"}
            assert numbers <= {*COLUMNS}, f"{place}: columns are {', '.join(COLUMNS)}"
            assert {*row.get("bold", ())} <= numbers, place
            assert all(isinstance(row[name], int | float | None) for name in numbers), place
            assert row["model"] in FAMILIES, f"{place}: add it to FAMILIES of published.py"
            assert optimizers.get(row["optimizer"]), place
            assert sources.get(DATASETS.get(row["dataset"], row["dataset"])), place


def test_claims_are_made_of_what_there_is() -> None:
    """A misspelt key or name would leave a claim untested for ever, or make it another."""
    papers = {paper["id"] for paper in printed("published.yaml")}
    made = [claim for paper in printed("claims.yaml") for claim in paper["claims"]]
    assert len({claim["name"] for claim in made}) == len(made)
    for paper in printed("claims.yaml"):
        assert set(paper) == {"paper", "where", "claims"}
        assert paper["paper"] in papers, "published.yaml has the papers"
        for values in itertools.product(*paper["where"].values()):
            where = dict(zip(paper["where"], values, strict=True))
            whole = {"optimizer": "sam", "model": "resnet50", **where}
            config = RunConfig.from_dict(whole)
            assert sources.get(config.dataset)
            folds_of(config.split)  # which names the splits there are
    for claim in made:
        assert set(claim) == {"name", "sentence", "source", "expect"}
        for item in claim["expect"]:
            (of,) = {"metrics", "correlation"} & set(item)
            assert set(item) <= {*EXPECTED, of}, f"{claim['name']}: keys are {', '.join(EXPECTED)}"
            assert item["expected"] in (BETTER, WORSE, NOT_BETTER), claim["name"]
            assert {*item.get("models", FAMILIES), item.get("against_model", "vit")} <= {*FAMILIES}
            assert optimizers.get(item.get("optimizer", "adam"))
            assert optimizers.get(item.get("against", "adam"))
            assert of == "correlation" or {"against", "against_model"} & set(item), claim["name"]


def test_a_claims_printed_numbers_are_those_of_its_own_paper_and_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second paper, or another data set, prints other numbers of the same cells."""
    claim = next(claim for claim in examine(()) if claim.name == "sam-beats-adam")
    before = [one.printed for one in claim.evidence]
    rows = printed_rows()
    other = [replace(row, paper="another", values={"test_accuracy": 1.0}) for row in rows]
    elsewhere = [replace(row, dataset="cifar10", values={"test_accuracy": 2.0}) for row in rows]
    monkeypatch.setattr(
        "sambench.analysis.claims.printed_rows", lambda: (*rows, *other, *elsewhere)
    )
    assert [one.printed for one in claim.evidence] == before


def test_repeated_baselines_are_the_same_numbers() -> None:
    first: dict[tuple[str, ...], dict[str, object]] = {}
    for paper in printed("published.yaml"):
        for row in (row for table in paper["tables"] for row in table["rows"]):
            cell = (paper["id"], *(row[key] for key in PLACE))
            numbers = {key: row.get(key) for key in COLUMNS}
            assert first.setdefault(cell, numbers) == numbers


def test_numbers_are_as_printed_and_on_our_scale() -> None:
    asam = next(r for r in printed_rows() if (r.model, r.optimizer) == ("vgg16", "asam"))
    assert (asam.values["train_minutes"], asam.of("train_seconds")) == (840, 840 * 60)
    assert (asam.of("accuracy"), asam.of("trace")) == (89.2, 18.46)
    assert [table.number for table in printed_tables() if asam in table.rows] == ["3"]
    assert asam.bold == ("test_accuracy", "hessian_sd")


def test_printed_accuracies_are_of_481_images() -> None:
    """The finding that the reading of the paper rests on, and a check of the transcription."""
    for row in (row for row in printed_rows() if row.paper == BUS):
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
    elsewhere = make_record("adam", model="resnet50", dataset="cifar10")
    every = replications(build_groups([*records, elsewhere], None))
    found = {one.metric.name: one for one in every}
    assert len(found) == len(every)
    accuracy = found["accuracy"]
    sd = stats.tstd([100 * a for a in shares])
    half = stats.t.ppf(0.975, 5) * sd * (1 + 1 / 6) ** 0.5
    assert accuracy.interval == pytest.approx((81 - half, 81 + half))
    assert (accuracy.printed, accuracy.verdict) == (80.2, WITHIN)
    assert found["train_seconds"].printed == 12 * 60
    (alone, *_) = replications(build_groups(records[:1], None))
    assert (alone.interval, alone.verdict) == (None, TOO_FEW)


def test_ranks_are_of_the_runs_of_one_architecture(make_runs: StudyMaker) -> None:
    runs = [
        run
        for model, seeds in (("resnet50", 8), ("vgg16", 6))
        for run in make_runs(
            {"adam": EIGHT[:seeds]}, top={"adam": EIGHT[:seeds]}, model=model, **PAPER
        )
    ]
    found = next(f for f in examine(build_groups(runs, "adam")) if f.name == "flatter-generalizes")
    numbers = {e.candidate[0]: e.correlation and e.correlation.runs for e in found.evidence}
    assert numbers == {"resnet50": 8, "vgg16": 6, "vit": None, "swin": None}


def test_the_marks_of_our_numbers_are_explained_beside_printed_ones(
    make_runs: StudyMaker,
) -> None:
    runs = make_runs({"adam": [80.0, 81.0]}, top={"adam": [5.0, -1.0]}, model="resnet50", **PAPER)
    groups = build_groups(runs, "adam")
    beside = replication_table(replications(groups), Names())
    for table in (beside, paper_tables(groups, (), Names())[0]):
        (note,) = (note for note in table.notes if note.startswith("§"))
        assert "at no minimum" in note
        assert "no run has it" not in note


def test_what_holds_by_another_size_than_the_printed_one_says_so(
    make_runs: StudyMaker,
) -> None:
    """On ResNet-50 the paper prints SAM +3.8 points: +1 holds, and is not that."""
    for gain, other in ((1.0, True), (3.8, False)):
        accuracies = {"adam": EIGHT, "sam": up(EIGHT, gain)}
        groups = build_groups(make_runs(accuracies, model="resnet50", **PAPER), "adam")
        found = next(f for f in examine(groups) if f.name == "sam-beats-adam")
        one = next(e for e in found.evidence if e.comparison is not None)
        assert (one.standing, one.other_size) == (HELD, other)
        (line,) = (note for note in claims_table([found]).notes if note.startswith("held: "))
        assert line.endswith("printed +3.8, a size that is not reproduced." if other else "+3.8.")
