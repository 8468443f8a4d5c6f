from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sambench.data.augment import with_wrong_labels

IDS = [f"image{number}" for number in range(3000)]


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(2, 10), st.floats(0, 0.99), st.integers(0, 5))
def test_exactly_the_asked_share_is_wrong(
    number: int, classes: int, share: float, seed: int
) -> None:
    labels = np.arange(number, dtype=np.int64) % classes
    noisy = with_wrong_labels(labels, IDS[:number], classes, share, seed)
    assert (noisy != labels).sum() == round(share * number)
    assert ((noisy >= 0) & (noisy < classes)).all()


def test_each_other_class_is_as_likely() -> None:
    labels = np.zeros(3000, dtype=np.int64)
    counts = np.bincount(with_wrong_labels(labels, IDS, 4, 0.9, 0), minlength=4)
    assert counts[0] == 300
    # 2700 draws among three: a standard deviation is 24.5
    assert np.abs(counts[1:] - 900).max() < 4 * 24.5


def test_order_and_company_do_not_matter() -> None:
    labels = np.arange(200, dtype=np.int64) % 3
    order = np.random.default_rng(0).permutation(200)
    straight = with_wrong_labels(labels, IDS[:200], 3, 0.2, 7)
    mixed = with_wrong_labels(labels[order], [IDS[i] for i in order], 3, 0.2, 7)
    assert np.array_equal(straight[order], mixed)


def test_more_noise_keeps_the_wrong_labels_of_less() -> None:
    labels = np.arange(500, dtype=np.int64) % 5
    less, more = (with_wrong_labels(labels, IDS[:500], 5, share, 1) for share in (0.2, 0.4))
    wrong = less != labels
    assert np.array_equal(less[wrong], more[wrong])


def test_the_seed_decides_and_the_labels_stay() -> None:
    labels = np.arange(500, dtype=np.int64) % 2
    before = labels.copy()
    one, two = (with_wrong_labels(labels, IDS[:500], 2, 0.2, seed) for seed in (0, 1))
    assert not np.array_equal(one, two)
    assert np.array_equal(labels, before)
