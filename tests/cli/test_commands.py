"""The command line as people use it: what it says, what it leaves, and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import sambench
from sambench.cli import main
from sambench.config.curvature_settings import HessianSettings
from sambench.data.prepared import open_prepared
from sambench.models.model import build_model
from sambench.store.tree import Store
from tests.cli.conftest import SMALL

pytestmark = pytest.mark.slow
if TYPE_CHECKING:
    from tests.conftest import BusFolder, RecordMaker

WORKBOOK = "BIRADS&FOLD.xlsx"
BEYOND_REACH = (
    "small-cnn on phantom: 2 seeds cannot show any difference between optimizers; at least 6 "
    "are needed (`--seeds 6`, or `seeds: 6` in the suite).\n"
)
"""What is said of the suite below before it runs."""

SUITE = """
name: tiny
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 1, lr: 1e-3}
matrix: {optimizer: [adam, sam, gcsam]}
seeds: 2
hessian: {samples: 16, max_matvecs: 8}
report: {baseline: adam}
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: object
    out: str
    err: str


def call(folder: Path, *arguments: str) -> Outcome:
    """Run the command line in this process, in a folder of its own."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["sambench", *arguments])
        redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with redirected[0], redirected[1], pytest.raises(SystemExit) as ended:
            main()
    return Outcome(ended.value.code or 0, out.getvalue(), err.getvalue())


def refused(folder: Path, *arguments: str) -> str:
    """Return the error of a command that must end with one line and leave nothing."""
    before = everything(folder)
    done = call(folder, *arguments)
    assert everything(folder) == before
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("error: ")
    return done.err.removeprefix("error: ").rstrip("\n")


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(autouse=True, scope="module")
def torch_as_before() -> Iterator[None]:
    """Put back the switches that a run turns."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(deterministic)
    if workspace is None:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.fixture
