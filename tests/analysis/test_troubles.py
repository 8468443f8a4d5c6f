from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from sambench.analysis.grouping import build_groups
from sambench.analysis.troubles import Trouble, doubts, troubles
from sambench.cli.progress import _ending
from sambench.config.run_config import RunConfig
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def found(records: Sequence[RunRecord], planned: Sequence[RunConfig] = ()) -> tuple[Trouble, ...]:
    return troubles(build_groups(records, "adam"), planned, "study.yaml", {})


def only(records: Sequence[RunRecord], planned: Sequence[RunConfig] = ()) -> Trouble:
    (trouble,) = found(records, planned)
    return trouble


def test_none(make_record: RecordMaker) -> None:
    assert found([make_record()], [make_record().config]) == ()


def test_failed_runs_with_their_errors_and_the_way_out(make_record: RecordMaker) -> None:
    run = make_record(seed=1, status="failed", error="out of memory")
    trouble = only([make_record(), run])
    assert trouble.runs == {run.name: "out of memory"}
    assert "`sambench compare study.yaml --retry failed`" in trouble.remedy


def test_every_status_is_a_trouble_of_its_own(make_record: RecordMaker) -> None:
    statuses = ("failed", "diverged", "interrupted", "running")
    runs = [make_record(seed=s, status=status) for s, status in enumerate(statuses)]
    assert [trouble.kind for trouble in found(runs)] == [
        *(
            f"{how} (in no mean; p of accuracies and AUROC counts it as naming one class for "
            "every image, p of other metrics not at all)"
            for how in ("Failed", "Diverged")
        ),
        *("Interrupted, not counted", "Running, not counted"),
    ]


def test_runs_of_the_suite_that_are_not_there(make_record: RecordMaker) -> None:
    planned = [make_record(seed=s).config for s in range(3)]
    trouble = only([make_record(seed=1)], planned)
    assert trouble.runs == {planned[0].name: "", planned[2].name: ""}
    assert trouble.remedy == "`sambench compare study.yaml` makes them."


def test_collapse_and_a_missed_target(make_record: RecordMaker) -> None:
    runs = [
        make_record(collapsed=True),
        make_record(seed=1, target_met=False),
        make_record(seed=2),
    ]
    flat, missed = found(runs)
    assert ([*flat.runs], [*missed.runs]) == ([runs[0].name], [runs[1].name])


def test_steps_that_were_left_out(make_record: RecordMaker) -> None:
    run = make_record(seed=1)
    run = run.with_sections(cost={**(run.cost or {}), "skipped_steps": 3})
    trouble = only([make_record(), run])  # an older record does not tell
    assert trouble.runs == {run.name: "3 of 20 steps"}
    none = run.with_sections(cost={**(run.cost or {}), "skipped_steps": 0})
    assert found([make_record(), none]) == ()
    assert _ending(none).endswith(", 100 gradient evaluations")
    assert ", 3 of 20 steps left out as not finite" in _ending(run)


def test_curvature_that_did_not_converge_says_which(make_record: RecordMaker) -> None:
    hessian = {"top": {"value": 1.0, "converged": False}, "trace": {"value": 1, "converged": True}}
    assert [*only([make_record(hessian=hessian)]).runs.values()] == ["top eigenvalue"]


def test_curvature_that_only_some_have(make_record: RecordMaker) -> None:
    bare = make_record(seed=1)
    assert only([make_record(hessian={"top": {"value": 1.0}}), bare]).runs == {bare.name: ""}


def sharpness(rho: float) -> dict[str, Any]:
    return {"sharpness": {"measures": {"sam-step": {"rho": rho}}}}


def plane(points: int) -> dict[str, Any]:
    return {"landscape": {"plane": {"points": points}}}


def test_curvature_measured_in_another_way(make_record: RecordMaker) -> None:
    usual = [make_record(seed=s, hessian={"samples": 512}) for s in range(2)]
    odd = make_record(seed=2, hessian={"samples": 64})
    trouble = only([odd, *usual])
    assert trouble.runs == {odd.name: "samples 64"}


@pytest.mark.parametrize(
    ("usual", "other", "said"),
    [
        (sharpness(0.05), sharpness(0.2), "sharpness, sam-step of rho 0.2"),
        (plane(21), plane(5), "landscape plane, points 5"),
        ({"density": {"samples": 512}}, {"density": {"samples": 64}}, "density, samples 64"),
    ],
)
def test_a_study_in_another_way(
    make_record: RecordMaker, usual: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    measured = [make_record(seed=s, hessian={"samples": 512, **usual}) for s in range(2)]
    without = make_record(seed=2, hessian={"samples": 512})
    odd = make_record(seed=3, hessian={"samples": 512, **other})
    runs = only([odd, *measured, without]).runs
    assert runs == {odd.name: said}


def test_noise_of_another_size_is_another_way(make_record: RecordMaker) -> None:
    noise = {"perturbations": 10, "sigma": 0.01}
    usual = [make_record(seed=s, hessian=noise) for s in range(2)]
    odd = make_record(seed=2, hessian={**noise, "sigma": 0.1})
    assert only([odd, *usual]).runs == {odd.name: "perturbations 10, sigma 0.1"}


def test_runs_of_other_images(make_record: RecordMaker) -> None:
    odd = replace(make_record(seed=2), data={"fingerprint": "another"})
    trouble = only([make_record(), make_record(seed=1), odd])
    assert trouble.runs == {odd.name: ""}
    assert "stale" in trouble.remedy


def test_times_of_another_machine_or_of_shared_ones(make_record: RecordMaker) -> None:
    runs = [make_record(seed=seed) for seed in range(5)]
    shared = {
        **(runs[1].environment or {}),
        "torch": "2.14.1",
        "threads": 2,
        "runs_on_device": 3,
        "cpu": "a CPU",
    }
    other = {**shared, "runs_on_device": 1, "gpu": "a GPU"}
    usual = {**shared, "runs_on_device": 1}
    places = (usual, shared, other, usual, {**usual, "torch": "1.13.0"})
    given = [replace(run, environment=place) for run, place in zip(runs, places, strict=True)]
    trouble = only(given)
    assert trouble.runs == {
        given[1].name: "a CPU, torch 2.14.1, 2 threads, runs on the device 3",
        given[2].name: "a GPU, torch 2.14.1, 2 threads, runs on the device 1",
        given[4].name: "a CPU, torch 1.13.0, 2 threads, runs on the device 1",
    }
    assert "times are not comparable" in trouble.remedy


def test_a_run_that_was_begun_by_other_code_says_so(make_record: RecordMaker) -> None:
    place = make_record().environment or {}
    earlier = {key: place[key] for key in ("device", "gpu", "cpu", "threads", "torch")}
    resumed = make_record(seed=1).with_sections(
        environment={**place, "resumed_from": [{**earlier, "git": "0123456789ab"}, earlier]}
    )
    trouble = only([make_record(), resumed])
    assert trouble.runs == {resumed.name: f"git 0123456789ab, then {place['git']}"}


def test_a_run_without_test_images_leaks_none(make_record: RecordMaker) -> None:
    """A record changed by hand, and sealed anew, ended the report with a division by zero."""
    run = make_record("adam")
    empty = run.with_sections(data={**(run.data or {}), "test": 0})
    assert doubts([empty]) == (0.0, 0)
