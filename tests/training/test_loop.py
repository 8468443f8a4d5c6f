"""The training loop: resumable to the bit, honest about clean passes, and knowing no optimizer."""

from __future__ import annotations

from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sambench.config.run_config import RunConfig
from sambench.data.batches import Images, Scaling
from sambench.errors import ConfigError
from sambench.optim import build
from sambench.training.evaluate import Diverged
from sambench.training.events import Epoch
from sambench.training.loop import Interrupted, Training
from sambench.training.rewind import undisturbed

CPU = torch.device("cpu")
IMAGES = 21


def images(seed: int = 0, device: torch.device = CPU) -> Images:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (IMAGES, 8, 8, 1), dtype=np.uint8)
    labels = (pixels.mean(axis=(1, 2, 3)) > 127).astype(np.int64)
    return Images(pixels, labels, device, Scaling())


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(144, 2),
    )


def training(
    folder: Path,
    stop_after: int | None = None,
    graphs: Any = None,
    device: torch.device = CPU,
    **settings: Any,
) -> Training:
    """A run on 21 images in batches of 4; the last batch of an epoch has 5."""
    given = {"epochs": 3, "batch_size": 4, "optimizer": "sam", "lr": 0.01, **settings}
    config = RunConfig.from_dict({"dataset": "none", "image_size": 8, "model": "none", **given})
    model = network().to(device)
    wanted = dict(config.optimizer)
    name, base = str(wanted.pop("name")), str(wanted.pop("base"))
    torch.manual_seed(1)
    steps = 0

    def stop_requested() -> bool:
        nonlocal steps
        steps += 1
        return steps == stop_after

    return Training(
        config,
        model,
        build(name, model.parameters(), base, model=model, **wanted),
        images(device=device),
        images(1, device) if config.validation else None,
        folder=folder,
        identity=config.id,
        on_tick=lambda tick: None,
        on_epoch=lambda epoch: None,
        stop_requested=stop_requested,
        graphs=graphs,
    )


def running_accuracies(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lr: float
) -> tuple[list[list[tuple[int, float]]], Training]:
    """Train with every step reported; return by epoch the images seen and the accuracy told."""
    monkeypatch.setattr("sambench.training.loop.TICK_SECONDS", -1.0)
    run = training(folder, optimizer="adam", lr=lr)
    ticks: list[list[tuple[int, float]]] = [[] for _ in range(3)]
    run.on_tick = lambda tick: ticks[tick.epoch - 1].append((run.state.seen, tick.accuracy))
    run.run()
    return ticks, run


