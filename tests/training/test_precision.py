"""What rounding leaves of a perturbation: exact on made-up weights, told in the record."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sambench.optim import build
from sambench.training.precision import RoundingWatch, numerics, rounded, rounds
from tests.training.test_loop import training


def by_hand(value: float, kept: int) -> float:
    """Round a float32 to so many bits of mantissa with exact arithmetic, ties away from zero."""
    if value == 0.0:
        return 0.0
    fraction, exponent = math.frexp(value)
    scaled = abs(fraction) * 2 ** (kept + 1)
    return math.copysign(math.ldexp(math.floor(scaled + 0.5), exponent - kept - 1), value)


def test_tf32_keeps_ten_bits() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    ties = [struct.unpack("f", struct.pack("I", 0x3F801000))[0], 1.9999999, -1.9999999, 0.0]
    given = torch.tensor([*values.tolist(), *ties], dtype=torch.float32)
    expected = [by_hand(value, 10) for value in given.tolist()]
    assert rounded(given, "tf32").tolist() == expected


def test_bf16_keeps_seven_bits_and_the_sign() -> None:
    given = torch.tensor([1.0, 1.0 + 2**-8, 1.0 + 3 * 2**-8, -(1.0 + 2**-7)])
    assert rounded(given, "bf16").tolist() == [1.0, 1.0, 1.0 + 2**-6, -(1.0 + 2**-7)]


def rounding_of(step: Tensor, weight: float, precision: str = "bf16") -> tuple[float, ...]:
    """Perturb two tensors of equal weights by hand, as an optimizer does; return what is left."""
    model = nn.Linear(4, 2)
    nn.init.constant_(model.weight, weight)
    optimizer = build("sam", model.parameters(), lr=0.1)
    watch = RoundingWatch(optimizer, precision)
    watch.look()
    assert watch.rounding is None
    before = model.weight.data
    model.weight.data = before + step
    watch.look()
    model.weight.data = before
    found = watch.rounding
    assert found is not None
    return float(found["changed"]), float(found["cosine"]), float(found["norm_ratio"])


def test_what_is_left_of_a_perturbation() -> None:
    """At 1, bfloat16's spacing is 2^-7: of two steps of a half and of one spacing one survives."""
    step = torch.zeros(2, 4)
    step[0, 0], step[0, 1] = 2**-7, 2**-9
    changed, cosine, ratio = rounding_of(step, 1.0)
    length = math.hypot(2**-7, 2**-9)
    assert changed == 1 / 8
    assert cosine == pytest.approx(2**-7 / length, rel=1e-6)
    assert ratio == pytest.approx(2**-7 / length, rel=1e-6)


def test_small_steps_vanish_and_large_ones_do_not() -> None:
    direction = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    assert rounding_of(direction * 1e-5, 1.0) == (0.0, 0.0, 0.0)
    changed, cosine, ratio = rounding_of(direction, 1.0)
    assert changed == 1.0
    assert cosine > 0.999
    assert ratio == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("device", "capability", "hip", "tf32"),
    [
        ("cpu", None, None, False),
        ("cuda:0", (7, 5), None, False),  # a T4
        ("cuda:0", (8, 0), None, True),  # an A100
        ("cuda:0", (9, 4), "6.4", False),  # of AMD
    ],
)
def test_where_precisions_round(
    monkeypatch: pytest.MonkeyPatch, device: str, capability: object, hip: str | None, tf32: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    found = [rounds(p, torch.device(device)) for p in ("fp32", "tf32", "bf16")]
    assert found == [False, tf32, True]


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="older PyTorch")
def test_newer_switches_that_somebody_set_are_turned_and_put_back() -> None:
    """From then on torch refuses to read the older one."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    switches = (matmul, cudnn.conv, cudnn.rnn)
    before = [switch.fp32_precision for switch in switches]
    theirs = ["tf32", "ieee", "tf32"]
    try:
        for switch, value in zip(switches, theirs, strict=True):
            switch.fp32_precision = value
        for older in (matmul, cudnn):
            with pytest.raises(RuntimeError, match="legacy and new"):
                bool(older.allow_tf32)
        for precision, value in (("fp32", "ieee"), ("tf32", "tf32")):
            with numerics(precision):
                assert [switch.fp32_precision for switch in switches] == [value] * 3
            assert [switch.fp32_precision for switch in switches] == theirs
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def test_a_run_in_bf16_tells_once_and_one_in_fp32_has_nothing_to_tell(tmp_path: Path) -> None:
    run = training(tmp_path / "bf16", optimizer="sam", precision="bf16")
    run.run()
    rounding = run.state.rounding
    assert rounding is not None
    assert rounding["precision"] == "bf16"
    assert 0.0 < float(rounding["changed"]) < 1.0
    assert -1.0 <= float(rounding["cosine"]) <= 1.0
    exact = training(tmp_path / "fp32", optimizer="sam")
    exact.run()
    assert exact.state.rounding is None


def test_watching_changes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = training(tmp_path / "watched", optimizer="gsam", precision="bf16")
    watched.run()
    monkeypatch.setattr("sambench.training.loop.rounds", lambda precision, device: False)
    plain = training(tmp_path / "plain", optimizer="gsam", precision="bf16")
    plain.run()
    assert plain.state.rounding is None
    pairs = zip(watched.model.parameters(), plain.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_method_without_a_perturbation_has_nothing_to_lose(tmp_path: Path) -> None:
    run = training(tmp_path, optimizer="adam", precision="bf16")
    run.run()
    assert run.state.rounding is None
