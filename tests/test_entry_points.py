"""A package of one's own, installed by pip, brings an optimizer, a model and a dataset."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sambench.optim.method import optimizers

pytestmark = pytest.mark.slow
MODULE = '''
from torch import nn

from sambench.data.source import Listing, Request, Sample, Source, sources
from sambench.models.model import Model, models
from sambench.optim.method import Method, optimizer


@optimizer("twice-adam", gradient_evaluations=1, extra_memory=0, reference="a test")
class Twice(Method):
    """Twice the gradient."""

    def direction(self, gradient):
        return gradient().mul_(2.0)


def build(classes, image_size, pretrained):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, classes))


linear = models.register(Model(name="linear", summary="one layer", build=build))


def scan(request: Request) -> Listing:
    from PIL import Image

    request.raw.mkdir(parents=True, exist_ok=True)
    samples = []
    for number in range(40):
        label = ("dark", "light")[number % 2]
        path = request.raw / f"{number}.png"
        Image.new("L", (16, 16), 100 * (number % 2) + number).save(path)
        samples.append(Sample(id=str(number), path=path, file=path.name, label=label))
    return Listing(
        root=request.raw, layout="made", classes=("dark", "light"), samples=tuple(samples)
    )


shades = sources.register(
    Source(name="shades", summary="40 squares", scan=scan, image_size=16, classes=("dark", "light"))
)
'''
ENTRY_POINTS = """
[sambench.optimizers]
twice-adam = shady:Twice
[sambench.models]
linear = shady:linear
[sambench.datasets]
shades = shady:shades
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
RUN = ("--dataset", "shades", "--model", "linear", "--epochs", "1", "--device", "cpu")
AFTER_EACH = "-- done --"
SESSION = f"""
import sys

from sambench.cli import main

for words in " ".join(sys.argv[1:]).split(" then "):
    sys.argv[1:] = words.split()
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    for each in (sys.stdout, sys.stderr):
        print("{AFTER_EACH}", file=each)
"""


def install(folder: Path, module: str, entry_points: str) -> Path:
    """Build a wheel and install it with pip into a folder of its own; return that."""
    pytest.importorskip("pip")
    wheel, told = folder / "shady-1.0-py3-none-any.whl", "shady-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("shady.py", module)
        file.writestr(f"{told}/METADATA", "Metadata-Version: 2.1\nName: shady\nVersion: 1.0\n")
        file.writestr(f"{told}/WHEEL", WHEEL)
        file.writestr(f"{told}/entry_points.txt", entry_points)
        names = ["shady.py", *(f"{told}/{n}" for n in ("METADATA", "WHEEL", "entry_points.txt"))]
        file.writestr(f"{told}/RECORD", "".join(f"{n},,\n" for n in (*names, f"{told}/RECORD")))
    target = folder / "installed"
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True)
    return target


def sambench(folder: Path, *arguments: object, beside: Path | None = None) -> tuple[int, str, str]:
    """Run the command line with the packages of another folder.

    Commands with `then` between them are of one process, which imports once.
    """
    places = [str(Path(__file__).parents[1]), *([str(beside)] if beside else [])]
    environment = {"PYTHONPATH": os.pathsep.join(places), "COLUMNS": "160", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SESSION, *map(str, arguments)],
        **{"cwd": folder, "env": {**os.environ, **environment}},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_installed_package_brings_all_three(tmp_path: Path) -> None:
    there = install(tmp_path, MODULE, ENTRY_POINTS)
    words = ("compare", *RUN, "--opt", "adam,twice-adam", "--runs-per-device", "2")
    before = ("list", "--quiet", "then", "prepare", "shades", "then")
    code, said, error = sambench(tmp_path, *before, *words, beside=there)
    assert code == 0, error
    listed, _, table, _ = said.split(AFTER_EACH)
    assert error.startswith(AFTER_EACH)
    assert {"twice-adam", "linear", "shades"} <= set(listed.split())
    assert "twice-adam" not in {info.name for info in optimizers.list()}
    assert "linear on shades" in table
    assert "twice-adam" in table
    (record,) = (tmp_path / "results" / "runs").glob("*twice-adam*/run.json")
    sha256 = hashlib.sha256(MODULE.encode()).hexdigest()
    assert json.loads(record.read_text())["environment"]["plugins"] == {"shady": sha256}
    (there / "shady.py").write_text(MODULE.replace("mul_(2.0)", "mul_(3.0)"))
    code, table, error = sambench(tmp_path, *words, "--plan", beside=there)
    assert code == 0, error
    assert "shady was changed since" in table


@pytest.mark.parametrize(
    ("text", "told"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("exit(0)", "SystemExit: 0")],
)
def test_a_package_that_fails_is_named(tmp_path: Path, text: str, told: str) -> None:
    there = install(tmp_path, text, "[sambench.models]\nlinear = shady:linear\n")
    code, out, error = sambench(tmp_path, "list", "models", beside=there)
    assert (code, out) == (2, "")
    assert error == (
        f"error: package shady fails as it brings model 'linear' ({told}); repair or uninstall it\n"
    )


METHOD = """
from sambench.optim.method import Method, optimizer

@optimizer("{name}", gradient_evaluations=1, reference="a test")
class Mine(Method):
    def direction(self, gradient):
        return gradient()
"""
BROUGHT = """
import sys
from pathlib import Path
from sambench.optim.method import optimizers
from sambench.plugin import files_of, load_plugin

for file in sys.argv[2:]:
    load_plugin(Path(file))
optimizers.list()
for name in sys.argv[1].split(","):
    print(name, *files_of([("optimizer", name)]).items())
"""


def brought(folder: Path, *words: str) -> list[str]:
    """Return in a process of its own which files bring optimizers."""
    places = os.pathsep.join([str(Path(__file__).parents[1]), str(folder)])
    command = [sys.executable, "-c", BROUGHT, *words]
    done = subprocess.run(
        command,
        **{"cwd": folder, "env": {**os.environ, "PYTHONPATH": places}},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_package_whose_init_imports_its_modules_is_known_by_them(tmp_path: Path) -> None:
    """Python imports the package, and so all of them, before the first of them is looked at."""
    package, told = tmp_path / "shady", tmp_path / "shady-1.0.dist-info"
    expected = []
    for folder in (package, told):
        folder.mkdir()
    for name in ("one", "two"):
        text = METHOD.format(name=name)
        (package / f"{name}.py").write_text(text)
        expected.append(f"{name} {(f'shady.{name}', hashlib.sha256(text.encode()).hexdigest())}")
    (package / "__init__.py").write_text("from shady import one, two\n")
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: shady\nVersion: 1.0\n")
    points = "[sambench.optimizers]\none = shady.one\ntwo = shady.two\n"
    (told / "entry_points.txt").write_text(points)
    assert brought(tmp_path, "one,two") == expected


def test_a_file_does_not_bring_what_it_imports_of_ours(tmp_path: Path) -> None:
    text = "from sambench.optim.methods import sam\n" + METHOD.format(name="mine")
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "helper.py").write_text(METHOD.format(name="helped"))
    (tmp_path / "outer.py").write_text("import helper\n")
    shas = [hashlib.sha256(t.encode()).hexdigest() for t in (text, "import helper\n")]
    found = brought(tmp_path, "sam,mine,helped", "mine.py", "outer.py")
    assert found == ["sam", f"mine {('mine.py', shas[0])}", f"helped {('outer.py', shas[1])}"]
