from __future__ import annotations

import math

import pytest

from sambench.analysis.profiles import performance_profiles

COSTS = [[1.0, 2.0], [3.0, 1.0], [4.0, math.inf], [2.0, 2.0]]


def test_by_hand() -> None:
    found = performance_profiles(COSTS, ("a", "b"))
    assert found.factors.tolist() == [1.0, 2.0, 3.0]
    assert found.shares.tolist() == [[0.75, 0.75, 1.0], [0.5, 0.75, 0.75]]


@pytest.mark.parametrize(("factor", "share"), [(0.5, 0), (1, 0.75), (2.9, 0.75), (3, 1), (99, 1)])
def test_reading_a_profile(factor: float, share: float) -> None:
    assert performance_profiles(COSTS, ("a", "b")).share("a", factor) == share


def test_a_problem_that_none_solved_counts_against_all() -> None:
    found = performance_profiles([[1.0, 1.0], [math.inf, math.inf]], ("a", "b"))
    assert found.shares.tolist() == [[0.5], [0.5]]


@pytest.mark.parametrize("costs", [[[0.0, 1.0]], [[math.nan, 1.0]], [[1.0]], []])
def test_what_is_refused(costs: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="positive cost"):
        performance_profiles(costs, ("a", "b"))
