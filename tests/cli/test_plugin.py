"""A Python file of one's own adds an optimizer, a dataset and a model, from listing to table."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sambench
from sambench.errors import ModelError, PluginError
from sambench.models.model import models
from sambench.plugin import VARIABLE, load_plugin
from tests.cli.conftest import Call
from tests.test_entry_points import MODULE, RUN

pytestmark = pytest.mark.usefixtures("plugins_forgotten", "unpainted")
EXAMPLE = Path(__file__).parents[2] / "examples" / "my_optimizer.py"


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 30


def test_the_example_keeps_the_contract(call: Call) -> None:
    done = call("check", EXAMPLE, columns=160)
    assert done.code == 0, done.err
    assert "half-sam: 14 of 14 rules kept" in done.out


def test_a_breach_is_told_and_counts(call: Call, tmp_path: Path) -> None:
    wrong = EXAMPLE.read_text().replace("gradient_evaluations=2", "gradient_evaluations=3")
    (tmp_path / "wrong.py").write_text(wrong)
    done = call("check", "wrong.py", columns=160)
    assert done.code == 1
    assert "200 passes in 100 steps; gradient_evaluations says 300" in done.out


def test_a_class_from_elsewhere_is_checked_by_the_name_it_is_given(
    call: Call, tmp_path: Path
) -> None:
    lines = [
        "from sambench.optim.method import optimizer",
        "from sambench.optim.methods.sam import SAM",
        "optimizer('sam-again', gradient_evaluations=2, reference='none')(SAM)",
    ]
    (tmp_path / "again.py").write_text("\n".join(lines))
    (tmp_path / "link.py").symlink_to("again.py")
    done = call("check", "link.py", columns=160)
    assert done.code == 0, done.err
    assert "sam-again: 14 of 14 rules kept" in done.out


def test_its_results_are_in_the_table_beside_the_others(call: Call) -> None:
    assert "half-sam" not in call("list", "optimizers").out
    plugin = ["--plugin", EXAMPLE]
    made = call("prepare", "phantom", "--size", "16", "--set", "images=40")
    assert made.code == 0, made.err
    small = ["--dataset", "phantom", "--model", "small-cnn", "--epochs", "1", "--device", "cpu"]
    done = call("compare", *plugin, *small, "--size", "16", "--opt", "adam,half-sam")
    assert done.code == 0, done.err
    assert "`--seeds 6` in place of 1 takes about " in done.err
    assert "next: `sambench report phantom-small-cnn-adam-half-sam --plugin" in done.err
    assert "half-sam" in done.out.split("Optimizer")[-1]
    assert "half-sam" in call("list", "optimizers", *plugin).out


def test_its_runs_are_shown_and_measured_without_the_file(
    call: Call, tmp_path: Path, plugins_forgotten: Callable[[], None]
) -> None:
    """Only what needs the code asks for it; a run of another version of the code is stale."""
    mine = tmp_path / "mine.py"
    mine.write_text(EXAMPLE.read_text())
    assert call("prepare", "phantom", "--size", "16", "--set", "images=40").code == 0
    small = ["--dataset", "phantom", "--model", "small-cnn", "--size", "16", "--epochs", "1"]
    asked = ["compare", *small, "--device", "cpu", "--opt", "adam,half-sam"]
    assert call(*asked, "--plugin", mine).code == 0
    (record,) = Path("results/runs").glob("*half-sam*/run.json")
    sha256 = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert json.loads(record.read_text())["environment"]["plugins"] == {"mine.py": sha256}

    plugins_forgotten()
    for command in (
        ["report", "--baseline", "half-sam"],
        ["compare", "adam", "half-sam"],
        ["list", "runs"],
        ["hessian", record.parent.name, "--set", "samples=16", "--device", "cpu"],
    ):
        done = call(*command, columns=160)
        assert (done.code, "half-sam" in done.out) == (0, True), done.err
        assert "cannot be read" not in done.out + done.err
    assert call(*asked).err == (
        "error: unknown optimizer 'half-sam': did you mean 'focal-sam' or 'fsam' or 'asam'?; "
        "`sambench list optimizers` shows all; --plugin FILE adds your own\n"
    )

    mine.write_text(EXAMPLE.read_text().replace("mul_(0.5)", "mul_(0.25)"))
    plan = call(*asked, "--plugin", mine, "--plan", columns=160).out
    assert "stale" in plan
    assert "mine.py was changed since" in plan
    done = call(*asked, "--plugin", mine, "--retry", "stale", columns=160)
    assert done.code == 0, done.err
    assert (
        "running again, since mine.py was changed since; their earlier files are kept in "
        "results/retired"
    ) in done.err
    (aside,) = Path("results/retired").glob("*half-sam*/1/run.json")
    assert json.loads(aside.read_text())["environment"]["plugins"] == {"mine.py": sha256}


def test_a_file_brings_a_dataset_and_a_model(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    done = call("prepare", "shades", "--plugin", "mine.py")
    assert done.code == 0, done.err
    assert "shades: 40 images, 16x16 grey, from made" in done.out
    done = call("train", *RUN, "--plugin", "mine.py", "--opt", "twice-adam")
    assert done.code == 0, done.err
    assert "linear on shades" in done.out
    models._entries.pop("linear")  # as without the file
    done = call("train", *RUN)
    assert done.code == 2
    assert done.err == (
        "error: unknown model 'linear'; `sambench list models` shows all; "
        "--plugin FILE adds your own\n"
    )


def test_images_that_a_scan_lists_in_any_order_are_prepared_in_one(call: Call) -> None:
    end, shuffled = "    return Listing(", "    __import__('random').shuffle(samples)\n"
    Path("mine.py").write_text(MODULE.replace(end, shuffled + end))
    manifests = []
    for _ in range(2):
        assert call("prepare", "shades", "--plugin", "mine.py").code == 0
        manifests.append(json.loads(Path("data/prepared/shades-16/manifest.json").read_text()))
    assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
    with Path("data/prepared/shades-16/samples.csv").open() as table:
        files = [row["file"] for row in csv.DictReader(table)]
    assert files == sorted(files)
    assert len(files) == 40


def test_a_run_of_its_model_is_loaded_with_the_file(
    call: Call, plugins_forgotten: Callable[[], None]
) -> None:
    Path("mine.py").write_text(MODULE)
    assert call("prepare", "shades", "--plugin", "mine.py").code == 0
    done = call("train", *RUN, "--plugin", "mine.py", "--opt", "adam")
    assert done.code == 0, done.err
    for given in (["mine.py"], "mine.py"):
        plugins_forgotten()
        with pytest.raises(ModelError, match="has a model of one's own, 'linear'; give the path"):
            sambench.load_run("shades-linear-adam-*")
        run = sambench.load_run("shades-linear-adam-*", plugins=given)
        assert run.predict(np.zeros((1, 16, 16, 1), dtype=np.uint8)).shape == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1 / 0", "plugin bad.py failed: ZeroDivisionError in line 1: division by zero"),
        ("x = (", "plugin bad.py failed: SyntaxError in line 1: '(' was never closed (bad.py"),
        ("exit(0)", "plugin bad.py failed: SystemExit in line 1: 0"),
        (None, "plugin bad.py does not exist; give a Python file"),
    ],
)
def test_a_bad_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("bad.py").write_text(text)
    with pytest.raises(PluginError) as caught:
        load_plugin(Path("bad.py"))
    assert str(caught.value).startswith(message)


def test_a_file_that_goes_elsewhere_takes_no_results_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("goes.py").write_text("import os\nos.chdir('/')\n")
    load_plugin(Path("goes.py"))
    assert Path.cwd() == tmp_path


def test_a_name_that_is_taken_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "taken.py").write_text(EXAMPLE.read_text().replace("half-sam", "sam"))
    done = call("check", "taken.py")
    assert done.code == 2
    assert done.err.startswith("error: plugin taken.py failed: PluginError in line ")
    assert done.err.endswith("two optimizers are called 'sam'; rename one\n")


@pytest.mark.slow
def test_a_name_that_is_taken_is_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    """In a process of its own, where the file is run before the package's own optimizers."""
    (tmp_path / "taken.py").write_text(EXAMPLE.read_text().replace("half-sam", "sam"))
    command = [sys.executable, "-m", "sambench", "list", "optimizers", "--plugin", "taken.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: two optimizers are called 'sam'; rename one in taken.py\n"


def test_an_optimizer_without_a_docstring_is_listed(call: Call) -> None:
    text = EXAMPLE.read_text()
    start = text.index('    """Half gradient')
    Path("mine.py").write_text(text[:start] + text[text.index("    rho =") :])
    done = call("list", "optimizers", "--plugin", "mine.py", "--json")
    assert done.code == 0, done.err
    (own,) = [o for o in json.loads(done.out)["optimizers"] if o["name"] == "half-sam"]
    assert own["summary"] == ""


METHOD = """
from sambench.optim.method import Hyperparameter, Method, optimizer

@optimizer("mine", gradient_evaluations=1, reference="none")
class Mine{}:
    rho = Hyperparameter(0.05, help="radius")
    {}
"""


@pytest.mark.parametrize(
    ("parent", "body", "told"),
    [
        ("(Method)", "def directions(self, gradient): pass", "its class has no `direction`"),
        (
            "",
            "def direction(self, gradient): pass",
            "must be a subclass of sambench.optim.method.M",
        ),
        ("(Method)", "max_norm = Hyperparameter(1.0, help='')", "no `direction`"),
        (
            "(Method)",
            "direction = max_norm = Hyperparameter(1.0, help='')",
            "a hyperparameter cannot be called 'direction', which is taken; rename it",
        ),
        (
            "(Method)",
            "direction, max_norm = print, Hyperparameter(1.0, help='')",
            "a hyperparameter cannot be called 'max_norm', which is taken; rename it",
        ),
        (
            "(Method)",
            "direction, lr = print, Hyperparameter(1.0, help='')",
            "a hyperparameter cannot be called 'lr', which is taken; rename it",
        ),
        (
            "(__import__('sambench').optim.methods.sam.SAM)",
            "rho = 0.5",
            "its class hides the hyperparameter rho; use `Hyperparameter` anew there",
        ),
        (
            "(Method)",
            "direction, share = print, Hyperparameter(5.0, help='', maximum=1.0)",
            "mine share=5.0 is not allowed; allowed: [0, 1]",
        ),
    ],
)
def test_a_class_that_cannot_be_meant_so_is_refused(
    tmp_path: Path, parent: str, body: str, told: str
) -> None:
    (tmp_path / "mine.py").write_text(METHOD.format(parent, body))
    with pytest.raises(PluginError) as caught:
        load_plugin(tmp_path / "mine.py")
    assert str(caught.value).startswith("plugin mine.py failed: ")
    assert told in str(caught.value)


def test_worker_processes_load_it_too(tmp_path: Path) -> None:
    load_plugin(EXAMPLE)
    assert os.environ[VARIABLE] == str(EXAMPLE)
    command = [sys.executable, "-m", "sambench", "list", "optimizers"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "half-sam" in done.stdout


RAISES = {
    "mine.py": """
from sambench.models.model import Model, models

def build(classes, image_size, pretrained):
    return {}["width"]

models.register(Model(name="mine", summary="fails", build=build))
""",
    "file.py": """
from sambench.models.model import Model, models

def build(classes, image_size, pretrained):
    return open("none.bin")

models.register(Model(name="file", summary="fails", build=build))
""",
    "bad.py": """
from sambench.optim.method import Method, optimizer

@optimizer("bad", reference="none")
class Bad(Method):
    def direction(self, gradient):
        return gradient().nothing
""",
    "none.py": """
from sambench.optim.method import Method, optimizer

@optimizer("none", reference="none")
class NoVector(Method):
    def direction(self, gradient):
        gradient()
""",
    "bare.py": """
from sambench.optim.method import Method, optimizer

@optimizer("bare", reference="none")
class Bare(Method):
    def __init__(self, optimizer):
        self.steps = 0

    def direction(self, gradient):
        return gradient()
""",
}


@pytest.mark.parametrize(
    ("file", "model", "name", "told"),
    [
        ("mine.py", "mine", "adam", "plugin mine.py failed: KeyError in line 5: 'width'"),
        ("file.py", "file", "adam", "plugin file.py failed: FileNotFoundError in line 5: "),
        ("bad.py", "small-cnn", "bad", "plugin bad.py failed: AttributeError in line 7: "),
        ("none.py", "small-cnn", "none", "direction of NoVector returns a NoneType, no Vector"),
        (
            "bare.py",
            "small-cnn",
            "bare",
            "optimizer 'bare': begin `__init__` of Bare with `super().__init__(optimizer)`",
        ),
    ],
)
def test_what_its_code_raises_later_is_one_line(
    call: Call, tmp_path: Path, file: str, model: str, name: str, told: str
) -> None:
    (tmp_path / file).write_text(RAISES[file])
    assert call("prepare", "phantom", "--size", "16", "--set", "images=40").code == 0
    given = ["--dataset", "phantom", "--size", "16", "--model", model, "--opt", name]
    done = call("train", "--plugin", file, *given, "--epochs", "1", "--device", "cpu")
    assert (done.code, done.err.splitlines()[-1][: len(told) + 7]) == (2, f"error: {told}")
    assert "Traceback" not in done.err
