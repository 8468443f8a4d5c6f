"""The average of the weights is torch's own, is what is tested, and survives an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from sambench.training.loop import Interrupted, Training
from tests.training.test_loop import training


def weights(run: Training) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def test_it_is_the_average_that_torch_makes(tmp_path: Path) -> None:
    """`AveragedModel` starts as the weights at the first step where ours starts before it."""
    run = training(tmp_path, average="ema")

    def rule(averaged: list[torch.Tensor], current: list[torch.Tensor], _: object) -> None:
        decay = (1 + run.state.steps) / (10 + run.state.steps)
        pairs = zip(averaged, current, strict=True)
        for a, w in ((a, w) for a, w in pairs if a.is_floating_point()):
            a.mul_(decay).add_(w, alpha=1 - decay)

    theirs = AveragedModel(run.model, multi_avg_fn=rule, use_buffers=True)  # type: ignore[arg-type]
    theirs.n_averaged += 1  # it holds the initial weights
    tick = run._tick
    run._tick = lambda batches: (theirs.update_parameters(run.model), tick(batches))[1]  # type: ignore[method-assign]
    run.run()
    expected = theirs.module.state_dict()
    for name, value in run.model.state_dict().items():
        if value.is_floating_point():  # 15 float32 steps of another order of operations
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def test_training_itself_is_as_without_it(tmp_path: Path) -> None:
    """The average is only looked at: losses and hits of every epoch are those of the plain run."""
    plain = training(tmp_path / "plain")
    plain.run()
    averaged = training(tmp_path / "ema", average="ema")
    averaged.run()
    losses = [[epoch.train_loss for epoch in run.state.history] for run in (plain, averaged)]
    assert losses[0] == losses[1]
    name = "0.weight"
    assert not torch.equal(weights(plain)[name], weights(averaged)[name])


@pytest.mark.parametrize("selection", ["last", "best-validation"])
def test_an_interrupted_run_ends_with_the_same_average(tmp_path: Path, selection: str) -> None:
    settings = {"average": "ema", "selection": selection}
    whole = training(tmp_path / "whole", **settings)
    whole.run()
    with pytest.raises(Interrupted):
        training(tmp_path / "other", stop_after=8, **settings).run()
    resumed = training(tmp_path / "other", **settings)
    resumed.run()
    assert resumed.resumed
    expected = weights(whole)
    assert all(torch.equal(v, expected[k]) for k, v in weights(resumed).items())
    told = [[e.validation_accuracy for e in run.state.history] for run in (whole, resumed)]
    assert told[0] == told[1]
