"""Mistakes are refused before any weight is touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sambench.errors import ConfigError, UnknownNameError
from sambench.optim import SAM, build
from sambench.optim.contract import batch, closure_of, flat, network


def test_a_negative_radius() -> None:
    with pytest.raises(ConfigError, match=r"sam rho=-0.1 is not allowed; allowed: >= 0"):
        SAM(network().parameters(), torch.optim.Adam, lr=0.1, rho=-0.1)


def test_a_negative_radius_of_one_group() -> None:
    groups = [{"params": list(network().parameters()), "rho": -1.0}]
    with pytest.raises(ConfigError, match=r"sam rho=-1.0 is not allowed"):
        SAM(groups, torch.optim.Adam, lr=0.1)


def test_a_choice_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"norm='mean' is not allowed; allowed: raw \| centered"):
        build("gcsam", network().parameters(), lr=0.1, norm="mean")


def test_an_unknown_optimizer() -> None:
    with pytest.raises(UnknownNameError, match="unknown optimizer 'sma': did you mean 'sam'"):
        build("sma", network().parameters())


def test_an_unknown_base() -> None:
    with pytest.raises(UnknownNameError, match="unknown base optimizer 'adm': did you mean 'adam"):
        build("sam", network().parameters(), "adm")


def test_a_base_that_is_no_optimizer() -> None:
    with pytest.raises(ConfigError, match=r"'torch.nn.Linear' is not a torch.optim.Optimizer"):
        build("sam", network().parameters(), "torch.nn.Linear")


def test_no_parameters() -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        SAM([], torch.optim.Adam, lr=0.1)


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_a_parameter_that_is_given_twice() -> None:
    with pytest.raises(ConfigError, match="a parameter is there twice"):
        SAM([*network().parameters()] * 2, torch.optim.Adam, lr=0.1)


def test_a_closure_that_returns_no_loss() -> None:
    model = network()
    before = flat(model)

    def closure() -> Tensor:
        closure_of(model, *batch())()
        return None  # type: ignore[return-value]

    with pytest.raises(TypeError, match="the closure must return the loss as a tensor, not None"):
        build("sam", model.parameters(), lr=0.1).step(closure)
    assert torch.equal(flat(model), before)


def test_a_closure_that_does_not_go_backward() -> None:
    model = network()
    before = flat(model)
    with pytest.raises(RuntimeError, match=r"the closure must call backward\(\) on the loss"):
        build("sam", model.parameters(), lr=0.1).step(lambda: model(batch()[0]).sum())
    assert torch.equal(flat(model), before)


def test_a_vector_whose_memory_was_taken_is_not_used_again() -> None:
    model = network()

    class Careless(type(build("sam", model.parameters(), lr=0.1).method)):  # type: ignore[misc]
        def direction(self, gradient):  # type: ignore[no-untyped-def]
            g = gradient()
            gradient(at=g)
            return g

    optimizer = build("sam", model.parameters(), lr=0.1)
    optimizer.method = Careless(optimizer)
    with pytest.raises(RuntimeError, match="pass keep=True to use it afterwards"):
        optimizer.step(closure_of(model, *batch()))
