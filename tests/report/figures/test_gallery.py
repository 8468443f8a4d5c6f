"""All figures together: which are drawn, which are left out, and that nothing breaks a report."""

from __future__ import annotations

import inspect
import io
import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from sambench.analysis.curves import with_stored_predictions
from sambench.report import figures
from sambench.report.figures import gallery
from sambench.report.figures.curvature import densities, lines, planes
from sambench.report.figures.gallery import draw_gallery
from sambench.report.style import COLUMN, DPI, Picture
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from tests.report.figures.conftest import RunMaker, damage_last_epoch, material_of, truncate

Made = tuple[tuple[Picture, ...], tuple[str, ...]]

NAME = "small-cnn on phantom"
PLACE = "small-cnn-on-phantom"
OF_RECORDS = ["accuracy-phantom", *(f"{kind}-{PLACE}" for kind in ("paired", "cost"))]
OF_CURVATURE = [f"flatness-{PLACE}", f"batches-{PLACE}"]
OF_STUDIES = [f"{kind}-{PLACE}" for kind in ("densities", "landscape-lines", "landscape-planes")]
OF_HISTORY = [f"learning-{PLACE}"]
OF_PREDICTIONS = [f"{kind}-{PLACE}" for kind in ("roc", "reliability", "confusion")]
EVERY = {*OF_RECORDS, *OF_CURVATURE, *OF_STUDIES, *OF_HISTORY, *OF_PREDICTIONS}


def stems(made: Made) -> set[str]:
    return {picture.stem.removeprefix("figure-") for picture in made[0]}


def said(made: Made) -> list[str]:
    return list(made[1])


def study(add: RunMaker, optimizers: Sequence[str], seeds: int, **settings: Any) -> list[RunRecord]:
    return [
        add(name, seed, accuracy=0.7 + 0.02 * place + 0.01 * (seed % 3), **settings)
        for place, name in enumerate(optimizers)
        for seed in range(seeds)
    ]


def test_every_kind_that_one_setting_can_have(add: RunMaker, store: Store) -> None:
    files = ("history", "predictions", "studies")
    runs = study(add, ["adam", "sam", "asam"], 6, files=files)
    made = draw_gallery(material_of(runs, store))
    assert stems(made) == EVERY
    assert said(made) == [
        f"Cost to a target accuracy, {NAME}: the baseline's runs have no validation accuracy to "
        "aim at.",
        "Critical-difference diagram: 1 setting; ranks need 6 at least.",
    ]
    validated = study(add, ["adam", "sam"], 2, validation=True, batch_size=8)
    assert any("targets" in stem for stem in stems(draw_gallery(material_of(validated, store))))


def test_what_draws_a_figure_is_in_the_gallery() -> None:
    """So that a figure whose line in `gallery.py` was forgotten is not drawn by nobody."""
    drawing = {
        f"{module.name}.{name}"
        for module in pkgutil.iter_modules(figures.__path__)
        for name, of in vars(import_module(f"{figures.__name__}.{module.name}")).items()
        if inspect.isfunction(of) and of.__module__.endswith(f".{module.name}")
        if of.__annotations__.get("return") == "Drawn" and not name.startswith("_")
        if getattr(gallery, name, None) is not of
    }
    assert drawing == set(), "name them in sambench/report/figures/gallery.py"


def test_pictures_are_a_column_wide(add: RunMaker, store: Store) -> None:
    for picture in draw_gallery(material_of(study(add, ["adam", "sam"], 2), store))[0]:
        with Image.open(io.BytesIO(picture.png)) as image:
            assert image.format == "PNG"
            assert image.width == round(COLUMN * DPI)
        assert picture.pdf.startswith(b"%PDF")
        assert picture.svg.startswith('<svg role="img"')
        assert picture.caption.endswith(".")
        assert picture.title


def test_records_alone(add: RunMaker, store: Store) -> None:
    runs = study(add, ["adam", "sam"], 3, files=(), top=None)
    made = draw_gallery(material_of(runs, store))
    assert stems(made) == set(OF_RECORDS)
    lines = said(made)
    assert len(lines) == 10
    assert "sambench hessian RUN --density" in "".join(lines)
    assert any(line.startswith(f"ROC curves, {NAME}: no completed") for line in lines)


