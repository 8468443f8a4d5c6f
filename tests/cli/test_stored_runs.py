"""`sambench list runs`: found by name and by settings, for people and for programs."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sambench.cli.stored_runs import _varying
from sambench.config.run_config import RunConfig
from sambench.config.settings import where_pattern
from sambench.errors import ConfigError
from sambench.store.tree import Store
from tests.cli.test_commands import call

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


@pytest.fixture
def folder(tmp_path: Path, make_record: RecordMaker) -> Path:
    """Four completed runs and one that failed."""
    store = Store(tmp_path / "results")
    for optimizer in ("adam", {"name": "sam", "rho": 0.05}, {"name": "sam", "rho": 0.1}):
        store.save(make_record(optimizer=optimizer))
    store.save(make_record(optimizer={"name": "sam", "rho": 0.1}, seed=1))
    store.save(make_record(optimizer="gsam", status="failed", error="Trace\nout of memory"))
    return tmp_path


def names(output: str) -> list[str]:
    return re.findall(r"^(\S+-s\d-[0-9a-f]{10})", output, re.M)


def test_all_runs_with_state_accuracy_age_and_what_differs(folder: Path) -> None:
    shown = call(folder, "list", "runs")
    assert shown.code == 0
    assert len(names(shown.out)) == 5
    lines = {tuple(line.split()) for line in shown.out.splitlines()}
    [failed] = [line for line in lines if "failed" in line]
    assert "-gsam-" in failed[0]
    [first] = [line for line in lines if line and line[-1] == "rho=0.05"]
    assert "-sam-" in first[0]
    assert re.search(r"completed +\d\d\.\d +\d+ s", shown.out)


def test_what_differs_is_told_of_the_optimizer_whose_runs_differ() -> None:
    runs = [{"optimizer": name, "rho": rho} for name, rho in (("sam", 1), ("sam", 2), ("asam", 1))]
    assert _varying(runs) == {"sam": {"rho"}, "asam": set()}


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (("*-sam-*",), 3),
        (("--where", "optimizer=sam", "--where", "rho=0.1"), 2),
        (("--where", "rho=0.1", "--where", "seed=1"), 1),
        (("--where", "optimizer=[adam,gsam]"), 2),
        (("*-sam-*", "--where", "optimizer.rho=0.05"), 1),
        (("--where", "epochs=12345"), 0),
    ],
    ids=str,
)
def test_names_and_settings_pick_runs(
    folder: Path, arguments: tuple[str, ...], number: int
) -> None:
    shown = call(folder, "list", "runs", *arguments, "--quiet")
    assert shown.code == 0
    assert len(names(shown.out)) == number


def test_as_json_and_csv(folder: Path) -> None:
    entries = json.loads(call(folder, "list", "runs", "--json").out)["runs"]
    rows = list(csv.DictReader(io.StringIO(call(folder, "list", "runs", "--csv").out)))
    assert [row["name"] for row in rows] == [entry["name"] for entry in entries]
    [failed] = [entry for entry in entries if entry["state"] == "failed"]
    assert "out of memory" in failed["note"]
    assert {row["rho"] for row in rows if row["optimizer"] == "sam"} == {"0.05", "0.1"}
    assert all(row["dataset"] and row["lr"] for row in rows)


def test_a_record_that_cannot_be_read_is_said(folder: Path) -> None:
    [path] = (folder / "results" / "runs").glob("*-adam-*/run.json")
    path.write_text(path.read_text().replace('"completed"', '"complete"'))
    shown = call(folder, "list", "runs", "--csv")
    assert shown.code == 0
    assert len(shown.out.splitlines()) == 1 + 4
    assert "is damaged" in shown.err


def test_a_run_counts_only_in_the_folder_of_its_own_name(folder: Path) -> None:
    runs = folder / "results" / "runs"
    next(runs.glob("*-adam-*")).rename(runs / "renamed")
    shutil.copytree(next(runs.glob("*-sam-*")), runs / "Backup of it")  # is listed first
    shown = call(folder, "list", "runs")
    for copied, optimizer in (("renamed", "adam"), ("Backup of it", "sam")):
        said = rf"/{copied}/run.json is of run \S+-{optimizer}-\S+, which counts only in a folder"
        assert re.search(said, shown.err)
    assert len(call(folder, "list", "runs", "--csv").out.splitlines()) == 1 + 4


def test_no_run_is_no_fault(folder: Path) -> None:
    for arguments, said in (
        (("--where", "rho=9"), "no run in results/runs has rho=9\n"),
        (("--results", "elsewhere"), "no run in elsewhere/runs\n"),
    ):
        nothing = call(folder, "list", "runs", *arguments)
        assert (nothing.code, nothing.out, nothing.err) == (0, "", said)
        assert json.loads(call(folder, "list", "runs", *arguments, "--json").out) == {"runs": []}


def test_a_run_is_found_by_its_folder(folder: Path) -> None:
    path = next((folder / "results" / "runs").glob("*-adam-*"))
    for given in (f"{path}", f"{path}/", f"results/runs/{path.name}/"):
        assert names(call(folder, "list", "runs", given, "-q").out) == [path.name]


def test_a_folder_of_runs_that_cannot_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir

    def forbid(path: Path | str) -> list[str]:
        if str(path) == "results/runs":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("sambench.store.tree.os.listdir", forbid)
    for words in (("list", "runs"), ("report",), ("compare", "demo", "--plan")):
        done = call(folder, *words)
        assert (done.code, done.out) == (2, "")
        assert "results/runs cannot be read: Permission denied; get permission" in done.err


def test_mistakes_are_told_in_one_line(folder: Path) -> None:
    for arguments, said in (
        (("list", "runs", "--where", "rh=1"), "no setting 'rh': did you mean 'rho'"),
        (("list", "models", "--csv"), "are for `sambench list runs`"),
        (("list", "runs", "--csv", "--json"), "--csv and --json are both given; keep one"),
        (("list", "runs", "nothing*"), "`sambench list runs` shows all"),
        (("report", "--where", "seed=77"), "no run has seed: 77"),
        (("hessian", "*", "--where", "seed=77"), "no run has seed: 77"),
        (("report", "--where", "rho=77"), "no run has optimizer: rho=77"),
    ):
        refused = call(folder, *arguments)
        assert refused.code == 2
        assert said in refused.err
        assert refused.err.count("\n") == 1


def test_a_condition_needs_a_value() -> None:
    with pytest.raises(ConfigError, match=r"--where 'rho' is not KEY=VALUE"):
        where_pattern(["rho"])


def test_a_condition_on_what_a_run_names_only_where_it_was_set() -> None:
    settings = {"dataset": "phantom", "image_size": 32, "model": "small-cnn"}
    usual = RunConfig.from_dict({**settings, "optimizer": "sam-on"})
    own = {"name": "sam-on", "max_norm": 1, "adaptive": True}
    other = RunConfig.from_dict({**settings, "optimizer": own})
    for here, there in (("max_norm=0", "max_norm=1"), ("adaptive=false", "adaptive=true")):
        found = [[where_pattern([w]).matches(run) for run in (usual, other)] for w in (here, there)]
        assert found == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ("rho=[0.05,0.1]", True),
        ("rho=[0.1,0.2]", False),
        ("betas=[0.9,0.999]", True),
        ("betas=[0.9,0.99]", False),
        ("optimizer.base=[adam,sgd]", True),
        ("optimizer.base=sgd", False),
        ("model=[vgg16,small-cnn]", True),
    ],
)
def test_a_condition_of_several_values_fits_each(condition: str, fits: bool) -> None:
    settings = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": "sam"}
    assert where_pattern([condition]).matches(RunConfig.from_dict(settings)) == fits
