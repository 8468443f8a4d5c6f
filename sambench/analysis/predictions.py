"""What runs say of single test images, and tests of two runs on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr

from sambench.analysis.inference import Floats, half_widths, moments
from sambench.errors import DO_AGAIN, DamagedError, StoreError
from sambench.files.arrays import unpacked
from sambench.files.checksums import read_checked
from sambench.store.record import COMPLETED, RunRecord

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a run said of its N test images of K classes."""

    ids: NDArray[np.str_]  # of the images, (N,)
    probabilities: Floats  # (N, K)
    labels: NDArray[np.int64]  # (N,)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each image's most probable class is its label."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)

    @property
    def ranks_two_classes(self) -> bool:
        """Whether there are two classes of two images or more, as DeLong's test needs."""
        positives = int((self.labels == 1).sum())
        two = self.probabilities.shape[1] == 2
        return two and min(positives, len(self.labels) - positives) >= 2


def read_predictions(path: Path, record: RunRecord | None = None) -> Predictions:
    """Read the `predictions.npz` beside a record.

    A StoreError is raised if it is missing, damaged, of another version, or is not what the run
    wrote, where the record says that, or has not its accuracy.
    """
    try:
        stored = unpacked(read_checked(path, record.sha256_of(path.name) if record else None))
        version = int(stored["version"])
        found = Predictions(
            ids=stored["ids"],
            probabilities=stored["probabilities"].astype(np.float64),
            labels=stored["labels"].astype(np.int64),
        )
    except FileNotFoundError:
        raise StoreError(f"{path} does not exist; remove its folder and do the run again") from None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}); {DO_AGAIN}") from None
    if version != VERSION:
        raise StoreError(f"{path} has version {version}, not {VERSION}; {DO_AGAIN}")
    shape, labels = found.probabilities.shape, found.labels
    if (
        len(shape) != 2
        or not labels.shape == found.ids.shape == shape[:1]
        or not shape[0]
        or not (found.probabilities >= 0).all()
        or not np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-3)
        or (record is not None and record.data and len(record.data["classes"]) != shape[1])
        or not 0 <= labels.min() <= labels.max() < shape[1]
    ):
        said = "no probability of each class for each label"
        raise StoreError(f"{path} is damaged ({said}); {DO_AGAIN}")
    if record is None or record.status != COMPLETED or not record.final:
        return found
    stated, counted = record.final["test"]["accuracy"], float(found.correct.mean())
    if abs(stated - counted) > 1e-7:  # hits over images: of a million one hit more is 1e-6
        raise DamagedError(
            f"run {record.name} has test accuracy {stated:.4f} in its record and {counted:.4f} by "
            f"{path}: one of them was altered; {DO_AGAIN}"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Exact McNemar test."""

    only_baseline: int  # images that only the baseline got right
    only_candidate: int
    n: int  # all images
    p: float  # two-sided


def mcnemar(baseline: Predictions, candidate: Predictions) -> McNemar:
    """Test whether two models err equally often on the same images.

    Of the images that one alone got right, each should have half: p is the two-sided binomial
    probability of a split at least as uneven (McNemar 1947). A StoreError is raised for other ones.
    """
    before, after = (side.correct for side in _aligned(baseline, candidate))
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    p = min(1.0, 2 * float(bdtr(min(lost, won), lost + won, 0.5)))
    return McNemar(only_baseline=lost, only_candidate=won, n=len(before), p=p)


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """DeLong's test of two correlated AUROCs."""

    difference: float  # candidate minus baseline
    standard_error: float  # of the difference; 0 where both rank alike
    p: float  # two-sided


def delong(baseline: Predictions, candidate: Predictions) -> DeLong:
    """Test whether two models rank the same images of two classes equally well.

    The placements V10_i of positives (share of negatives ranked below) and V01_j of negatives
    (share of positives ranked above) have the AUROC as their mean. The variance of two AUROCs'
    difference is S10 / m + S01 / n, S being the variances of the differences of their placements
    (DeLong, DeLong and Clarke-Pearson 1988), which are from midranks (Sun and Xu 2014). A
    StoreError is raised for other images, or if these are not of two classes with two each.
    """
    before, after = _aligned(baseline, candidate)
    if not before.ranks_two_classes:
        raise StoreError(
            "DeLong's test needs two classes with at least two test images each; "
            "compare accuracies by McNemar's test instead"
        )
    from scipy.stats import rankdata

    scores = np.stack([before.probabilities[:, 1], after.probabilities[:, 1]])
    positive, ranks = before.labels == 1, rankdata(scores, axis=1)
    m, n = positive.sum(), (~positive).sum()
    v10 = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    v01 = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    areas = v10.mean(axis=1)
    difference = float(areas[1] - areas[0])
    error = math.sqrt(sum(np.diff(v, axis=0).var(ddof=1) / v.shape[1] for v in (v10, v01)))
    p = float(2 * ndtr(-abs(difference) / error)) if error else float(difference == 0)
    return DeLong(difference=difference, standard_error=error, p=p)


def _aligned(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Return both in the order of their ids."""
    one, other = (
        Predictions(ids=side.ids[o], probabilities=side.probabilities[o], labels=side.labels[o])
        for side in (first, second)
        for o in [np.argsort(side.ids, kind="stable")]
    )
    same = np.array_equal(one.ids, other.ids) and np.array_equal(one.labels, other.labels)
    if not same or not len(one.ids):
        raise StoreError(
            "the two runs were not tested on the same images; compare runs of one split and fold"
        )
    return one, other


def interval_over_images(
    baseline: Sequence[Predictions], candidate: Sequence[Predictions], family: int = 1
) -> tuple[float, float] | None:
    """Return a 95 % interval of the difference in accuracy over other seeds and other test images.

    Both are drawn, each by itself: their errors add in squares, and so do the half widths of
    Student's intervals, for all of a family at once, over seeds and over images. Both sides are of
    the same seeds, in one order. In points; None for fewer than two seeds or images, or where the
    runs had different images.
    """
    try:
        pairs = [_aligned(one, other) for one, other in zip(baseline, candidate, strict=True)]
    except StoreError:
        return None
    if any(not np.array_equal(one.ids, pairs[0][0].ids) for one, _ in pairs):
        return None
    gains = np.array([other.correct.astype(np.int8) - one.correct for one, other in pairs])
    if len(gains) < 2 or gains.shape[1] < 2:
        return None
    halves = [
        float(half_widths(moments(100 * gains.mean(axis=axis)[:, None], least_sd=least), family)[0])
        for axis, least in ((0, 0.0), (1, 100 / gains.shape[1] / math.sqrt(12)))  # of whole images
    ]
    middle, half = 100 * float(gains.mean()), math.hypot(*halves)
    return middle - half, middle + half
