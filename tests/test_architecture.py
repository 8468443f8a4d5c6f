"""The lines of the house: who may import whom, and what may cost the time of importing torch."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sambench
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

PACKAGE = Path(sambench.__file__).parent
ROOMS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "plugin": ("errors",),
    "registry": ("errors", "plugin"),
    "files": ("errors",),
    "curvature": ("errors",),
    "optim": ("errors", "registry"),
    "models": ("errors", "registry", "files"),
    "data": ("errors", "registry", "files", "models"),
    "config": ("errors", "files", "optim", "data"),
    "store": ("errors", "plugin", "files", "config"),
    "training": ("errors", "files", "optim", "data", "config"),
    "run": (
        *("errors", "plugin", "files", "curvature", "optim", "models", "data", "config"),
        *("store", "training"),
    ),
    "launch": ("errors", "registry", "plugin", "files", "config", "store", "training", "run"),
    "analysis": ("errors", "files", "optim", "config", "store"),
    "report": ("errors", "files", "config", "store", "analysis"),
    "cli": (
        *("errors", "plugin", "files", "optim", "models", "data", "config", "store"),
        *("training", "run", "launch", "analysis", "report"),
    ),
    "__main__": ("cli",),
}
"""The house, from the ground floor up: the rooms that each room may import."""

TORCH_FREE = (
    *(f"sambench.{room}" for room in ("errors", "registry", "plugin", "files", "config", "store")),
    *(f"sambench.{room}" for room in ("analysis", "report", "cli", "launch", "models")),
    "sambench.data.source",
    "sambench.data.sources",
    "sambench.data.prepared",
    "sambench.data.splits",
    "sambench.data.writing",
    "sambench.data.audit",
    "sambench.optim.base",
    "sambench.optim.hyperparameter",
    "sambench.optim.method",
    "sambench.optim.methods",
    "sambench.training.events",
    "sambench.run.sinks",
)


@dataclass(frozen=True)
class Import:
    """One imported module, and whether importing the importer imports it too."""

    target: str
    at_once: bool


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    return tuple(_imports(ast.parse(MODULES[module].read_text()).body, at_once=True))


def _imports(body: list[ast.stmt], *, at_once: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield Import(inside if inside in MODULES else str(node.module), at_once)
        else:
            checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            now = at_once and not (checking or function)
            for field in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(node, field, []), at_once=now)
            for handler in getattr(node, "handlers", []):
                yield from _imports(handler.body, at_once=now)


def belongs(module: str, *families: str) -> bool:
    return any(module == family or module.startswith(f"{family}.") for family in families)


def importers_of(library: str) -> set[str]:
    return {
        module
        for module in MODULES
        if any(belongs(found.target, library) for found in imports_of(module))
    }


def arrows(family: str) -> set[tuple[str, str]]:
    """Return the imports of sambench's own modules by a family of them, from outside of it."""
    return {
        (module, found.target)
        for module in MODULES
        if belongs(module, family)
        for found in imports_of(module)
        if belongs(found.target, "sambench") and not belongs(found.target, family)
    }


def members(*families: str) -> list[str]:
    return [module for module in MODULES if belongs(module, *families)]


def run_python(code: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "COLUMNS": "200"},
        check=False,
    )


def room_of(module: str) -> str:
    """Return the room of a module of the package; the package itself has none."""
    return module.split(".")[1] if "." in module else ""


def test_the_walk_sees_the_package() -> None:
    assert len(MODULES) > 50
    assert Import("sambench.optim.method", True) in imports_of("sambench.config.optimizer")
    assert Import("torch", False) in imports_of("sambench.store.environment")
    assert Import("torch", True) in imports_of("sambench.run.single_run")
    assert Import("sambench.cli.compare", True) in imports_of("sambench.cli")


def test_seventeen_rooms() -> None:
    assert {room_of(module) for module in MODULES} - {""} == {*ROOMS}
    assert len(ROOMS) == 17


def test_rooms_stand_on_lower_ones() -> None:
    order = list(ROOMS)
    for place, (room, allowed) in enumerate(ROOMS.items()):
        assert {*allowed} <= {*order[:place]}, room


@pytest.mark.parametrize("room", ROOMS)
def test_no_arrow_points_back(room: str) -> None:
    """A module imports from its own room, from those that its room may, and no other."""
    wrong = {
        (module, target)
        for module, target in arrows(f"sambench.{room}")
        if target != "sambench" and room_of(target) not in ROOMS[room]
    }
    assert wrong == set()


def test_no_room_is_allowed_what_it_does_not_use() -> None:
    """The drawing is today's house: an arrow that nothing needs is taken out of it."""
    used = {
        room: {room_of(target) for _, target in arrows(f"sambench.{room}")} - {""} for room in ROOMS
    }
    assert {room: {*allowed} - used[room] for room, allowed in ROOMS.items()} == {
        room: set() for room in ROOMS
    }


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_only_the_command_line_knows(library: str) -> None:
    strangers = {m for m in importers_of(library) if not belongs(m, "sambench.cli")}
    assert strangers == set()
    assert importers_of(library)


