"""The examples' loops, with the real libraries, against the plain loop over ten steps."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.utils.data import DataLoader, SequentialSampler

from sambench.errors import ConfigError
from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat
from tests.forked_processes import Template
from tests.patience import PATIENCE

METHODS: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.3},
    "gsam": {"rho_max": 0.3, "alpha": 0.4},
    "wsam": {"rho": 0.3, "decouple": False},
    "crsam": {"rho": 0.3},
}
EVERY = pytest.mark.parametrize("name", METHODS)
Batches = list[tuple[Tensor, Tensor]]
pytestmark = pytest.mark.filterwarnings("ignore")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    return nn.Sequential(*layers)


def batches() -> Batches:
    return [(inputs.float(), targets) for inputs, targets in map(batch, range(10))]


def settings(name: str) -> dict[str, Any]:
    return {"lr": 0.01, **METHODS[name]}


def total(closures: list[Callable[[], Tensor]]) -> Tensor:
    return torch.stack([each() for each in closures]).sum()


def plainly(name: str, parts: int = 1, apart: bool = False, **extra: Any) -> nn.Module:
    """Train with the plain loop; with parts, over micro-batches."""
    model = network()
    optimizer = build(name, model.parameters(), **{**settings(name), **extra})
    for inputs, targets in batches():
        pairs = list(zip(inputs.chunk(parts), targets.chunk(parts), strict=True))

        def closure_for(inputs: Tensor, targets: Tensor) -> Callable[[], Tensor]:
            def closure() -> Tensor:
                loss = functional.cross_entropy(model(inputs), targets) / parts
                loss.backward()
                return loss.detach()

            return closure

        closures = [closure_for(*pair) for pair in pairs]
        together = partial(total, closures)
        optimizer.step(closures if apart else together)
    return model


def alike(found: nn.Module, wanted: nn.Module) -> None:
    pairs = zip(found.state_dict().values(), wanted.state_dict().values(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    assert (flat(found) - flat(network())).norm() > 0.1


def example(name: str, needs: str) -> Any:
    pytest.importorskip(needs)
    return importlib.import_module(f"examples.loop_{name}")


def lightning(module: Any, folder: Path, **given: Any) -> Any:
    import lightning.pytorch as pl

    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, default_root_dir=folder, **quiet, **given
    )
    trainer.fit(module, DataLoader(batches(), batch_size=None))  # type: ignore[arg-type]
    assert trainer.global_step == 10
    return trainer


@EVERY
def test_lightning(name: str, tmp_path: Path) -> None:
    loop, model = example("lightning", "lightning"), network()
    lightning(loop.Classifier(model, name, **settings(name)), tmp_path)
    alike(model, plainly(name))


def test_lightning_logs_the_loss_at_the_weights_themselves(tmp_path: Path) -> None:
    loop, model = example("lightning", "lightning"), network()
    module = loop.Classifier(model, "sam", lr=0.0, rho=3.0)
    trainer = lightning(module, tmp_path)
    inputs, targets = batches()[-1]
    clean = functional.cross_entropy(network()(inputs), targets)
    torch.testing.assert_close(trainer.callback_metrics["loss"], clean.detach())


def test_lightnings_manual_optimization_takes_a_closure(tmp_path: Path) -> None:
    pl = pytest.importorskip("lightning.pytorch")

    class Manual(pl.LightningModule):  # type: ignore[misc,name-defined]
        by_passes = False

        def __init__(self) -> None:
            super().__init__()
            self.network, self.automatic_optimization = network(), False

        def configure_optimizers(self) -> Any:
            return build("gsam", self.parameters(), model=self, **settings("gsam"))

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
            def closure() -> Tensor:
                loss = functional.cross_entropy(self.network(batch[0]), batch[1])
                self.manual_backward(loss)
                return loss

            optimizer = self.optimizers()
            optimizer.zero_grad()
            for _ in optimizer.passes() if self.by_passes else ():
                closure()
            optimizer.step(None if self.by_passes else closure)

    module = Manual()
    lightning(module, tmp_path)
    alike(module.network, plainly("gsam"))
    module.by_passes = True
    with pytest.raises(ConfigError, match=r"in Lightning, which adds one, give step\(closure\)"):
        lightning(module, tmp_path)


def test_lightning_accumulates_and_clips(tmp_path: Path) -> None:
    loop, model = example("lightning", "lightning"), network()
    lightning(loop.Accumulating(model, "gsam", **settings("gsam"), max_norm=0.5), tmp_path)
    alike(model, plainly("gsam", parts=2, max_norm=0.5))


def test_lightning_in_bfloat16(tmp_path: Path) -> None:
    """Autocast is one context for each pass there: the second sees the perturbed weights."""
    loop, model, still = example("lightning", "lightning"), network(), network()
    for each, rho in ((model, 3.0), (still, 0.0)):
        module = loop.Classifier(each, "sam", lr=0.01, rho=rho)
        lightning(module, tmp_path, precision="bf16-mixed")
    assert (flat(model) - flat(still)).norm() > 1e-3


@pytest.mark.parametrize("given", [{"accumulate_grad_batches": 2}])
def test_lightnings_own_accumulation_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    loop, model = example("lightning", "lightning"), network()
    with pytest.raises(ConfigError, match="would not use the gradients from before this step"):
        lightning(loop.Classifier(model, "sam", **settings("sam")), tmp_path, **given)


@EVERY
@pytest.mark.parametrize("way", ["train", "train_in_passes"])
def test_accelerate(name: str, way: str) -> None:
    loop, model = example("accelerate", "accelerate"), network()
    getattr(loop, way)(model, batches(), name, **settings(name))
    alike(model, plainly(name))


def test_accelerates_own_accumulation_is_refused() -> None:
    accelerate = pytest.importorskip("accelerate")
    state, model = accelerate.state.GradientState(), network()
    optimizer = build("sam", model.parameters(), lr=0.1)
    state.plugin_kwargs.update(num_steps=2)
    try:
        with pytest.raises(ConfigError, match="accelerate runs only every n-th closure"):
            optimizer.step(closure_of(model, *batches()[0]))
    finally:
        state.plugin_kwargs.update(num_steps=1)


class WithLoss(nn.Module):
    """The network as Hugging Face's Trainer wants it: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": functional.cross_entropy(self.network(inputs), labels)}


