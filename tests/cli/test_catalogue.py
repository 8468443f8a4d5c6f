from __future__ import annotations

import json

import pytest

from sambench.cli.catalogue import Part, catalogue
from sambench.errors import UnknownNameError

PARTS = catalogue()


def entry(part: Part, name: str) -> dict[str, object]:
    return next(entry for entry in part.entries if entry["name"] == name)


def row(part: Part, name: str) -> dict[str, str]:
    cells = next(row for row in part.rows if row[0] == name)
    return dict(zip(part.headings, cells, strict=True))


def test_the_kinds() -> None:
    assert list(PARTS) == ["optimizers", "models", "datasets", "launchers"]
    assert list(catalogue("settings")) == ["settings"]


def test_one_kind_only() -> None:
    assert list(catalogue("models")) == ["models"]


def test_an_unknown_kind() -> None:
    with pytest.raises(UnknownNameError) as caught:
        catalogue("model")
    assert str(caught.value) == (
        "unknown kind 'model': did you mean 'models'?; kinds: optimizers, models, datasets, "
        "launchers, suites, settings, runs"
    )


@pytest.mark.parametrize("kind", PARTS)
def test_rows_fit_their_headings(kind: str) -> None:
    part = PARTS[kind]
    assert {len(cells) for cells in part.rows} == {len(part.headings)}
    names = [entry["name"] for entry in part.entries]
    assert [cells[0] for cells in part.rows if not cells[0].startswith("timm:")] == names
    assert names == sorted(set(names))


@pytest.mark.parametrize("kind", PARTS)
def test_entries_are_plain(kind: str) -> None:
    entries = PARTS[kind].entries
    assert json.loads(json.dumps(entries)) == list(entries)
    assert all(entry["summary"] for entry in entries)


def test_an_optimizer() -> None:
    assert row(PARTS["optimizers"], "sam") == {
        "name": "sam",
        "passes per step": "2",
        "memory": "+1 x weights",
        "hyperparameters": "rho=0.05 (>= 0)",
        "defaults": "the authors named no values for Adam: they used these on SGD "
        "(github.com/google-research/sam)",
        "reference": "Foret et al., 2021, Sharpness-Aware Minimization, arXiv 2010.01412",
    }
    assert entry(PARTS["optimizers"], "gcsam")["hyperparameters"] == {
        "rho": {
            "default": 0.05,
            "range": ">= 0",
            "help": "radius of the ball, L2 norm over all weights",
        },
        "norm": {
            "default": "raw",
            "range": "raw | centered",
            "help": "|g| as in the code, or |GC(g)| as in the paper",
        },
        "center_descent": {
            "default": False,
            "range": "false | true",
            "help": "centralize the gradient at w + e too",
        },
        "conv_only": {
            "default": False,
            "range": "false | true",
            "help": "centralize tensors of more than three dimensions only",
        },
    }


def test_a_model() -> None:
    assert row(PARTS["models"], "vit")["smallest image"] == "32, x16"
    assert row(PARTS["models"], "small-cnn")["pretrained"] == "no"
    assert entry(PARTS["models"], "small-cnn")["pretrained"] is None
    assert PARTS["models"].rows[-1][0] == "timm:NAME"


def test_a_dataset() -> None:
    assert row(PARTS["datasets"], "bus")["options"] == "–"
    assert row(PARTS["datasets"], "phantom")["options"].startswith("images=600, seed=0, ")
    phantom = entry(PARTS["datasets"], "phantom")
    assert phantom["image_size"] == 64
    assert isinstance(phantom["options"], dict)
    assert phantom["options"]["images"]["minimum"] == 20
    assert row(PARTS["datasets"], "bus-uclm")["options"] == "normal=keep|drop"
    assert row(PARTS["datasets"], "cifar100")["classes"] == "100"
    assert row(PARTS["datasets"], "folder")["classes"] == "yours"
    folds = entry(PARTS["datasets"], "bus-bra")["options"]["folds"]
    assert folds["choices"] == [5, 10]
    assert folds["minimum"] is None


@pytest.mark.parametrize("dataset", PARTS["datasets"].entries, ids=lambda entry: entry["name"])
def test_a_dataset_says_whose_it_is(dataset: dict[str, object]) -> None:
    assert all(dataset[key] for key in ("summary", "obtain", "reference", "licence"))
    assert len(str(dataset["summary"])) <= 90
