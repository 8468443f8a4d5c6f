"""What programs read: one JSON object on standard output, whatever happens."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sambench.errors import RunFailed
from sambench.store.tree import Store
from tests.cli.conftest import SMALL

if TYPE_CHECKING:
    from tests.cli.conftest import Call, Outcome
    from tests.conftest import RecordMaker
    from tests.forked_processes import Template

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_optimizer.py"
CURVATURE = ("--samples", "16", "--set", "max_matvecs=8", "--device", "cpu")
RUN = {"id", "name", "path", "status", "error", "final", "cost", "sharpness", "hessian"}


def answer(done: Outcome) -> dict[str, Any]:
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_train_and_hessian(call: Call, tmp_path: Path, phantom_data: Path) -> None:
    data = ("--data", phantom_data)
    run = answer(call("train", *SMALL, *data, "--opt", "sam", "--json"))
    assert set(run) == RUN
    assert (run["status"], run["hessian"]) == ("completed", None)
    stored = json.loads((tmp_path / run["path"] / "run.json").read_text())
    assert {key: stored[key] for key in RUN - {"path"}} == {key: run[key] for key in RUN - {"path"}}
    again = answer(call("train", *SMALL, *data, "--opt", "sam", "--json"))
    assert again == run
    (measured,) = answer(call("hessian", run["id"], *CURVATURE, *data, "--json"))["runs"]
    assert measured["hessian"]["samples"] == 16


def test_compare_and_its_plan(call: Call, phantom_data: Path) -> None:
    words = ("compare", *SMALL, "--opt", "adam,sam", "--data", phantom_data)
    plan = answer(call(*words, "--plan", "--json"))
    assert plan["states"] == {"missing": 2}
    assert plan["pending"] == 2
    assert {run["action"] for run in plan["runs"]} == {"run"}
    done = answer(call(*words, "--json"))
    assert [run["status"] for run in done["runs"]] == ["completed"] * 2
    assert [run["id"] for run in done["runs"]] == [run["id"] for run in plan["runs"]]
    (table, *_) = done["tables"]
    assert table["headings"][0] == "Optimizer"
    assert [row[0] for row in table["rows"]] == ["Adam", "SAM"]
    assert all(len(row) == len(table["headings"]) for row in table["rows"])
    assert answer(call(*words, "--plan", "--json"))["states"] == {"completed": 2}


def test_the_forecast_of_a_plan_has_the_steps_that_were_timed(
    call: Call, phantom_data: Path
) -> None:
    words = ("compare", *SMALL, "--opt", "adam", "--data", phantom_data, "--plan", "--json")
    guess = answer(call(*words))["forecast"]
    assert (guess["known"], guess["unknown"], guess["seconds"]) == (0, 1, 0.0)
    done = call(*words, "--measure")
    assert re.search(r"^timed small-cnn at 32 px: \d+ ms for a gradient of 16 images ", done.err)
    timed = answer(done)["forecast"]
    assert (timed["known"], timed["unknown"]) == (1, 0)
    assert timed["seconds"] == timed["longest"] > 0


def test_a_run_that_diverged_is_told_too(
    call: Call, tmp_path: Path, phantom_data: Path, make_record: RecordMaker
) -> None:
    words = ("compare", *SMALL, "--opt", "adam", "--data", phantom_data, "--json")
    (run,) = answer(call(*words, "--plan"))["runs"]
    record = make_record("adam", status="diverged", error="loss nan", epochs=1)
    assert record.id == run["id"]
    Store(tmp_path / "results").save(record)
    done = call(*words)
    assert done.code == 1
    (told,) = json.loads(done.out)["runs"]
    assert (told["status"], told["error"], told["final"]) == ("diverged", "loss nan", None)


def test_no_record_is_read_for_a_program_that_did_not_ask(
    call: Call,
    tmp_path: Path,
    phantom_data: Path,
    make_record: RecordMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Store(tmp_path / "results").save(make_record("adam", epochs=1))
    for module in ("study", "launching"):
        monkeypatch.setattr(f"sambench.cli.{module}.run_answer", lambda *given: 1 / 0)
    done = call("compare", *SMALL, "--opt", "adam", "--data", phantom_data)
    assert (done.code, "small-cnn on phantom" in done.out) == (0, True), done.err
    with pytest.raises(ZeroDivisionError):
        call("compare", *SMALL, "--opt", "adam", "--data", phantom_data, "--json")


def test_two_sides(call: Call, tmp_path: Path, make_record: RecordMaker) -> None:
    for name in ("adam", "sam"):
        for seed in (0, 1):
            Store(tmp_path / "results").save(make_record(name, seed=seed))
    (table, *_) = answer(call("compare", "adam", "sam", "--json"))["tables"]
    assert "sam against adam" in table["title"]


def test_prepare_and_its_audit(call: Call, tmp_path: Path) -> None:
    words = ("prepare", "phantom", "--size", "16", "--set", "images=40", "--json")
    made = answer(call(*words))
    assert (made["path"], made["reused"], made["audit"]) == ("data/prepared/phantom-16", False, [])
    assert sum(made["summary"]["by_class"].values()) == 40
    audited = answer(call("prepare", "phantom", "--size", "16", "--audit", "--json"))
    assert audited["reused"]
    assert "data/prepared/phantom-16/audit.json" in audited["audit"]
    assert all((tmp_path / path).exists() for path in audited["audit"])


@pytest.mark.usefixtures("plugins_forgotten")
def test_check(call: Call) -> None:
    found = answer(call("check", EXAMPLE, "--json"))
    (half,) = found["optimizers"]
    assert (found["kept"], half["name"], half["kept"]) == (True, "half-sam", True)
    assert all(rule["kept"] and rule["found"] is None for rule in half["rules"])


def test_settings(call: Call) -> None:
    listed = answer(call("list", "settings", "--json"))["settings"]
    by_name = {setting["name"]: setting for setting in listed if not setting["of"]}
    assert by_name["batch_size"] == {
        "name": "batch_size",
        "type": "a whole number >= 1",
        "choices": [],
        "default": 16,
        "unit": "images",
        "meaning": "Batch size: images in each step. A single one that is left over joins the last "
        "batch.",
        "of": [],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "--opt", "sma"), "unknown optimizer 'sma'"),
        (("compare", "nosuch"), "suite 'nosuch' does not exist"),
        (("hessian", "nosuch", "--quiet"), "no run 'nosuch' in results/runs"),
        (("hessian", "demo"), "no run 'demo' in results/runs; `sambench compare demo` makes its"),
        (("check", "nosuch.py"), "plugin nosuch.py does not exist"),
        (("compare", "--opt", ","), "--opt names nothing; give names separated by commas"),
        (("compare", "--measure"), "--measure is for --plan; give both, or neither"),
        (("compare", "demo", "--opt", "adam"), "--opt does not go with a suite file; write it "),
        (
            ("compare", "--set", "base=sgd", "--opt", "adam"),
            "--set base=sgd: adam has its own base optimizer",
        ),
        (("train", "--size", "4"), "invalid value for '--size'"),
        (("train", "--epochs"), "option '--epochs' requires an argument; `sambench train --help`"),
        (
            ("compare", "--opt", "adam", "--opt", "sam"),
            "--opt NAME,... is given 2 times, and only the last would count; give it once",
        ),
        (("report", "--results", "a", "--results", "b"), "--results DIR is given 2 times"),
        (("hessian",), "missing argument 'RUN'"),
        (("report", "--result", "x"), "no option --result: did you mean '--results'"),
        (("compare", "a", "b", "c"), "got unexpected extra argument(s) (c)"),
        (("compare", f"{'a' * 5000}.yaml"), "File name too long"),
        (("nosuch",), "no such command 'nosuch'"),
        ((), "no option --json"),
    ],
)
def test_a_mistake_is_told_to_programs_too(call: Call, words: tuple[str, ...], said: str) -> None:
    done = call(*words, *(() if words == ("train", "--epochs") else ("--json",)))
    line = done.err.removeprefix("error: ").removesuffix("\n")
    assert (done.code, said in line, "\n" in line) == (2, True, False), done.err
    assert json.loads(done.out or json.dumps({"error": line})) == {"error": line}
    assert bool(done.out) == ("--epochs" not in words)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt, 130),
        (RunFailed("its process died"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (OSError(errno.EACCES, "Permission denied", "data/x"), 2),
    ],
)
def test_other_ends_are_told_too(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def end(*given: object) -> None:
        raise error

    monkeypatch.setattr("sambench.cli.catalogue.catalogue", end)
    done = call("list", "--json")
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert done.err == f"error: {json.loads(done.out)['error']}\n"


def test_a_bug_is_told_and_has_its_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.cli.catalogue.catalogue", lambda kind: {}[kind])
    printed: list[str] = []
    monkeypatch.setattr("typer.echo", lambda text, *to: printed.append(text))
    with pytest.raises(KeyError):
        call("list", "models", "--json")
    assert json.loads(printed[0]) == {"error": "KeyError: 'models'"}


def test_quiet_says_nothing_and_ends_as_before(
    call: Call, tmp_path: Path, phantom_data: Path, make_record: RecordMaker
) -> None:
    words = ("compare", *SMALL, "--opt", "adam", "--data", phantom_data, "-q")
    assert (call(*words).code, call(*words).out, call(*words).err) == (0, "", "")
    record = make_record("sam", status="diverged", error="loss nan", epochs=1)
    Store(tmp_path / "results").save(record)
    done = call("compare", *SMALL, "--opt", "sam", "--data", phantom_data, "--quiet")
    assert (done.code, done.out, done.err) == (1, "", "")


def test_a_quiet_list_is_names(call: Call) -> None:
    done = call("list", "models", "-q")
    assert "small-cnn" in done.out.splitlines()
    assert all(" " not in line for line in done.out.splitlines())


def test_a_quiet_answer(call: Call, phantom_data: Path) -> None:
    idle = ("--opt", "sam,gsam,asam", "--set", "alpha=0.3")  # of gsam alone, which is warned of
    done = call("compare", *SMALL, *idle, "--data", phantom_data, "--plan", "--json", "--quiet")
    assert json.loads(done.out)["pending"] == 3
    assert done.err == ""


LOUD = r"""
import os
import subprocess
from sambench.optim.method import Method, optimizer

