"""What a report says of a search: by which name, by which rule, and at which end of its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from sambench.analysis.study import build_study
from sambench.config.run_config import RunConfig
from sambench.config.search import Search, Tuning, plan_search
from sambench.config.suite import ReportSettings
from sambench.report.contrasts import chosen_text, names_of, search_table, searches_left
from sambench.report.explain import find_source, sources_of
from sambench.report.methods import methods
from sambench.store.record import RunRecord
from sambench.store.search_record import SearchRecord, found_now
from tests.conftest import RecordMaker

GRIDS = {"adam": {"lr": [0.01, 0.1]}, "sam": {"rho": [0.02, 0.1]}}


def run_of(optimizer: object, **settings: Any) -> RunConfig:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 1, "lr": 0.001}
    return RunConfig.from_dict({**given, "optimizer": optimizer, **settings})


def done(tuning: Tuning, scores: Sequence[float | None]) -> dict[str, RunRecord]:
    """Records of trials by their validation accuracies; None for one that diverged."""
    made = {}
    for trial, score in zip(tuning.trials, scores, strict=True):
        for run in trial.runs:
            final = {"validation": {"accuracy": score, "loss": 1.0}}
            record = RunRecord(config=run, status="completed", final=final)
            cost = {"gradient_evaluations": 10.5, "train_seconds": 2.0}
            record = replace(record, cost=cost)
            made[run.id] = record if score else replace(record, status="diverged", final=None)
    return made


def found_of(
    runs: Sequence[RunConfig], scores: Sequence[float | None] = (0.5, 0.6, 0.7), **given: Any
) -> SearchRecord:
    search = Search.from_dict({"trials": 3, "grids": GRIDS, **given})
    tunings = plan_search(search, runs)
    records = {key: record for t in tunings for key, record in done(t, scores).items()}
    return found_now("study", search, tunings, records)


BOTH = (run_of("adam"), run_of("sam"))


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        (BOTH, ["adam", "sam"]),
        (
            [run_of(name, split="kfold-2", fold=f) for name in ("adam", "sam") for f in (1, 2)],
            ["adam (fold=1)", "adam (fold=2)", "sam (fold=1)", "sam (fold=2)"],
        ),
        (
            [run_of("adam"), run_of("adam", epochs=2), run_of("sam")],
            ["adam (epochs=1)", "adam (epochs=2)", "sam"],
        ),
        (
            [run_of("adam"), *(run_of({"name": "sam", "rho": rho}) for rho in (0.05, 0.3))],
            ["adam", "sam (rho=0.05)", "sam (rho=0.3)"],
        ),
    ],
)
def test_every_search_has_a_name_of_its_own(
    runs: Sequence[RunConfig], names: list[str], make_record: RecordMaker
) -> None:
    found = found_of(runs)
    assert names_of(found) == names
    assert [name for name, _ in search_table(found, "file").rows] == names
    study = build_study([make_record("adam")], ReportSettings())
    sources = tuple(sources_of(study, lambda record: record.name, search=found))  # type: ignore[arg-type,return-value]
    for name in names:
        text = list(find_source(f"search/{name}", sources).explain())
        assert text[0].startswith(f"{name}, small-cnn on phantom")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "validated on 20 % of the training images."),
        ({"selection": "best-validation"}, "validated on 10 % of the training images."),
        ({"validation": 0.3}, "validated on 30 % of the training images."),
        (
            {"split": "authors"},
            "validated on 20 % of the training images, or on those that the source sets apart for "
            "it.",
        ),
    ],
)
def test_the_share_that_validated_is_that_of_the_trials(
    settings: Mapping[str, Any], said: str
) -> None:
    found = found_of([run_of(name, **settings) for name in ("adam", "sam")], validation=0.2)
    assert said in search_table(found, "file").notes[0]


def test_the_table_its_rule_and_its_costs() -> None:
    table = search_table(found_of(BOTH, seeds=[7, 8]), "results/searches/study.json")
    assert [[cell.text for cell in cells] for _, cells in table.rows] == [
        ["3 of 3", "50.0", "70.0", text, "63", "12.0"]
        for text in ("lr=0.1", f"rho={table.rows[1][1][3].text.removeprefix('rho=')}")
    ]
    rule, edges, where = table.notes
    assert rule == (
        "In each setting each optimizer was tried at 3 points of its grid with 2 seeds (7, 8) and "
        "validated on 10 % of the training images. The point with the highest mean validation "
        "accuracy was chosen; of equal ones that with the lowest mean validation loss, then the "
        "earlier. A point of which a run failed or diverged was never chosen. The test images play "
        "no role."
    )
    assert "adam lr=0.1 (greatest)" in edges
    assert where == "Trials, their runs and values: results/searches/study.json."


@pytest.mark.parametrize(
    ("grid", "best", "edges"),
    [
        ({"lr": [0.01, 0.1]}, 0, ["lr=0.001 (least)"]),
        ({"lr": [0.0001, 0.01]}, 0, []),
        ({"weight_decay": [0.1, 0.01]}, 0, []),  # no decay is less than none
        ({"amsgrad": [True, False], "lr": [0.0001, 0.01]}, 0, []),
        ({"max_norm": [1, 2]}, 0, []),
    ],
)
def test_ends_of_what_was_tried(grid: dict[str, list[Any]], best: int, edges: list[str]) -> None:
    scores = [0.9 if place == best else 0.5 for place in range(3)]
    found = found_of([BOTH[0]], scores, grids={"adam": grid})
    said = [note for note in search_table(found, "file").notes if note.startswith("At an end")]
    text = (
        "At an end of the values tried, beyond which better ones may lie (wider `search: grids:`): "
    )
    assert said == [text + f"adam {edge}." for edge in edges]


def test_what_no_trial_has_shown_is_at_no_end() -> None:
    table = search_table(found_of(BOTH, (None, None, None)), "file")
    assert [cells[3].text for _, cells in table.rows] == [
        "as given, for no trial was completed"
    ] * 2
    assert len(table.notes) == 2


def test_trials_whose_budget_is_not_spent_are_named() -> None:
    """The cap on epochs ends Adam's before SAM's: trials have fewer images than final runs."""
    search = Search.from_dict({"trials": 3, "grids": GRIDS})
    tunings = plan_search(search, BOTH)
    records = {key: record for t in tunings for key, record in done(t, (0.5, 0.6, 0.7)).items()}
    for run in tunings[0].runs[:2]:
        final = {**dict(records[run.id].final or {}), "target_met": False}
        records[run.id] = replace(records[run.id], final=final)
    found = found_now("study", search, tunings, records)
    assert [tuning.budget.unmet for tuning in found.tunings] == [2, 0]
    said = [note for note in search_table(found, "file").notes if "stop rule" in note]
    assert said == [
        "Trials whose epochs were over before their stop rule was met (they have fewer training "
        "images than final runs, so fewer steps in an epoch): 2 of 3 of adam."
    ]


def test_what_was_chosen_in_words() -> None:
    for scores, text in (
        ((0.5, 0.6, 0.7), "lr=0.1"),
        ((0.5, 0.5, 0.5), "as given"),
        ((None, None, None), "as given, for no trial was completed"),
        ((None, None, 0.1), "lr=0.1"),
    ):
        found = found_of(BOTH, scores)
        assert chosen_text(found.tunings[0]) == text
        assert searches_left(found, "study.yaml") == ()
    search = Search.from_dict({"trials": 3, "grids": GRIDS})
    open_search = found_now("study", search, plan_search(search, BOTH), {})
    assert chosen_text(open_search.tunings[0]) == "search not done"
    assert searches_left(open_search, "study.yaml") == (
        "Search not done: adam and sam. No final run has its values, so comparisons with tuned "
        "optimizers are not yet fair; `sambench compare study.yaml` goes on, with `--retry stale` "
        "where trials are stale.",
    )


def test_methods_tell_of_the_search(make_record: RecordMaker) -> None:
    study = build_study([make_record("adam")], ReportSettings())
    (told,) = [p for p in methods(study, found_of(BOTH)).paragraphs if "Hyperparameters" in p]
    assert "each optimizer was tried at 3 points of its grid with 1 seed (1000)" in told
    assert "The 6 runs of the search took 63 gradient evaluations and 0.00 h of training" in told
    assert not any("Hyperparameters" in p for p in methods(study).paragraphs)
