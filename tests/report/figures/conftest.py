"""Stored runs made by hand, with everything beside them that figures are drawn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from msgspec.structs import replace

from sambench.analysis.curves import with_stored_predictions
from sambench.analysis.study import build_study
from sambench.config.run_config import RunConfig
from sambench.config.suite import ReportSettings
from sambench.files.arrays import write_arrays
from sambench.report.figures import gallery
from sambench.report.figures.material import Material
from sambench.report.style import SETTINGS, Picture
from sambench.store.record import RunRecord
from sambench.store.tree import Store

Runs = list[RunRecord]
RunMaker = Callable[..., RunRecord]
EPOCHS, IMAGES = 4, 10_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def add(store: Store) -> RunMaker:
    """Store a run; its numbers follow from `accuracy`, its seed and the keywords."""

    def make(
        optimizer: str = "adam",
        seed: int = 0,
        *,
        accuracy: float = 0.75,
        passes: float = 100.0,
        seconds: float = 10.0,
        top: float | None = 100.0,
        trace: float = 200.0,
        collapsed: bool = False,
        converged: bool = True,
        classes: int = 2,
        validation: bool = False,
        files: Sequence[str] = ("history", "predictions"),
        status: str = "completed",
        **settings: object,
    ) -> RunRecord:
        given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": EPOCHS}
        config = RunConfig.from_dict(
            {**given, "optimizer": optimizer, "seed": seed, **settings}  # type: ignore[dict-item]
        )
        record = RunRecord(
            config=config,
            status=status,
            environment={"gpu": None, "cpu": "a CPU"},
            data={
                "train": 40_000,
                "test": IMAGES,
                "classes": [f"class {k}" for k in range(classes)],
            },
            final={
                "test": {"n": IMAGES, "accuracy": accuracy, "ece": 0.125, "collapsed": collapsed},
                "target_met": None,
            },
            cost={"train_seconds": seconds, "gradient_evaluations": passes},
            hessian=None if top is None else _hessian(top, trace, converged),
        )
        store.save(record)
        if "history" in files:
            store.save_history(config, _epochs(accuracy, passes, seconds, validation))
        if "predictions" in files:
            _write_predictions(store.predictions(config), seed, classes, accuracy)
        if "studies" in files:
            record = _with_studies(store, record)
        return record

    return make


def _hessian(top: float, trace: float, converged: bool) -> dict[str, Any]:
    return {
        "definition": "batch-dominant-eigenvalue",
        "top": {"value": top, "converged": converged},
        "trace": {"value": trace, "converged": converged},
        "batch_spectrum": {"values": [0.5 * top, top, 2 * top], "converged": converged},
    }


def _epochs(
    accuracy: float, passes: float, seconds: float, validation: bool
) -> Iterator[dict[str, object]]:
    for epoch in range(1, EPOCHS + 1):
        share = epoch / EPOCHS
        yield {
            "epoch": epoch,
            "train_loss": 1.0 - 0.9 * accuracy * share,
            "train_accuracy": accuracy * share,
            "validation_accuracy": 0.9 * accuracy * share if validation else None,
            "gradient_evaluations": passes * share,
            "train_seconds": seconds * share,
        }


def _write_predictions(path: Path, seed: int, classes: int, accuracy: float) -> None:
    """Write predictions of which just so many are right."""
    source = np.random.default_rng(seed)
    labels = np.arange(IMAGES) % classes
    wrong = source.permutation(IMAGES) >= round(accuracy * IMAGES)
    scores = source.uniform(size=(IMAGES, classes)) + np.eye(classes)[(labels + wrong) % classes]
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    ids = np.array([f"image {k}" for k in range(IMAGES)])
    np.savez_compressed(path, version=1, ids=ids, probabilities=probabilities, labels=labels)


def _with_studies(store: Store, record: RunRecord) -> RunRecord:
    folder = store.folder(record.config)
    grid = np.linspace(-5.0, 50.0, 111)
    density = np.exp(-0.5 * grid**2) + 1e-4
    arrays = {"density": density, "density_stderr": 0.1 * density, "resolved": np.array([40.0])}
    write_arrays(folder / "density.npz", "spectral density", {"grid": grid, "scale": 0.1, **arrays})
    x = np.linspace(-1, 1, 5)
    write_arrays(
        folder / "landscape-line.npz", "line", {"x": x, "loss": 0.1 + x**2, "accuracy": 1 - x**2}
    )
    plane = {"x": x, "y": x, "loss": 0.1 + np.add.outer(x**2, x**2)}
    write_arrays(folder / "landscape-plane.npz", "plane", plane)
    studied = replace(
        record,
        hessian={
            **(record.hessian or {}),
            "density": {"file": "density.npz", "parameters": 1000, "kernel_width": 0.1},
            "landscape": {
                name: {"file": f"landscape-{name}.npz", "kind": name} for name in ("line", "plane")
            },
        },
    )
    store.save(studied)
    return studied


@pytest.fixture(autouse=True)
def global_settings() -> Iterator[None]:
    """Check that no figure touches matplotlib's global settings."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before


def material_of(runs: Runs, store: Store) -> Material:
    """Return what figures of runs are drawn from, adam being the baseline."""
    _, known, _ = with_stored_predictions(runs, store)
    study = build_study(runs, ReportSettings(baseline="adam"))
    return Material(study=study, store=store, known=known)


def draw(kind: str, runs: Runs, store: Store) -> tuple[Picture | str, ...]:
    """Draw the figures of runs whose kind begins so, as the gallery does."""
    material = material_of(runs, store)
    with mpl.rc_context(SETTINGS):
        if kind == "accuracy":
            return tuple(gallery.accuracy(material))
        if kind == "ranks":
            return tuple(gallery.made("ranks", "Ranks", gallery.ranks(material)))
        return tuple(
            one
            for setting in material.settings
            for name, title, drawn in gallery.OF_A_SETTING
            if name.startswith(kind)
            for one in gallery.made(name, title, drawn(material, setting))
        )


def figure_of(made: tuple[Picture | str, ...]) -> Figure:
    """Return the only picture's figure."""
    (found,) = made
    assert isinstance(found, Picture), found
    return found.figure


def points(ax: Axes, gid: str) -> list[tuple[float, float]]:
    """Return the points of all lines of a kind, in order of drawing."""
    found: list[tuple[float, float]] = []
    for line in ax.lines:
        if line.get_gid() == gid:
            found += [(float(x), float(y)) for x, y in line.get_xydata()]  # type: ignore[union-attr]
    return found


def labels(ax: Axes) -> list[str]:
    """Return the names of the rows, from the top."""
    return [label.get_text() for label in ax.get_yticklabels()]


def truncate(path: Path) -> None:
    """Cut a file in the middle."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_last_epoch(path: Path) -> None:
    """Take from the last epoch of a history what it had spent."""
    lines = path.read_text().splitlines()
    last = json.loads(lines[-1])
    del last["gradient_evaluations"]
    path.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
