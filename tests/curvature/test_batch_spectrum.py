"""The distribution of the batches' dominant eigenvalues against exact batch Hessians."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sambench.curvature import BatchSpectrum, HessianOperator, batch_spectrum, eigenvalues
from sambench.curvature.batch_spectrum import mean_interval, median_interval

from .cases import Batches, batches, build, exact_hessian, mlp

SIZES = (4,) * 11 + (3,)


def exact_dominant(data: Batches) -> list[float]:
    model, found = build(mlp), []
    for batch in data:
        values = torch.linalg.eigvalsh(exact_hessian(model, [batch]))
        found.append(float(values[values.abs().argmax()]))
    return found


@pytest.fixture(scope="module")
def data() -> Batches:
    return batches(SIZES, (6,))


@pytest.fixture(scope="module")
def spectrum(data: Batches) -> BatchSpectrum:
    return batch_spectrum(HessianOperator(build(mlp), functional.cross_entropy, data))


def test_each_value_is_that_batch_s(spectrum: BatchSpectrum, data: Batches) -> None:
    assert spectrum.all_converged
    assert spectrum.values == pytest.approx(exact_dominant(data), rel=1e-2)  # what is certified
    assert spectrum.batch_sizes == SIZES
    assert spectrum.definition == "batch-dominant-eigenvalue"


def test_statistics_are_those_of_the_values(spectrum: BatchSpectrum) -> None:
    values = np.array(spectrum.values)
    assert spectrum.median == np.median(values)
    assert spectrum.mean == pytest.approx(np.mean(values))
    assert spectrum.std == pytest.approx(np.std(values, ddof=1))
    assert (spectrum.min, spectrum.max) == (values.min(), values.max())
    assert spectrum.fraction_negative == np.mean(values < 0)


def test_a_mean_whose_sign_may_flip_has_no_interval(spectrum: BatchSpectrum, data: Batches) -> None:
    """Of samples without a flip it would be too narrow: it covers 25 to 90 % of the time."""
    assert min(spectrum.values) < 0 < max(spectrum.values)
    assert not spectrum.one_sign
    assert spectrum.mean_interval is None
    assert spectrum.median_interval is not None
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    assert batch_spectrum(operator, definition="top").mean_interval is not None


def test_the_other_end_must_be_far_in_every_batch(data: Batches) -> None:
    convex = build(lambda: nn.Linear(6, 4))
    found = batch_spectrum(HessianOperator(convex, functional.cross_entropy, data))
    assert found.one_sign
    assert found.mean_interval == mean_interval(np.array(found.values))
    near = [replace(found.batches[0], one_sign=False), *found.batches[1:]]
    again = batch_spectrum(HessianOperator(convex, functional.cross_entropy, data), done=near)
    assert (again.one_sign, again.mean_interval) == (False, None)


def test_the_interval_of_the_mean_is_that_of_cox(spectrum: BatchSpectrum) -> None:
    x = np.array(spectrum.values)  # of both signs: Student's t, the tabled quantile of 11 degrees
    half = 2.200985 * np.std(x, ddof=1) / math.sqrt(12)
    assert mean_interval(x) == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-6)
    y = np.log([1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 9.0])  # all positive, 7 degrees: on logarithms
    s2 = y.var(ddof=1)
    center, half = y.mean() + s2 / 2, 2.364624 * math.sqrt(s2 / 8 + s2**2 / 14)
    expected = (math.exp(center - half), math.exp(center + half))
    assert mean_interval(np.exp(y)) == pytest.approx(expected, rel=1e-6)
    assert mean_interval(-np.exp(y)) == pytest.approx([-end for end in expected[::-1]], rel=1e-6)


@pytest.mark.parametrize("count", [6, 7, 8, 16, 33])
def test_the_intervals_cover_what_they_say(count: int) -> None:
    # 2,000 draws: the standard error of a coverage of 95 % is 0.5 %
    source, means, medians = np.random.default_rng(count), 0, 0
    for _ in range(2000):
        values = np.exp(0.5 * source.standard_normal(count))
        low, high = median_interval(values) or (0.0, 0.0)
        medians += low <= 1 <= high
        low, high = mean_interval(values) or (0.0, math.inf)
        means += low <= math.exp(0.125) <= high
    assert 0.93 <= medians / 2000 <= 0.97
    assert 0.93 <= means / 2000 <= 0.97 or count < 8


def test_an_interval_of_the_mean_holds_the_mean_of_the_values() -> None:
    """Where logarithms would exclude it the values are not log-normal: Student's t is left."""
    source, covered = np.random.default_rng(0), 0
    for _ in range(500):
        values = source.gamma(0.5, 1.0, 121)  # many near zero, mean 0.5
        low, high = mean_interval(values) or (0.0, math.inf)
        assert low <= values.mean() <= high
        covered += low <= 0.5 <= high
    assert covered / 500 > 0.9  # 5 % by the logarithms alone


