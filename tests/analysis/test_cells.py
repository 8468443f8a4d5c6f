"""Cells by name, as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sambench.analysis.cells import find_cell
from sambench.analysis.panels import Panel, build_panels
from sambench.errors import UserError

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

TOP = {"top": {"value": 3.0}}


@pytest.fixture
def one(make_record: RecordMaker) -> tuple[Panel, ...]:
    names = ("adam", "sam", "sam-on", {"name": "gsam", "rho_max": 0.1}, {"name": "gsam"})
    return build_panels([make_record(name, hessian=TOP) for name in names], "adam")


@pytest.fixture
def several(make_record: RecordMaker) -> tuple[Panel, ...]:
    models = ("small-cnn", "timm:hub/vit")
    return build_panels(
        [make_record(name, model=model) for model in models for name in ("adam", "sam")], "adam"
    )


@pytest.mark.parametrize(
    "query",
    [
        *("sam/test accuracy", "sam/Test accuracy (%)", "sam/accuracy", "SAM/acc"),
        *("small-cnn on phantom/sam/accuracy", "small/sam/test acc", " sam / accuracy "),
    ],
)
def test_names_of_one_cell(one: tuple[Panel, ...], query: str) -> None:
    assert find_cell(query, one).name == "small-cnn on phantom/sam/test accuracy"


@pytest.mark.parametrize(
    ("query", "metric"),
    [
        *(("sam/top", "top"), ("sam/top eigenvalue", "top"), ("sam/eigenvalue", "top")),
        *(("sam/time", "train_seconds"), ("sam/gradient_evaluations", "gradient_evaluations")),
    ],
)
def test_names_of_metrics(one: tuple[Panel, ...], query: str, metric: str) -> None:
    assert find_cell(query, one).metric.name == metric


def test_a_label_with_its_settings(one: tuple[Panel, ...]) -> None:
    assert find_cell("gsam (rho_max=0.1)/top", one).line.label == "gsam (rho_max=0.1)"
    assert find_cell("gsam rho_max=0.1/top", one).line.label == "gsam (rho_max=0.1)"


@pytest.mark.parametrize(
    ("query", "number", "one_of_them"),
    [
        ("gsam/top", 2, "small-cnn on phantom/gsam (rho_max=0.04)/top eigenvalue"),
        ("sam", 10, "small-cnn on phantom/sam/training time"),
        ("accuracy", 5, "small-cnn on phantom/adam/test accuracy"),
    ],
)
def test_an_ambiguous_name_lists_the_cells(
    one: tuple[Panel, ...], query: str, number: int, one_of_them: str
) -> None:
    with pytest.raises(UserError) as error:
        find_cell(query, one)
    assert str(error.value).startswith(f"{number} cells are {query!r}; name one: ")
    assert one_of_them in str(error.value)


@pytest.mark.parametrize("query", ["sma/accurcy", "nothing/at all", "sam/trace"])
def test_a_miss_offers_what_is_close(one: tuple[Panel, ...], query: str) -> None:
    with pytest.raises(UserError, match="cells are named optimizer/metric, as 'adam/"):
        find_cell(query, one)


def test_did_you_mean(one: tuple[Panel, ...]) -> None:
    with pytest.raises(UserError, match="did you mean 'sam/test accuracy'"):
        find_cell("sma/test accurcy", one)


def test_a_setting_where_there_are_several(several: tuple[Panel, ...]) -> None:
    assert find_cell("timm:hub/vit/sam/accuracy", several).panel.title == "timm:hub/vit on phantom"
    with pytest.raises(UserError, match="2 cells are 'sam/accuracy'"):
        find_cell("sam/accuracy", several)


def test_a_model_stands_for_the_baseline_of_its_table(several: tuple[Panel, ...]) -> None:
    cell = find_cell("small-cnn/accuracy", several)
    assert cell.name == "small-cnn on phantom/adam/test accuracy"
