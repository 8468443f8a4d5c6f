"""Bases beyond Adam, AdamW and SGD: Muon by name, any class by its dotted name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sambench.config.run_config import RunConfig
from sambench.config.settings import sort_settings, with_settings
from sambench.errors import ConfigError
from sambench.optim import build
from sambench.optim.base import find_base
from sambench.optim.contract import batch, closure_of, flat, network

RMSPROP = "torch.optim.RMSprop"


def test_settings_of_a_class_by_its_dotted_name() -> None:
    """As `--set` gives them, in a run's configuration, and in the optimizer that it makes."""
    found = sort_settings([f"base={RMSPROP}", "alpha=0.9", "rho=0.1"], ["sam"])
    given = with_settings("sam", found.optimizer, found.run["base"])
    optimizer_given = {**given, "base": RMSPROP}
    config = RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": optimizer_given}
    )
    settings = dict(config.optimizer)
    assert settings["alpha"] == 0.9
    ours, theirs = network(), network()
    name, base = str(settings.pop("name")), str(settings.pop("base"))
    optimizer = build(name, ours.parameters(), base, **{**settings, "rho": 0.0})
    reference = torch.optim.RMSprop(theirs.parameters(), lr=1e-4, alpha=0.9)
    assert isinstance(optimizer.base, torch.optim.RMSprop)
    for step in range(3):
        optimizer.step(closure_of(ours, *batch(step)))
        reference.zero_grad()
        closure_of(theirs, *batch(step))()
        reference.step()
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=0, atol=1e-12)


def test_a_setting_of_several_numbers() -> None:
    found = find_base("torch.optim.Rprop")
    assert found.complete({"etas": [0.4, 2]}) == {"etas": (0.4, 2.0)}
    with pytest.raises(ConfigError, match=r"etas=0.4 is not allowed; expected like \[0.5,1.2\]"):
        found.complete({"etas": 0.4})


class Loose(torch.optim.SGD):
    """A base that says nothing of its settings."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)


def test_of_a_class_that_names_no_settings_any_may_be_given() -> None:
    given = {"nesterov": True, "momentum": 0.9, "mode": "fast"}
    assert find_base(f"{__name__}.Loose").complete(given) == given


@pytest.mark.skipif(not hasattr(torch.optim, "Adafactor"), reason="torch below 2.5")
def test_a_setting_whose_default_is_negative_may_be_so() -> None:
    assert find_base("torch.optim.Adafactor").complete({"beta2_decay": -0.5}) == {
        "beta2_decay": -0.5
    }


def test_a_setting_that_such_a_class_lacks() -> None:
    with pytest.raises(ConfigError, match="did you mean 'alpha'"):
        sort_settings([f"base={RMSPROP}", "optimizer.alfa=0.9"], ["sam"])
    with pytest.raises(ConfigError, match="cannot be imported"):
        find_base("torch.optim.NoSuch")


needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch below 2.9")


@needs_muon
def test_muon_steps_the_matrices_and_adamw_the_rest() -> None:
    ours, theirs = network(), network()
    optimizer = build("sam", ours.parameters(), "muon", lr=0.01, rho=0.0, weight_decay=0.1)
    matrices = [p for p in theirs.parameters() if p.dim() == 2]
    others = [p for p in theirs.parameters() if p.dim() != 2]
    references = (
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.01, weight_decay=0.1),
    )
    for step in range(3):
        optimizer.step(closure_of(ours, *batch(step)))
        theirs.zero_grad()
        closure_of(theirs, *batch(step))()
        for reference in references:
            reference.step()
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=0, atol=1e-12)


@needs_muon
@pytest.mark.parametrize("name", ["sam", "msam", "wsam"])
def test_muon_resumes(name: str, tmp_path: Path) -> None:
    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            optimizer.step(closure_of(model, *batch(step)))

    whole, model = network(), network()
    steps(whole, build(name, whole.parameters(), "muon", lr=0.01), 0, 4)
    first = build(name, model.parameters(), "muon", lr=0.01)
    steps(model, first, 0, 2)
    saved = copy.deepcopy(first.state_dict())
    second = build(name, model.parameters(), "muon", lr=0.5)
    second.load_state_dict(saved)
    model.zero_grad()
    steps(model, second, 2, 4)
    assert torch.equal(flat(model), flat(whole))
