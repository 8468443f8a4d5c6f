"""What the name of a study stands for: the runs of its plan, whoever did them first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from sambench.cli import launching
from sambench.cli.gathering import gather
from sambench.cli.measuring import find_runs
from sambench.cli.screen import Screen
from sambench.config.search import plan_search
from sambench.config.suite_file import load_suite, shipped_suites
from sambench.store.search_record import choose_trial, found_now, is_trial, write_search
from sambench.store.study_plan import StudyPlan, read_plan, write_plan
from sambench.store.tree import Store
from tests.cli.conftest import Call
from tests.conftest import MEASURED

if TYPE_CHECKING:
    from sambench.config.run_config import RunConfig
    from tests.conftest import RecordMaker

pytestmark = pytest.mark.usefixtures("unpainted")
SUITE = """
name: {name}
defaults: {{dataset: phantom, image_size: 32, model: small-cnn, epochs: 5}}
matrix: {{optimizer: [{optimizers}]}}
seeds: 2
report: {{baseline: sam}}
"""


@pytest.fixture
def folder(tmp_path: Path, make_record: RecordMaker) -> Path:
    """Two suites that share runs, all of them done by the first or, gcsam's, by the second."""
    for name, optimizers in (("beta", ("adam", "sam")), ("gamma", ("adam", "sam", "gcsam"))):
        text = SUITE.format(name=name, optimizers=", ".join(optimizers))
        (tmp_path / f"{name}.yaml").write_text(text)
        for optimizer in optimizers if name == "beta" else ("gcsam",):
            for seed in range(2):
                record = make_record(optimizer, seed=seed, accuracy=0.7 + 0.1 * seed)
                Store(tmp_path / "results").save(replace(record, suite=name))
    return tmp_path


def first_lines(report: Path) -> str:
    return report.read_text(encoding="utf-8").partition("## How to read")[0]


def test_a_name_stands_for_runs_that_another_suite_did_first(folder: Path, call: Call) -> None:
    assert len(call("list", "runs", "gamma", "--quiet").out.split()) == 2  # as before there was one
    for name in ("beta", "gamma"):
        assert call("compare", f"{name}.yaml").code == 0
    plan = read_plan(folder / "results", "gamma")
    assert plan is not None
    assert len(plan.runs) == 6
    assert len(call("list", "runs", "gamma", "--quiet").out.split()) == 6
    assert "4 runs belong to both sides" in call("compare", "beta", "gamma", columns=200).err
    reports = folder / "results" / "reports" / "gamma" / "report.md"
    for given in ("gamma.yaml", "gamma"):
        assert call("report", given).code == 0
        text = first_lines(reports)
        assert "GCSAM" in text
        assert "SAM" in text
        assert "Adam" in text
        if given == "gamma.yaml":
            by_file = text
    assert text == by_file


def test_a_name_brings_how_its_study_is_reported(folder: Path, call: Call) -> None:
    call("compare", "beta.yaml")
    assert call("report", "beta").code == 0
    assert "difference to SAM" in first_lines(folder / "results" / "reports" / "beta" / "report.md")


@pytest.mark.parametrize("name", ["beta", "demo"])
def test_a_name_brings_the_tables_and_the_curvature_that_its_study_asks_for(
    folder: Path, call: Call, name: str
) -> None:
    """Without its file; also where a suite of that name is shipped."""
    path, results = folder / "beta.yaml", folder / "results"
    text = path.read_text().replace("name: beta", f"name: {name}") + "hessian: {samples: 64}\n"
    of_paper = "{paper: hassan2024sharpness, table: %s, where: {seed: 1}}"
    path.write_text(f"{text}tables: [{of_paper % 1}, {of_paper % 9}]\n")
    for record in Store(results).records()[0]:
        Store(results).save(record.with_sections(hessian=MEASURED))
    assert call("compare", "beta.yaml").code == 0
    path.unlink()
    groups, _ = find_runs(Screen(), [name], {"tol": 0.1}, (), folder, Store(results))
    assert [(len(runs), wanted.settings()["samples"]) for runs, wanted, _ in groups] == [(4, 64)]
    assert groups[0][1].hessian.tol == 0.1
    done = call("report", name, columns=300)
    said = "4 runs measured with samples=16, the suite asks samples=64"
    assert (done.code, said in done.out) == (0, True)
    text = (results / "reports" / name / "report.md").read_text()
    assert "Table 1 of" in text
    assert "no paper at hand has printed: table 9 of hassan2024sharpness; there are: 1 of " in text