@pytest.mark.parametrize(("name", "parts"), [*((name, 1) for name in METHODS), ("gsam", 2)])
def test_transformers(name: str, parts: int, tmp_path: Path) -> None:
    loop = example("transformers", "transformers")
    from transformers import TrainingArguments

    class InOrder(loop.SharpnessAwareTrainer):  # type: ignore[misc,name-defined]
        def _get_train_sampler(self, dataset: Any = None) -> SequentialSampler:
            return SequentialSampler(samples)

    samples = [{"inputs": x, "labels": y} for pair in batches() for x, y in zip(*pair, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8 // parts,
        gradient_accumulation_steps=parts,
        max_steps=10,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    model = WithLoss()
    trainer = InOrder(
        model, arguments, train_dataset=samples, optimizer=name, settings=settings(name)
    )
    trainer.train()
    alike(model.network, plainly(name, parts=parts, apart=parts > 1))


@EVERY
def test_timm(name: str) -> None:
    loop, model = example("timm", "timm"), network()
    loop.train_one_epoch(model, batches(), name, **settings(name), fused=False)
    rates = []
    reference = network()
    optimizer = build(name, reference.parameters(), **settings(name), fused=False)
    schedule = loop.CosineLRScheduler(optimizer, t_initial=100, t_in_epochs=False)
    for update, (inputs, targets) in enumerate(batches()):
        optimizer.step(closure_of(reference, inputs, targets))
        schedule.step_update(num_updates=update + 1)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[-1] < 0.01
    alike(model, reference)


def in_a_group_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    loop = importlib.import_module("examples.loop_ddp")
    ends = {}
    for name in METHODS:
        model = without_statistics()
        loop.train(model, batches(), name, **settings(name))
        ends[name] = flat(model)
    torch.save(ends, f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def without_statistics() -> nn.Sequential:
    """Batch normalisation sees its process's part only, so there is none."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def test_distributed_data_parallel(tmp_path: Path, template: Template) -> None:
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    processes = [template.call(in_a_group_of_two, rank, str(tmp_path)) for rank in range(2)]
    for process in processes:
        process.wait(timeout=PATIENCE)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in METHODS:
        model = without_statistics()
        optimizer = build(name, model.parameters(), **settings(name))
        for inputs, targets in batches():
            optimizer.step(closure_of(model, inputs, targets))
        assert torch.equal(found[0][name], found[1][name])
        torch.testing.assert_close(found[0][name], flat(model), rtol=0, atol=1e-6)
