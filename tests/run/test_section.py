"""The record's section: its numbers, its stages, and what it says of budgets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sambench.config.curvature_settings import HessianSettings
from sambench.run.section import measure
from sambench.store.sections.curvature import BatchSpectrum, Top, Trace
from tests.curvature.cases import Batches, ConvNet, batches, build, exact_hessian, flat_weights, mlp

SIZES = (8, 8, 6)


@pytest.fixture(scope="module")
def data() -> Batches:
    return batches(SIZES, (6,))


def section(data: Batches, settings: HessianSettings, **given: Any) -> dict[str, Any]:
    return measure(build(mlp), functional.cross_entropy, data, settings, **given)


def test_numbers_are_those_of_the_exact_hessian(data: Batches) -> None:
    found = section(data, HessianSettings(tol=1e-3, k=3, adaptive=True, per_layer=True), l2=0.2)
    model = build(mlp)
    H = exact_hessian(model, data) + 0.2 * torch.eye(92).double()
    values = torch.linalg.eigvalsh(H)
    top, total = found["top"], found["trace"]
    assert top["values"] == pytest.approx(values.flip(0)[:3].tolist(), rel=1e-4)
    assert top["lowest"] == pytest.approx(float(values[0]), abs=top["lowest_residual"] + 1e-9)
    # beside the bounds stands LAPACK's rounding: some n eps |H|, far below 1e-12
    assert top["lower_bound"] - 1e-12 <= float(values[0])
    assert float(values[-1]) <= top["upper_bound"] + 1e-12
    assert abs(total["value"] - float(H.trace())) < 4 * total["stderr"] + 1e-9
    d = flat_weights(model).abs()
    relative = torch.linalg.eigvalsh(d[:, None] * H * d)[-1]
    assert found["adaptive"]["top"]["value"] == pytest.approx(float(relative), rel=1e-4)
    blocks = {"0 (Linear)": H[:56, :56], "2 (Linear)": H[56:, 56:]}
    for layer, block in blocks.items():
        here = found["layers"][layer]
        assert here["parameters"] == len(block)
        expected = float(torch.linalg.eigvalsh(block)[-1])
        assert here["top"]["value"] == pytest.approx(expected, rel=1e-4)
    assert (found["l2"], found["hvp"], found["samples"], found["batches"]) == (
        *(0.2, "reverse", 22, 3),
    )


@pytest.mark.parametrize(
    "number", [2, 9]
)  # batches: an interval of the median needs 6, of the mean 8
def test_a_section_is_of_the_types_that_a_record_takes(number: int) -> None:
    """As they are, without a way through JSON: a number of numpy's is none."""
    found = section(batches((8,) * number, (6,)), HessianSettings(tol=0.01, batch_stat="top"))
    assert (found["batch_spectrum"]["mean_interval"] is None) == (number < 8)
    msgspec.convert(found["batch_spectrum"], BatchSpectrum)
    msgspec.convert(found["top"], Top)
    msgspec.convert(found["trace"], Trace)