def test_a_study_of_ones_own_with_a_shipped_name(folder: Path, call: Call) -> None:
    text = (folder / "beta.yaml").read_text().replace("name: beta", "name: demo")
    (folder / "own.yaml").write_text(text)
    call("compare", "own.yaml")
    assert call("report", "demo").code == 0
    assert "difference to SAM" in first_lines(folder / "results" / "reports" / "demo" / "report.md")


def test_the_name_of_a_shipped_suite_is_its_plan_where_none_is_kept(
    tmp_path: Path, make_record: RecordMaker
) -> None:
    """As where its records came without their study: what is missing is still known."""
    runs, store = load_suite(Path("demo")).expand(lambda *_: ()), Store(tmp_path / "results")
    store.save(replace(make_record(), config=runs[0], suite="demo"))
    found = gather(["demo"], store, tmp_path)
    assert ([r.id for r in found.records], found.planned) == ([runs[0].id], runs)
    assert found.given == "demo"


def test_a_comparison_of_options_has_a_name_too(folder: Path, call: Call) -> None:
    options = ("--dataset", "phantom", "--size", 32, "--model", "small-cnn", "--epochs", 5)
    done = call("compare", *options, "--opt", "sam,gcsam", "--name", "mine", columns=200)
    assert "next: `sambench report mine`" in done.err
    assert len(call("list", "runs", "mine", "--quiet").out.split()) == 2
    assert call("train", *options, "--opt", "adam", "--name", "mine").code == 0
    assert len(call("list", "runs", "mine", "--quiet").out.split()) == 3


def test_two_processes_join_one_study_at_the_same_time(
    folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch, make_record: RecordMaker
) -> None:
    """A run that another process adds while this one looks at its own is not lost."""
    results, other = folder / "results", make_record("sam").config
    say = launching._say_what_is_left_alone

    def meanwhile(*given: Any) -> int:
        write_plan(results, StudyPlan(suite="mine", runs=[other]), joins=True)
        return say(*given)

    monkeypatch.setattr(launching, "_say_what_is_left_alone", meanwhile)
    small = ("--dataset", "phantom", "--size", 32, "--model", "small-cnn", "--epochs", 5)
    assert call("train", *small, "--opt", "adam", "--name", "mine").code == 0
    plan = read_plan(results, "mine")
    assert plan is not None
    assert {run.optimizer["name"] for run in plan.runs} == {"adam", "sam"}


def test_a_later_comparison_of_the_name_replaces_the_plan(folder: Path, call: Call) -> None:
    call("compare", "gamma.yaml")
    path = folder / "gamma.yaml"
    path.write_text(path.read_text().replace("seeds: 2", "seeds: [1]"))
    call("compare", "gamma.yaml")
    names = call("list", "runs", "gamma", "--quiet").out.split()
    assert len(names) == 3
    assert not any("-s0-" in name for name in names)
    done = call("report", "gamma", columns=300)
    (gcsam,) = (folder / "results" / "runs").glob("*gcsam-s0*")
    said = f"1 run made for gamma that its plan has no more: {gcsam.name}; `sambench report`"
    assert (done.code, done.err.count(said)) == (0, 1)
    report = folder / "results" / "reports" / "gamma" / "report.md"
    text, by_name = report.read_text(), first_lines(report)
    assert text.count(gcsam.name) == text.count(said) == 1
    call("report", "gamma.yaml")
    assert first_lines(report) == by_name


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 2}'])
def test_a_damaged_plan_is_said_and_made_anew(folder: Path, call: Call, text: str) -> None:
    call("compare", "gamma.yaml")
    (folder / "results" / "studies" / "gamma.json").write_text(text)
    for command in (("report", "gamma"), ("list", "runs", "gamma"), ("compare", "beta", "gamma")):
        done = call(*command, columns=200)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "gamma.json is no study of this sambench (" in done.err
        assert "`sambench compare SUITE" in done.err
    assert call("compare", "gamma.yaml").code == 0
    assert call("report", "gamma").code == 0