def test_too_few_batches_give_no_interval() -> None:
    few = np.arange(1.0, 6.0)
    assert median_interval(few) is mean_interval(few) is None
    # between the first and second of six: 96.875 % and 78.125 % interpolated to 95 %
    share = 0.1 * 5 / (1 + 4 * 0.1)
    assert median_interval(np.arange(1.0, 7.0)) == pytest.approx((1 + share, 6 - share))
    assert mean_interval(np.arange(1.0, 8.0)) is None


def test_jensen_holds(data: Batches) -> None:
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    whole = eigenvalues(operator)
    tops = [eigenvalues(operator.batch(index)).upper_bound for index in range(len(data))]
    assert float(whole.values[0]) <= np.average(tops, weights=SIZES)


def test_the_sign_is_kept(spectrum: BatchSpectrum, data: Batches) -> None:
    def concave(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return -functional.cross_entropy(outputs, targets)

    mirrored = batch_spectrum(HessianOperator(build(mlp), concave, data))
    assert mirrored.values == pytest.approx([-value for value in spectrum.values], rel=1e-9)
    assert 0 < spectrum.fraction_negative < 0.5  # an untrained network has batches of either sign
    assert mirrored.fraction_negative == pytest.approx(1 - spectrum.fraction_negative)


def test_products_are_counted_per_batch_and_few(data: Batches) -> None:
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    found = batch_spectrum(operator)
    assert operator.matvecs == 0  # none with the whole Hessian
    # about 8 a batch on trained networks; more here, where many batches' ends are nearly tied
    assert found.matvecs <= 30 * len(data)


def test_one_graph_a_batch_even_without_memory_for_graphs(data: Batches) -> None:
    model, calls = build(mlp), []
    model.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    operator = HessianOperator(model, functional.cross_entropy, data, graph_bytes=0)
    calls.clear()  # those of the checks
    kept = batch_spectrum(HessianOperator(build(mlp), functional.cross_entropy, data))
    assert batch_spectrum(operator) == kept
    assert calls == list(SIZES)


def test_a_batch_that_does_not_converge_is_owned_up_to(data: Batches) -> None:
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    found = batch_spectrum(operator, tol=1e-9, max_matvecs=3)
    assert not found.all_converged
    assert found.matvecs == 3 * len(data)


def test_a_single_batch_has_no_spread(data: Batches) -> None:
    found = batch_spectrum(HessianOperator(build(mlp), functional.cross_entropy, data[:1]))
    assert math.isnan(found.std)
    assert found.mean_interval is None
    assert found.median_interval is None


def test_equal_seeds_give_equal_results(data: Batches) -> None:
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    assert batch_spectrum(operator, seed=1) == batch_spectrum(operator, seed=1)
    assert batch_spectrum(operator, seed=1) != batch_spectrum(operator, seed=2)


def test_progress_is_told(data: Batches) -> None:
    told: list[tuple[int, int]] = []
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    batch_spectrum(operator, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(step, 12) for step in range(1, 13)]
