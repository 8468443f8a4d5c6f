"""How often a report says something false, and how often it sees what is there.

    python benchmarks/error_rates.py [--studies 400] [--reports 1000] [--json FILE]

Simulated studies: runs of k optimizers share a seed's own level, as runs of one seed share their
initial weights; accuracies are whole images of 120. Family-wise error: the share of studies without
any difference in which one is called. Power: the share in which an optimizer that is two points
better is called so, beside the former method (sign flips of each pair of optimizers, Holm).
With folds of few images, where differences agree by chance: the share of studies without any
difference in which one is called, or an equivalence. A false sentence: in whole reports of records
without any difference, made as a user makes them, the answer calls an optimizer more or less
accurate, or excludes one from the best; or flatter. Over two settings of twelve and six seeds, in
one of which an optimizer wins what it loses in the other: the share in which it is called different
over both. Between curvature and accuracy, where there is none: the share in which a correlation is
called, among all runs or those of an optimizer. And of who looks again after more seeds: the share
in which a difference was called at any look.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from sambench.analysis.comparison import BETTER, EQUIVALENT, WORSE
from sambench.analysis.decision import decide
from sambench.analysis.inference import holm, max_t, sign_flips
from sambench.analysis.ranks import rank_correlation
from sambench.analysis.study import Study, build_study
from sambench.config.run_config import RunConfig
from sambench.config.suite import ReportSettings
from sambench.store.record import COMPLETED, RunRecord

Floats = NDArray[np.float64]
IMAGES, LEVEL, ALPHA = 120, 90.0, 0.05
ENDS = -1.0, 1.0
"""Of a correlation without an interval."""
NAMES = (
    *("adam", "sam", "asam", "gsam", "wsam", "crsam", "gcsam", "fsam", "vasso", "stablesam"),
    *("looksam", "esam", "aesam", "interval-sam", "msam", "sam-on", "adamw", "sgd"),
)
PHANTOM = {"dataset": "phantom", "image_size": 64}
Draw = Callable[[np.random.Generator, int, int], Floats]


def equal(draw: np.random.Generator, units: int, others: int) -> Floats:
    """The spread of the published study: 1.2 points, half of it the seed's."""
    return LEVEL + draw.normal(0, 0.85, (units, 1)) + draw.normal(0, 0.85, (units, others + 1))


def unequal(draw: np.random.Generator, units: int, others: int) -> Floats:
    """Every other optimizer has three times the spread."""
    spread = np.where(np.arange(others + 1) % 2, 2.55, 0.85)
    return LEVEL + draw.normal(0, 0.85, (units, 1)) + spread * draw.normal(size=(units, others + 1))


def ceiling(draw: np.random.Generator, units: int, others: int) -> Floats:
    """Nearly every image is right, so that errors are few and skewed."""
    return 99.5 - draw.exponential(0.8, (units, others + 1))


SHAPES: dict[str, Draw] = {shape.__name__: shape for shape in (equal, unequal, ceiling)}


def whole_images(accuracy: Floats) -> Floats:
    """Round percentages to whole images of the test part."""
    return np.clip(np.round(accuracy / 100 * IMAGES), 0, IMAGES) * 100 / IMAGES


def former(differences: Floats) -> Floats:
    """Return p of each column by itself, by flips of the mean, and Holm: as it was before."""
    flips = sign_flips(len(differences))
    sums = np.abs(flips @ differences)
    return holm((sums >= sums[0] * (1 - 1e-9) - 1e-9).mean(axis=0))


def rates(shape: str, units: int, others: int, studies: int) -> dict[str, Any]:
    """Return family-wise error and power of one design."""
    draw = np.random.default_rng([units, others, len(shape)])
    false, seen, seen_before = 0, 0, 0
    for _ in range(studies):
        runs = SHAPES[shape](draw, units, others)
        null = whole_images(runs)
        false += bool((max_t(null[:, 1:] - null[:, :1]) < ALPHA).any())
        runs[:, 1] += 2.0 if shape != "ceiling" else 0.4
        better = whole_images(runs)
        differences = better[:, 1:] - better[:, :1]
        seen += bool(max_t(differences)[0] < ALPHA)
        seen_before += bool(former(differences)[0] < ALPHA)
    return {
        **{"shape": shape, "units": units, "optimizers": others},
        **{"family_wise_error": false / studies, "power": seen / studies},
        "power_before": seen_before / studies,
    }