def test_a_plan_that_was_altered_is_not_reported(folder: Path, call: Call) -> None:
    """One digit of a seed would leave a run out of the report without a word."""
    call("compare", "gamma.yaml")
    path = folder / "results" / "studies" / "gamma.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7', 1))
    done = call("report", "gamma", columns=200)
    assert done.code == 2
    assert "gamma.json is no study of this sambench (it was altered" in done.err
    assert call("compare", "gamma.yaml").code == 0
    assert call("report", "gamma").code == 0


def test_a_plan_says_what_it_is(folder: Path, call: Call) -> None:
    call("compare", "beta.yaml")
    plan = json.loads((folder / "results" / "studies" / "beta.json").read_text())
    assert (plan["schema_version"], plan["suite"], plan["search"]) == (1, "beta", None)
    assert plan["report"]["baseline"] == "sam"
    assert [run["optimizer"]["name"] for run in plan["runs"]] == ["adam", "sam"] * 2


def test_a_part_of_a_study_does_not_pass_for_the_whole(folder: Path, call: Call) -> None:
    reports = folder / "results" / "reports"
    text = (folder / "beta.yaml").read_text().replace("baseline: sam", "baseline: adam")
    (folder / "beta.yaml").write_text(text)
    assert call("report", "beta.yaml").code == 0
    whole = (reports / "beta" / "report.md").read_text()
    done = call("report", "beta.yaml", "--where", "rho=0.05", columns=200)
    assert done.out.startswith("These are the runs with rho=0.05 alone. ")
    part = (reports / "beta-where-rho-0.05" / "report.md").read_text()
    assert part.startswith("# sambench report beta --where rho=0.05\n")
    assert "no completed run of the baseline Adam" in part
    assert "Leave out `--where` to have all runs, or name another with `--baseline`." in part
    assert "Run it" not in part
    call("report", "beta.yaml", "--where", "seed=0", "--where", "epochs=5")
    part = (reports / "beta-where-seed-0-where-epochs-5" / "report.md").read_text()
    assert "These are the runs with seed=0 and epochs=5 alone." in part
    assert "seeds" not in part.partition("## ")[0]
    assert "`--seeds" not in part
    assert (reports / "beta" / "report.md").read_text() == whole


@pytest.fixture
def tuned(folder: Path, make_record: RecordMaker) -> list[str]:
    """Make all runs of a suite with a search, `tuned.yaml`; return the names of the tuned ones."""
    text = SUITE.format(name="tuned", optimizers="adam, sam") + "search: {trials: 2}\n"
    (folder / "tuned.yaml").write_text(text)
    suite, made = load_suite(folder / "tuned.yaml"), {}
    assert suite.search is not None
    tunings = plan_search(suite.search, suite.expand(lambda *_: ()))

    def done(run: RunConfig, suite: str, accuracy: float) -> None:
        record = make_record(accuracy=accuracy)
        part = {"accuracy": accuracy, "loss": 1.0}
        record = record.with_sections(final={**dict(record.final or {}), "validation": part})
        made[run.id] = replace(record, config=run, suite=suite)
        Store(folder / "results").save(made[run.id])

    for tuning in tunings:
        for number, trial in enumerate(tuning.trials):
            for run in trial.runs:
                done(run, "tuned (search)", 0.5 + 0.1 * number)
    found = found_now("tuned", suite.search, tunings, made)
    write_search(folder / "results", found)
    names = []
    for tuning in tunings:
        chosen = choose_trial(tuning, made)
        assert chosen is not None
        for run in tuning.finals(chosen):
            done(run, "tuned", 0.7)
            names.append(run.name)
    return names


