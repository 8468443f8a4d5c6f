"""Modules that are given, compiled, scripted, called by parts, sharded or run in threads."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import weight_norm as old_weight_norm
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from sambench.errors import ConfigError, SambenchWarning
from sambench.optim import SAM, build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.modules import Modules, is_normalization

Loss = Callable[[], Tensor]


class Embedded(nn.Module):
    """Parameters of its own, a norm, and a way around `forward`, as timm's models have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.token = nn.Parameter(torch.ones(1, 72))
        self.norm, self.head = nn.BatchNorm1d(72), nn.Linear(72, 3)

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = self.norm(x.flatten(1) + self.token)
        return features

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.forward_features(x))
        return outputs


def closure_from(loss_of: Loss) -> Loss:
    def closure() -> Tensor:
        loss = loss_of()
        loss.backward()
        return loss

    return closure


def whole(model: Embedded) -> Loss:
    inputs, targets = batch()
    return lambda: functional.cross_entropy(model(inputs), targets)


def by_parts(model: Embedded) -> Loss:
    inputs, targets = batch()
    return lambda: functional.cross_entropy(model.head(model.forward_features(inputs)), targets)


def compiled_loss(model: Embedded) -> Loss:
    return torch.compile(whole(model), backend="aot_eager")


def compiled_model(model: Embedded) -> Loss:
    compiled, (inputs, targets) = torch.compile(model, backend="aot_eager"), batch()
    return lambda: functional.cross_entropy(compiled(inputs), targets)


def compiled_in_place(model: Embedded) -> Loss:
    model.compile(backend="aot_eager")
    return whole(model)


WAYS = [by_parts, compiled_loss, compiled_model, compiled_in_place]


