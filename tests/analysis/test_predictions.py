from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from sambench.analysis.predictions import (
    Predictions,
    delong,
    interval_over_images,
    mcnemar,
    read_predictions,
)
from sambench.errors import StoreError

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""
"""Albumin, total protein, K-G score (lower is better) and outcome of the 43 complete patients of
DeLong, DeLong and Clarke-Pearson (1988)."""


def of_scores(scores: np.ndarray, labels: np.ndarray) -> Predictions:
    ids = np.array([f"{number:04d}" for number in range(len(labels))])
    return Predictions(ids=ids, probabilities=np.stack([-scores, scores], axis=1), labels=labels)


def of_guesses(right: list[bool]) -> Predictions:
    labels = np.arange(len(right)) % 2
    guesses = np.where(right, labels, 1 - labels)
    return Predictions(
        ids=np.array([str(number) for number in range(len(right))]),
        probabilities=np.eye(2)[guesses],
        labels=labels,
    )


def ovarian(column: int) -> Predictions:
    values = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    sign = -1 if column == 2 else 1
    return of_scores(sign * values[:, column], values[:, 3].astype(int))


@pytest.mark.parametrize(
    ("column", "difference", "standard_error", "p"),
    [(0, 0.0108, 0.0953, 0.9102), (1, -0.0780, 0.1046, 0.4561)],
)
def test_delongs_own_contrasts(
    column: int, difference: float, standard_error: float, p: float
) -> None:
    """Against the K-G score, as SAS prints them for these data (SAS/STAT, PROC LOGISTIC)."""
    found = delong(ovarian(2), ovarian(column))
    assert found.difference == pytest.approx(difference, abs=5e-5)
    assert found.standard_error == pytest.approx(standard_error, abs=5e-5)
    assert found.p == pytest.approx(p, abs=5e-4)


