from __future__ import annotations

import itertools

import numpy as np
import pytest

from sambench.analysis.pareto import pareto_front


def dominated(place: int, points: list[tuple[float, float]]) -> bool:
    cost, score = points[place]
    return any(c <= cost and s >= score and (c < cost or s > score) for c, s in points)


def test_by_hand() -> None:
    assert pareto_front([1, 2, 3, 4], [0.5, 0.4, 0.7, 0.7]) == (0, 2)


def test_alike_in_both_are_both_on_it() -> None:
    assert pareto_front([2, 1, 1], [0.9, 0.5, 0.5]) == (1, 2, 0)


def test_nothing_and_one() -> None:
    assert pareto_front([], []) == ()
    assert pareto_front([3.0], [0.1]) == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_by_the_definition(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 5, size=(30, 2)).astype(float)
    points = [(float(c), float(s)) for c, s in values]
    front = pareto_front([c for c, _ in points], [s for _, s in points])
    assert sorted(front) == [k for k in range(30) if not dominated(k, points)]
    assert all(points[a][0] <= points[b][0] for a, b in itertools.pairwise(front))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="a score for each cost"):
        pareto_front([1.0], [])
