"""Fixtures that more than one test module needs, and which tests `make` chooses from."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
if "PYTEST_XDIST_WORKER" in os.environ:  # a process for each core, and so one thread for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if "SAMBENCH_TEST_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU is not chosen, nor its bits compared
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # processes that tests start compile but once

import copy
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from msgspec.structs import replace
from PIL import Image

from sambench import curvature
from sambench.config.run_config import RunConfig
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.launch import pool
from sambench.launch.launchers import local, slurm
from sambench.models.model import models
from sambench.optim.method import optimizers
from sambench.plugin import VARIABLE
from sambench.store.record import COMPLETED, RunRecord
from tests import forked_processes
from tests.forked_processes import Template
from tests.launch import slurm_cluster

settings.register_profile(
    "anew", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("repeated", settings.get_profile("anew"), derandomize=True)
settings.load_profile("repeated")  # `make test-all` draws other examples each time

ARITHMETIC = ("analysis", "curvature", "data", "models", "optim", "run", "training")
"""The rooms whose tests depend on how a processor rounds: `make test-processors` runs them."""

if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # under nohup processes would inherit that
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

HEADER = ("ID", "BIRADS-reader1", "BIRADS-reader2", "fold")
BusFolder = Callable[..., Path]
RecordMaker = Callable[..., RunRecord]


def pytest_configure(config: pytest.Config) -> None:
    """Begin what processes are forked from: one for all workers, which inherit its address."""
    if forked_processes.ADDRESS not in os.environ:
        config.add_cleanup(forked_processes.begin())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the rooms that calculate; begin with the slow files.

    Workers take whole files (what a file prepares is prepared once), so that short ones at the end
    keep all of them busy.
    """
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        if room in ARITHMETIC:
            item.add_marker("arithmetic")
    gc.freeze()  # modules and tests stay to the end: no need to look for garbage among them
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one more than the cores: many tests wait for the processes that they start."""
    return min(8, (os.cpu_count() or 1) + 1)


@pytest.fixture(scope="session")
def template() -> Template:
    """What processes are forked from."""
    return forked_processes.of_this_run()


@pytest.fixture(scope="session", autouse=True)
def few_processes(template: Template) -> Iterator[None]:
    """Have a launch do its runs in this process, unless its test asks for workers.

    Those start in milliseconds.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "cores", lambda: 1)
        patch.setattr(pool, "subprocess", template.subprocess)
        yield


@pytest.fixture
def pass_by(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Return what lets seconds of work pass; nothing else does."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    before = signal.getsignal(signal.SIGCONT)
    yield lambda seconds: now.__setitem__(0, now[0] + seconds)
    signal.signal(signal.SIGCONT, before)


@pytest.fixture(scope="module")
def rough_studies() -> Iterator[None]:
    """Have a study's plane stand on rough eigenvectors, its worst case on few steps and its average
    on few draws: exact ones of a barely trained network take hundreds of products, and tests of
    what is stored and resumed do not look at them."""
    fewer: dict[str, Any] = {
        "eigenvector_plane": {"max_matvecs": 8, "tol": 0.5},
        "worst_case_sharpness": {"steps": 4},
        "average_sharpness": {"pairs": 3},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, given in fewer.items():
            patch.setattr(curvature, name, partial(getattr(curvature, name), **given))
        yield


@pytest.fixture(scope="module")
def unpainted() -> Iterator[None]:
    """Have reports compose their figures but not paint them: for tests that look at what is said,
    while those of the figures and of the command look at pictures."""
    from sambench.report.style import Picture  # which imports matplotlib

    with pytest.MonkeyPatch.context() as patch:
        for kind, painted in (("png", b""), ("pdf", b""), ("svg", "<svg></svg>")):
            patch.setattr(Picture, kind, painted)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; a test that asks for it is skipped where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SAMBENCH_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder} (SAMBENCH_TEST_DATA says where they are)")
    return folder


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared datasets with 40 phantom images of 32 pixels; not to be written to."""
    folder = tmp_path_factory.mktemp("phantom")
    source = sources.get("phantom")
    options = source.resolve({"images": 40, "pixels": 32})
    request = Request(raw=folder / "raw", options=options)
    prepare(source, request, folder / "prepared", 32)
    return folder / "prepared"


@pytest.fixture(scope="module")
def slurm_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a Slurm cluster; what the environment needs to use it."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def on_slurm(slurm_of_this_machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the Slurm launcher use that cluster, whose jobs take sambench from this checkout."""
    for name, value in slurm_of_this_machine.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.5)


