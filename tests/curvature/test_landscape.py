"""Lines and planes against direct evaluation and quadratics; resuming; statelessness."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sambench.curvature import (
    HessianOperator,
    eigenvalues,
    eigenvector_plane,
    filter_normalised,
    random_landscape,
)
from sambench.curvature.landscape import Rows
from sambench.errors import CurvatureError

from .cases import Batches, ConvNet, batches, build, exact_hessian, joined, mlp
from .test_sharpness import SPECTRA, Weights, quadratic, scaled_samples, with_spectrum

LOSS = functional.cross_entropy
SHAPE = (1, 8, 8)


def moved(model: nn.Module, steps: dict[int, float], seed: int = 0) -> nn.Module:
    """A copy of the network, moved along the directions of a seed by hand."""
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        for which, step in steps.items():
            for name, part in filter_normalised(model, seed, which).items():
                other.get_parameter(name).add_(step * part)
    return other


def evaluated(model: nn.Module, data: Batches) -> tuple[float, float]:
    inputs, targets = joined(data)
    outputs = model(inputs).detach()
    return float(LOSS(outputs, targets)), float((outputs.argmax(1) == targets).double().mean())


def test_a_line_is_the_loss_of_moved_networks() -> None:
    model, data = build(ConvNet), batches((4, 3), SHAPE)
    line = random_landscape(model, LOSS, data, 1, points=5, extent=0.8, seed=3)
    (x,) = line.coordinates
    np.testing.assert_allclose(x, [-0.8, -0.4, 0, 0.4, 0.8])
    for place, step in enumerate(x):
        expected = evaluated(moved(model, {0: float(step)}, seed=3), data)
        assert (line.loss[place], line.accuracy[place]) == pytest.approx(expected, rel=1e-10)
    assert line.center_loss == pytest.approx(evaluated(model.eval(), data)[0])
    weights = torch.cat(
        [model.get_parameter(n).flatten() for n in ("features.0.weight", "head.1.weight")]
    )
    assert line.lengths == (pytest.approx(float(weights.detach().norm()), rel=1e-6),)
    assert line.cost.forward_passes == 5
    assert line.num_samples == 7


def test_a_plane_is_the_loss_of_moved_networks() -> None:
    model, data = build(ConvNet), batches((4, 3), SHAPE)
    plane = random_landscape(model, LOSS, data, 2, points=3, extent=0.5)
    for row, y in enumerate(plane.coordinates[1]):
        for column, x in enumerate(plane.coordinates[0]):
            expected = evaluated(moved(model, {0: float(x), 1: float(y)}), data)[0]
            assert plane.loss[row, column] == pytest.approx(expected, rel=1e-10)
    line = random_landscape(model, LOSS, data, 1, points=3, extent=0.5)
    np.testing.assert_allclose(plane.loss[1], line.loss, rtol=1e-12)


def test_recalibrated_planes_are_those_of_training_statistics() -> None:
    """With a single batch the recomputed mean is that of training mode, the variance unbiased."""
    model, data = build(ConvNet), batches((7,), SHAPE)
    line = random_landscape(model, LOSS, data, 1, points=3, batch_norm="recalibrate")
    assert line.batch_norm == "recalibrate"
    assert line.cost.forward_passes == 6
    other = moved(model, {0: 1.0})
    layer = other.features[1]  # type: ignore[index]
    layer.train()
    layer.momentum = 1.0
    other(data[0][0])
    layer.eval()
    assert line.loss[-1] == pytest.approx(evaluated(other, data)[0], rel=1e-10)


def test_eigenvectors_of_a_quadratic_give_circles() -> None:
    matrix = with_spectrum(SPECTRA["network-like"]).matrix
    model = Weights(torch.zeros(60, dtype=torch.float64))
    plane = eigenvector_plane(
        model, quadratic(matrix), scaled_samples([1.0]), points=5, extent=2.0, tol=1e-6
    )
    x, y = np.meshgrid(*plane.coordinates)
    np.testing.assert_allclose(plane.loss, 0.5 * (x**2 + y**2), rtol=1e-6, atol=1e-9)
    assert plane.eigenvalues == pytest.approx((85.3, 59.7), rel=1e-6)
    assert plane.eigenvalues_converged
    assert plane.lengths == pytest.approx((85.3**-0.5, 59.7**-0.5), rel=1e-6)
    assert np.isnan(plane.accuracy).all()


def test_eigenvectors_of_a_network() -> None:
    """Close to the weights the plane is the exact Hessian's second-order model."""
    model, data = build(mlp), batches((8, 3), (6,))
    with HessianOperator(model, LOSS, data) as H:
        pairs = eigenvalues(H, 2, tol=1e-8)
    plane = eigenvector_plane(model, LOSS, data, points=3, extent=1e-3, eigenpairs=pairs)
    exact = torch.linalg.eigvalsh(exact_hessian(model, data))
    assert plane.eigenvalues == pytest.approx(exact[-2:].flip(0).tolist(), rel=1e-8)
    curvature = (plane.loss[1, 0] + plane.loss[1, 2] - 2 * plane.loss[1, 1]) / 1e-6
    assert curvature == pytest.approx(1, rel=1e-3)
    again = eigenvector_plane(model, LOSS, iter(data), points=3, extent=1e-3, tol=1e-8)
    np.testing.assert_allclose(again.loss, plane.loss, rtol=1e-9)


