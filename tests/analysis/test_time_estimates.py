"""The time left: gradient evaluations times the pace of like runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sambench.analysis.time_estimates import Forecast, duration, forecast, kind_of, untimed
from sambench.store.status import Standing
from tests.conftest import measured as minimum

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def done(
    make_record: RecordMaker,
    optimizer: str = "sam",
    *,
    seconds: float,
    evaluations: int,
    **more: Any,
) -> Standing:
    record = make_record(optimizer, passes=evaluations, **more)
    cost = {"train_seconds": seconds - 1.0, "evaluation_seconds": 0.5, "overhead_seconds": 0.5}
    record = record.with_sections(
        cost={**(record.cost or {}), **cost}, data={**(record.data or {}), "train": 30}
    )
    return Standing(config=record.config, state="completed", action="skip", record=record)


def left(
    make_record: RecordMaker,
    optimizer: str = "sam",
    action: str = "run",
    measured: tuple[str, ...] = (),
    **more: Any,
) -> Standing:
    config = make_record(optimizer, **more).config
    return Standing(config=config, state="missing", action=action, left=measured)


def test_another_seed_takes_as_long_as_the_median(make_record: RecordMaker) -> None:
    finished = [
        done(make_record, seed=seed, seconds=seconds, evaluations=100)
        for seed, seconds in enumerate((10.0, 12.0, 90.0))
    ]
    open_runs = [left(make_record, seed=seed) for seed in (7, 8)]
    assert forecast([*finished, *open_runs]) == Forecast(
        **{"seconds": pytest.approx(24.0), "longest": pytest.approx(12.0)},
        **{"known": 2, "unknown": 0, "unmeasured": 0, "finished": 3},
    )


def test_another_optimizer_by_its_passes(make_record: RecordMaker) -> None:
    """2 batches of 16 in 30 images, 5 epochs, three passes: 30 evaluations of 0.1 s."""
    finished = [done(make_record, seconds=10.0, evaluations=100)]
    found = forecast([*finished, left(make_record, "crsam")])
    assert found.seconds == pytest.approx(3.0)


def test_a_budget_of_gradient_evaluations(make_record: RecordMaker) -> None:
    finished = [done(make_record, seconds=10.0, evaluations=100)]
    found = forecast([*finished, left(make_record, "crsam", stop="gradient-evaluations=12")])
    assert found.seconds == pytest.approx(1.2)


def test_what_an_interrupted_run_has_done_is_taken_off(make_record: RecordMaker) -> None:
    begun = make_record("sam", seed=3, passes=40)
    cut = Standing(config=begun.config, state="interrupted", action="resume", record=begun)
    finished = [done(make_record, seconds=10.0, evaluations=100)]
    assert forecast([*finished, cut]).seconds == pytest.approx(6.0)


def test_curvature_that_is_wanted_still(make_record: RecordMaker) -> None:
    measured = done(make_record, seconds=10.0, evaluations=100, hessian=minimum({"seconds": 4.0}))
    whole = left(make_record, measured=("hessian",), seed=1)
    trained = left(make_record, action="measure curvature", measured=("hessian",), seed=2)
    assert forecast([measured, whole, trained]).seconds == pytest.approx(10.0 + 4.0 + 4.0)


def test_a_trial_measures_no_curvature_and_sees_no_validation_images(
    make_record: RecordMaker,
) -> None:
    """With half of 30 images set aside there is one batch of 16 in each of 5 epochs, not two."""
    hessian = minimum({"seconds": 400.0})
    final = done(make_record, seconds=10.0, evaluations=100, hessian=hessian)
    trial = left(make_record, seed=1000, validation=0.5)
    assert forecast([final, trial]).seconds == pytest.approx(5 * 2 * 0.1)


def test_studies_of_a_minimum_take_their_own_time(make_record: RecordMaker) -> None:
    hessian = minimum({"seconds": 4.0, "density": {"seconds": 7.0}})
    hessian["landscape"] = {"plane": {"seconds": 50.0}}
    studied = done(make_record, seconds=10.0, evaluations=100, hessian=hessian)
    wanted = ("density", "plane")
    found = forecast(
        [studied, left(make_record, action="measure curvature", measured=wanted, seed=1)]
    )
    assert (found.seconds, found.unmeasured) == (pytest.approx(57.0), 0)


def test_curvature_that_no_run_tells_is_counted_as_not_in_it(make_record: RecordMaker) -> None:
    finished = done(make_record, seconds=10.0, evaluations=100)
    found = forecast([finished, left(make_record, measured=("hessian",), seed=1)])
    assert (found.seconds, found.unmeasured) == (pytest.approx(10.0), 1)


def test_a_run_that_begins_anew_takes_all_its_time_and_shifts_no_training(
    make_record: RecordMaker,
) -> None:
    finished = done(make_record, seconds=10.0, evaluations=100)
    stale = replace(
        done(make_record, seconds=10.0, evaluations=100, seed=1),
        state="stale",
        action="run again",
    )
    assert forecast([finished, stale]).seconds == pytest.approx(10.0)
    shifted = left(make_record, action="test under shifts", seed=2)
    assert forecast([finished, shifted]).seconds == 0.0


def test_a_job_takes_what_its_runs_take_together(make_record: RecordMaker) -> None:
    """Of jobs of two runs the first has a long one; crsam's three passes take 3 s."""
    finished = [done(make_record, seconds=10.0, evaluations=100)]
    seeds = [left(make_record, seed=seed) for seed in range(3)]
    runs = [seeds[0], left(make_record, "crsam"), *seeds[1:]]
    assert forecast([*finished, *runs]).longest == pytest.approx(10.0)
    found = forecast([*finished, *runs], runs_per_job=2)
    assert (found.seconds, found.longest) == (pytest.approx(33.0), pytest.approx(20.0))
    found = forecast([*finished, *runs[:3]], runs_per_job=2)
    assert found.longest == pytest.approx(13.0)


def test_runs_that_no_finished_one_is_like(make_record: RecordMaker) -> None:
    finished = [done(make_record, seconds=10.0, evaluations=100)]
    found = forecast([*finished, left(make_record, model="resnet18")])
    assert found == Forecast(seconds=0.0, known=0, unknown=1, unmeasured=0, finished=1, longest=0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (75, "75 s"),
        (600, "10 min"),
        (12000, "3 h 20 min"),
        (200000, "2 d 8 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_runs_like_none_finished_take_what_was_timed(make_record: RecordMaker) -> None:
    """2 batches of 16 in 32 images, 5 epochs, two passes: 20 evaluations of 0.5 s."""
    standings = [left(make_record, seed=seed) for seed in (0, 1)]
    [(kind, config)] = untimed(standings).items()
    assert kind == kind_of(config)
    found = forecast(standings, {kind: (0.5, 32)})
    assert found == Forecast(
        **{"seconds": pytest.approx(20.0), "longest": pytest.approx(10.0)},
        **{"known": 2, "unknown": 0, "unmeasured": 0, "finished": 0},
    )
    assert untimed([*standings, done(make_record, seconds=1.0, evaluations=1)]) == {}
