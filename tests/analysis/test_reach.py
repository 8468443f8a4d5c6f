"""What a suite can show at most, against the exact distribution of sign flips."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from sambench.analysis.multiplicity import holm
from sambench.analysis.paired import sign_flip
from sambench.analysis.reach import pairs_needed, reach, smallest

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


@pytest.mark.parametrize("pairs", [1, 2, 5, 6, 10, 20, 21, 40])
def test_the_smallest_p_is_that_of_the_test_itself(pairs: int) -> None:
    assert smallest(pairs) == sign_flip([1.0] * pairs).smallest_p


@pytest.mark.parametrize(
    ("family", "pairs"), [(1, 6), (2, 7), (3, 7), (4, 8), (5, 8), (6, 8), (7, 9), (17, 10)]
)
def test_the_least_number_of_pairs(family: int, pairs: int) -> None:
    assert pairs_needed(family) == pairs
    best = [sign_flip([1.0] * pairs).p] * family
    assert max(holm(best)) < 0.05
    if pairs > 6:
        assert max(holm([sign_flip([1.0] * (pairs - 1)).p] * family)) >= 0.05


def test_six_seeds_reach_it_for_one_optimizer_only(make_record: RecordMaker) -> None:
    def of(*optimizers: str) -> bool:
        both = itertools.product(optimizers, range(6))
        (found,) = reach([make_record(n, seed=s).config for n, s in both], "adam")
        return found.possible

    assert of("adam", "sam")
    assert not of("adam", "sam", "gsam")


def test_a_setting_each(make_record: RecordMaker) -> None:
    runs = [
        make_record(name, model=model, seed=seed).config
        for model, seeds in (("small-cnn", 3), ("vgg16", 8))
        for name in ("adam", "sam", "gsam")
        for seed in range(seeds)
    ]
    few, many = reach(runs, "adam")
    assert (few.title, few.pairs, few.family, few.smallest_p) == (
        *("small-cnn on phantom", 3, 2),
        0.5,
    )
    assert (few.possible, few.needed, many.possible) == (False, 7, True)


def test_folds_have_no_smallest_p_but_a_least_number(make_record: RecordMaker) -> None:
    def of(seeds: int) -> tuple[bool, int]:
        runs = [
            make_record(name, split="kfold-5", fold=fold, seed=seed).config
            for name in ("adam", "sam")
            for fold in range(1, 6)
            for seed in range(seeds)
        ]
        (found,) = reach(runs, "adam")
        return found.possible, found.needed

    assert of(1) == (False, 6)
    assert of(2) == (True, 6)


def test_seeds_that_are_not_shared_are_no_pairs(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=seed).config for seed in range(8)]
    sam = [make_record("sam", seed=seed).config for seed in range(8, 16)]
    (found,) = reach([*adam, *sam], "adam")
    assert (found.pairs, found.possible) == (0, False)


def test_nothing_to_compare(make_record: RecordMaker) -> None:
    assert reach([make_record("adam").config], "adam") == ()
    assert reach([make_record("sam").config, make_record("gsam").config], "adam") == ()
