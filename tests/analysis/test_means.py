from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from sambench.analysis.means import cell_mean
from sambench.analysis.metrics import find_metric

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

ACCURACY, TOP = find_metric("accuracy"), find_metric("top")


def hessian(value: object, converged: bool = True) -> dict[str, object]:
    return {"top": {"value": value, "converged": converged}}


def test_students_interval_over_seeds(make_record: RecordMaker) -> None:
    values = [0.7, 0.72, 0.77, 0.8]
    found = cell_mean([make_record(seed=k, accuracy=v) for k, v in enumerate(values)], ACCURACY)
    assert found is not None
    assert found.interval is not None
    percent = 100 * np.array(values)
    low, high = stats.t.interval(0.95, 3, loc=percent.mean(), scale=stats.sem(percent))
    assert found.mean == pytest.approx(percent.mean())
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))


def test_folds_have_the_corrected_interval(make_record: RecordMaker) -> None:
    """Nadeau and Bengio: (1/n + n_test / n_train) s^2; the records have 8 and 32 images."""
    values = [0.7, 0.72, 0.77, 0.8, 0.9]
    runs = [make_record(split="kfold-5", fold=k, accuracy=v) for k, v in enumerate(values)]
    found = cell_mean(runs, ACCURACY)
    assert found is not None
    assert found.interval is not None
    half = stats.t.ppf(0.975, 4) * 100 * np.std(values, ddof=1) * np.sqrt(1 / 5 + 8 / 32)
    assert found.interval.high - found.mean == pytest.approx(half)
    assert found.interval.method == "corrected resampled t"


def test_one_run_has_no_interval(make_record: RecordMaker) -> None:
    found = cell_mean([make_record(accuracy=0.7)], ACCURACY)
    assert found is not None
    assert (found.mean, found.interval) == (pytest.approx(70.0), None)


def test_curvature_leaves_out_collapsed_runs(make_record: RecordMaker) -> None:
    runs = [
        make_record(seed=0, hessian=hessian(2.0)),
        make_record(seed=1, hessian=hessian(100.0, converged=False)),
        make_record(seed=2, hessian=hessian(100.0), collapsed=True),
        make_record(seed=3),
    ]
    found = cell_mean(runs, TOP)
    assert found is not None
    assert found.values == (2.0, 100.0)
    accuracy = cell_mean(runs, ACCURACY)
    assert accuracy is not None
    assert len(accuracy.values) == 4


@pytest.mark.parametrize("value", [None, "3", True, float("nan"), float("inf"), {}])
def test_what_is_no_number(make_record: RecordMaker, value: object) -> None:
    record = make_record(hessian=hessian(value))
    assert cell_mean([record], TOP) is None


def test_no_section_or_a_shallow_one(make_record: RecordMaker) -> None:
    assert cell_mean([make_record()], TOP) is None
    assert cell_mean([make_record(hessian={"top": 3.0})], TOP) is None