print("said at import")
subprocess.run(["echo", "said by a child"])

@optimizer("loud", gradient_evaluations=1, reference="none")
class Loud(Method):
    def direction(self, gradient):
        print("said by Python")
        os.write(1, b"said by the system\n")
        return gradient()
"""
SAID = ("said at import", "said by a child", "said by Python", "said by the system")


def test_what_others_print_goes_to_standard_error(
    tmp_path: Path, phantom_data: Path, template: Template
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    run = (*SMALL, "--opt", "loud", "--data", str(phantom_data))
    for words, code, said in (
        (("train", *run), 0, SAID),
        (("compare", *run, "--workers", "2", "--seeds", "2"), 0, SAID[:2]),
        (("train", *run, "--set", "rho=1"), 2, SAID[:2]),
        (("list", "runs"), 0, SAID[:2]),
    ):
        given = ("-m", "sambench", *words, "--plugin", "loud.py", "--json")
        done = template.run(*given, folder=tmp_path)
        assert done.returncode == code, done.stderr
        assert isinstance(json.loads(done.stdout), dict)
        assert all(text in done.stderr for text in said), words
    given = ("-m", "sambench", "list", "runs", "--plugin", "loud.py", "--csv")
    table = template.run(*given, folder=tmp_path).stdout
    assert [line.partition("-")[0] for line in table.splitlines()[1:]] == ["phantom"] * 2