def configurations(others: int, units: int, models: Iterable[str]) -> list[RunConfig]:
    """Return the runs of a study; their numbers are drawn later."""
    return [
        RunConfig.from_dict(
            {
                "dataset": "phantom",
                "image_size": 64,
                "model": model,
                "optimizer": name,
                "seed": seed,
            }
        )
        for model in models
        for seed in range(units)
        for name in NAMES[: others + 1]
    ]


def records(configs: list[RunConfig], draw: np.random.Generator) -> list[RunRecord]:
    """Return records without any difference between optimizers, runs of a seed alike in level."""
    level: dict[tuple[str, int], tuple[float, float]] = {}
    made = []
    for config in configs:
        key = (config.model, config.seed)
        if key not in level:
            level[key] = (draw.normal(0, 0.85), draw.normal(0, 0.5))
        accuracy = LEVEL + level[key][0] + draw.normal(0, 0.85)
        top = math.exp(5 + level[key][1] + draw.normal(0, 0.5))
        share = float(whole_images(np.array([accuracy]))[0]) / 100
        made.append(
            RunRecord(
                config=config,
                status=COMPLETED,
                data={"fingerprint": "f", "train": 480, "test": IMAGES},
                final={"test": {"accuracy": share, "collapsed": False, "majority_accuracy": 0.63}},
                cost={"train_seconds": 10.0, "gradient_evaluations": 300.0},
                hessian={"top": {"value": top, "converged": True}},
            )
        )
    return made


def false_sentences(study: Study) -> tuple[bool, bool, bool]:
    """Return whether a null report calls an accuracy different, excludes a best, calls flatter."""
    decision = decide(study)
    everything = [*(one for g in study.groups for one in g.by("accuracy")),
                  *study.pooled.get("accuracy", ())]  # fmt: skip
    flat = [*(one for g in study.groups for one in g.by("top")), *study.pooled.get("top", ())]
    excluded = decision is not None and len(decision.best) < len(decision.labels)
    return any(c.shown for c in everything), excluded, any(c.shown for c in flat)


def null_reports(others: int, units: int, models: tuple[str, ...], number: int) -> dict[str, Any]:
    """Return in which share of null reports the answer has a false sentence."""
    draw = np.random.default_rng([7, others, units, len(models)])
    configs = configurations(others, units, models)
    found = np.array(
        [
            false_sentences(build_study(records(configs, draw), ReportSettings(baseline="adam")))
            for _ in range(number)
        ]
    )
    return {
        **{"optimizers": others, "units": units, "settings": len(models), "reports": number},
        "false_about_accuracy": float((found[:, 0] | found[:, 1]).mean()),
        "false_differences": float(found[:, 0].mean()),
        "false_exclusions": float(found[:, 1].mean()),
        "false_about_flatness": float(found[:, 2].mean()),
    }


def few_images(folds: int, images: int, others: int, number: int) -> dict[str, Any]:
    """Return in which share of null studies folds of so many test images show something.

    85 of 100 images are right; six of ten are as hard for one optimizer as for another.
    """
    draw = np.random.default_rng([11, folds, images, others])
    settings = {**PHANTOM, "model": "small-cnn", "split": f"kfold-{folds}"}
    configs = [
        RunConfig.from_dict({**settings, "optimizer": name, "fold": fold})
        for fold in range(1, folds + 1)
        for name in NAMES[: others + 1]
    ]
    data = {"fingerprint": "f", "train": (folds - 1) * images, "test": images}
    found = []
    for _ in range(number):
        hardness = draw.random((folds, images))
        made = []
        for config in configs:
            own = draw.random((2, images))
            right = np.where(own[0] < 0.6, hardness[(config.fold or 1) - 1], own[1]) < 0.85
            test = {"accuracy": float(right.mean()), "collapsed": False, "majority_accuracy": 0.63}
            made.append(RunRecord(config=config, status=COMPLETED, data=data, final={"test": test}))
        study = build_study(made, ReportSettings(baseline="adam"))
        verdicts = [one.verdict for one in study.groups[0].by("accuracy")]
        found.append((BETTER in verdicts or WORSE in verdicts, EQUIVALENT in verdicts))
    different, equivalent = np.mean(found, axis=0).tolist()
    return {
        **{"folds": folds, "images": images, "optimizers": others, "studies": number},
        **{"false_differences": different, "equivalences": equivalent},
    }


