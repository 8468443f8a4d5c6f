from __future__ import annotations

from typing import Any

from sambench.report.searches import search_table


def tuning(name: str, scores: list[float | None], chosen: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "setting": {"model": "small-cnn", "dataset": "phantom", "fold": None},
        "optimizer": {"name": name},
        "trials": [{"validation_accuracy": score} for score in scores],
        "budget": {"gradient_evaluations": 640.0, "train_seconds": 12.34},
        "chosen": None if chosen is None else {"values": chosen},
    }


def content(*tunings: dict[str, Any]) -> dict[str, Any]:
    search = {"trials": 2, "seeds": [1000], "validation": 0.1}
    return {"suite": "study", "search": search, "tunings": list(tunings)}


def test_what_was_chosen_and_what_it_cost() -> None:
    table = search_table(
        content(
            tuning("sam", [0.8, 0.9], {"rho": 0.1, "lr": 0.001}),
            tuning("adam", [0.9, 0.8], {}),
            tuning("gsam", [0.9, None], None),
        ),
        "results/searches/study.json",
    )
    assert {label: [cell.text for cell in cells] for label, cells in table.rows} == {
        "sam": ["2 of 2", "80.0", "90.0", "rho=0.1, lr=0.001", "640", "12.3"],
        "adam": ["2 of 2", "90.0", "90.0", "as given", "640", "12.3"],
        "gsam": ["1 of 2", "90.0", "–", "search not done", "640", "12.3"],
    }
    assert table.notes[-1] == "Trials, their runs and values: results/searches/study.json."


def test_several_settings_are_named() -> None:
    other = {**tuning("sam", [0.5], {}), "setting": {"model": "vgg16", "dataset": "bus", "fold": 2}}
    table = search_table(content(tuning("sam", [0.5], {}), other), "x")
    assert [label for label, _ in table.rows] == [
        *("sam, small-cnn on phantom", "sam, vgg16 on bus, fold 2")
    ]
