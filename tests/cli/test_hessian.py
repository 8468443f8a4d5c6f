"""`sambench hessian` as its user sees it: several devices, and a suite that asks for studies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from sambench.cli.measuring import find_runs
from sambench.store.tree import Store
from tests.cli.test_commands import call, records_of
from tests.conftest import RecordMaker

SUITE = """
name: tiny
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 1, batch_size: 8}
matrix: {optimizer: [adam, sam]}
hessian: {samples: 8, max_matvecs: 8, batch_stat: none, density: {probes: 2, steps: 4}}
"""


def test_a_suite_s_studies_are_planned_done_and_shown(tmp_path: Path, phantom_data: Path) -> None:
    file, data = tmp_path / "tiny.yaml", ("--data", str(phantom_data))
    file.write_text(SUITE.replace(", density: {probes: 2, steps: 4}", ""))
    assert call(tmp_path, "compare", "tiny.yaml", *data, "--device", "cpu").code == 0
    before = records_of(tmp_path)
    file.write_text(SUITE)
    plan = call(tmp_path, "compare", "tiny.yaml", *data, "--plan")
    assert plan.out.count("completed  measure curvature  density") == 2
    done = call(tmp_path, "hessian", "tiny.yaml", *data, "--devices", "cpu,cpu")
    assert done.code == 0
    assert "2 workers on cpu" in done.err
    assert done.out.count("trace from 2 probes of 4 steps") == 2
    after = records_of(tmp_path)
    assert [record["id"] for record in after] == [record["id"] for record in before]
    assert all(
        {**record, "hessian": None, "sha256": None} == {**old, "hessian": None, "sha256": None}
        for record, old in zip(after, before, strict=True)
    )
    assert [record["hessian"]["density"]["probes"] for record in after] == [2, 2]
    plan = call(tmp_path, "compare", "tiny.yaml", *data, "--plan")
    assert "to do: 0 of 2 runs" in plan.out
    file, kept = (tmp_path / "results/runs" / one["name"] / "density.npz" for one in after)
    file.unlink()
    shown = call(tmp_path, "hessian", "tiny.yaml", *data)
    drawn = kept.relative_to(tmp_path).with_suffix(".png")
    assert (shown.code, f"wrote {drawn}\n" in shown.out, shown.out.count("wrote")) == (1, True, 1)
    assert f"{file.relative_to(tmp_path)} cannot be read (" in shown.err
    remedy = call(
        tmp_path, "hessian", "tiny.yaml", *data, "--again", "--density", "--device", "cpu"
    )
    assert (remedy.code, remedy.out.count("wrote")) == (0, 2)


def test_trials_of_a_search_are_measured_only_where_they_are_named(
    tmp_path: Path, make_record: RecordMaker
) -> None:
    store, told = Store(tmp_path), list[str]()
    final, trial = make_record("adam"), make_record("adam", seed=1000)
    store.save(final)
    store.save(replace(trial, suite="demo (search)"))
    screen: Any = SimpleNamespace(warn=lambda *text: told.extend(text))

    def names(*given: str) -> list[str]:
        ((found, *_),), _ = find_runs(screen, given, {}, (), tmp_path, store)
        return [record.name for record in found]

    assert names("phantom-*") == [final.name]
    assert told == ["1 trial of a search left out; name one to measure it"]
    for name in (trial.name, trial.id, f"{store.runs}/{trial.name}/"):
        assert names(name) == [trial.name]


def test_a_suite_s_launcher_does_runs_and_measurements(tmp_path: Path, phantom_data: Path) -> None:
    file, data = tmp_path / "tiny.yaml", ("--data", str(phantom_data))
    file.write_text(SUITE + "launcher: {name: local, workers: 2, threads: 1}\n")
    done = call(tmp_path, "compare", "tiny.yaml", *data, "--device", "cpu", "--fail-fast")
    assert (done.code, "2 workers on cpu, 1 thread each" in done.err) == (0, True)
    again = call(tmp_path, "hessian", "tiny.yaml", *data, "--device", "cpu", "--again")
    assert (again.code, "2 workers on cpu, 1 thread each" in again.err) == (0, True)
