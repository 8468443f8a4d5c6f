from __future__ import annotations

import math

import numpy as np
import pytest

from sambench.analysis.histories import learning_curve


def epochs(losses: list[float], pace: float = 1.0) -> list[dict[str, object]]:
    return [
        {
            "epoch": k,
            "gradient_evaluations": 10.0 * k,
            "train_seconds": pace * k,
            "train_loss": loss,
            "validation_accuracy": None,
        }
        for k, loss in enumerate(losses, 1)
    ]


def test_mean_band_and_axes_by_hand() -> None:
    found = learning_curve([epochs([1.0, 0.5]), epochs([3.0, 0.1], pace=3.0)], "train_loss")
    assert found is not None
    np.testing.assert_allclose(found.mean, [2.0, 0.3])
    np.testing.assert_allclose(found.high - found.mean, [math.sqrt(2), 0.2 * math.sqrt(2)])
    np.testing.assert_allclose(found.mean - found.low, found.high - found.mean)
    assert found.spent["epoch"].tolist() == [1.0, 2.0]
    assert found.spent["gradient_evaluations"].tolist() == [10.0, 20.0]
    assert found.spent["train_seconds"].tolist() == [2.0, 4.0]
    assert found.runs == 2


def test_the_geometric_mean() -> None:
    found = learning_curve([epochs([4.0]), epochs([1.0])], "train_loss", geometric=True)
    assert found is not None
    sd = math.log(4.0) / math.sqrt(2)
    np.testing.assert_allclose(found.mean, [2.0])
    np.testing.assert_allclose([found.low[0], found.high[0]], [2 / math.exp(sd), 2 * math.exp(sd)])


def test_it_ends_with_the_first_run_that_ends() -> None:
    found = learning_curve([epochs([1.0, 0.5, 0.2]), epochs([1.0])], "train_loss")
    assert found is not None
    assert found.mean.tolist() == [1.0]


def test_one_run_has_no_spread() -> None:
    found = learning_curve([epochs([1.0, 0.5])], "train_loss")
    assert found is not None
    assert found.low.tolist() == found.high.tolist() == [1.0, 0.5]


def test_a_loss_of_zero_has_a_logarithm_to_draw() -> None:
    found = learning_curve([epochs([0.0])], "train_loss", geometric=True)
    assert found is not None
    assert np.isfinite(found.mean).all()


@pytest.mark.parametrize("histories", [[], [[]], [epochs([1.0]), []]])
def test_nothing_to_average(histories: list[list[dict[str, object]]]) -> None:
    assert learning_curve(histories, "train_loss") is None


def test_a_quantity_that_is_missing() -> None:
    assert learning_curve([epochs([1.0])], "validation_accuracy") is None