def unequal_seeds(points: float, number: int) -> dict[str, Any]:
    """Return how often opposite gains of twelve and six seeds are called a difference over both."""
    draw, called = np.random.default_rng([13, int(points)]), 0
    for _ in range(number):
        made = []
        for model, seeds, gain in (("small-cnn", 12, points), ("resnet18", 6, -points)):
            for record in records(configurations(1, seeds, [model]), draw):
                test = dict((record.final or {})["test"])
                if record.config.optimizer["name"] != "adam":
                    test["accuracy"] += gain / 100
                made.append(replace(record, final={"test": test}))
        study = build_study(made, ReportSettings(baseline="adam"))
        called += study.pooled["accuracy"][0].shown
    return {"points": points, "studies": number, "false_over_both": called / number}


def no_correlation(seeds: int, optimizers: int, number: int) -> dict[str, Any]:
    """Return how often flatness and accuracy that have no relation are said to go together."""
    draw, called = np.random.default_rng([17, seeds, optimizers]), []
    repeats = np.tile(np.arange(seeds), optimizers).tolist()
    lines = np.repeat(np.arange(optimizers), seeds).tolist()
    shape = optimizers, seeds
    for _ in range(number):
        sides = [draw.normal(size=shape) + 0.7 * draw.normal(size=seeds) for _ in range(2)]
        numbers = [side.ravel().tolist() for side in sides]
        found = (rank_correlation(*numbers, repeats, strata) for strata in (None, lines))
        intervals = [one.interval or ENDS for one in found]
        called.append([low > 0 or high < 0 for low, high in intervals])
    every, within = np.mean(called, axis=0).tolist()
    return {
        **{"seeds": seeds, "optimizers": optimizers, "studies": number},
        **{"false_of_all_runs": every, "false_within_optimizers": within},
    }


def looking_again(looks: tuple[int, ...], others: int, number: int) -> dict[str, Any]:
    """Return in which share of studies without any difference one is called at any look."""
    draw, false = np.random.default_rng([19, others, *looks]), 0
    for _ in range(number):
        runs = equal(draw, max(looks), others)
        differences = runs[:, 1:] - runs[:, :1]
        false += any((max_t(differences[:seeds]) < ALPHA).any() for seeds in looks)
    return {"looks": looks, "optimizers": others, "studies": number, "ever_false": false / number}


def main() -> None:
    """Simulate, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--reports", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="keep the figures here")
    given = parser.parse_args()
    designs = itertools.product(SHAPES, (6, 8, 10), (1, 5, 17))
    table = [rates(*design, given.studies) for design in designs]
    for row in table:
        print(json.dumps(row), flush=True)
    reports = [
        null_reports(5, 8, ("small-cnn",), given.reports),
        null_reports(17, 10, ("small-cnn",), given.reports // 4),
        null_reports(5, 8, ("small-cnn", "resnet18", "resnet50", "vgg16"), given.reports // 4),
        null_reports(2, 3, tuple(f"timm:model{k}" for k in range(8)), given.reports // 4),
    ]
    shapes = itertools.product((3, 5), (12, 50, 130), (5, 17))
    folds = [few_images(*shape, given.studies) for shape in shapes]
    opposite = [unequal_seeds(points, given.studies) for points in (0.0, 3.0)]
    ranks = [no_correlation(*shape, given.studies) for shape in ((6, 2), (6, 6), (10, 6), (10, 18))]
    again = [
        looking_again(looks, others, given.studies)
        for looks in ((6, 8, 10, 12), tuple(range(6, 16)))
        for others in (1, 5)
    ]
    for row in reports + folds + opposite + ranks + again:
        print(json.dumps(row), flush=True)
    found = {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "command": f"python benchmarks/error_rates.py --studies {given.studies} "
        f"--reports {given.reports}",
        "studies": table,
        "null_reports": reports,
        "folds_of_few_images": folds,
        "opposite_settings_of_unequal_seeds": opposite,
        "no_correlation": ranks,
        "looking_again": again,
    }
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