@pytest.fixture
def plugins_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Undo afterwards what a plug-in that is loaded in this process registers, or when called."""
    registries = (optimizers, models, sources)
    known = [
        (registry, {entry.name: entry for entry in registry.list()}) for registry in registries
    ]
    before = {*sys.modules}

    def forget() -> None:
        for registry, entries in known:
            monkeypatch.setattr(registry, "_entries", {**entries})
        monkeypatch.setenv(VARIABLE, "")
        for name in {*sys.modules} - before:
            if name.startswith("sambench_plugin_"):
                del sys.modules[name]

    forget()
    yield forget
    forget()


@pytest.fixture
def make_record() -> RecordMaker:
    """Make a record by hand: what happened is given, the rest is plausible."""

    def make(
        optimizer: object = "adam",
        *,
        status: str = COMPLETED,
        error: str | None = None,
        accuracy: float = 0.75,
        seconds: float = 10.0,
        passes: int = 100,
        collapsed: bool = False,
        target_met: bool = True,
        hessian: Mapping[str, object] | None = None,
        **settings: object,
    ) -> RunRecord:
        given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 5}
        config = RunConfig.from_dict({**given, "optimizer": optimizer, **settings})
        done = status == COMPLETED
        final = {
            **{"epochs": 5, "stopped_by": "epochs", "target_met": target_met},
            **{"selection": "last", "selected_epoch": 5},
            "generalization_gap": 1.0 - float(accuracy),
            **{"train": {"loss": 0.1, "accuracy": 1.0}, "validation": None},
            "test": {**TESTED, "accuracy": float(accuracy), "collapsed": collapsed},
        }
        cost = {**COST, "train_seconds": seconds, "gradient_evaluations": passes}
        record = RunRecord(config=config, status=status, error=error).with_sections(
            environment=ENVIRONMENT,
            data=DATA,
            final=final if done else None,
            cost=cost if done else None,
        )
        return replace(record, hessian=hessian)

    return make


def measured(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a whole curvature section, as a record on the disk has it, with other values."""
    found = copy.deepcopy(MEASURED)
    for name, value in (given or {}).items():
        inner = found.get(name)
        found[name] = {**inner, **value} if isinstance(inner, dict) else value
    return found


MEASURED: dict[str, Any] = {
    **{"definition": "dominant-of-each-batch", "samples": 16, "available_samples": 32},
    **{"batches": 2, "batch_sizes": [8], "parameters": 100, "batch_norm": "eval", "l2": 0.0},
    **{"hvp": "reverse", "dtype": "float32", "seed": 0, "matvecs": 20, "loss": 0.1},
    "top": {
        **{"value": 2.0, "residual": 0.01, "upper_bound": 2.1, "values": [2.0]},
        **{"upper_bounds": [2.1], "certified": [True]},
        **{"residuals": [0.01], "lowest": -0.5, "lowest_residual": 0.1, "lower_bound": -0.7},
        **{"lowest_converged": False, "matvecs": 10, "converged": True, "tol": 0.01},
        "ended_by": "tolerance",
    },
    "trace": {
        **{"value": 5.0, "stderr": 0.1, "interval": [4.8, 5.2], "samples": 10},
        **{"method": "hutchinson", "matvecs": 10, "converged": True, "tol": 0.05},
        "ended_by": "tolerance",
    },
    **{"gradient_norm": 0.1, "gradient_top_cosine": None, "seconds": 1.0, "notes": []},
    "settings": {"samples": 16},
}
ENVIRONMENT = {
    **dict.fromkeys(("sambench", "python", "git", "command", "platform", "deterministic"), "x"),
    **dict.fromkeys(("torch", "torchvision", "timm", "numpy", "cuda", "gpu"), None),
    **{"device": "cpu", "cpu": "a CPU", "threads": 1, "runs_on_device": 1},
}
DATA = {
    **{"fingerprint": "f", "classes": ["benign", "malignant"], "split_sha256": "s"},
    **{"train": 40_000, "validation": 0, "test": 10_000, "wrong_labels": 0},
}
TESTED = {
    **dict.fromkeys(("auroc", "sensitivity", "specificity", "f1"), None),
    **{"n": 10_000, "loss": 0.5, "balanced_accuracy": 0.5, "ece": 0.1, "brier": 0.5},
    **{"majority_accuracy": 0.5},
}
COST = {
    **{"evaluation_seconds": 0.0, "overhead_seconds": 0.0, "steps": 20},
    **{"images_per_second": None, "peak_memory_bytes": 0, "energy_joules": None},
}


@pytest.fixture
def bus_folder(tmp_path: Path) -> BusFolder:
    """Build a folder in a layout of the breast-ultrasound release; returns the images' folder."""

    def build(
        ids: Sequence[str] = ("benign(0)", "benign(10)", "benign(2)", "malignant(0)"),
        *,
        name: str = "release",
        folders: Mapping[str, Sequence[str]] | None = None,
        rows: Sequence[Sequence[object]] | None = None,
        header: Sequence[str] = HEADER,
        sheet: str = "prediction",
        workbook: str = "BIRADS&FOLD.xlsx",
        side: int = 24,
    ) -> Path:
        root = tmp_path / name
        placed = {"SYSUCC": ids[0::2], "GDPH": ids[1::2]} if folders is None else folders
        for folder, members in placed.items():
            for id in members:
                write_image(root / folder / f"{id}.png", side)
        if rows is None:
            rows = [(id, "4a", 3, number % 2) for number, id in enumerate(ids)]
        write_workbook(root / workbook, rows, header, sheet)
        return root

    return build


def write_image(path: Path, side: int = 24) -> None:
    """Write a small RGB image that its name alone determines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(path.stem.encode()[-8:])
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_workbook(
    path: Path,
    rows: Sequence[Sequence[object]],
    header: Sequence[str] = HEADER,
    sheet: str = "prediction",
) -> None:
    """Write a workbook of one sheet."""
    from openpyxl import Workbook  # here, so that tests on a GPU run where nothing reads workbooks

    path.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    page = book.active
    page.title = sheet
    for row in (header, *rows):
        page.append(list(row))
    book.save(path)
