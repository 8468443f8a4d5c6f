"""A compiled network trains as the plain one does, and a failure to compile costs nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sambench.training import engine
from tests.training.test_loop import training, weights


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compile without a compiler, and note the size of each graph that torch traces."""
    sizes: list[int] = []
    compile_network = engine.compile_network

    def backend(module: Any, inputs: Any) -> Any:
        sizes.append(len(inputs))
        return module.forward

    monkeypatch.setattr(
        engine,
        "compile_network",
        lambda network: compile_network(network, backend),  # type: ignore[arg-type]
    )
    torch._dynamo.reset()
    return sizes


@pytest.mark.not_nudged
@pytest.mark.parametrize("optimizer", ["adam", "sam", "gsam", "crsam", "esam"])
def test_a_compiled_run_gives_the_same_numbers(
    tmp_path: Path, optimizer: str, graphs: list[int]
) -> None:
    plain = training(tmp_path / "plain", optimizer=optimizer)
    plain.run()
    run = training(tmp_path / "compiled", optimizer=optimizer, compile="always")
    run.run()
    assert run.engine.compiled.done, run.engine.compiled.reason
    assert run.engine.compiled.reason == "as asked"
    assert len(graphs) >= 1
    expected = weights(plain)
    for name, found in weights(run).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-5, atol=1e-6)


def test_all_passes_of_all_steps_share_few_graphs(tmp_path: Path, graphs: list[int]) -> None:
    """One for the clean pass, whose modules are watched, and one for the others."""
    training(tmp_path, optimizer="crsam", compile="always", epochs=4).run()
    assert len(graphs) <= 2


@pytest.mark.not_nudged
def test_every_kind_of_run_of_one_process_is_compiled(tmp_path: Path, graphs: list[int]) -> None:
    """Torch keeps so many compiled forms, and would run the next one as it is, without a word."""
    sizes = (3, 4, 5, 6)
    with torch._dynamo.config.patch(recompile_limit=2):
        for size in sizes:
            before = len(graphs)
            training(tmp_path / str(size), batch_size=size, compile="always", epochs=1).run()
            assert len(graphs) > before, f"batches of {size} were not compiled"
        before = len(graphs)
        training(tmp_path / "again", batch_size=6, compile="always", epochs=1).run()
    assert len(graphs) == before  # the form of the last kind is used again


def test_a_network_that_cannot_be_compiled_runs_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = training(tmp_path / "plain", optimizer="sam")
    plain.run()

    def fails(network: nn.Module) -> nn.Module:
        raise RuntimeError("Failed to find C compiler.\nPlease specify one")

    monkeypatch.setattr(engine, "compile_network", fails)
    run = training(tmp_path / "failing", optimizer="sam", compile="always")
    run.run()
    assert not run.engine.compiled.done
    reason = "torch.compile failed: Failed to find C compiler. Please specify one"
    assert run.engine.described()["compiled_reason"] == reason
    expected = weights(plain)
    assert all(torch.equal(v, expected[k]) for k, v in weights(run).items())


def test_a_resumed_run_goes_on_compiled(tmp_path: Path, graphs: list[int]) -> None:
    from sambench.training.loop import Interrupted

    with pytest.raises(Interrupted):
        training(tmp_path, 6, optimizer="sam", compile="always").run()
    resumed = training(tmp_path, optimizer="sam", compile="always")
    resumed.config = type(resumed.config).from_dict({**resumed.config.to_dict(), "compile": "auto"})
    resumed.engine.config = resumed.config
    resumed.run()
    assert resumed.engine.compiled.reason == "as before the run was resumed"


def test_without_a_gpu_nothing_is_compiled_unasked(tmp_path: Path) -> None:
    run = training(tmp_path, optimizer="sam", kernels="fastest", epochs=1)
    run.run()
    assert run.engine.compiled.reason == "no CUDA device"


@pytest.mark.slow
@pytest.mark.skipif(
    not (torch.cuda.is_available() or os.environ.get("SAMBENCH_TEST_COMPILER")),
    reason="compiling takes a minute or two (SAMBENCH_TEST_COMPILER=1 runs it)",
)
def test_a_real_compiler_gives_the_same_numbers(tmp_path: Path) -> None:
    """Inductor fuses operations and so rounds otherwise; SGD does not amplify that as Adam does."""
    given: dict[str, Any] = {"optimizer": {"name": "sam", "base": "sgd"}, "epochs": 1}
    plain = training(tmp_path / "plain", **given)
    plain.run()
    run = training(tmp_path / "compiled", **given, compile="always")
    run.run()
    if not run.engine.compiled.done:
        pytest.skip(run.engine.compiled.reason)
    expected = weights(plain)
    for name, found in weights(run).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)