def small(tmp_path: Path, phantom_data: Path) -> Callable[..., str]:
    """Refuse a `train` or `compare` of the small network on the prepared phantom."""

    def run(command: str, *arguments: str) -> str:
        usual = zip(SMALL[::2], SMALL[1::2], strict=True)
        words = [word for pair in usual if pair[0] not in arguments for word in pair]
        return refused(tmp_path, command, *words, "--data", str(phantom_data), *arguments)

    return run


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, phantom_data: Path
) -> tuple[Path, Sequence[str], Outcome]:
    """Run a small suite once; returns its folder, the command and what it said."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(SUITE)
    command = ("compare", "tiny.yaml", "--data", str(phantom_data), "--device", "cpu")
    return folder, command, call(folder, *command)


def records_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("results/runs/*/run.json"))
    return [json.loads(path.read_text()) for path in paths]


# what there is ------------------------------------------------------------------------------------


def test_the_version(tmp_path: Path) -> None:
    assert call(tmp_path, "--version") == Outcome(0, f"sambench {sambench.__version__}\n", "")


def test_help_names_every_command(tmp_path: Path) -> None:
    done = call(tmp_path, "--help")
    assert done.code == 0
    for command in ("prepare", "train", "hessian", "compare", "report", "list"):
        assert f" {command} " in done.out


def test_list(tmp_path: Path) -> None:
    done = call(tmp_path, "list")
    assert (done.code, done.err) == (0, "")
    for name in ("optimizers", "gcsam", "models", "small-cnn", "datasets", "phantom"):
        assert name in done.out


def test_list_as_json(tmp_path: Path) -> None:
    listed = json.loads(call(tmp_path, "list", "--json").out)
    assert list(listed) == ["optimizers", "models", "datasets", "launchers"]
    assert "gcsam" in [entry["name"] for entry in listed["optimizers"]]


def test_list_of_one_kind_as_json(tmp_path: Path) -> None:
    assert list(json.loads(call(tmp_path, "list", "models", "--json").out)) == ["models"]


def test_list_of_an_unknown_kind(tmp_path: Path) -> None:
    assert refused(tmp_path, "list", "optimiser") == (
        "unknown kind 'optimiser': did you mean 'optimizers'?; kinds: optimizers, models, "
        "datasets, launchers, suites, settings, runs"
    )


def test_an_unknown_option_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    done = call(tmp_path, "train", "--optimiser", "sam")
    assert done.code == 2
    assert "no option --optimiser" in done.err


# prepare ------------------------------------------------------------------------------------------


def after_the_room(done: Outcome, images: int) -> str:
    """Check that the room on the disk was told first; returns what was said after it."""
    told = (
        rf"preparing {images} images: up to \d+ kB in data/prepared, up to \d+ kB of it kept; "
        r"[\d.,]+ [kMG]B free\n"
    )
    found = re.match(told, done.err)
    assert found, done.err
    return done.err[found.end() :]


def prepare_bus(release: Path) -> str:
    """Return the error of preparing a release that must not be prepared."""
    table = str(release / WORKBOOK)
    return refused(release.parent, "prepare", "bus", "--xlsx", table, "--size", "16")


def test_prepare_phantom(tmp_path: Path, phantom_data: Path) -> None:
    raw = phantom_data.parent / "raw"
    options = ("--set", "images=40", "--set", "pixels=32", "--size", "32", "--raw", str(raw))
    done = call(tmp_path, "prepare", "phantom", *options)
    assert (done.code, after_the_room(done, 40)) == (0, "")
    assert done.out.startswith("phantom: 40 images, 32x32 grey, from simulated folders GDPH and ")
    sheet = "data/prepared/phantom-32/contact_sheet.png"
    assert done.out.endswith(f"prepared in data/prepared/phantom-32, contact sheet {sheet}\n")
    with Image.open(tmp_path / sheet) as image:
        image.load()
    fresh = open_prepared(tmp_path / "data" / "prepared", "phantom", 32)
    assert fresh.fingerprint == open_prepared(phantom_data, "phantom", 32).fingerprint
    again = call(tmp_path, "prepare", "phantom", *options)
    assert (again.code, again.out) == (0, done.out)
    assert again.err == (
        "data/prepared/phantom-32 was prepared before from the same files; nothing to do\n"
    )


TOO_FEW = (
    "split holdout: no image of malignant is in the test part; prepare more images of it, or "
    "choose another split\n"
)


def test_prepare_a_release(bus_folder: BusFolder) -> None:
    release = bus_folder()
    done = call(release.parent, "prepare", "bus", "--source", str(release), "--size", "16")
    assert (done.code, after_the_room(done, 4)) == (0, TOO_FEW)
    assert "bus: 4 images, 16x16 colour, from GDPH and SYSUCC with BIRADS&FOLD.xlsx" in done.out


def test_prepare_by_option_and_source(tmp_path: Path) -> None:
    for label in ("benign", "malignant", "normal"):
        folder = tmp_path / "busi" / label
        folder.mkdir(parents=True)
        for number in (1, 2):
            shade = Image.new("L", (20, 20), 40 * number + len(label))
            shade.save(folder / f"{label} ({number}).png")
            shade.save(folder / f"{label} ({number})_mask.png")
    where = ("--source", str(tmp_path / "busi"), "--size", "16")
    done = call(tmp_path, "prepare", "busi", *where, "--set", "normal=drop")
    assert done.code == 0
    passed = "passed over: 6 masks, 2 of class normal, not wanted\n"
    assert after_the_room(done, 4) == passed + TOO_FEW
    assert "busi: 4 images, 16x16 grey, from a folder for each class" in done.out
    assert "note: 4 masks for 4 images, read as 4 images" in done.out
    manifest = json.loads((tmp_path / "data/prepared/busi-16/manifest.json").read_text())
    assert manifest["options"] == {"normal": "drop"}
    assert manifest["licence"].startswith("none stated")
    assert "Al-Dhabyani" in manifest["reference"]


def test_many_classes_are_told_in_a_line(tmp_path: Path) -> None:
    for number in range(30):
        folder = tmp_path / "mine" / f"class{number}"
        folder.mkdir(parents=True)
        Image.new("L", (8, 8), 8 * number).save(folder / "1.png")
    done = call(tmp_path, "prepare", "folder", "--source", "mine", "--size", "8")
    assert done.code == 0
    assert "30 classes (and images): class0 (1), class1 (1), class2 (1), " in done.out
    assert "class19 (1) ... and 10 more\n" in done.out
    assert "all   30" in done.out
    with Image.open(tmp_path / "data/prepared/folder-8/contact_sheet.png") as sheet:
        assert sheet.height < 4000


def test_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path, "prepare", "udiat") == (
        "dataset 'udiat' is not on this machine: ask Moi Hoon Yap for Dataset B "
        "(helward.mmu.ac.uk/STAFF/M.Yap/dataset.php); put original/ and DatasetB.xlsx in "
        "data/raw/udiat, or say where it is with `--source DIR`"
    )


def test_list_of_datasets(tmp_path: Path) -> None:
    done = call(tmp_path, "list", "datasets")
    words = done.out.split()
    for name in (
        *("bus", "busi", "bus-bra", "breast", "udiat", "bus-uclm", "bus-uc", "busc"),
        *("covid-radiography", "covid-qu-ex", "covidx", "prashant268"),
        *("cifar10", "cifar100", "breastmnist", "pneumoniamnist", "folder", "phantom"),
        *("classes", "licence", "normal=keep|drop", "folds=5|10", "CC"),
    ):
        assert name in words


def test_a_missing_workbook(bus_folder: BusFolder) -> None:
    release = bus_folder()
    (release / WORKBOOK).unlink()
    assert prepare_bus(release) == (
        f"cannot read {release / WORKBOOK}: No such file or directory; check the path (an & in it "
        "needs quotes in a shell) and its permissions"
    )


def test_no_workbook_named(tmp_path: Path) -> None:
    assert refused(tmp_path, "prepare", "bus") == (
        "dataset 'bus' is not on this machine: manual download, link at "
        "github.com/yuhaomo/HoVerTrans; put GDPH/ and SYSUCC/ beside BIRADS&FOLD.xlsx, or img/ "
        "beside label.csv in data/raw/bus, or say where it is with `--source DIR`"
    )


def test_a_file_that_is_no_workbook(bus_folder: BusFolder) -> None:
    release = bus_folder()
    (release / WORKBOOK).write_text("ID,fold")
    assert prepare_bus(release) == (
        f"{release / WORKBOOK} is not an xlsx workbook; "
        "open it in a spreadsheet and save it as .xlsx"
    )


def test_a_workbook_without_the_sheet(bus_folder: BusFolder) -> None:
    release = bus_folder(sheet="Tabelle1")
    assert prepare_bus(release) == (
        f"no sheet 'prediction' in {release / WORKBOOK}, which has 'Tabelle1'; "
        "rename the sheet that lists the images to 'prediction'"
    )


def test_a_workbook_without_a_column(bus_folder: BusFolder) -> None:
    release = bus_folder(header=("ID", "BIRADS-reader1", "BIRADS-reader2", "part"))
    assert prepare_bus(release) == (
        f"no column 'fold' in sheet 'prediction' of {release / WORKBOOK}, which has "
        "'ID', 'BIRADS-reader1', 'BIRADS-reader2', 'part'; name the column so in its first row"
    )


def rows(*ids: str) -> list[tuple[object, ...]]:
    return [(id, "4a", 3, 1) for id in ids]


def test_an_id_without_a_file(bus_folder: BusFolder) -> None:
    ids = ("benign(0)", "malignant(1)")
    release = bus_folder(ids, rows=rows(*ids, "malignant(7)", "malignant(8)"))
    assert prepare_bus(release) == (
        f"unusable images in {release}: malignant(7) has no image file, "
        "malignant(8) has no image file; "
        "restore the files or leave these images out with `--skip-unreadable`"
    )


def test_a_file_without_an_id(bus_folder: BusFolder) -> None:
    release = bus_folder(("benign(0)", "benign(1)"), rows=rows("benign(0)"))
    assert prepare_bus(release) == (
        f"image files without a row in {release / WORKBOOK}: GDPH/benign(1).png; "
        "add the rows or move the files away"
    )


def test_an_id_that_leads_out_of_the_folder(bus_folder: BusFolder) -> None:
    ids = ("benign(0)", "benign(1)")
    release = bus_folder(ids, rows=rows(*ids, "../x"))
    assert prepare_bus(release) == (
        f"labels in {release / WORKBOOK} that are none of the classes benign, malignant: ../x has "
        "'' (row 4); correct them"
    )


def test_a_duplicated_id(bus_folder: BusFolder) -> None:
    ids = ("benign(0)", "benign(1)")
    release = bus_folder(ids, rows=rows(*ids, "benign(0)"))
    assert prepare_bus(release) == (
        f"ids twice in {release / WORKBOOK}: benign(0) (rows 2 and 4); delete one row of each"
    )


@pytest.fixture
def with_empty_files(bus_folder: BusFolder) -> Path:
    """A release with two files of zero bytes."""
    release = bus_folder()
    for file in ("SYSUCC/benign(0).png", "GDPH/malignant(0).png"):
        (release / file).write_bytes(b"")
    return release


def test_all_images_of_zero_bytes_are_named(with_empty_files: Path) -> None:
    arguments = ("prepare", "bus", "--source", str(with_empty_files), "--size", "16")
    done = call(with_empty_files.parent, *arguments)
    assert (done.code, done.out) == (2, "")
    assert after_the_room(done, 4) == (
        f"error: unusable images in {with_empty_files}: SYSUCC/benign(0).png is empty, "
        "GDPH/malignant(0).png is empty; "
        "restore the files or leave these images out with `--skip-unreadable`\n"
    )
    prepared = with_empty_files.parent / "data" / "prepared"
    assert [path.name for path in prepared.iterdir() if not path.name.startswith(".")] == []


def test_unreadable_images_are_skipped_and_named_on_request(with_empty_files: Path) -> None:
    done = call(
        with_empty_files.parent,
        *("prepare", "bus", "--source", str(with_empty_files), "--size", "16"),
        "--skip-unreadable",
    )
    assert done.code == 0
    assert "bus: 2 images, 16x16 colour" in done.out
    assert after_the_room(done, 4).splitlines() == [
        "left out, is empty: 2 (SYSUCC/benign(0).png, GDPH/malignant(0).png)",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["phantm"],
            "unknown dataset 'phantm': did you mean 'phantom' or 'phantom-study' or "
            "'prashant268'?; `sambench list datasets` shows all; --plugin FILE adds your own",
        ),
        (
            ["phantom", "--set", "image=40"],
            "dataset 'phantom' has no option 'image': did you mean 'images' or 'test_images' or "
            "'pages'?; its options: images, seed, duplicates, label_noise, pixels, test_images, "
            "fit, depth, pages",
        ),
        (
            ["phantom", "--set", "images=3"],
            "option images=3 of dataset 'phantom' is outside 20..1e+06",
        ),
        (
            ["phantom", "--set", "images=many"],
            "option images=many of dataset 'phantom' is not allowed; allowed: a number",
        ),
        (["phantom", "--set", "images"], "--set 'images' is not KEY=VALUE, as in rho=0.1"),
        (
            ["phantom", "--xlsx", "x.xlsx"],
            "dataset 'phantom' makes its own images; leave out the workbook and the folder",
        ),
        (
            ["bus", "--source", "nowhere"],
            "no folder nowhere; give the one that holds GDPH/ and SYSUCC/ beside BIRADS&FOLD.xlsx, "
            "or img/ beside label.csv with `--source DIR`",
        ),
    ],
)
def test_bad_requests_to_prepare(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert refused(tmp_path, "prepare", *arguments) == message


def test_a_data_folder_that_cannot_be_written(bus_folder: BusFolder) -> None:
    release = bus_folder()
    (release.parent / "data").touch()
    assert prepare_bus(release) == (
        "cannot write in data/prepared: Not a directory; "
        "a file is in the way of a folder: move it or choose another folder"
    )


# train and compare: what is refused before anything is written ------------------------------------


def test_an_unknown_dataset(tmp_path: Path) -> None:
    assert refused(tmp_path, "train", "--dataset", "phantm") == (
        "unknown dataset 'phantm': did you mean 'phantom' or 'phantom-study' or 'prashant268'?; "
        "`sambench list datasets` shows all; `sambench prepare folder --source DIR --name phantm` "
        "prepares images of your own"
    )


BREASTS = "sambench prepare folder --source DIR --name breast-ultrasound --size"


@pytest.mark.parametrize(
    ("suite", "dataset", "commands"),
    [
        ("breast-ultrasound", "breast-ultrasound", f"`{BREASTS} 128` and `{BREASTS} 64`"),
        (
            "paper-phantom",  # where simulated images were made, but others
            "phantom",
            "`sambench prepare phantom --size 256 --set images=2405 --set pixels=256`",
        ),
    ],
)
def test_a_suite_that_says_how_its_images_are_prepared(
    tmp_path: Path, suite: str, dataset: str, commands: str
) -> None:
    for more in ([], ["--plan"]):
        assert refused(tmp_path, "compare", suite, *more) == (
            f"dataset {dataset!r} is not prepared in data/prepared; run {commands}"
        )


def test_a_suite_that_extends_another_is_prepared_as_that(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: breast-ultrasound\nname: mine\nfolds: [1]\n")
    assert f"run `{BREASTS} 128`" in refused(tmp_path, "compare", "mine.yaml", "--plan")


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_dataset_that_is_not_prepared(tmp_path: Path, command: str) -> None:
    arguments = ("--dataset", "busi", "--size", "64", "--device", "cpu")
    assert refused(tmp_path, command, *arguments) == (
        "dataset 'busi' is not prepared at 64 pixels in data/prepared; "
        "run `sambench prepare busi --source DIR --size 64`"
    )


def test_a_size_that_is_not_prepared(small: Callable[..., str], phantom_data: Path) -> None:
    assert small("train", "--size", "64") == (
        f"dataset 'phantom' is not prepared at 64 pixels in {phantom_data} (only at 32: "
        "choose --size 32, or image_size: 32 in a suite); or run "
        f"`sambench prepare phantom --size 64 --data {phantom_data}`"
    )


@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_unknown_model(small: Callable[..., str], command: str) -> None:
    assert small(command, "--model", "smal-cnn") == (
        "unknown model 'smal-cnn': did you mean 'small-cnn'?; `sambench list models` shows all; "
        "--plugin FILE adds your own"
    )


def test_a_model_that_does_not_take_the_images(bus_folder: BusFolder) -> None:
    folder = bus_folder().parent
    call(folder, "prepare", "bus", "--source", "release", "--size", "24")
    assert refused(
        folder, "compare", "--model", "vit-small", "--size", "24", "--device", "cpu"
    ) == (
        "model 'vit-small' cannot take 24x24 images (needs at least 16 pixels and a multiple "
        "of 16); prepare the data at another --size or choose another model"
    )


@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_unknown_optimizer(small: Callable[..., str], command: str) -> None:
    message = small(command, "--opt", "gcsma")
    assert message.startswith("unknown optimizer 'gcsma': did you mean 'gcsam'")
    assert message.endswith("; `sambench list optimizers` shows all; --plugin FILE adds your own")


@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_unknown_hyperparameter(small: Callable[..., str], command: str) -> None:
    message = small(command, "--opt", "sam", "--set", "roh=0.1")
    assert message.startswith("unknown setting 'roh': did you mean 'rho'?; of the run: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--opt", "sam", "--set", "rho=-1"], "sam rho=-1 is not allowed; allowed: >= 0"),
        (["--lr", "-1"], "adam lr=-1.0 is not allowed; allowed: >= 0"),
        (["--set", "fold"], "--set 'fold' is not KEY=VALUE, as in rho=0.1"),
        (
            ["--stop", "patient"],
            "stop rule='patient' is not allowed: did you mean 'patience'?; "
            "allowed: epochs, train-accuracy, patience, gradient-evaluations, minutes",
        ),
        (["--stop", "minutes=inf"], "stop: 'inf' is not a finite number"),
        (
            ["--set", "split=kfold-5"],
            "split kfold-5 needs a fold and none was given; folds: 1, 2, 3, 4, 5, as `--set "
            "fold=1`",
        ),
        (
            ["--set", "split=centre:PUMCH"],
            "no image has centre 'PUMCH'; there are: GDPH, SYSUCC",
        ),
        (
            ["--pretrained"],
            "model 'small-cnn' has no published weights; leave out --pretrained, or "
            "`pretrained: true` in a suite",
        ),
    ],
)
def test_bad_settings_of_a_run(
    tmp_path: Path, phantom_data: Path, arguments: list[str], message: str
) -> None:
    done = call(tmp_path, "train", *SMALL, "--data", str(phantom_data), *arguments)
    assert done.code == 2
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {message}"]
    assert "Traceback" not in done.err
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_device_that_is_not_there(
    small: Callable[..., str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = small(command, "--device", "cuda:7")
    assert message.startswith("device cuda:7 is not there (")
    assert message.endswith("); use --device cpu")


def test_a_name_that_is_no_device(small: Callable[..., str]) -> None:
    assert small("train", "--device", "gpu") == ("'gpu' is no device name; use cpu, cuda or cuda:0")


def test_a_results_folder_that_cannot_be_written(tmp_path: Path, phantom_data: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    done = call(tmp_path, "train", *SMALL, "--data", str(phantom_data))
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1] == (
        "error: results folder results cannot be written (Not a directory); "
        "choose another, or a copy of it, with --results"
    )
    assert "Traceback" not in done.err
    assert everything(tmp_path) == {"results": b"in the way"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: x\nmatrx: {}",
            "x.yaml:2: unknown key 'matrx' in a suite: did you mean 'matrix'?; known: ",
        ),
        (
            "name: x\ndefaults: {dataset: phantom, model: small-cnn, optimizer: adam, epoch: 3}",
            "x.yaml:2: unknown key 'epoch' in a run: did you mean 'epochs'?; known: ",
        ),
        ("[", "suite x.yaml is no valid YAML: "),
    ],
)
def test_a_bad_suite(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert refused(tmp_path, "compare", "x.yaml").startswith(message)


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path, "compare", "x.yaml") == "suite x.yaml does not exist"


def test_a_report_of_nothing(tmp_path: Path) -> None:
    assert refused(tmp_path, "report") == (
        "no runs in results/runs; `sambench train` or `sambench compare` makes some"
    )


def test_curvature_of_a_run_that_does_not_exist(tmp_path: Path) -> None:
    assert refused(tmp_path, "hessian", "phantom-x") == (
        "no run 'phantom-x' in results/runs; `sambench list runs` shows all"
    )


def test_curvature_of_a_run_that_failed(tmp_path: Path, make_record: RecordMaker) -> None:
    record = make_record(status="failed")
    Store(tmp_path / "results").save(record)
    assert refused(tmp_path, "hessian", record.id) == (
        f"run {record.name} is failed and has no weights; complete it first"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "phantm"], "unknown dataset 'phantm'"),
        (["compare", "nowhere.yaml"], "suite nowhere.yaml does not exist"),
    ],
)
def test_the_exit_code_of_the_program(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sambench", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(sambench.__file__).parents[1])},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# the good path ------------------------------------------------------------------------------------


def test_a_plan_runs_nothing(tmp_path: Path, phantom_data: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    done = call(tmp_path, "compare", "tiny.yaml", "--plan", "--data", str(phantom_data))
    assert (done.code, done.err) == (0, BEYOND_REACH)
    assert done.out.count(" missing  run") == 6
    assert done.out.endswith("to do: 6 of 6 runs; nothing was run\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_comparison_runs_everything(study: tuple[Path, Sequence[str], Outcome]) -> None:
    folder, _, done = study
    assert done.code == 0
    assert "Traceback" not in done.err
    records = records_of(folder)
    assert [record["status"] for record in records] == ["completed"] * 6
    found = [(r["config"]["optimizer"]["name"], r["config"]["seed"]) for r in records]
    assert found == [(name, seed) for name in ("adam", "gcsam", "sam") for seed in (0, 1)]
    assert {record["suite"] for record in records} == {"tiny"}
    assert {record["config"]["image_size"] for record in records} == {32}


def test_the_cost_of_a_comparison_is_counted(study: tuple[Path, Sequence[str], Outcome]) -> None:
    records = records_of(study[0])
    costs = {r["config"]["optimizer"]["name"]: r["cost"] for r in records}
    assert {name: cost["steps"] for name, cost in costs.items()} == dict.fromkeys(costs, 2)
    passes = {name: cost["gradient_evaluations"] for name, cost in costs.items()}
    assert passes == {"adam": 2, "gcsam": 4, "sam": 4}


def test_a_comparison_measures_curvature(study: tuple[Path, Sequence[str], Outcome]) -> None:
    for record in records_of(study[0]):
        assert record["hessian"]["samples"] == 16
        assert record["hessian"]["matvecs"] <= 16
        assert record["hessian"]["top"]["value"] > record["hessian"]["top"]["lowest"]


def test_what_a_run_leaves(study: tuple[Path, Sequence[str], Outcome]) -> None:
    for run in (study[0] / "results" / "runs").iterdir():
        assert sorted(path.name for path in run.iterdir()) == [
            "history.jsonl",
            "model.safetensors",
            "predictions.npz",
            "run.json",
        ]


def test_a_comparison_ends_with_its_table(study: tuple[Path, Sequence[str], Outcome]) -> None:
    lines = study[2].out.splitlines()
    assert lines[0].strip() == "small-cnn on phantom"
    firsts = [line.split()[0] for line in lines if line.strip()]
    assert [name for name in firsts if name in ("Adam", "SAM", "GCSAM")] == ["Adam", "SAM", "GCSAM"]


def test_a_second_comparison_skips_everything(study: tuple[Path, Sequence[str], Outcome]) -> None:
    folder, command, first = study
    before = everything(folder)
    again = call(folder, *command)
    suite, data = command[1], command[command.index("--data") + 1]
    assert (again.code, again.err) == (
        0,
        f"{BEYOND_REACH}6 of 6 runs are done already\n"
        f"next: `sambench report {suite} --data {data}` writes the answer, all tables and the "
        "figures\n",
    )
    assert again.out == first.out
    assert everything(folder) == before


def test_a_plan_after_the_comparison(study: tuple[Path, Sequence[str], Outcome]) -> None:
    folder, command, _ = study
    done = call(folder, *command, "--plan")
    assert done.out.count(" completed  skip") == 6
    assert done.out.endswith("to do: 0 of 6 runs; nothing was run\n")


def test_a_report_of_the_comparison(study: tuple[Path, Sequence[str], Outcome]) -> None:
    folder, _, first = study
    done = call(folder, "report")
    assert (done.code, done.err) == (0, "")
    reports = folder / "results" / "reports" / "all"
    names = sorted(path.name for path in reports.iterdir())
    pages = ["comparisons.csv", "report.html", "report.md", "runs.csv", "tables.xlsx"]
    assert names == sorted([*pages, "figures", "files.json", "tables"])
    *said, opened = done.out.splitlines()[-len(names) :]
    assert opened == "open results/reports/all/report.html in a browser; it needs no network"
    assert sorted(said) == [f"wrote results/reports/all/{n}" for n in names if n != "files.json"]
    assert {*first.out.splitlines()} <= {*done.out.splitlines()}  # rows in another order
    results = (reports / "report.md").read_text().partition("## Differences")[0]
    assert results.count("\n| ") == 5
    with Image.open(reports / "tables" / "small-cnn-on-phantom.png") as image:
        image.load()


def test_a_report_of_some_runs_beside_a_damaged_one(
    study: tuple[Path, Sequence[str], Outcome], tmp_path: Path, make_record: RecordMaker
) -> None:
    store = Store(tmp_path / "results")
    records, _ = Store(study[0] / "results").records()
    for record in records:
        store.save(record)
    damaged = store.folder(make_record("sgd").config) / "run.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    done = call(tmp_path, "report", "*-sam-*", "--baseline", "sam")
    assert done.code == 0
    assert done.err == (
        f"{damaged.relative_to(tmp_path)} is not a run record; "
        "`sambench compare SUITE --retry damaged` does the run again\n"
    )
    text = (tmp_path / "results" / "reports" / "any-sam-any" / "report.md").read_text()
    assert "| SAM |" in text
    assert "| Adam |" not in text


def test_curvature_of_a_run_measured_already_is_shown(
    study: tuple[Path, Sequence[str], Outcome], phantom_data: Path
) -> None:
    folder = study[0]
    before = everything(folder / "results" / "runs")
    done = call(folder, "hessian", "*-gcsam-s0-*", "--data", str(phantom_data))
    assert (done.code, done.err) == (0, "")
    assert "top eigenvalue" in done.out
    assert "16 of 32 training images in 1 batch, " in done.out
    assert "batch-dominant-eigenvalue; " in done.out
    assert "stopped by the budget of products" in done.out  # not converged is never hidden
    assert everything(folder / "results" / "runs") == before


def test_curvature_of_a_suite_by_its_file_or_name(
    study: tuple[Path, Sequence[str], Outcome], phantom_data: Path
) -> None:
    folder = study[0]
    before = everything(folder / "results" / "runs")
    data = ("--data", str(phantom_data))
    by_file = call(folder, "hessian", "tiny.yaml", *data)
    by_name = call(folder, "hessian", "tiny", *data)
    assert (by_file.code, by_name.code) == (0, 0)
    assert sorted(by_file.out.split()) == sorted(by_name.out.split())
    assert by_file.out.count("median over batches  ") == len(records_of(folder))
    other = call(folder, "hessian", "tiny", *data, "--set", "batch_stat=top")
    assert "was measured with batch_stat=dominant; --again measures it anew" in other.err
    assert everything(folder / "results" / "runs") == before


def test_curvature_of_a_suite_that_has_not_run(tmp_path: Path, phantom_data: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SUITE)
    said = refused(tmp_path, "hessian", "tiny.yaml", "--data", str(phantom_data))
    assert "runs of tiny.yaml is completed in results; `sambench compare tiny.yaml --data" in said


def test_help_of_curvature_says_the_defaults(tmp_path: Path) -> None:
    said = " ".join(call(tmp_path, "hessian", "--help").out.split())
    settings = HessianSettings()
    for value in (settings.samples, settings.tol):
        assert f"[default: {value:g}]" in said
    assert {*re.findall(r"--[a-z-]+", said)} == {
        *("--samples", "--tol", "--minutes", "--per-layer", "--set", "--verbose", "--again"),
        *("--density", "--sharpness", "--landscape", "--landscape-with", "--device", "--devices"),
        *("--workers", "--threads", "--launcher", "--with", "--slurm"),  # as of `compare`
        "--where",
        *("--data", "--results", "--plugin", "--json", "--quiet", "--help"),  # as of all
    }


def test_a_bad_curvature_option_names_what_is_allowed(tmp_path: Path) -> None:
    assert refused(tmp_path, "hessian", "x", "--set", "batch_stat=vhv") == (
        "hessian batch_stat='vhv' is not allowed; allowed: dominant, top, topk, trace, none"
    )
    assert refused(tmp_path, "hessian", "x", "--tol", "0.1", "--set", "tol=0.2") == (
        "--tol and --set tol are both given; keep one"
    )


def test_train_and_compare_from_weights_of_one_s_own(tmp_path: Path, phantom_data: Path) -> None:
    torch.manual_seed(0)
    network = build_model("small-cnn", classes=5, image_size=32, pretrained=False)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "data").mkdir()
    shutil.copytree(phantom_data, tmp_path / "data" / "prepared")
    size, options = ("--size", "32"), ("--dataset", "phantom", "--model", "small-cnn")
    short = (*options, *size, "--epochs", "1", "--weights", "w.safetensors")
    trained = call(tmp_path, "train", *short)
    assert trained.code == 0
    assert "small-cnn starts from weights: " in trained.err
    compared = call(tmp_path, "compare", *short, "--opt", "adam,sam", "--plan")
    assert compared.code == 0
    assert "to do: 1 of 2 runs" in compared.out  # train did the other
    sha256 = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    suite = SUITE.replace("epochs: 1,", f"epochs: 1, weights: {'a' * 64},")
    (tmp_path / "tiny.yaml").write_text(suite)
    refused = call(tmp_path, "compare", "tiny.yaml")
    assert refused.code == 2
    assert refused.err.endswith("give their file once with --weights FILE\n")
    other = call(tmp_path, "compare", "tiny.yaml", "--weights", "w.safetensors")
    assert other.code == 2
    assert f"has sha256 {sha256}, which suite tiny does not name; it names aaaa" in other.err
    (tmp_path / "tiny.yaml").write_text(suite.replace("a" * 64, sha256))
    planned = call(tmp_path, "compare", "tiny.yaml", "--weights", "w.safetensors", "--plan")
    assert planned.code == 0
    assert "of sha256" not in planned.err  # as it says where they are not kept


def test_train_and_measure(tmp_path: Path, phantom_data: Path) -> None:
    data = ("--data", str(phantom_data))
    trained = call(
        tmp_path,
        *("train", *SMALL, *data, "--opt", "sam", "--lr", "0.01"),
        *("--set", "rho=1e-1", "--set", "base=sgd", "--set", "momentum=0.9"),
    )
    assert trained.code == 0
    (record,) = records_of(tmp_path)
    assert record["config"]["optimizer"] == {
        "name": "sam",
        "base": "sgd",
        "rho": 0.1,
        "lr": 0.01,
        "momentum": 0.9,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
    }
    assert record["hessian"] is None
    options = ("--samples", "16", "--set", "max_matvecs=8", "--device", "cpu")
    measured = call(tmp_path, "hessian", record["id"], *options, *data)
    assert measured.code == 0
    assert "median over batches" in measured.out
    (after,) = records_of(tmp_path)
    assert after["hessian"]["samples"] == 16
    assert {**after, "hessian": None, "sha256": record["sha256"]} == record
    again = call(tmp_path, "hessian", record["id"], *options, *data, "--again")
    (once_more,) = records_of(tmp_path)
    assert again.code == 0
    assert once_more["hessian"]["top"] == after["hessian"]["top"]


@pytest.mark.usefixtures("rough_studies")
def test_study_a_minimum(tmp_path: Path, phantom_data: Path) -> None:
    data = ("--data", str(phantom_data))
    for optimizer in ("adam", "sam"):
        assert call(tmp_path, "train", *SMALL, *data, "--opt", optimizer).code == 0
    options = ("--samples", "8", "--set", "max_matvecs=8", "--device", "cpu")
    studies = (
        "--set",
        "landscape.points=3",
        "--sharpness",
        "--landscape",
        "--landscape-with",
        "*-sam-*",
    )
    done = call(tmp_path, "hessian", "*-adam-*", *options, *data, *studies)
    assert done.code == 0
    assert "worst-case-l2, rho 0.05, a lower bound" in " ".join(done.out.split())
    adam, sam = records_of(tmp_path)
    assert list(adam["hessian"]["landscape"]["interpolations"]) == [sam["id"]]
    assert sam["hessian"] is None
    folder = tmp_path / "results" / "runs" / adam["name"]
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert pictures == [
        f"interpolation-{sam['id']}.png",
        "landscape-eigenvectors.png",
        "landscape-line.png",
        "landscape-plane.png",
        "landscape-surface.png",
    ]
    assert all(f"wrote results/runs/{adam['name']}/{picture}" in done.out for picture in pictures)
    assert refused(tmp_path, "hessian", "*-adam-*", *data, "--landscape-with", "*-small-*") == (
        f"'*-small-*' fits 2 runs ({adam['name']}, {sam['name']}); name one"
    )


def test_sets_of_ones_own_have_names_of_their_own(tmp_path: Path) -> None:
    for kind, shade in (("cats", 40), ("dogs", 200)):
        folder = tmp_path / "pets" / kind
        folder.mkdir(parents=True)
        for index in range(10):
            Image.new("L", (20, 20), shade + index).save(folder / f"{index}.png")
    made = call(tmp_path, "prepare", "folder", "--source", "pets", "--name", "pets", "--size", "16")
    assert made.code == 0, made.err
    assert "prepared in data/prepared/pets-16" in made.out
    small = ("--model", "small-cnn", "--epochs", "1", "--device", "cpu")
    done = call(tmp_path, "train", "--dataset", "pets", "--size", "16", *small)
    assert done.code == 0, done.err
    (record,) = records_of(tmp_path)
    assert record["name"].startswith("pets-small-cnn-adam")
    prepare = ("prepare", "folder", "--source", "pets")
    for command in (prepare, ("train", *small), ("compare", *small)):
        message = refused(tmp_path, *command, "--name", "../pets")
        assert message.startswith("--name '../pets' is not allowed; allowed: ")
    message = refused(tmp_path, *prepare, "--name", "phantom")
    assert message == "--name phantom is another dataset's; choose a name of your own"
