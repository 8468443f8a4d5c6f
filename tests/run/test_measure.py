"""All that is wanted of a run's minimum, from its weights to its record and its pictures."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from torch.nn import functional

from sambench.config.curvature_settings import HessianSettings, Studies, merged
from sambench.config.measurement import Measurement, differing
from sambench.config.run_config import RunConfig
from sambench.errors import CurvatureError
from sambench.files.arrays import read_arrays, write_arrays
from sambench.report.curvature_plots import write_figures
from sambench.run.measure import Progress, measure_minimum
from sambench.run.single_run import Paths, run_one
from sambench.run.studies import Minimum
from sambench.store.record import RunRecord
from sambench.store.tree import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("rough_studies")]
CPU = torch.device("cpu")
TINY = HessianSettings(samples=20, max_matvecs=8, tol=0.5, trace_tol=1.0)
ALL = Studies(density=True, sharpness=True, landscape=True, probes=2, steps=6, points=3)


def config_of(**settings: Any) -> RunConfig:
    given = {"epochs": 1, "batch_size": 8, "optimizer": "sam", "lr": 1e-3, **settings}
    return RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", **given}
    )


@pytest.fixture
def paths(phantom_data: Path, tmp_path: Path) -> Paths:
    return Paths(data=phantom_data, results=tmp_path / "results")


def study_curvature(
    record: RunRecord,
    studies: Studies,
    paths: Paths,
    *,
    settings: HessianSettings = TINY,
    other: RunRecord | None = None,
    again: bool = False,
    on_progress: Progress = lambda what, done, most: None,
) -> RunRecord:
    """Measure what is missing."""
    end = None if other is None else other.config
    wanted = Measurement(hessian=settings, studies=studies, other=end, again=again)
    return measure_minimum(record, wanted, paths, device=CPU, on_progress=on_progress)


def files(paths: Paths, record: RunRecord) -> dict[str, int]:
    folder = Store(paths.results).folder(record.config)
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


def test_all_studies_of_a_run(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    other = run_one(config_of(optimizer="adam"), paths, device=CPU)
    stages = set[str]()
    studied = study_curvature(
        record, ALL, paths, other=other,
        on_progress=lambda what, done, most: stages.add(what),
    )  # fmt: skip
    store = Store(paths.results)
    folder = store.folder(record.config)
    assert store.load(record.config) == studied
    assert studied.hessian is not None
    assert studied.hessian["top"]["value"] > 0  # the Hessian was measured on the way
    assert studied.hessian["dtype"] == "float32"
    assert {
        "density",
        "worst case",
        "landscape, plane",
        f"interpolation to {other.name}",
    } <= stages

    density = studied.hessian["density"]
    arrays = read_arrays(folder / density["file"], "spectral density")
    assert (density["samples"], density["matvecs"], density["probes"]) == (20, 12, 2)
    assert np.bincount(arrays["probe"], arrays["weights"]) == pytest.approx([1, 1])
    shares = [density[key]["value"] for key in ("zero_mass", "negative_mass")]
    assert all(0 <= share <= 1 for share in shares)

    measures = studied.hessian["sharpness"]["measures"]
    assert measures["worst-case-l2"]["lower_bound"]
    assert measures["worst-case-l2"]["value"] >= 0
    assert not measures["average-case"]["lower_bound"]
    assert measures["average-case"]["stderr"] > 0
    radii = {"rho": 0.05, "relative_rho": 0.5, "noise": 0.01, "relative_noise": 0.1}
    others = differing(studied.hessian, {"sharpness": dict.fromkeys(radii, 9.0)})
    assert others == {f"sharpness.{name}": (then, 9.0) for name, then in radii.items()}

    landscape = studied.hessian["landscape"]
    line = read_arrays(folder / landscape["line"]["file"], "filter-normalised-line")
    plane = read_arrays(folder / landscape["plane"]["file"], "filter-normalised-plane")
    assert line["loss"].shape == (5,)
    assert plane["loss"].shape == (3, 3)
    np.testing.assert_allclose(plane["loss"][1], line["loss"][::2], rtol=1e-6)
    assert landscape["line"]["loss"] == pytest.approx(measures["sam-step"]["loss"], rel=1e-6)
    way = landscape["interpolations"][other.id]
    assert (way["with"], way["batch_norm"]) == (other.name, "recalibrate")
    assert way["kept_loss"][0] == pytest.approx(landscape["line"]["loss"], rel=1e-5)
    assert json.loads((folder / "run.json").read_text())["hessian"] == studied.to_dict()["hessian"]

    pictures, _ = write_figures(studied, folder)
    assert [path.name for path in pictures] == [
        "density.png",
        "landscape-line.png",
        "landscape-plane.png",
        "landscape-eigenvectors.png",
        "landscape-surface.png",
        f"interpolation-{other.id}.png",
    ]
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width == round(3.5 * 300)
    assert not any("partial" in name for name in files(paths, studied))
    # of another measurement, or of another run, whose file is as sound as its own
    path, kind = folder / density["file"], "spectral density"
    write_arrays(path, kind, {**arrays, "density": 2 * arrays["density"]})
    drawn, (damage,) = write_figures(studied, folder)
    assert drawn == pictures[1:]
    assert damage.startswith(f"{path} cannot be read (it is not the file that the record tells of)")


def test_only_what_is_missing_is_studied(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    first = study_curvature(record, replace(ALL, landscape=False), paths)
    before = files(paths, first)
    wanted = replace(ALL, landscape=False)
    same = study_curvature(first, wanted, paths, other=first)
    assert same == first
    assert files(paths, first) == before
    more = study_curvature(first, ALL, paths)
    after = files(paths, more)
    assert more.hessian is not None
    assert first.hessian is not None
    assert more.hessian["density"] == first.hessian["density"]
    assert after["density.npz"] == before["density.npz"]
    assert "landscape-plane.npz" in after
    again = study_curvature(more, replace(ALL, sharpness=False, landscape=False), paths, again=True)
    assert files(paths, again)["density.npz"] > after["density.npz"]
    assert again.hessian is not None
    assert again.hessian["landscape"] == more.hessian["landscape"]


def test_an_interrupted_plane_goes_on(paths: Paths, pass_by: Callable[[float], None]) -> None:
    """It is looked at once, and costs what it would have cost without the interruption."""
    record = run_one(config_of(), paths, device=CPU)
    wanted = Studies(landscape=True, points=3)

    def take_time(what: str, done: int, most: int) -> None:
        if what == "landscape, plane":
            pass_by(10 if done < 9 else 1)

    def interrupt(what: str, done: int, most: int) -> None:
        take_time(what, done, most)
        if what == "landscape, plane" and done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study_curvature(record, wanted, paths, on_progress=interrupt)
    halfway = Store(paths.results).load(record.config)
    assert halfway is not None
    assert halfway.hessian is not None
    assert list(halfway.hessian["landscape"]) == ["line"]  # what was finished is kept
    assert "landscape-plane.partial.npz" in files(paths, record)
    done = study_curvature(halfway, wanted, paths, on_progress=take_time)
    assert done.hessian is not None
    plane = done.hessian["landscape"]["plane"]
    assert plane["forward_passes"] == plane["gradient_equivalents"] * 3 == 9
    assert plane["seconds"] == 10 + (10 + 10 + 1)  # to the last row that was kept, then from there
    assert "landscape-plane.partial.npz" not in files(paths, record)


def test_time_in_which_the_process_was_stopped_is_not_spent(
    paths: Paths, pass_by: Callable[[float], None]
) -> None:
    """Neither of the minutes that there are nor by a picture."""
    record = run_one(config_of(), paths, device=CPU)
    done = {"line": 0, "plane": 0}

    def stop(what: str, number: int, most: int) -> None:
        for name in done:
            done[name] += what == f"landscape, {name}"
        if what == "landscape, line":
            pass_by(1)
        if what == "landscape, plane":
            pass_by(500)  # Ctrl-Z
            signal.raise_signal(signal.SIGCONT)
            pass_by(0 if done["plane"] < 2 else 60)

    settings = HessianSettings(samples=20, max_matvecs=8, tol=0.5, trace_tol=1.0, minutes=1)
    wanted = Studies(landscape=True, points=3)
    cut = study_curvature(record, wanted, paths, settings=settings, on_progress=stop)
    assert done == {"line": 5, "plane": 2}  # the third row was begun when the time was over
    assert cut.hessian is not None
    assert list(cut.hessian["landscape"]) == ["line"]
    assert cut.hessian["landscape"]["line"]["seconds"] == 5


def test_no_study_begins_when_the_minutes_are_over(
    paths: Paths, pass_by: Callable[[float], None]
) -> None:
    """But for the first of a command, so that each gets something done."""
    record = run_one(config_of(), paths, device=CPU)
    settings = HessianSettings(samples=20, max_matvecs=8, tol=0.5, trace_tol=1.0, minutes=1)
    wanted, done = Studies(density=True, sharpness=True, probes=2, steps=6), list[set[str]]()
    for _ in range(3):
        record = study_curvature(
            record, wanted, paths, settings=settings, on_progress=lambda *told: pass_by(60)
        )
        assert record.hessian is not None
        done.append({"density", "sharpness"} & {*record.hessian})
    assert done == [set(), {"density"}, {"density", "sharpness"}]


def test_another_model_is_refused(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    other = run_one(config_of(model="timm:test_resnet"), paths, device=CPU)
    with pytest.raises(CurvatureError, match="weights are of another model"):
        study_curvature(record, Studies(), paths, other=other)
    unfinished = replace(other, status="interrupted")
    Store(paths.results).save(unfinished)
    with pytest.raises(CurvatureError, match="has no weights; complete it first"):
        study_curvature(record, Studies(), paths, other=unfinished)
    Store(paths.results).weights(record.config).unlink()
    with pytest.raises(CurvatureError, match=r"put \S+\.safetensors back, or move its folder away"):
        study_curvature(record, Studies(), paths)


def test_sections_are_joined() -> None:
    held = {"top": 1, "landscape": {"line": 1, "interpolations": {"a": 1}}}
    found = {"density": 2, "landscape": {"plane": 2, "interpolations": {"b": 2}}}
    assert merged(held, found) == {
        "top": 1,
        "density": 2,
        "landscape": {"line": 1, "plane": 2, "interpolations": {"a": 1, "b": 2}},
    }
    assert merged(None, {"density": 1}) == {"density": 1}
    assert merged(held, {"top": 3})["landscape"] == held["landscape"]


def test_a_picture_is_named_by_what_it_depends_on(tmp_path: Path) -> None:
    """Rows of other weights, or of other images, are never taken over."""
    model = torch.nn.Linear(2, 2)
    batch = (torch.zeros(3, 2), torch.zeros(3).long())
    subject = Minimum(
        model=model,
        loss=functional.cross_entropy,
        batches=[batch],
        available=3,
        folder=tmp_path,
        settings=Studies(),
        on_progress=lambda what, done, most: None,
        end=math.inf,
    )
    first = subject.fingerprint()
    assert subject.fingerprint() == first
    with torch.no_grad():
        model.weight[0, 0] += 1
    second = subject.fingerprint()
    batch[0][0, 0] += 1
    assert len({first, second, subject.fingerprint()}) == 3
