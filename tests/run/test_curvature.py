"""A run's Hessian into its record: once, on its own data, and going on where it was cut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

import sambench
from sambench.config.curvature_settings import HessianSettings
from sambench.config.run_config import RunConfig
from sambench.errors import CurvatureError, DataError
from sambench.run.measure import JOURNAL
from sambench.run.single_run import Paths, run_one
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from tests.run.curvature_alone import measure_hessian

CPU = torch.device("cpu")
TINY = HessianSettings(samples=16, max_matvecs=8, batch_stat="top")


@pytest.fixture(scope="module")
def paths(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return Paths(data=phantom_data, results=tmp_path_factory.mktemp("hessian"))


def train(paths: Paths, seed: int) -> RunRecord:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": "adam"}
    config = RunConfig.from_dict({**given, "epochs": 1, "batch_size": 8, "seed": seed})
    return run_one(config, paths, device=CPU)


def test_what_another_process_has_measured_meanwhile_is_not_repeated(paths: Paths) -> None:
    record = train(paths, 5)
    first = measure_hessian(record, TINY, paths, device=CPU)
    assert measure_hessian(record, TINY, paths, device=CPU) == first  # by its old record
    anew = measure_hessian(record, TINY, paths, device=CPU, again=True)
    assert anew.hessian != first.hessian  # the seconds
    assert first.hessian is not None
    assert first.hessian["code"].startswith(f"{sambench.__version__} at ")  # of this checkout


def test_a_measurement_that_was_cut_goes_on_and_tidies_up(paths: Paths) -> None:
    record = train(paths, 7)
    folder = Store(paths.results).folder(record.config)
    stages: list[str] = []

    def cut(what: str, done: int, most: int) -> None:
        if what == "batches" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_hessian(record, TINY, paths, device=CPU, on_progress=cut)
    assert (folder / JOURNAL).exists()
    measured = measure_hessian(
        record, TINY, paths, device=CPU, on_progress=lambda what, *_: stages.append(what)
    )
    assert stages == []  # both batches were done; only the record was missing
    assert not (folder / JOURNAL).exists()
    other = replace(TINY, seed=1)
    whole = measure_hessian(record, TINY, paths, device=CPU, again=True)
    assert whole.hessian is not None
    assert measured.hessian is not None
    assert {**whole.hessian, "seconds": 0} == {**measured.hessian, "seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        measure_hessian(record, other, paths, device=CPU, again=True, on_progress=cut)
    measure_hessian(
        record, TINY, paths, device=CPU, again=True, on_progress=lambda w, *_: stages.append(w)
    )
    assert "top eigenvalue" in stages  # other settings: nothing of that is used


def test_the_run_s_weight_decay_and_the_share_of_images_are_recorded(paths: Paths) -> None:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 1}
    optimizer = {"name": "adam", "weight_decay": 0.25}
    config = RunConfig.from_dict({**given, "optimizer": optimizer, "batch_size": 8})
    record = run_one(config, paths, device=CPU)
    settings = replace(TINY, max_matvecs=12, tol=1e-9, batch_stat="none", dtype="float64")
    tops = []  # of the same Krylov space, which a multiple of the identity does not change
    for include in (False, True):
        wanted = replace(settings, include_l2=include)
        found = measure_hessian(record, wanted, paths, device=CPU, again=True).hessian
        assert found is not None
        tops.append(found["top"]["value"])
        assert found["l2"] == (0.25 if include else 0.0)
        assert found["dtype"] == "float64"
    assert tops[1] - tops[0] == pytest.approx(0.25, abs=1e-6)
    assert found["notes"][-1].startswith(f"samples: 16 of {found['available_samples']} training")
    assert found["settings"]["include_l2"] is True


def test_a_decay_of_the_loss_is_part_of_the_penalty_and_one_of_some_weights_is_none(
    paths: Paths,
) -> None:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 1}
    optimizer = {"name": "adam", "weight_decay": 0.25, "loss_decay": 0.5}
    config = RunConfig.from_dict({**given, "optimizer": optimizer, "batch_size": 8})
    wanted = replace(TINY, include_l2=True, batch_stat="none")
    found = measure_hessian(run_one(config, paths, device=CPU), wanted, paths, device=CPU).hessian
    assert found is not None
    assert found["l2"] == 0.75
    without = measure_hessian(train(paths, 6), wanted, paths, device=CPU).hessian
    assert without is not None
    assert "include_l2: the run has no weight decay, so no penalty" in without["notes"]
    matrices = replace(config, decayed="matrices")
    record = run_one(matrices, paths, device=CPU)
    with pytest.raises(CurvatureError, match="has decayed=matrices; leave it out"):
        measure_hessian(record, wanted, paths, device=CPU)


def test_weights_that_are_no_weights_are_refused(paths: Paths) -> None:
    record = replace(train(paths, 8), artifacts=None)  # written before checksums were
    (Store(paths.results).folder(record.config) / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CurvatureError, match="cannot be read; train the run again"):
        measure_hessian(record, TINY, paths, device=CPU)


def test_other_data_than_the_run_was_trained_on(paths: Paths) -> None:
    record = train(paths, 9)
    other = replace(record, data={**(record.data or {}), "fingerprint": "0" * 64})
    with pytest.raises(DataError, match="was trained on other data"):
        measure_hessian(other, TINY, paths, device=CPU)