def test_finished_rows_are_not_computed_again() -> None:
    model, data = build(ConvNet), batches((4, 3), SHAPE)
    whole = random_landscape(model, LOSS, data, 2, points=5)
    rows: Rows = {}

    class Stopped(Exception):
        pass

    def stop(done: int, most: int) -> None:
        assert most == 25
        if done == 15:
            raise Stopped

    with pytest.raises(Stopped):
        random_landscape(model, LOSS, data, 2, points=5, rows=rows, on_progress=stop)
    assert sorted(rows) == [0, 1, 2]
    before = {index: row.copy() for index, row in rows.items()}
    for row in rows.values():
        row[:] = 7.0
    resumed = random_landscape(model, LOSS, data, 2, points=5, rows=rows)
    assert (resumed.loss[:3] == 7.0).all()
    rows |= before
    resumed = random_landscape(model, LOSS, data, 2, points=5, rows=rows)
    assert np.array_equal(resumed.loss, whole.loss)
    assert resumed.cost == whole.cost


def test_overflow_is_kept_as_infinity() -> None:
    model = build(lambda: nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))).float()
    line = random_landscape(model, LOSS, batches((4,), (6,)), 1, points=3, extent=1e25)
    assert line.loss[0] == line.loss[2] == math.inf
    assert math.isfinite(line.center_loss)


def test_nothing_of_the_model_is_changed() -> None:
    model, data = build(ConvNet), batches((4, 3), SHAPE)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    state = torch.get_rng_state()
    random_landscape(model, LOSS, data, 2, points=3, batch_norm="recalibrate")
    eigenvector_plane(model, LOSS, data, points=3)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert modes == [m.training for m in model.modules()]
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_refusals() -> None:
    model, data = build(mlp), batches((4,), (6,))
    with pytest.raises(ValueError, match="odd number of points"):
        random_landscape(model, LOSS, data, 1, points=4)
    with HessianOperator(model, LOSS, data) as H:
        one = eigenvalues(H, 1)
    with pytest.raises(CurvatureError, match="takes two eigenvectors"):
        eigenvector_plane(model, LOSS, data, eigenpairs=one)
    with HessianOperator(build(mlp, 1), LOSS, data) as H:
        other = eigenvalues(H, 2)
    with pytest.raises(CurvatureError, match="eigenvectors given are of another H than this"):
        eigenvector_plane(model, LOSS, data, points=3, eigenpairs=other)
    flat = Weights(torch.ones(5, dtype=torch.float64))
    matrix = torch.zeros(5, 5, dtype=torch.float64)
    with pytest.raises(CurvatureError, match="flat direction"):
        eigenvector_plane(flat, quadratic(matrix), scaled_samples([1.0]))