def test_a_tuned_run_that_is_missing_is_said(folder: Path, call: Call, tuned: list[str]) -> None:
    (folder / "results" / "runs" / tuned[-1] / "run.json").unlink()
    call("report", "tuned.yaml")
    text = (folder / "results" / "reports" / "tuned" / "report.md").read_text()
    assert "Missing runs of the suite: 1 run." in text
    assert f"Runs: {tuned[-1]}." in text
    path = folder / "tuned.yaml"
    path.write_text(path.read_text().replace("seeds: 2", "seeds: 3"))
    call("report", "tuned.yaml")
    text = (folder / "results" / "reports" / "tuned" / "report.md").read_text()
    assert "Missing runs of the suite: 5 runs." in text  # both, of either, with seed 2; and that


def test_a_number_of_tuned_runs_names_the_search_that_tells_the_trials(
    folder: Path, call: Call, tuned: list[str]
) -> None:
    done = call("report", "tuned.yaml", "--explain", "sam (tuned)/accuracy", columns=200)
    said = "with values that a search chose: --explain 'search/sam' tells its trials\n"
    assert said in done.out
    given = call("report", "tuned.yaml", "--explain", "sam (as given)/accuracy", columns=200)
    assert "sam (as given)/test accuracy" in given.out
    assert "search" not in given.out
    trials = call("report", "tuned.yaml", "--explain", "search/sam").out
    assert "60 %" in trials


def test_tuned_runs_beside_others_are_told_apart(
    folder: Path, call: Call, tuned: list[str]
) -> None:
    said = f"The search of tuned chose the values of {len(tuned)} runs that are shown here as if "
    assert said in call("report", columns=300).out
    assert "The search of tuned chose" not in call("report", "tuned.yaml", columns=300).out


def test_a_suite_file_stands_for_its_tuned_runs_too(folder: Path, tuned: list[str]) -> None:
    """As its name does: so `hessian FILE` measures them."""
    store = Store(folder / "results")
    file = str(folder / "tuned.yaml")
    [(records, *_)], _ = find_runs(Screen(), [file], {}, (), folder / "data", store)
    assert {*tuned} < {record.name for record in records}


def test_an_edited_measurement_is_said_of_tuned_runs_too(
    folder: Path, call: Call, tuned: list[str]
) -> None:
    store, path = Store(folder / "results"), folder / "tuned.yaml"
    path.write_text(path.read_text() + "hessian: {samples: 32}\n")
    for record in store.records()[0]:
        store.save(replace(record, hessian=MEASURED))
    done = call("compare", "tuned.yaml", "--device", "cpu", columns=300)
    assert "8 runs measured with samples=16, the suite asks samples=32; " in done.err


def test_trials_that_are_stale_are_said(folder: Path, call: Call, tuned: list[str]) -> None:
    store = Store(folder / "results")
    trial = next(record for record in store.records()[0] if is_trial(record))
    store.save(replace(trial, numerics=1))
    call("report", "tuned.yaml")
    text = (folder / "results" / "reports" / "tuned" / "report.md").read_text()
    assert "`sambench compare tuned.yaml --retry stale` does them again." in text
    assert f"Runs: {trial.name} (a trial: the code gives other numbers now)." in text


def test_a_search_that_is_not_done_is_said(folder: Path, call: Call, tuned: list[str]) -> None:
    suite = load_suite(folder / "tuned.yaml")
    assert suite.search is not None
    tunings = plan_search(suite.search, suite.expand(lambda *_: ()))
    there, _ = Store(folder / "results").records()
    cut = {record.id: record for record in there if record.id != tunings[1].trials[1].runs[0].id}
    found = found_now("tuned", suite.search, tunings, cut)
    write_search(folder / "results", found)
    call("report", "tuned.yaml")
    text = (folder / "results" / "reports" / "tuned" / "report.md").read_text()
    answer, wrong = text.split("## What went wrong")
    said = "Search not done: sam. No final run has its values, so comparisons with tuned optimizers"
    assert f"- {said}" in wrong
    assert said in answer.partition("## Results")[0]
    assert "Nothing: every run is completed" not in wrong


