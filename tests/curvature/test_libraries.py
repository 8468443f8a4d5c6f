"""Other libraries' Hessians, where they are installed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from sambench.curvature import HessianOperator, eigenvalues

from .cases import batches, build, mlp, random_vector


def test_products_are_those_of_curvlinops() -> None:
    curvlinops = pytest.importorskip("curvlinops", reason="curvlinops is not installed")
    data, model, v = batches((8, 8, 6), (6,)), build(mlp), random_vector(92)
    theirs = curvlinops.HessianLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), data
    )
    ours = HessianOperator(model, functional.cross_entropy, data).matvec(v)
    torch.testing.assert_close(ours, (theirs @ v).detach(), rtol=1e-12, atol=1e-13)


def test_the_dominant_eigenvalue_is_that_of_pyhessian() -> None:
    pyhessian = pytest.importorskip("pyhessian", reason="pyhessian is not installed")
    data, model = batches((8, 8, 6), (6,)), build(mlp)
    found = eigenvalues(HessianOperator(model, functional.cross_entropy, data), which="dominant")
    theirs = pyhessian.hessian(model, functional.cross_entropy, dataloader=data, cuda=False)
    values, _ = theirs.eigenvalues(maxIter=2000, tol=1e-8)
    # its stop rule looks at the last change, not at the error
    assert found.values[0] == pytest.approx(float(values[0]), rel=1e-3)