@pytest.mark.not_nudged
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["asam", "sam-on"])
@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_a_given_model_is_known_however_it_is_called(way: Callable[..., Loss], name: str) -> None:
    ends = []
    for loss_of in (whole, way):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        model = Embedded().double()
        optimizer = build(name, model.parameters(), "sgd", lr=0.1, rho=0.5, model=model)
        closure = closure_from(loss_of(model))
        for _ in range(3):
            optimizer.step(closure)
        ends.append(list(model.state_dict().values()))
        assert int(model.norm.num_batches_tracked or 0) == 3
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert way is by_parts or graphs == 1
    for found, wanted in zip(*ends, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_what_was_not_seen_is_told_once() -> None:
    model = Embedded().double()
    optimizer = build("asam", model.parameters(), "sgd", lr=0.1)
    with pytest.warns(SambenchWarning, match="modules of 1 trained tensors were not seen") as told:
        for _ in range(2):
            optimizer.step(closure_from(by_parts(model)))
    assert len(told) == 1


@pytest.mark.not_nudged
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, batch()[0])])
def test_scripts_keep_the_statistics_of_the_clean_pass(make: Any) -> None:
    start = Embedded().double().state_dict()
    ends = []
    for scripted in (False, True):
        model: Any = Embedded().double()
        model = make(model) if scripted else model
        model.load_state_dict(start)
        optimizer = build("asam", model.parameters(), "sgd", lr=0.1, model=model)
        for _ in range(3):
            optimizer.step(closure_from(whole(model)))
        ends.append(list(model.state_dict().values()))
    for found, wanted in zip(*ends, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("given", [True, False])
def test_models_in_two_threads_do_not_meet(given: bool) -> None:
    """Each thread takes its steps while the other is within a pass."""
    models = [Embedded().double() for _ in range(2)]
    alone = Embedded().double()
    meeting = threading.Barrier(2, timeout=60)

    def train(model: Embedded, wait: bool) -> None:
        settings: dict[str, Any] = {"model": model} if given else {}
        optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.5, **settings)
        loss_of = whole(model)

        def waiting() -> Tensor:
            if wait:
                meeting.wait()
            loss = loss_of()
            if wait:
                meeting.wait()
            return loss

        for _ in range(4):
            optimizer.step(closure_from(waiting))

    threads = [threading.Thread(target=train, args=(model, True)) for model in models]
    for thread in threads:
        thread.start()
    train(alone, False)
    for thread in threads:
        thread.join()
    for model in models:
        for found, wanted in zip(
            model.state_dict().values(), alone.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_a_copy_of_an_optimizer_does_not_copy_the_model() -> None:
    model = Embedded().double()
    optimizer = build("sam", model.parameters(), lr=0.1, model=model)
    optimizer.step(closure_from(whole(model)))
    copied: list[nn.Module] = []
    Embedded.__deepcopy__ = lambda self, memo: copied.append(self)  # type: ignore[attr-defined]
    try:
        copy.deepcopy(optimizer)
    finally:
        del Embedded.__deepcopy__  # type: ignore[attr-defined]
    assert not copied
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    assert twin_optimizer._modules.given == (twin,)


class LlamaRMSNorm(nn.Module):
    """As Hugging Face defines it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


def test_norm_layers_of_other_libraries_are_found() -> None:
    timm = pytest.importorskip("timm")
    layers = (timm.layers.RmsNorm(3), timm.layers.LayerNorm2d(3), timm.layers.BatchNormAct2d(3))
    assert all(map(is_normalization, (*layers, LlamaRMSNorm(), nn.RMSNorm(3))))
    weighted = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
    assert not any(map(is_normalization, (nn.Linear(3, 3), weighted, nn.Embedding(3, 3))))


@pytest.mark.parametrize("parametrize", [weight_norm, spectral_norm, old_weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_what_a_weight_is_made_of_is_a_weight(parametrize: Callable[..., nn.Module]) -> None:
    """Of ASAM's authors too, who look for "weight" in `parametrizations.weight.original0`."""
    model = nn.Sequential(parametrize(nn.Linear(3, 3)), nn.LayerNorm(3))
    modules = Modules([model])
    with modules.watching([]):
        pass
    told = {
        name: role.weight
        for (name, _), role in zip(
            model.named_parameters(), modules.roles(model.parameters()), strict=True
        )
    }
    assert told == {name: "weight" in name for name in told}


@pytest.fixture
def alone(tmp_path: Any) -> Any:
    """A process group of one."""
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("alone")
def test_sharded_parameters_are_refused_by_name() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    before = network()
    for whole_parameters in (False, True):
        sharded: Any = FullyShardedDataParallel(
            network(), device_id=torch.device("cpu"), use_orig_params=whole_parameters
        )
        with pytest.raises(ConfigError, match="FullyShardedDataParallel shards the parameters"):
            SAM(sharded.parameters(), lr=0.1).step(closure_of(sharded, *batch()))
    model = network()
    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(ConfigError, match=r"DTensor .* shards the parameters"):
        SAM(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="ZeroRedundancyOptimizer shards the parameters"):
        ZeroRedundancyOptimizer(before.parameters(), optimizer_class=SAM, lr=0.1)
    with pytest.raises(ConfigError, match="ZeroRedundancyOptimizer shards the parameters"):
        SAM(before.parameters(), ZeroRedundancyOptimizer, lr=0.1)
    assert torch.equal(flat(before), flat(network()))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("apart", "parts"), [("all", True), ("all but the last", False)])
def test_replicas_that_would_part_are_told(apart: str, parts: bool, given: bool) -> None:
    """A pass that ends within no_sync() has the gradients of one replica alone."""
    model = network()
    replicas = DistributedDataParallel(model)

    def closure() -> Tensor:
        with replicas.no_sync():
            loss = closure_of(replicas, *batch())()
        return loss if apart == "all" else closure_of(replicas, *batch())()

    torch._dynamo.utils.counters.clear()  # of other tests
    optimizer = SAM(model.parameters(), lr=0.1, model=model if given else ())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            optimizer.step(closure)
    assert any("within no_sync(), so replicas" in str(each.message) for each in told) is parts