def weights(run: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def told(epoch: Epoch) -> dict[str, Any]:
    """What must repeat exactly: everything but the time."""
    return {k: v for k, v in vars(epoch).items() if k != "train_seconds"}


def test_the_running_accuracy_is_of_the_images_seen_in_this_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step the number of right images grows by those of the step's own batch."""
    ticks, run = running_accuracies(tmp_path, monkeypatch, lr=0.01)
    assert [[seen for seen, _ in epoch] for epoch in ticks] == [[4, 8, 12, 16, 21]] * 3
    for epoch, line in zip(ticks, run.state.history, strict=True):
        right = [seen * accuracy for seen, accuracy in epoch]
        assert right == pytest.approx([round(number) for number in right], abs=1e-4)
        grown = np.diff([0.0, *right])
        sizes = np.diff([0, *(seen for seen, _ in epoch)])
        assert np.all((grown > -1e-4) & (grown < sizes + 1e-4))
        assert epoch[-1][1] == pytest.approx(line.train_accuracy, abs=1e-6)
        assert epoch[0][1] in (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_network_that_is_always_right_is_told_so_from_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(tmp_path, optimizer="adam", lr=0.01)
    run.train.labels.zero_()
    last = run.model[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([1e3, -1e3]))
    told_accuracies: list[float] = []
    monkeypatch.setattr("sambench.training.loop.TICK_SECONDS", -1.0)
    run.on_tick = lambda tick: told_accuracies.append(tick.accuracy)
    run.run()
    assert told_accuracies == [1.0] * 15


@pytest.mark.parametrize("optimizer", ["adam", "sam", "gcsam", "sgd"])
@pytest.mark.parametrize("stop_after", [1, 4, 5, 6, 13])
def test_an_interrupted_run_resumes_to_the_same_bits(
    tmp_path: Path, optimizer: str, stop_after: int
) -> None:
    settings: dict[str, Any] = {
        "optimizer": optimizer,
        "schedule": "cosine",
        "augmentation": "flip-shift",
        "selection": "best-validation",
    }
    whole = training(tmp_path / "whole", **settings)
    whole.run()
    with pytest.raises(Interrupted):
        training(tmp_path / "cut", stop_after, **settings).run()
    resumed = training(tmp_path / "cut", **settings)
    assert resumed.resumed
    resumed.run()
    expected = weights(whole)
    assert all(torch.equal(v, expected[k]) for k, v in weights(resumed).items())
    assert [*map(told, resumed.state.history)] == [*map(told, whole.state.history)]
    assert resumed.state.steps == whole.state.steps == 15


def test_optimizers_share_initialisation_and_order_of_images(tmp_path: Path) -> None:
    seen: dict[str, list[list[int]]] = {}
    for optimizer in ("adam", "sam"):
        run = training(tmp_path / optimizer, optimizer=optimizer)
        order: list[list[int]] = []
        original = run.train.batch

        def spy(
            indices: torch.Tensor, *rest: Any, order: Any = order, original: Any = original
        ) -> Any:
            order.append(indices.tolist())
            return original(indices, *rest)

        run.train.batch = spy  # type: ignore[method-assign]
        run.run()
        seen[optimizer] = order
    assert seen["adam"] == seen["sam"]


def test_every_image_is_seen_once_in_an_epoch(tmp_path: Path) -> None:
    run = training(tmp_path, epochs=1)
    run.run()
    assert run.state.images == IMAGES
    assert run.state.steps == 5


@pytest.mark.parametrize(("optimizer", "passes"), [("adam", 1), ("sam", 2), ("gcsam", 2)])
def test_gradient_evaluations_are_counted(tmp_path: Path, optimizer: str, passes: int) -> None:
    run = training(tmp_path, optimizer=optimizer)
    run.run()
    assert run.state.gradient_evaluations == 15 * passes


def test_loss_and_accuracy_are_those_of_clean_passes(tmp_path: Path) -> None:
    """With a learning rate of zero every clean pass is at the initial weights."""
    found = {}
    for rho in (0.0, 10.0):
        run = training(
            tmp_path / str(rho), epochs=1, optimizer={"name": "sam", "rho": rho, "lr": 0.0}
        )
        run.model[4].p = 0.0  # type: ignore[union-attr]
        run.run()
        found[rho] = (run.state.history[0].train_loss, run.state.history[0].train_accuracy)
    assert found[0.0] == found[10.0]


def test_a_budget_of_gradient_evaluations_ends_within_an_epoch(tmp_path: Path) -> None:
    run = training(tmp_path, stop="gradient-evaluations=7", epochs=100)
    assert run.run() == "gradient-evaluations"
    assert run.state.gradient_evaluations == 8
    assert run.state.history[0].train_loss > 0
    right = int(run.state.hits.sum())  # of the 16 images of these 4 steps; 5 are not reached
    assert right > 0
    assert run.state.history[0].train_accuracy == right / 16


def test_parts_of_passes_add_up_to_a_budget(tmp_path: Path) -> None:
    """42 steps of 1 + 1/3 + 4/7 passes are 80, and sum to 79.99999999999994 in floats."""
    given: dict[str, Any] = {"optimizer": "esam", "batch_size": 7, "epochs": 100}
    run = training(tmp_path, stop_after=30, stop="gradient-evaluations=80", **given)
    with pytest.raises(Interrupted):
        run.run()
    run = training(tmp_path, stop="gradient-evaluations=80", **given)
    assert run.resumed
    assert run.run() == "gradient-evaluations"
    assert (run.state.steps, run.state.gradient_evaluations) == (42, 80)


def test_a_budget_of_passes_is_the_whole_of_a_run(tmp_path: Path) -> None:
    """What AE-SAM lays out over its run ends with the budget, whatever a step takes."""
    given: dict[str, Any] = {"optimizer": "aesam", "epochs": 100}
    for budget in (40, 900):
        run = training(tmp_path / str(budget), stop=f"gradient-evaluations={budget}", **given)
        run.run()
        expected = 500 if budget == 900 else run.state.steps
        assert run.optimizer.total_steps == pytest.approx(expected, rel=0.05)
        assert expected <= 500


def test_the_cap_on_epochs_is_said_when_the_target_is_missed(tmp_path: Path) -> None:
    assert training(tmp_path, stop="gradient-evaluations=1000", epochs=2).run() == "epochs"


def test_minutes_end_a_run(tmp_path: Path) -> None:
    run = training(tmp_path, stop="minutes=0.00001", epochs=100)
    assert run.run() == "minutes"
    assert run.state.steps == 1


def test_a_budget_that_is_spent_before_the_first_step_allows_that_one(tmp_path: Path) -> None:
    run = training(tmp_path, stop="minutes=1e-300", epochs=100)
    assert run.run() == "minutes"
    assert (run.state.steps, len(run.state.history)) == (1, 1)


def test_the_rate_that_is_kept_of_an_epoch_is_that_of_its_last_step(tmp_path: Path) -> None:
    run = training(tmp_path, epochs=4, schedule="step")
    run.run()
    rates = [epoch.lr for epoch in run.state.history]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.0001])  # 5 steps each; falls after 10, 15
    cut = training(tmp_path / "cut", stop_after=5, epochs=4, schedule="cosine")
    with pytest.raises(Interrupted):
        cut.run()  # between the last step of an epoch and its end
    resumed = training(tmp_path / "cut", epochs=4, schedule="cosine")
    resumed.run()
    rates = [epoch.lr for epoch in resumed.state.history]
    assert rates == pytest.approx([0.005 * (1 + cos(pi * n / 20)) for n in (4, 9, 14, 19)])