def test_one_run(add: RunMaker, store: Store) -> None:
    made = draw_gallery(material_of([add()], store))
    assert f"learning-{PLACE}" in stems(made)
    assert any("fewer than two optimizers" in line for line in said(made))
    assert any("no run has a counterpart of Adam" in line for line in said(made))


def test_letters_that_the_type_has_not_are_named(add: RunMaker, store: Store) -> None:
    runs = study(add, ["adam", "sam"], 2)
    assert not any("boxes" in line for line in said(draw_gallery(material_of(runs, store))))
    there = [replace(run.config, dataset="乳腺") for run in runs]
    renamed = [replace(run, config=config) for run, config in zip(runs, there, strict=True)]
    *_, line = said(draw_gallery(material_of(renamed, store)))
    assert "has no 乳腺, which are boxes there" in line


def test_no_run_is_completed(add: RunMaker, store: Store) -> None:
    made = draw_gallery(material_of([add(status="failed")], store))
    assert made[0] == ()
    assert said(made) == ["Figures: no run is completed."]
    assert draw_gallery(material_of([], store)) == made


def test_without_the_baseline(add: RunMaker, store: Store) -> None:
    made = draw_gallery(material_of(study(add, ["sam", "asam"], 2), store))
    assert "accuracy-phantom" in stems(made)
    assert f"paired-{PLACE}" not in stems(made)
    assert any("the baseline has no completed run" in line for line in said(made))


@pytest.mark.parametrize("damage", [truncate, damage_last_epoch])
def test_a_damaged_history_is_named_and_the_others_drawn(
    add: RunMaker, store: Store, damage: Any
) -> None:
    runs = study(add, ["adam", "sam"], 3)
    damage(store.history(runs[4].config))
    made = draw_gallery(material_of(runs, store))
    assert set(OF_HISTORY) <= stems(made)
    (line,) = (line for line in said(made) if runs[4].name in line)
    assert "history.jsonl" in line
    assert "run it again" in line


@pytest.mark.parametrize(
    "lines", ["3\n", "[]\n", '{"epoch": "one"}\n', "null\n", '{"epoch": 1, "train_loss": NaN}\n']
)
def test_a_history_of_something_else(add: RunMaker, store: Store, lines: str) -> None:
    runs = study(add, ["adam", "sam"], 2)
    store.history(runs[0].config).write_text(lines)
    assert any("history.jsonl" in line for line in said(draw_gallery(material_of(runs, store))))


def test_an_empty_history(add: RunMaker, store: Store) -> None:
    runs = study(add, ["adam", "sam"], 2)
    store.history(runs[0].config).write_text("")
    assert set(OF_RECORDS) <= stems(draw_gallery(material_of(runs, store)))


def test_damaged_predictions(add: RunMaker, store: Store) -> None:
    runs = study(add, ["adam", "sam"], 3)
    truncate(store.predictions(runs[0].config))
    odd = {"version": 1, "ids": np.array(["a"]), "labels": np.array([7])}
    np.savez(store.predictions(runs[1].config), probabilities=np.array([[0.5, 0.5]]), **odd)
    made = draw_gallery(material_of(runs, store))
    assert set(OF_PREDICTIONS) <= stems(made)
    _, _, damaged = with_stored_predictions(runs, store)
    assert sum("predictions.npz is damaged" in line for line in damaged) == 2


def test_files_that_are_all_damaged_are_not_called_missing(add: RunMaker, store: Store) -> None:
    files = ("history", "predictions", "studies")
    runs = study(add, ["adam", "sam"], 1, files=files, validation=True)
    for path in store.runs.glob("*/*.npz"):
        truncate(path)
    for run in runs:
        damage_last_epoch(store.history(run.config))
    text = "\n".join(said(draw_gallery(material_of(runs, store))))
    for kind in ("Spectral densities", "Loss along a line"):
        assert f"{kind}, {NAME}: no run has one that can be drawn.\n" in text
    for kind in ("Cost to a target", "Learning", "ROC", "Reliability", "Confusion matrices"):
        (line,) = (line for line in text.splitlines() if line.startswith(kind))
        assert line.endswith(" that can be read.")


