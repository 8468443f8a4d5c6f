"""Results trees of made-up runs, as large as real ones: one run in memory at a time, no model.

Each run has what a finished run of 481 test images leaves, weights and checkpoints aside: the
record with every section, a history of ten epochs, and the predictions. The same number and shape
give the same bytes.
"""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sambench.config.run_config import RunConfig
from sambench.files.checksums import sealed
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import HISTORY, PREDICTIONS, RECORD, Store

OPTIMIZERS = ("adam", "sam", "asam", "gsam", "wsam", "crsam", "gcsam")
MODELS = ("resnet50", "vgg16", "vit", "swin")
IMAGES, EPOCHS, STEPS = 481, 10, 120
PREDICTED = 16
"""Different files of predictions; compressing one for each run would take longer than all else."""

STUDIES = ("density", "sharpness", "landscape")
PUBLISHED = Path(__file__).parents[1] / "results" / "published" / "small-study" / "runs"
TEMPLATE: dict[str, Any] = json.loads(
    next(iter(sorted(PUBLISHED.glob("*-small-cnn-sam-s0-*/run.json")))).read_text()
)
"""A real record, whose sections made-up ones have."""

Settings = Mapping[str, Any]
BUS = {"dataset": "bus", "image_size": 256}


def protocols(number: int) -> Iterator[Settings]:
    """Ten seeds of every optimizer and model; each further protocol is another batch size."""
    cells = itertools.product(range(2, number + 2), MODELS, OPTIMIZERS, range(10))
    for batch, model, optimizer, seed in itertools.islice(cells, number):
        yield {**BUS, "batch_size": batch, "model": model, "optimizer": optimizer, "seed": seed}


def seeds(number: int) -> Iterator[Settings]:
    """One protocol, and as many seeds of every optimizer and model as it takes."""
    cells = itertools.product(range(number), MODELS, OPTIMIZERS)
    for seed, model, optimizer in itertools.islice(cells, number):
        yield {**BUS, "model": model, "optimizer": optimizer, "seed": seed}


def folds(number: int) -> Iterator[Settings]:
    """Five folds of one protocol, and as many seeds of each as it takes."""
    cells = itertools.product(range(number), range(5), MODELS, OPTIMIZERS)
    for seed, fold, model, optimizer in itertools.islice(cells, number):
        cell = {"model": model, "optimizer": optimizer, "seed": seed}
        yield {**BUS, **cell, "split": "kfold-5", "fold": fold}


def demo(number: int) -> Iterator[Settings]:
    """Three optimizers on a small network, a third of the seeds each."""
    cells = itertools.product(range(number), ("adam", "sam", "gcsam"))
    for seed, optimizer in itertools.islice(cells, number):
        phantom = {"dataset": "phantom", "image_size": 64, "model": "small-cnn", "batch_size": 32}
        yield {**phantom, "optimizer": optimizer, "seed": seed}


SHAPES: Mapping[str, Callable[[int], Iterator[Settings]]] = {
    shape.__name__: shape for shape in (protocols, seeds, folds, demo)
}


def write_runs(folder: Path, shape: str, number: int) -> int:
    """Write so many runs below a results folder; return the bytes of one record."""
    draw, store = random.Random(0), Store(folder)
    predicted = _predictions()
    size = 0
    for place, settings in enumerate(SHAPES[shape](number)):
        config = RunConfig.from_dict(settings)
        run = store.folder(config)
        run.mkdir(parents=True)
        right, predictions = predicted[place % PREDICTED]
        size = (run / RECORD).write_text(record_text(config, draw, right))
        (run / HISTORY).write_text("".join(json.dumps(line) + "\n" for line in _history(draw)))
        (run / PREDICTIONS).write_bytes(predictions)
    return size


