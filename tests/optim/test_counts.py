"""What a step costs beside its passes, counted: operations, launches, traffic, waits.

N is the size of all weights. A sweep over one vector reads N; an operation in place on one vector
moves 2N, on one with another 3N. What is not about whole vectors is a handful of scalars.

Operations and launches are those of a GPU, counted on tensors without memory, which take its path:
multi-tensor operations, whose number does not grow with the model. On the CPU, where operations
cost little and traffic all, multiplying by a scalar is folded into the addition that follows.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from benchmarks.meter import CHUNK, Meter, multi_tensor_launches
from sambench.optim import build
from sambench.optim.method import optimizers

MATRICES = 12
NETWORKS = {
    "few": lambda: [nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512)],
    "many": lambda: [
        m for _ in range(MATRICES) for m in (nn.Linear(256, 256), nn.BatchNorm1d(256))
    ],
}


class Most(NamedTuple):
    """The most that a step may cost beyond Adam's own, and the settings of its dearest step."""

    operations: int
    launches: int
    traffic: float
    traffic_on_cpu: float
    settings: dict[str, Any]
    waits: int = 0


NORM, RADIUS = 4, 3
"""Operations: the parts of a norm, their stack, its norm in float64, rounded; epsilon, reciprocal,
product. A norm of parts is three launches on a GPU."""

ROUND = 0.05
"""Copies of the weights: biases, norms of parts, scalars, the buffers of a later pass."""

LOSS = 1
"""The loss of every pass is kept by a copy."""

BUFFERS = 2
"""Each pass but the first has copies of the buffers: of float32, and the counts of batches."""

SAM = LOSS + NORM + RADIUS + 2 + BUFFERS
"""g to e, e to w + e: |g| N, g s 2N, + w 3N; on the CPU w + s g 3N."""

COSTS = {
    "sam": Most(SAM, SAM + 2, 6, 4, {}),
    # as SAM; the means read N, subtracting them moves 2N
    "gcsam": Most(SAM + 2 * MATRICES, SAM + 2 + 2 * MATRICES, 9, 7, {}),
    # T = w: g T 3N, |g T| N, s 2N, w + T (T g) 3N, where w is read once
    "asam scope=all": Most(SAM + 1, SAM + 3, 9, 7, {"scope": "all"}),
    # T = |w| + eta 4N, of which w + T (T g) now reads both: 14N; and T = 1 on biases, two more
    "asam": Most(SAM + 5, SAM + 7, 14, 12, {}),
    # |g| N, w + s g 5N (3N), g + a (g_a - g) 3N
    "wsam decouple=false": Most(SAM + 1, SAM + 3, 9, 7, {"decouple": False}),
    # |g| N, w + s g 5N (3N), g_a - g 3N, w - lr a (g_a - g) 3N
    "wsam": Most(SAM + 2, SAM + 4, 12, 10, {}),
    # |g| N, w - s g 5N, a g_b + b g 5N, w + s g 5N (3N), + c g_a 3N
    "crsam": Most(SAM + LOSS + BUFFERS + 6, SAM + BUFFERS + 9, 19, 17, {}),
    # |g| N, w + s g 5N (3N), <g, g_a> and |g_a| 5N (2N), a g_a 2N, + b g 3N
    "gsam": Most(SAM + 21, SAM + 27, 16, 12, {}),
    # SAM's, on some tensors zeroed before
    "esam": Most(SAM + 1, SAM + 3, 7, 5, {}),
    "sam-on": Most(SAM + 1, SAM + 3, 7, 5, {}),
    # w + s g 5N (3N), without a norm
    "usam": Most(SAM, SAM + 2, 6, 4, {}),
    # SAM's; |g_a| N, scaled 2N
    "stablesam": Most(SAM + 7, SAM + 11, 9, 7, {}),
    # SAM's; d = g - m 3N, m + d 3N
    "fsam": Most(SAM + 2, SAM + 4, 12, 10, {}),
    # m towards g 3N, |m| N, w + s m 5N (3N)
    "vasso": Most(SAM + 1, SAM + 3, 9, 7, {}),
    # |v| N, w - s v 5N (3N)
    "msam": Most(SAM - LOSS - BUFFERS, SAM - BUFFERS + 1, 6, 4, {}),
    # every second step SAM's, and the choice of AE-SAM waits for the norm
    "aesam": Most(SAM, SAM + 2, 6, 4, {"first": -9.0, "last": -9.0}, waits=1),
    "interval-sam": Most(SAM, SAM + 2, 6, 4, {"k": 2.0}),
    # |g| N; g_c as g, g - g_c 3N; e of |g_c| N, w + s g_c 5N; + g_a 3N
    "focal-sam": Most(SAM + LOSS + BUFFERS + 2, SAM + LOSS + BUFFERS + 4, 12, 10, {}),
    # |g| N, w + s g 3N, <g, g_a> and |g_a| 2N, v 5N, |g_a| v 2N on the CPU; a search adds 21 looks,
    # v 5N and w + rho v 3N, each of which waits, so that it cannot be counted on a GPU
    "xsam": Most(0, 0, 0, 182.4, {"every": 1.0}, waits=21),
    # |g| N, w + s g 5N (3N), <g_a, g> and |g| 6N (2N), -c g + g_a 5N (3N); between, + s v 5N
    "looksam": Most(SAM + 22, SAM + 30, 17, 10, {"k": 2.0}),
}
PERTURBING = [info.name for info in optimizers.list() if info.base is None]