def test_an_epoch_without_a_finite_step_ends_the_run(tmp_path: Path) -> None:
    cautious = {"name": "sam", "rho": 1e30, "skip_nonfinite": True}
    run = training(tmp_path, optimizer=cautious)
    with pytest.raises(Diverged, match="none of the 5 steps of epoch 1 was finite: all were left"):
        run.run()


def test_steps_that_were_left_out_are_counted_across_a_resumption(tmp_path: Path) -> None:
    cautious = {"name": "adam", "skip_nonfinite": True}

    def poisoned(*steps: int, stop_after: int | None = None, folder: str = "") -> Training:
        run = training(tmp_path / folder, stop_after, optimizer=cautious)
        number = iter(range(100))
        weight = next(run.model.parameters())
        weight.register_hook(lambda g: g * float("inf") if next(number) in steps else g)
        return run

    with pytest.raises(Interrupted):
        poisoned(2, 4, stop_after=7).run()  # the first pass of all is the warm-up
    resumed = poisoned(1)
    resumed.run()
    assert (resumed.state.skipped, resumed.state.steps) == (3, 15)
    with pytest.raises(Interrupted):
        poisoned(stop_after=4, folder="cut").run()
    resumed = poisoned(1, folder="cut")  # the one step that its first epoch has left
    resumed.run()
    assert (resumed.state.skipped, resumed.state.steps) == (1, 15)