def test_the_gradient_is_seen_from_the_top_eigenvector(data: Batches) -> None:
    found, model = section(data, HessianSettings(tol=1e-4)), build(mlp)
    inputs, targets = (torch.cat(parts) for parts in zip(*data, strict=True))
    loss = functional.cross_entropy(model(inputs), targets)
    parts = torch.autograd.grad(loss, [*model.parameters()])
    gradient = torch.cat([part.reshape(-1) for part in parts])
    u = torch.linalg.eigh(exact_hessian(model, data)).eigenvectors[:, -1]
    assert found["loss"] == pytest.approx(float(loss.detach()), rel=1e-12)
    assert found["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-12)
    cosine = abs(float(gradient @ u)) / float(gradient.norm())
    assert found["gradient_top_cosine"] == pytest.approx(cosine, abs=1e-3)


def test_is_plain_json_and_names_its_definition(data: Batches) -> None:
    found = section(data, HessianSettings(batch_stat="topk"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["definition"] == "batch-top-5-eigenvalues"
    assert found["trace"]["method"] == "hutchinson"
    assert len(found["batch_spectrum"]["values"]) == 15


def test_batches_at_noisy_weights_are_told(data: Batches) -> None:
    found = section(data, HessianSettings(perturbations=2, sigma=0.5, seed=1))
    assert (found["perturbations"], found["sigma"]) == (2, 0.5)
    values = found["batch_spectrum"]["values"]
    assert len(set(values)) == 2 * len(SIZES)
    assert "sigma" not in section(data, HessianSettings())


def test_batches_can_be_left_out(data: Batches) -> None:
    found = section(data, HessianSettings(batch_stat="none"))
    assert found["definition"] == "none"
    assert "batch_spectrum" not in found


def test_what_converged_says_nothing_of_budgets(data: Batches) -> None:
    assert section(data, HessianSettings(trace_tol=0.5, max_matvecs=200))["notes"] == []


def test_what_a_budget_of_products_has_cost_is_said(data: Batches) -> None:
    found = section(data, HessianSettings(tol=1e-6, trace_tol=1e-6, max_matvecs=8))
    top, total, spectrum = found["top"], found["trace"], found["batch_spectrum"]
    assert (top["converged"], total["converged"], spectrum["converged"]) == (False,) * 3
    assert (top["ended_by"], total["ended_by"]) == ("max_matvecs", "max_matvecs")
    low, high = total["interval"]
    assert found["notes"] == [
        "top eigenvalue: stopped by the budget of products: interval is "
        f"{top['value']:.4g} .. {top['upper_bound']:.4g} (wanted: 0.0001 %)",
        f"trace: stopped by the budget of products: 95 % interval is {low:.4g} .. {high:.4g}, "
        f"± {50 * (high - low) / abs(total['value']):.3g} % (wanted: 0.0001 %)",
        "batches: stopped by the budget of products: 3 of 3 batches measured, 3 of them not "
        "certified; too few for an interval of the median",
    ]


def test_what_a_budget_of_minutes_has_cost_is_said(data: Batches) -> None:
    found = section(data, HessianSettings(tol=1e-6, trace_tol=1e-6, minutes=1e-9, k=2))
    assert found["top"]["ended_by"] == found["trace"]["ended_by"] == "minutes"
    assert found["trace"]["samples"] == 8  # fewer would have no error to speak of
    assert [note.split(":")[0] for note in found["notes"]] == [
        *("top 2 eigenvalues", "trace", "batches"),
    ]
    assert "1 of 3 batches measured" in found["notes"][2]
    assert "too few for an interval of the median" in found["notes"][2]


def test_a_stage_leaves_of_the_minutes_what_later_ones_need(
    data: Batches, pass_by: Callable[[float], None]
) -> None:
    began = dict[str, float]()

    def take_time(what: str, done: int, most: int) -> None:
        began.setdefault(what, time.perf_counter() - 100)
        pass_by(10)

    section(data, HessianSettings(tol=1e-9, minutes=10, k=9), on_progress=take_time)
    assert began == {"top eigenvalue": 0, "trace": 240, "batches": 360}


class Cut(Exception):
    """What Ctrl-C does."""


@pytest.mark.parametrize("batches_done", [0, 1, 2])
def test_a_measurement_that_was_cut_goes_on(data: Batches, batches_done: int) -> None:
    settings = HessianSettings(adaptive=True, per_layer=True, seed=3)
    whole = section(data, settings)
    journal: dict[str, Any] = {}

    def cut(what: str, done: int, most: int) -> None:
        if what == "batches" and done > batches_done:
            raise Cut

    with pytest.raises(Cut):
        section(data, settings, journal=journal, on_progress=cut)
    assert len(journal["batches"]) == batches_done + 1  # kept before it was told of
    stages: list[str] = []
    stored = json.loads(json.dumps(journal))
    again = section(
        data, settings, journal=stored, on_progress=lambda what, done, most: stages.append(what)
    )
    assert "top eigenvalue" not in stages
    assert stages.count("batches") == 2 - batches_done
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert again["seconds"] > stored["seconds"] > 0


def test_modes_reach_the_operator() -> None:
    data = batches((8, 6), (1, 8, 8))

    def top(settings: HessianSettings) -> float:
        found = measure(build(ConvNet), functional.cross_entropy, data, settings)
        assert found["batch_norm"] == settings.batch_norm
        return float(found["top"]["value"])

    usual = top(HessianSettings(batch_stat="none"))
    assert top(HessianSettings(batch_stat="none", batch_norm="train")) != pytest.approx(
        usual, rel=0.01
    )
    assert top(HessianSettings(batch_stat="none", batch_norm="recalibrate")) != pytest.approx(
        usual, rel=0.01
    )


def test_progress_names_the_stages(data: Batches) -> None:
    told: list[str] = []
    section(
        data,
        HessianSettings(per_layer=True, adaptive=True),
        on_progress=lambda what, done, most: told.append(what),
    )
    assert list(dict.fromkeys(told)) == [
        *("top eigenvalue", "trace", "batches"),
        *("top eigenvalue of relative changes", "trace of relative changes"),
        *("top eigenvalue of 0 (Linear)", "trace of 0 (Linear)"),
        *("top eigenvalue of 2 (Linear)", "trace of 2 (Linear)"),
    ]


def test_a_linear_loss_has_no_curvature(data: Batches) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.mean()

    found = measure(build(lambda: mlp()[0]), loss, data, HessianSettings())  # type: ignore[index]
    assert found["top"]["value"] == found["trace"]["value"] == found["median"] == 0
    assert found["top"]["converged"]
    assert found["notes"] == []