def test_no_cycle() -> None:
    """No module imports itself on any way, imports within functions and of types alone included."""
    graph = {
        module: {
            found.target
            for found in imports_of(module)
            if found.target in MODULES and found.target != module
        }
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_no_drawer_for_everything() -> None:
    parts = {part for module in MODULES for part in module.split(".")}
    assert parts & {"utils", "util", "helpers", "helper", "misc", "common"} == set()


def test_modules_that_plan_and_report_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules:\n"
        "        sys.exit(f'{name} imports torch')\n"
    )
    modules = members(*TORCH_FREE)
    assert "sambench.optim.methods.gcsam" in modules
    assert "sambench.models.torchvision" in modules
    done = run_python(code, *modules, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


COMMAND = (
    "import sys\n"
    "from sambench.cli import main\n"
    "try:\n"
    "    main()\n"
    "finally:\n"
    "    print('torch' in sys.modules, file=sys.stderr)\n"
)


HEAVY = ("torch", "torchvision", "timm", "pandas", "scipy", "matplotlib", "openpyxl", "PIL")
"""What takes a tenth of a second or more to import."""

NUMPY, OURS = (
    ("numpy",),
    ("yaml", "sambench.config.run_config", "sambench.store.tree", "sambench.cli.screen"),
)
COMMANDS = ("prepare", "train", "hessian", "compare", "report", "list", "check")


@pytest.mark.parametrize(
    ("arguments", "said", "left_out"),
    [
        (["--help"], "compare", NUMPY + OURS),
        *(([command, "--help"], "--help", NUMPY + OURS) for command in COMMANDS),
        (["list"], "gcsam", NUMPY),
        (["list", "--json"], '"optimizers"', NUMPY),
    ],
    ids=str,
)
def test_what_commands_that_start_at_once_do_not_import(
    tmp_path: Path, arguments: list[str], said: str, left_out: tuple[str, ...]
) -> None:
    named = COMMAND.replace("'torch' in", f"{set(HEAVY + left_out)} &").replace(
        "sys.modules", "{*sys.modules}"
    )
    done = run_python(named, *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    assert said in done.stdout


def test_a_plan_imports_no_torch(tmp_path: Path, phantom_data: Path) -> None:
    arguments = [
        "compare",
        "--plan",
        "--dataset",
        "phantom",
        "--size",
        "32",
        "--model",
        "small-cnn",
    ]
    done = run_python(COMMAND, *arguments, "--data", str(phantom_data), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "to do: 3 of 3 runs; nothing was run" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_of_two_sides_imports_no_torch(
    tmp_path: Path, make_record: RecordMaker
) -> None:
    for name in ("adam", "sam"):
        Store(tmp_path / "results").save(make_record(name))
    done = run_python(COMMAND, "compare", "adam", "sam", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "sam against adam" in done.stdout


def test_many_tables_import_no_plotting(tmp_path: Path, make_record: RecordMaker) -> None:
    for batch in range(2, 70):
        Store(tmp_path / "results").save(make_record("adam", batch_size=batch))
    named = COMMAND.replace("'torch' in sys.modules", "{'torch', 'matplotlib'} & {*sys.modules}")
    done = run_python(named, "report", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    assert "wrote results/reports/all/report.html" in done.stdout


def test_a_report_imports_no_torch(tmp_path: Path, make_record: RecordMaker) -> None:
    Store(tmp_path / "results").save(make_record("adam"))
    done = run_python(COMMAND, "report", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "75.0 (1)" in done.stdout
    assert "wrote results/reports/all/figures" in done.stdout


def test_training_needs_neither_pandas_nor_a_workbook_reader(
    tmp_path: Path, phantom_data: Path
) -> None:
    """A machine that only trains may have neither."""
    code = (
        "import sys\n"
        "for name in ('pandas', 'openpyxl', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from sambench.config.run_config import RunConfig\n"
        "from sambench.run.single_run import Paths, run_one\n"
        "import sambench.launch.unit, sambench.launch.pool\n"
        "given = dict(dataset='phantom', image_size=32, model='small-cnn', optimizer='sam')\n"
        "paths = Paths(data=Path(sys.argv[1]), results=Path('results'))\n"
        "record = run_one(RunConfig.from_dict({**given, 'epochs': 1}), paths,\n"
        "                 device=torch.device('cpu'))\n"
        "print(record.status, record.environment['engine']['captured_reason'])\n"
    )
    done = run_python(code, str(phantom_data), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "completed no CUDA device\n"), done.stderr


def test_windows_is_told_in_a_line_that_linux_is_needed(tmp_path: Path) -> None:
    code = "import os, typer; os.name = 'nt'; import sambench.cli"
    done = run_python(code, folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "error: sambench needs Linux; on Windows it runs in WSL\n",
    )