def damage(folder: Path) -> None:
    """Truncate one record, alter one, empty one, and make one of a newer schema."""
    paths = sorted((folder / "runs").glob(f"*/{RECORD}"))
    truncated, altered, empty, newer = paths[:: max(1, len(paths) // 4)][:4]
    truncated.write_text(truncated.read_text()[:700])
    altered.write_text(altered.read_text().replace('"seed": ', '"seed": 1', 1))
    empty.write_text("")
    newer.write_text(newer.read_text().replace('"schema_version": 1', '"schema_version": 2'))


def record_text(config: RunConfig, draw: random.Random, right: float | None = None) -> str:
    """Return the file of a made-up record, with its checksum."""
    return sealed(json.dumps(made_up_record(config, draw, right).to_dict(), indent=2) + "\n")


def made_up_record(config: RunConfig, draw: random.Random, right: float | None = None) -> RunRecord:
    """Return a record with every section of a real one, and numbers of its own.

    Its accuracy is the share of its predictions that is right, where that is given.
    """
    real, final = TEMPLATE, TEMPLATE["final"]
    cost = {
        **{"train_seconds": draw.gauss(600, 30), "evaluation_seconds": draw.gauss(9, 1)},
        **{"overhead_seconds": draw.random(), "steps": EPOCHS * STEPS},
        **{"gradient_evaluations": 2 * EPOCHS * STEPS, "peak_memory_bytes": 2**30},
    }
    ended = {"epochs": EPOCHS, "selected_epoch": EPOCHS, "generalization_gap": draw.random() / 5}
    return RunRecord(config=config, status=COMPLETED, suite="scale").with_sections(
        environment=real["environment"],
        data={**real["data"], "train": 1924, "validation": 0, "test": IMAGES},
        final={**final, **ended, "test": {**final["test"], **_tested(draw, right)}},
        cost={**real["cost"], **cost},
        sharpness={**real["sharpness"], "gradient_cosine": draw.random()},
        hessian=_hessian(draw),
    )


def _tested(draw: random.Random, right: float | None) -> dict[str, Any]:
    low = ("loss", "ece", "brier")
    accuracy = draw.gauss(0.82, 0.02)
    return {
        **{"n": IMAGES, "majority_accuracy": 0.63, "collapsed": False},
        **{
            "accuracy": accuracy if right is None else right,
            "balanced_accuracy": draw.gauss(0.8, 0.02),
        },
        **{name: draw.random() for name in ("auroc", "sensitivity", "specificity", "f1", *low)},
    }


def _hessian(draw: random.Random) -> dict[str, Any]:
    real, top = TEMPLATE["hessian"], draw.lognormvariate(3, 1)
    values = [draw.lognormvariate(3, 1) for _ in range(32)]
    trace = {"value": 3 * top, "stderr": top, "interval": [top, 5 * top]}
    return {
        **{key: value for key, value in real.items() if key not in STUDIES},
        **{name: draw.random() for name in ("median", "mean", "std")},
        "top": {**real["top"], "value": top, "values": [top], "upper_bound": 1.1 * top},
        "trace": {**real["trace"], **trace},
        "batch_spectrum": {**real["batch_spectrum"], "values": values},
    }


def _history(draw: random.Random) -> Iterator[dict[str, Any]]:
    for epoch in range(1, EPOCHS + 1):
        yield {
            **{"epoch": epoch, "train_loss": draw.random() / epoch, "lr": 1e-4},
            **{"train_accuracy": 1 - draw.random() / (1 + epoch)},
            **{"validation_loss": None, "validation_accuracy": None},
            **{"gradient_evaluations": 2 * STEPS * epoch, "train_seconds": 60.0 * epoch},
            "sharpness": {"epsilon_norm": 0.05, "gradient_cosine": 0.9, "sharpness": 0.1},
        }


def _predictions() -> list[tuple[float, bytes]]:
    """Return files of predictions, each with the share of images that it has right."""
    generator = np.random.default_rng(0)
    labels = (np.arange(IMAGES) % 8 < 3).astype(np.int64)
    ids = np.array([f"image-{place:04d}" for place in range(IMAGES)])
    files = []
    for _ in range(PREDICTED):
        malignant = 1 / (1 + np.exp(-generator.normal(3 * labels - 1.5, 1.5)))
        probabilities = np.stack([1 - malignant, malignant], axis=1).astype(np.float32)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, version=1, ids=ids, labels=labels, probabilities=probabilities)
        right = float((probabilities.argmax(axis=1) == labels).mean())
        files.append((right, buffer.getvalue()))
    return files
