from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sambench.analysis.effects import cliffs_delta, cohens_dz, probability_of_improvement


def test_cohens_dz_by_hand() -> None:
    assert cohens_dz([1, 2, 3]) == 2.0
    assert cohens_dz([1]) is None
    assert cohens_dz([2, 2]) is None


def test_cliffs_delta_by_hand() -> None:
    """Of the nine pairs of {1, 2, 3} and {2, 3, 4}: one above, two ties, six below."""
    assert cliffs_delta([1, 2, 3], [2, 3, 4]) == pytest.approx(-5 / 9)
    assert cliffs_delta([5, 6], [1, 2]) == 1.0
    assert cliffs_delta([1, 1], [1]) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_probability_of_improvement_is_mann_whitney(seed: int) -> None:
    generator = np.random.default_rng(seed)
    candidate, baseline = generator.integers(0, 9, 12), generator.integers(0, 9, 10)
    u = stats.mannwhitneyu(candidate, baseline).statistic / 120
    found = probability_of_improvement(candidate, baseline, higher_is_better=True)
    assert found == pytest.approx(u)
    lower = probability_of_improvement(candidate, baseline, higher_is_better=False)
    assert lower == pytest.approx(1 - u)


def test_empty_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="each side"):
        cliffs_delta([], [1.0])