def placements(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition: psi(x, y) = 1, 1/2 or 0, averaged over each side."""
    psi = np.subtract.outer(scores[labels == 1], scores[labels == 0])
    psi = (psi > 0) + 0.5 * (psi == 0)
    return psi.mean(axis=1), psi.mean(axis=0)


@pytest.mark.parametrize("seed", range(5))
def test_delong_by_its_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(60) % 3 == 0).astype(int)
    before, after = (np.round(generator.normal(labels, 1.5), 1) for _ in range(2))
    (a10, a01), (b10, b01) = placements(before, labels), placements(after, labels)
    covariance = np.cov(a10, b10) / len(a10) + np.cov(a01, b01) / len(a01)
    found = delong(of_scores(before, labels), of_scores(after, labels))
    assert found.difference == pytest.approx(b10.mean() - a10.mean(), abs=1e-12)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-10)


def test_delong_of_equal_rankings() -> None:
    scores, labels = np.arange(10.0), np.array([0, 1] * 5)
    found = delong(of_scores(scores, labels), of_scores(scores**3, labels))
    assert (found.difference, found.standard_error, found.p) == (0.0, 0.0, 1.0)


def test_delongs_false_positives() -> None:
    """Of 400 pairs of equally good scores, 5 % should differ; 8.5 % is three SE above."""
    generator = np.random.default_rng(0)
    labels = np.arange(100) % 2
    rejected = 0
    for _ in range(400):
        sides = [of_scores(generator.normal(labels, 1), labels) for _ in range(2)]
        rejected += delong(*sides).p < 0.05
    assert rejected / 400 < 0.085


@pytest.mark.parametrize(
    ("only_baseline", "only_candidate", "p"),
    [
        (1, 7, 18 / 256),
        (0, 6, 2 / 64),
        (5, 5, 1.0),
        (0, 0, 1.0),
        (0, 1, 1.0),
        (3, 12, 2 * (1 + 15 + 105 + 455) / 2**15),
    ],
)
def test_mcnemar_by_hand(only_baseline: int, only_candidate: int, p: float) -> None:
    before = [True] * only_baseline + [False] * only_candidate + [True, False]
    after = [False] * only_baseline + [True] * only_candidate + [True, False]
    found = mcnemar(of_guesses(before), of_guesses(after))
    assert (found.only_baseline, found.only_candidate) == (only_baseline, only_candidate)
    assert found.p == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_mcnemar_against_statsmodels(seed: int) -> None:
    tables = pytest.importorskip(
        "statsmodels.stats.contingency_tables", reason="statsmodels is not installed"
    )
    right = np.random.default_rng(seed).random((2, 481)) < [[0.80], [0.84]]
    found = mcnemar(of_guesses(right[0].tolist()), of_guesses(right[1].tolist()))
    table = [[0, found.only_baseline], [found.only_candidate, 0]]
    assert found.p == pytest.approx(tables.mcnemar(table, exact=True).pvalue, rel=1e-9)


def test_images_are_matched_by_id() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    before = of_scores(np.array([0.1, 0.9, 0.4, 0.3, 0.8]), labels)
    order = np.array([4, 2, 0, 1, 3])
    shuffled = Predictions(
        ids=before.ids[order], probabilities=before.probabilities[order], labels=labels[order]
    )
    assert mcnemar(before, shuffled).only_candidate == 0
    assert delong(before, shuffled).difference == 0


def test_delong_is_of_two_classes() -> None:
    three = Predictions(
        ids=np.array([*"abcdef"]),
        probabilities=np.eye(3).repeat(2, axis=0),
        labels=np.arange(6) // 2,
    )
    with pytest.raises(StoreError, match="two classes with at least two test images each"):
        delong(three, three)


def test_other_images_are_refused() -> None:
    one, other = of_guesses([True] * 4), of_guesses([True] * 5)
    of_another_split = dataclasses.replace(one, ids=np.array(["a", "b", "c", "d"]))
    for side in (other, of_another_split):
        with pytest.raises(StoreError, match="not tested on the same images"):
            mcnemar(one, side)


def test_an_interval_over_seeds_and_images_is_that_of_both() -> None:
    draw = np.random.default_rng(0)
    before, after = (draw.random((5, 300)) < share for share in (0.8, 0.85))
    sides = [list(map(of_guesses, side.tolist())) for side in (before, after)]
    gains = 100.0 * (after.astype(int) - before)
    for family in (1, 17):
        halves = [
            stats.t.ppf(1 - 0.025 / family, len(means) - 1) * stats.sem(means)
            for means in (gains.mean(axis=1), gains.mean(axis=0))
        ]
        found = interval_over_images(*sides, family=family)
        middle, half = gains.mean(), math.hypot(*halves)
        assert found == pytest.approx((middle - half, middle + half))
    assert interval_over_images(sides[0][:1], sides[1][:1]) is None
    assert interval_over_images(sides[0], [of_guesses([True] * 299)] * 5) is None
    elsewhere = dataclasses.replace(sides[0][0], ids=np.array([f"other {k}" for k in range(300)]))
    assert interval_over_images([elsewhere, *sides[0][1:]], [elsewhere, *sides[1][1:]]) is None
    alike = [of_guesses([True] * 8)] * 2  # of which no image differs: no certainty
    assert interval_over_images(alike, alike) is not None
    assert interval_over_images(alike, alike) != (0.0, 0.0)


def test_the_largest_of_many_gains_is_no_more_than_luck() -> None:
    """Of twelve optimizers without a difference, six seeds each, the interval of the largest gain
    held zero in 42 of these 60 studies: it was a bootstrap's, and of one comparison alone."""
    draw, held = np.random.default_rng(1), 0
    for _ in range(60):
        level = 1.5 + draw.normal(0, 1, 400) + 0.3 * draw.normal(size=(13, 6, 1))
        right = level + draw.normal(size=(13, 6, 400)) > 0
        best = 1 + int(right[1:].mean(axis=(1, 2)).argmax())
        sides = [list(map(of_guesses, right[place].tolist())) for place in (0, best)]
        low, high = interval_over_images(*sides, family=12) or (0.0, 0.0)
        held += low <= 0 <= high
    assert held >= 0.92 * 60


def test_what_delong_cannot_compare() -> None:
    three = Predictions(
        ids=np.array(["a", "b", "c"]), probabilities=np.eye(3), labels=np.array([0, 1, 2])
    )
    with pytest.raises(StoreError, match="two classes"):
        delong(three, three)


def save(path: Path, **changed: object) -> None:
    content = {
        "version": 1,
        "ids": np.array(["a", "b"]),
        "probabilities": np.array([[0.5, 0.5], [0.1, 0.9]], dtype=np.float32),
        "labels": np.array([0, 1]),
        **changed,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{k: v for k, v in content.items() if v is not None})
    path.write_bytes(buffer.getvalue())


def test_reading(tmp_path: Path) -> None:
    save(tmp_path / "predictions.npz")
    found = read_predictions(tmp_path / "predictions.npz")
    assert found.ids.tolist() == ["a", "b"]
    assert found.correct.tolist() == [True, True]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    with pytest.raises(StoreError, match="does not exist; remove its folder and do the run again"):
        read_predictions(path)
    save(path, version=2)
    with pytest.raises(StoreError, match="version 2, not 1"):
        read_predictions(path)
    save(path, labels=None)
    with pytest.raises(StoreError, match="damaged"):
        read_predictions(path)
    path.write_bytes(b"nothing")
    with pytest.raises(StoreError, match="damaged"):
        read_predictions(path)
    save(path, ids=np.array([{"a": 1}], dtype=object))
    with pytest.raises(StoreError, match="damaged"):
        read_predictions(path)
    halves = [[0.5, 0.5], [0.5, 0.5]]
    for changed in (
        {"ids": np.array(["a"])},
        {"probabilities": 2 * np.array(halves)},
        {"probabilities": np.array([[-0.5, 1.5], [0.1, 0.9]])},
        {"probabilities": np.array([[np.nan, 1.0], [0.1, 0.9]])},
        {"probabilities": np.array([[np.inf, -np.inf], [0.1, 0.9]])},  # their sum warns
        {"labels": np.array([0, 2])},
    ):
        save(path, **changed)
        with pytest.raises(StoreError, match=r"no probability of each class .*--retry damaged"):
            read_predictions(path)
    np.save(path.open("wb"), halves)  # an array alone
    with pytest.raises(StoreError, match="damaged"):
        read_predictions(path)


def test_predictions_of_other_classes_than_the_records(
    tmp_path: Path, make_record: RecordMaker
) -> None:
    record = make_record("adam")
    save(path := tmp_path / "predictions.npz", probabilities=np.full((2, 4), 0.25))
    assert len(read_predictions(path).ids) == 2
    with pytest.raises(StoreError, match="no probability of each class"):
        read_predictions(path, record)


def test_predictions_without_a_checksum_are_compared_with_the_record_too(
    tmp_path: Path, make_record: RecordMaker
) -> None:
    save(path := tmp_path / "predictions.npz")  # both right
    right, wrong = (
        replace(make_record(accuracy=share), data={"classes": ["benign", "malignant"]})
        for share in (1.0, 0.5)
    )
    assert read_predictions(path, right).correct.all()
    with pytest.raises(StoreError, match=r"has test accuracy 0\.5000 in its record and 1\.0000 by"):
        read_predictions(path, wrong)
