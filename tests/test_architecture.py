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
from sambench.store import Store

if TYPE_CHECKING:
    from conftest import RecordMaker

PACKAGE = Path(sambench.__file__).parent
TORCH_FREE = (
    "sambench.config",
    "sambench.suite",
    "sambench.record",
    "sambench.store",
    "sambench.registry",
    "sambench.arrays",
    "sambench.errors",
    "sambench.events",
    "sambench.environment",
    "sambench.arguments",
    "sambench.settings",
    "sambench.sinks",
    "sambench.catalogue",
    "sambench.console",
    "sambench.analysis",
    "sambench.report",
    "sambench.data.source",
    "sambench.data.sources",
    "sambench.data.prepared",
    "sambench.data.splits",
    "sambench.data.stored_splits",
    "sambench.data.selection",
    "sambench.data.noise",
    "sambench.data.audit",
    "sambench.optim.base",
    "sambench.optim.hyperparameter",
    "sambench.optim.method",
    "sambench.optim.methods",
    "sambench.models",
    "sambench.launch",
    "sambench.cli",
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
    run = "sambench.cli.__main__"  # importing it runs the command line
    return [module for module in MODULES if belongs(module, *families) and module != run]


def run_python(code: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "COLUMNS": "200"},
        check=False,
    )


def test_the_walk_sees_the_package() -> None:
    assert len(MODULES) > 50
    assert Import("sambench.optim.method", True) in imports_of("sambench.config")
    assert Import("torch", False) in imports_of("sambench.environment")
    assert Import("torch", True) in imports_of("sambench.run")
    assert Import("sambench.cli.compare", True) in imports_of("sambench.cli")


def test_only_the_command_line_knows_typer() -> None:
    strangers = {m for m in importers_of("typer") if not belongs(m, "sambench.cli")}
    assert strangers == set()
    assert "sambench.cli" in importers_of("typer")


def test_only_the_console_knows_rich() -> None:
    strangers = {m for m in importers_of("rich") if not belongs(m, "sambench.console")}
    assert strangers == set()
    assert "sambench.console.screen" in importers_of("rich")


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    strangers = {m for m in importers_of("sambench.cli") if not belongs(m, "sambench.cli")}
    assert strangers == {"sambench.__main__"}


@pytest.mark.parametrize(
    ("family", "allowed"),
    [
        ("sambench.optim", ("sambench.registry", "sambench.errors")),
        ("sambench.curvature", ("sambench.errors",)),
        ("sambench.errors", ()),
        ("sambench.registry", ("sambench.errors",)),
    ],
)
def test_what_stands_alone(family: str, allowed: tuple[str, ...]) -> None:
    assert {arrow for arrow in arrows(family) if not belongs(arrow[1], *allowed)} == set()


@pytest.mark.parametrize(
    ("family", "forbidden"),
    [
        ("sambench.analysis", ("report", "store", "console", "run", "launch", "training")),
        ("sambench.report", ("store", "console", "run", "launch", "training")),
        ("sambench.record", ("store", "suite", "run", "launch")),
        ("sambench.config", ("record", "store", "suite", "run", "data", "models")),
        ("sambench.training", ("run", "store", "launch", "cli", "record", "console")),
        ("sambench.data", ("training", "run", "optim", "store", "launch")),
        ("sambench.data.audit", ("config", "record", "report", "models", "cli", "console")),
        ("sambench.robust", ("run", "optim", "curvature", "launch", "cli", "console", "report")),
        ("sambench.restored", ("run", "optim", "curvature", "launch", "cli", "console", "report")),
        ("sambench.models", ("training", "run", "optim", "data", "store", "launch", "config")),
        ("sambench.store", ("run", "launch", "suite", "console", "report", "analysis")),
        ("sambench.run", ("launch", "console", "report", "analysis", "suite")),
        ("sambench.minimum", ("launch", "console", "report", "analysis", "suite")),
        (
            "sambench.minimum.studies",
            ("run", "minimum.hessian", "store", "record", "config", "data", "report"),
        ),
        ("sambench.launch", ("console", "report", "analysis", "suite")),
    ],
)
def test_no_arrow_points_back(family: str, forbidden: tuple[str, ...]) -> None:
    wrong = {
        arrow
        for arrow in arrows(family)
        if belongs(arrow[1], *(f"sambench.{name}" for name in forbidden))
    }
    assert wrong == set()


def test_no_cycle() -> None:
    graph = {
        module: {
            found.target
            for found in imports_of(module)
            if found.at_once and found.target in MODULES and found.target != module
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

NUMPY, OURS = ("numpy",), ("yaml", "sambench.config", "sambench.store", "sambench.console")
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
    arguments = ["compare", "--plan", "--dataset", "phantom", "--model", "small-cnn"]
    done = run_python(COMMAND, *arguments, "--data", str(phantom_data), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "3 of 3 runs have something to do; nothing was run" in done.stdout
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
    for batch in range(2, 28):
        Store(tmp_path / "results").save(make_record("adam", batch_size=batch))
    named = COMMAND.replace("'torch' in sys.modules", "{'torch', 'matplotlib'} & {*sys.modules}")
    done = run_python(named, "report", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "set()\n")
    assert "wrote results/reports/report.html" in done.stdout


def test_a_report_imports_no_torch(tmp_path: Path, make_record: RecordMaker) -> None:
    Store(tmp_path / "results").save(make_record("adam"))
    done = run_python(COMMAND, "report", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "False\n")
    assert "75.0 (1)" in done.stdout
    assert "wrote results/reports/small-cnn-on-phantom.png" in done.stdout


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
        "from sambench.config import RunConfig\n"
        "from sambench.run import Paths, run_one\n"
        "import sambench.launch.unit, sambench.launch.worker\n"
        "given = dict(dataset='phantom', image_size=32, model='small-cnn', optimizer='sam')\n"
        "paths = Paths(data=Path(sys.argv[1]), results=Path('results'))\n"
        "record = run_one(RunConfig.from_dict({**given, 'epochs': 1}), paths,\n"
        "                 device=torch.device('cpu'))\n"
        "print(record.status, record.environment['engine']['captured_reason'])\n"
    )
    done = run_python(code, str(phantom_data), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "completed no CUDA device\n"), done.stderr