def test_damaged_studies(add: RunMaker, store: Store) -> None:
    runs = study(add, ["adam", "sam"], 1, files=("studies",))
    for run in runs:
        for file in ("density.npz", "landscape-line.npz", "landscape-plane.npz"):
            truncate(store.folder(run.config) / file)
    made = draw_gallery(material_of(runs, store))
    assert not stems(made) & set(OF_STUDIES)
    assert sum("measure it again" in line for line in said(made)) == 6


FILES = {
    "density.npz": (densities, ("grid", "density", "density_stderr", "resolved", "scale")),
    "landscape-line.npz": (lines, ("x", "loss", "accuracy")),
    "landscape-plane.npz": (planes, ("x", "y", "loss")),
}
SPOILED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "longer": lambda array: np.concatenate([np.atleast_1d(array)] * 2),
    "flat": lambda array: np.stack([array, array]),
    "empty": lambda array: np.zeros(np.shape(array))[..., None][:0],
    "text": lambda array: np.full(np.shape(array), "one"),
    "NaN": lambda array: np.full(np.shape(array), np.nan),
}


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize(("file", "name"), [(f, n) for f in FILES for n in FILES[f][1]])
def test_a_study_of_wrong_arrays_is_named_and_the_others_drawn(
    add: RunMaker, store: Store, file: str, name: str, spoil: str
) -> None:
    """What was a traceback of the whole report: arrays of other shapes, of text, of no numbers."""
    runs = study(add, ["adam", "sam"], 1, files=("studies",))
    path = store.folder(runs[1].config) / file
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[name] = SPOILED[spoil](arrays[name])
    np.savez(path, **arrays)
    material = material_of(runs, store)
    drawn = FILES[file][0](material, material.settings[0])
    assert isinstance(drawn, tuple), drawn
    if (spoil, name) in {("longer", "resolved"), ("NaN", "loss"), ("NaN", "accuracy")}:
        assert not material.damaged
    else:
        assert f"{path} has no sound " in material.damaged[path]
        assert material.damaged[path].endswith("; measure it again")


def test_a_history_that_lacks_epochs_is_named(add: RunMaker, store: Store) -> None:
    """Cut between two lines: the curve of its optimizer ended there, for all of its runs."""
    runs = study(add, ["adam", "sam"], 2)
    short = replace(runs[3], final={**(runs[3].final or {}), "epochs": 4})
    path = store.history(short.config)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    made = draw_gallery(material_of([*runs[:3], short], store))
    assert f"learning-{PLACE}" in stems(made)
    assert f"{short.name}: {path} has 2 of the run's 4 epochs; run it again." in said(made)


def test_too_many_runs(add: RunMaker, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = study(add, ["adam", "sam"], 2)
    monkeypatch.setattr(gallery, "MOST_LINES", 1)
    made = draw_gallery(material_of(runs, store))
    assert stems(made) == {"accuracy-phantom"}
    assert "Figures of each setting: 2 optimizers in 1 setting are more than 1" in said(made)[0]


def test_settings_of_one_name_have_files_of_their_own(add: RunMaker, store: Store) -> None:
    runs = [*study(add, ["adam", "sam"], 2), *study(add, ["adam", "sam"], 2, batch_size=64)]
    made = draw_gallery(material_of(runs, store))
    assert sum(stem.startswith("paired") for stem in stems(made)) == 2
    assert len(stems(made)) == len(made[0])


def test_datasets_of_like_names_have_files_of_their_own(add: RunMaker, store: Store) -> None:
    """Letters that files' names do not have: of `bus_a` and `bus-a` one would lose its figures."""
    runs = [
        add(dataset=name, model=f"net{k}") for k in "ab" for name in ("bus_a", "bus-a", "bus.a")
    ]
    runs += [add(dataset="bus-a", model=model) for model in ("net a", "net-a")]
    made = draw_gallery(material_of(runs, store))
    assert len(stems(made)) == len(made[0])


def test_runs_on_other_images_are_never_in_one_figure(add: RunMaker, store: Store) -> None:
    before, after = study(add, ["adam", "sam"], 2), study(add, ["adam", "sam"], 2)
    after = [replace(run, data={**(run.data or {}), "fingerprint": "anew"}) for run in after]
    made = draw_gallery(material_of([*before, *after], store))
    assert {f"paired-{PLACE}-images-{k}-of-2" for k in (1, 2)} <= stems(made)
