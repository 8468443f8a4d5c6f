from __future__ import annotations

import numpy as np
import pytest

from sambench.analysis.multiplicity import holm


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_by_hand(given: list[float], adjusted: list[float]) -> None:
    assert holm(given) == pytest.approx(adjusted)


@pytest.mark.parametrize("seed", range(5))
def test_against_statsmodels(seed: int) -> None:
    multitest = pytest.importorskip(
        "statsmodels.stats.multitest", reason="statsmodels is not installed"
    )
    given = np.random.default_rng(seed).uniform(0, 0.2, 9)
    assert holm(given.tolist()) == pytest.approx(multitest.multipletests(given, method="holm")[1])
