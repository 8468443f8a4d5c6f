"""A step launches its work and waits for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sambench.optim import SampleClosure
from sambench.optim.method import optimizers
from sambench.training.state import note_hits
from tests.training.test_loop import training

ALIKE = sorted({info.name for info in optimizers.list()} - {"aesam", "xsam"})


class Waits(TorchDispatchMode):
    """Counts what would make Python wait for a GPU: numbers read, sizes that depend on data."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = str(function)
        if name.startswith(("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select")):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


def steps(run: Any, number: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Train for some steps of the first epoch between two ticks; return what was waited for."""
    monkeypatch.setattr("sambench.training.loop.TICK_SECONDS", 1e9)
    seen: list[str] = []
    original = run._step

    def watched(batch: Any, *, last: bool) -> None:
        with Waits() as waits:
            original(batch, last=last)
        seen.extend(waits.seen if run.state.step < number else [])

    run._step = watched
    run.run()
    return seen


@pytest.mark.parametrize("optimizer", ALIKE)
def test_a_step_waits_for_nothing(
    tmp_path: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(
        tmp_path, epochs=1, augmentation="flip-shift", schedule="cosine", optimizer=optimizer
    )
    assert steps(run, 5, monkeypatch) == []


def test_only_the_choice_of_aesam_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training(tmp_path, epochs=1, optimizer="aesam")
    assert len(steps(run, 4, monkeypatch)) == 4


def test_only_the_search_of_xsam_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training(tmp_path, epochs=1, optimizer="xsam")
    assert len(steps(run, 4, monkeypatch)) == 21


def test_a_method_can_ask_for_the_shares_of_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    weighted = SampleClosure.weighted

    def watched(closure: SampleClosure, weigh: Any) -> Tensor:
        def note(shares: Tensor) -> Tensor:
            seen.extend(shares.tolist())
            return weigh(shares)

        return weighted(closure, note)

    monkeypatch.setattr(SampleClosure, "weighted", watched)
    run = training(tmp_path, epochs=1, optimizer="focal-sam")
    run.run()
    labels = run.train.labels
    wanted = [float((labels == label).sum() / len(labels)) for label in labels]
    assert sorted(seen) == pytest.approx(sorted(2 * wanted))


def test_what_the_last_step_of_an_epoch_learned_is_read_after_it(tmp_path: Path) -> None:
    run = training(tmp_path, epochs=1, optimizer="sam")
    run.run()
    assert run.state.observed is not None
    assert run.optimizer.observed is not None
    assert [*run.state.observed.values()] == run.optimizer.observed.tolist()
    assert run.state.observed["epsilon_norm"] == pytest.approx(0.05, rel=1e-5)


def test_hits_are_noted_in_any_mode_and_the_mode_stays() -> None:
    for mode in (0, 1):
        torch.set_deterministic_debug_mode(mode)
        hits = torch.zeros(5, dtype=torch.bool)
        hits[0] = True
        note_hits(hits, torch.tensor([3, 0]), torch.tensor([True, False]))
        assert hits.tolist() == [False, False, False, True, False]
        assert torch.get_deterministic_debug_mode() == mode