def test_an_epoch_whose_last_step_perturbs_nothing_has_no_perturbation(tmp_path: Path) -> None:
    every_other = {"name": "interval-sam", "k": 2}  # of 5 steps the last is the fifth, tenth, ...
    cut = training(tmp_path, stop_after=10, optimizer=every_other)
    with pytest.raises(Interrupted):
        cut.run()
    resumed = training(tmp_path, optimizer=every_other)
    resumed.run()
    seen = [epoch.sharpness is not None for epoch in resumed.state.history]
    assert seen == [True, False, True]
    assert resumed.state.observed == resumed.state.history[-1].sharpness


def accuracy(run: Training) -> float:
    run.model.eval()
    with torch.no_grad():
        inputs, labels = run.train.batch(torch.arange(IMAGES))
        return float((run.model(inputs).argmax(dim=1) == labels).double().mean())


def test_train_accuracy_stops_exactly_when_a_full_evaluation_would(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"optimizer": "adam", "lr": 0.02, "epochs": 60}
    run = training(tmp_path / "rule", stop="train-accuracy", **settings)
    assert run.run() == "train-accuracy"
    assert accuracy(run) == 1.0
    before = training(tmp_path / "before", **{**settings, "epochs": run.state.epoch - 1})
    before.run()
    assert accuracy(before) < 1.0


def test_patience_waits_for_a_better_validation_loss(tmp_path: Path) -> None:
    run = training(tmp_path, stop="patience=2", epochs=50, optimizer={"name": "sgd", "lr": 5.0})
    run.run()
    losses = [epoch.validation_loss for epoch in run.state.history]
    best = losses.index(min(losses))  # type: ignore[type-var]
    assert len(losses) - 1 - best == 2


def test_the_best_weights_on_validation_are_kept(tmp_path: Path) -> None:
    run = training(tmp_path, selection="best-validation", epochs=8, optimizer="adam", lr=0.05)
    run.run()
    scores = [(e.validation_accuracy, -(e.validation_loss or 0)) for e in run.state.history]
    assert run.state.best_epoch == 1 + scores.index(max(scores))  # type: ignore[type-var]
    run.config = RunConfig.from_dict({**run.config.to_dict(), "epochs": run.state.best_epoch})
    again = training(
        tmp_path / "b", epochs=run.state.best_epoch, validation=0.1, optimizer="adam", lr=0.05
    )
    again.run()
    found, expected = weights(run), weights(again)
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    run = training(tmp_path, optimizer={"name": "sgd", "lr": 1e30})
    with pytest.raises(Diverged, match=r"the training loss became (nan|inf) in epoch"):
        run.run()


def test_a_last_step_whose_weights_give_no_numbers_ends_the_run(tmp_path: Path) -> None:
    whole = {"epochs": 1, "batch_size": IMAGES, "validation": 0.1}
    run = training(tmp_path, optimizer={"name": "sgd", "lr": 1e30}, **whole)
    with pytest.raises(Diverged, match="output became NaN or infinite, of 21 of 21 images"):
        run.run()


def test_batches_of_one_image_that_batch_normalisation_cannot_train_on(tmp_path: Path) -> None:
    run = training(tmp_path, batch_size=1)
    run.model[0].stride = (8, 8)  # leaves one pixel
    run.model[5] = nn.Linear(4, 2)
    with pytest.raises(ConfigError, match="cannot train on batch_size=1 here, where an image has"):
        run.run()


def test_warm_up_leaves_no_trace() -> None:
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    with undisturbed(model, CPU):
        model(images().batch(torch.arange(4))[0]).sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        training(tmp_path, 3).run()
    assert not training(tmp_path, epochs=4).resumed


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_other_precisions_train(tmp_path: Path, precision: str) -> None:
    run = training(tmp_path, precision=precision, epochs=2)
    run.run()
    assert np.isfinite([epoch.train_loss for epoch in run.state.history]).all()
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
