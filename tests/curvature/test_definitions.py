"""What can be measured of each batch, and that literal weight noise is what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sambench.curvature import BatchSpectrum, HessianOperator, batch_spectrum
from sambench.curvature.batch_spectrum import (
    DEFINITIONS,
    BatchValues,
    Definition,
    weight_noise,
)
from sambench.curvature.landscape import filter_normalised

from .cases import Batches, batches, build, exact_hessian, mlp

SIZES = (8, 8, 8, 6)


@pytest.fixture(scope="module")
def data() -> Batches:
    return batches(SIZES, (6,))


@pytest.fixture
def operator(data: Batches) -> HessianOperator:
    return HessianOperator(build(mlp), functional.cross_entropy, data)


def exact(data: Batches, of: Callable[[Tensor], list[float]]) -> list[float]:
    return [value for batch in data for value in of(exact_hessian(build(mlp), [batch]))]


def dominant(matrix: Tensor) -> list[float]:
    values = torch.linalg.eigvalsh(matrix)
    return [float(values[values.abs().argmax()])]


EXACT: dict[Definition, Callable[[Tensor], list[float]]] = {
    "dominant": dominant,
    "top": lambda matrix: [float(torch.linalg.eigvalsh(matrix)[-1])],
    "topk": lambda matrix: torch.linalg.eigvalsh(matrix).flip(0)[:5].tolist(),
}


@pytest.mark.parametrize("definition", EXACT)
def test_eigenvalues_are_those_of_the_batches(
    operator: HessianOperator, data: Batches, definition: Definition
) -> None:
    found = batch_spectrum(operator, 1e-4, definition=definition)
    assert found.all_converged
    assert found.ended_by == "tolerance"
    assert found.definition == DEFINITIONS[definition]
    # residual² / gap with residuals of 1e-4
    assert found.values == pytest.approx(exact(data, EXACT[definition]), rel=1e-5, abs=1e-6)


def test_traces_are_those_of_the_batches(operator: HessianOperator, data: Batches) -> None:
    found = batch_spectrum(operator, 1e-9, definition="trace", max_matvecs=64)
    truth = exact(data, lambda matrix: [float(matrix.trace())])
    for value, stderr, right in zip(found.values, found.residuals, truth, strict=True):
        assert value == pytest.approx(right, abs=4 * stderr)
    assert found.ended_by == "max_matvecs"
    assert found.matvecs == 4 * 64


@pytest.mark.parametrize("perturbations", [0, 2])
def test_why_the_batches_ended_is_that_of_one_that_did_not_converge(
    data: Batches, perturbations: int
) -> None:
    model = build(mlp).float()
    operator = HessianOperator(model, functional.cross_entropy, data)
    given: Any = {"perturbations": perturbations, "displacement": weight_noise(model, 0.01, 0)}
    assert batch_spectrum(operator, 1e-12, **given).ended_by == "rounding"
    assert batch_spectrum(operator, 1e-12, max_matvecs=3, **given).ended_by == "max_matvecs"


def test_intervals_resample_whole_batches() -> None:
    # values that agree within batches say no more of the batches than one of each
    def summary(copies: int) -> BatchSpectrum:
        done = [
            BatchValues(values=(v,) * copies, residuals=(0.0,) * copies, matvecs=1, converged=True)
            for v in (1.0, 2.0, 4.0, 8.0, 1.0, 2.0, 4.0, 8.0)
        ]
        data = batches((4,) * 8, (6,))
        return batch_spectrum(
            HessianOperator(build(mlp), functional.cross_entropy, data), done=done
        )

    one, many = summary(1), summary(50)
    assert one.mean_interval == pytest.approx(many.mean_interval)
    assert one.matvecs == 8  # nothing was measured again


def test_goes_on_where_it_was_cut(operator: HessianOperator) -> None:
    kept: list[BatchValues] = []
    asked = iter([False, True])
    cut = batch_spectrum(operator, on_batch=kept.append, out_of_time=lambda: next(asked))
    assert (len(cut.batches), cut.num_batches, cut.ended_by) == (2, 4, "minutes")
    assert cut.batch_sizes == (8, 8)
    whole = batch_spectrum(operator, done=tuple(kept), on_batch=kept.append)
    assert whole == batch_spectrum(operator)
    assert len(kept) == 4


def test_the_first_batches_only(operator: HessianOperator) -> None:
    assert batch_spectrum(operator, num_batches=2).values == batch_spectrum(operator).values[:2]


def test_weight_noise_is_measured_at_the_displaced_weights(data: Batches) -> None:
    model, seen = build(mlp), []
    noise = weight_noise(model, 0.05, seed=3)

    def spied(which: int) -> tuple[dict[str, Tensor], float]:
        seen.append(which)
        direction, step = noise(which)
        return dict(direction), step

    operator = HessianOperator(model, functional.cross_entropy, data)
    found = batch_spectrum(operator, 1e-4, perturbations=2, displacement=spied, num_batches=2)
    assert found.definition == "batch-dominant-eigenvalue-under-weight-noise"
    assert seen == [0, 1, 2, 3]  # different ones for every batch
    truth = []
    for which in range(4):
        moved, direction = build(mlp), filter_normalised(model, 3, which)
        with torch.no_grad():
            for name, weight in moved.named_parameters():
                weight.add_(0.05 * direction[name])
        truth += dominant(exact_hessian(moved, [data[which // 2]]))
    assert found.values == pytest.approx(truth, rel=1e-5)


def test_noise_has_its_share_of_every_filter() -> None:
    model = build(mlp)
    direction, step = weight_noise(model, 0.02, seed=0)(0)
    moved = step * direction["0.weight"]
    torch.testing.assert_close(moved.norm(dim=1), 0.02 * model[0].weight.detach().norm(dim=1))
    assert not direction["0.bias"].any()


def test_small_noise_changes_little(operator: HessianOperator) -> None:
    noise = weight_noise(build(mlp), 1e-3, seed=0)
    noisy = batch_spectrum(operator, 1e-4, perturbations=3, displacement=noise)
    plain = batch_spectrum(operator, 1e-4)
    assert noisy.median == pytest.approx(plain.median, rel=0.05)
    assert noisy.matvecs > 2 * plain.matvecs


def test_what_makes_no_sense_is_refused(operator: HessianOperator) -> None:
    with pytest.raises(ValueError, match=f"one of {', '.join(get_args(Definition))}"):
        batch_spectrum(operator, definition="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="perturbations need a displacement"):
        batch_spectrum(operator, perturbations=2)