class Steps:
    """Steps of an optimizer on Adam with forward and backward off the books."""

    def __init__(self, name: str, network: str, device: str, **settings: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(*NETWORKS[network]()).to(device)
        self.inputs = torch.randn(4, 512 if network == "few" else 256).to(device)
        self.loss = torch.ones((), device=device)
        base = {"base": "adam"} if device == "cpu" else {"base": "sgd", "fused": False}
        if device != "cpu":
            base |= {"momentum": 0.9, "foreach": True}
        self.optimizer = build(name, self.model.parameters(), **{**base, "lr": 1e-3, **settings})
        self.size = sum(4 * p.numel() for p in self.model.parameters())

    def closure(self) -> Tensor:
        """Run the modules, so that they are seen, and supply gradients."""
        with _disable_current_modes():
            self.model(self.inputs)
            drawn = torch.empty_like if self.loss.is_meta else torch.randn_like
            found = [drawn(p) for p in self.model.parameters()]
        for parameter, gradient in zip(self.model.parameters(), found, strict=True):
            parameter.grad = gradient
        return self.loss

    def metered(self) -> list[Meter]:
        """Meter two steps, after two that fill momentum and memory."""
        for _ in range(2):
            self.optimizer.step(self.closure)
        meters = []
        for _ in range(2):
            with Meter() as meter:
                self.optimizer.step(self.closure)
            meters.append(meter)
        return meters


@cache
def base_of(network: str, device: str) -> Meter:
    """Meter a step of the base optimizer alone, which every case is compared with."""
    return Steps("adam" if device == "cpu" else "sgd", network, device).metered()[0]


def test_every_optimizer_has_its_costs_stated() -> None:
    lacking = set(PERTURBING) ^ {name.split()[0] for name in COSTS}
    assert not lacking, f"state what a step of {', '.join(lacking)} costs at most in COSTS"


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", [case for case, most in COSTS.items() if not most.waits])
def test_operations_launches_and_traffic_on_a_gpu(case: str, network: str) -> None:
    most = COSTS[case]
    base = base_of(network, "meta")
    steps = Steps(case.split(maxsplit=1)[0], network, "meta", **most.settings)
    for meter in steps.metered():
        assert len(meter.operations) - len(base.operations) <= most.operations
        assert meter.launches - base.launches <= most.launches
        assert (meter.traffic - base.traffic) / steps.size <= most.traffic + ROUND


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", COSTS)
def test_traffic_on_the_cpu(case: str, network: str) -> None:
    most = COSTS[case]
    base = base_of(network, "cpu")
    steps = Steps(case.split(maxsplit=1)[0], network, "cpu", **most.settings)
    for meter in steps.metered():
        assert (meter.traffic - base.traffic) / steps.size <= most.traffic_on_cpu + ROUND
        assert len(meter.waits) == most.waits


def test_the_targets_hold_for_any_number_of_tensors() -> None:
    """No count but GCSAM's grows with the model."""
    targets = {"sam": 12, "asam": 17, "wsam": 16, "crsam": 21, "gsam": 40, "gcsam": 12}
    for name, target in targets.items():
        for network, matrices in (("few", 1), ("many", MATRICES)):
            base = base_of(network, "meta")
            (meter, _) = Steps(name, network, "meta").metered()
            allowed = target + (2 * matrices if name == "gcsam" else 0)
            assert len(meter.operations) - len(base.operations) <= allowed


@pytest.mark.parametrize("case", COSTS)
def test_weights_are_bit_for_bit_where_they_were(case: str) -> None:
    settings = {**COSTS[case].settings, "lr": 0.0}
    steps = Steps(case.split(maxsplit=1)[0], "many", "cpu", **settings)
    parameters = list(steps.model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    places = [parameter.data_ptr() for parameter in parameters]
    for _ in range(4):
        steps.optimizer.step(steps.closure)
    assert all(map(torch.equal, parameters, before))
    assert [parameter.data_ptr() for parameter in parameters] == places


def test_bytes_and_operations_are_counted_by_hand() -> None:
    x, y = [torch.ones(1000), torch.ones(24)], [torch.ones(1000), torch.ones(24)]
    with Meter() as meter:
        torch._foreach_mul_(x, 2.0)
        torch._foreach_add_(x, y)
        torch._foreach_copy_(x, y)
        torch._foreach_norm(x)
        torch._foreach_addcmul(x, x, y)
        x[0].reshape(10, 100).split(5)
        x[0].sum().item()
    moved = [(o.read // 1024, o.written // 1024) for o in meter.operations[:5]]
    assert moved == [(4, 4), (8, 4), (4, 4), (4, 0), (8, 4)]
    assert [o.launches for o in meter.operations[:5]] == [1, 1, 1, 3, 1]
    assert len(meter.operations) == 7
    assert meter.waits == ["aten._local_scalar_dense.default"]


def test_the_peak_counts_what_is_alive_together() -> None:
    with Meter() as meter:
        for _ in range(3):
            one = torch.zeros(1000)
            del one
        two = torch.zeros(500), torch.zeros(250)
    assert meter.peak == 4000
    assert len(two) == 2


@pytest.mark.parametrize(
    ("sizes", "lists", "expected"),
    [
        ([10] * 770, 1, 1),
        ([10] * 771, 1, 2),
        ([10] * 161, 3, 1),
        ([CHUNK * 2240], 1, 1),
        ([CHUNK * 2240 + 1], 1, 2),
        ([0, 5], 1, 1),
        ([], 1, 0),
    ],
)
def test_launches_of_a_multi_tensor_operation(sizes: list[int], lists: int, expected: int) -> None:
    assert multi_tensor_launches(sizes, lists) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["sam", "gsam", "crsam"])
def test_predicted_launches_are_those_that_run(name: str) -> None:
    steps = Steps(name, "many", "cuda")
    (meter, _) = steps.metered()
    kinds = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        steps.model(steps.inputs)
    forward = sum("Memcpy" not in event.name for event in profile.events())
    with torch.profiler.profile(activities=kinds) as profile:
        steps.optimizer.step(steps.closure)
    passes = optimizers.get(name).gradient_evaluations
    drawn = len(list(steps.model.parameters()))
    ran = sum("Memcpy" not in event.name for event in profile.events())
    # copies of scalars are launches here and memcpy there
    assert abs(ran - passes * (forward + drawn) - meter.launches) <= 6