def test_a_part_of_a_study_has_its_part_of_the_search(
    folder: Path, call: Call, tuned: list[str]
) -> None:
    call("report", "tuned.yaml", "--where", "optimizer=sam")
    text = (folder / "results/reports/tuned-where-optimizer-sam/report.md").read_text()
    _, table = text.split("### Search of tuned\n")
    rows = [line for line in table.partition("\n\n- ")[0].splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| sam"]


def test_a_search_that_is_not_begun_is_said(folder: Path, call: Call, tuned: list[str]) -> None:
    """As where a study is given a search, and is killed before its trials are done."""
    (folder / "results" / "searches" / "tuned.json").unlink()
    done = call("report", "tuned.yaml", columns=300)
    said = "the search of tuned is not begun; `sambench compare SUITE"
    assert said in done.err
    assert said in (folder / "results" / "reports" / "tuned" / "report.md").read_text()


def test_the_search_of_a_suite_that_was_edited_is_left_out(
    folder: Path, call: Call, tuned: list[str], make_record: RecordMaker
) -> None:
    path = folder / "tuned.yaml"
    path.write_text(path.read_text().replace("epochs: 5", "epochs: 6"))
    for name in ("adam", "sam"):
        Store(folder / "results").save(make_record(name, epochs=6))
    done = call("report", "tuned.yaml", columns=300)
    text = (folder / "results" / "reports" / "tuned" / "report.md").read_text()
    assert not any(name in text for name in tuned)
    assert "5 epochs" not in text
    assert "Hyperparameter search" not in text
    said = "2 of 2 searches in results/searches/tuned.json are not what the suite asks for now; "
    said += "`sambench compare SUITE"
    assert said in done.err
    assert said in text


def test_the_name_of_a_study_has_its_tuned_runs(
    folder: Path, call: Call, tuned: list[str], make_record: RecordMaker
) -> None:
    """Though another study did them first."""
    for name in tuned:
        path = folder / "results" / "runs" / name / "run.json"
        store = Store(folder / "results")
        store.save(replace(store.read(path), suite=None))
    call("compare", "tuned.yaml", "--device", "cpu")
    listed = call("list", "runs", "tuned", "--quiet").out.split()
    assert {*tuned} < {*listed}
    assert len(listed) == 8


def test_an_edited_measurement_is_said_of_runs_that_were_measured_before(
    folder: Path, call: Call
) -> None:
    store = Store(folder / "results")
    path = folder / "beta.yaml"
    path.write_text(path.read_text() + "hessian: {samples: 16}\n")
    for record in store.records()[0]:
        store.save(record.with_sections(hessian=MEASURED))
    commands = ("compare", "beta.yaml", "--plan"), ("compare", "beta.yaml"), ("report", "beta.yaml")
    assert not any("measured with" in call(*command, columns=200).err for command in commands)
    path.write_text(path.read_text().replace("samples: 16", "samples: 64"))
    said = (
        "4 runs measured with samples=16, the suite asks samples=64; `sambench hessian beta.yaml "
        "--again` measures anew"
    )
    for command in commands:
        done = call(*command, columns=200)
        assert (done.code, (done.out + done.err).count(said)) == (0, 1)
    assert "4 completed\n" in call(*commands[0], columns=200).out


def test_a_report_is_of_one_suite_file(folder: Path, call: Call) -> None:
    done = call("report", "beta.yaml", "gamma.yaml", columns=200)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: a report is of one suite file at a time; give beta.yaml alone, or names of suites\n"
    )
    assert call("report", "beta", "gamma").code == 0


@pytest.mark.parametrize("name", shipped_suites())
def test_the_plan_of_a_shipped_suite_is_that_suite(name: str, tmp_path: Path) -> None:
    suite = load_suite(Path(name))
    plan = StudyPlan.of(suite, suite.expand(lambda *_: (1, 2)))
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path, name) == plan
