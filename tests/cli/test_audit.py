"""`sambench prepare --audit` as its user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sambench.cli import app


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


@pytest.fixture
def release(bus_folder) -> Path:
    """Six images of which benign(0) has a copy that says malignant(0), and a plain copy."""
    ids = ("benign(0)", "benign(1)", "benign(2)", "malignant(0)", "malignant(1)", "malignant(2)")
    root = bus_folder(ids, folders={"img": ids}, side=64)
    shutil.copy(root / "img" / "benign(0).png", root / "img" / "malignant(0).png")
    Image.open(root / "img" / "benign(1).png").save(
        root / "img" / "benign(2).png", compress_level=1
    )
    return root


def test_an_audit_while_preparing(release: Path, tmp_path: Path) -> None:
    done = command("bus", "--source", release, "--size", 64, "--audit", "--data", tmp_path / "d")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "Identical files: 2 images in 1 group (benign(0) = malignant(0))." in lines
    assert any(line.split()[:2] == ["benign(0)", "benign"] for line in lines)
    assert lines[-1].startswith("wrote ")
    folder = tmp_path / "d" / "bus-64"
    assert {"audit.md", "audit.json", "conflicts.png"} <= {p.name for p in folder.iterdir()}


def test_an_audit_of_what_is_prepared_needs_no_source(release: Path, tmp_path: Path) -> None:
    command("bus", "--source", release, "--size", 64, "--data", tmp_path / "d")
    shutil.rmtree(release)
    done = command("bus", "--size", 64, "--audit", "--data", tmp_path / "d")
    assert done.exit_code == 0, done.output
    assert "1 pair of copies with different labels, in 1 family;" in done.output
    assert json.loads((tmp_path / "d" / "bus-64" / "audit.json").read_text())["families"] == [
        ["benign(0)", "malignant(0)"],
        ["benign(1)", "benign(2)"],
    ]


def test_dropping_is_recorded(release: Path, tmp_path: Path) -> None:
    drops = ("--drop-conflicts", "--drop-duplicates")
    where = ("--source", release, "--size", 64, "--data", tmp_path / "d")
    done = command("bus", *where, *drops)
    assert done.exit_code == 0, done.output
    assert "bus: 3 images" in done.output
    manifest = json.loads((tmp_path / "d" / "bus-64" / "manifest.json").read_text())
    assert manifest["drops"] == {"conflicts": True, "duplicates": True}
    assert [image["reason"] for image in manifest["dropped"]] == [
        "copies with conflicting labels: benign(0) (benign), malignant(0) (malignant)",
        "a copy of benign(1)",
        "copies with conflicting labels: benign(0) (benign), malignant(0) (malignant)",
    ]
    assert "nothing to do" in command("bus", *where, *drops).output
    assert "bus: 6 images" in command("bus", *where).output


def test_a_class_that_dropping_would_empty(bus_folder, tmp_path: Path) -> None:
    ids = ("benign(0)", "benign(1)", "malignant(0)")
    root = bus_folder(ids, folders={"img": ids})
    shutil.copy(root / "img" / "benign(0).png", root / "img" / "malignant(0).png")
    done = command("bus", "--source", root, "--size", 16, "--drop-conflicts", "--data", tmp_path)
    assert isinstance(done.exception, Exception)
    assert str(done.exception) == (
        f"no image of class 'malignant' in {root} is left without its copies; "
        "leave out `--drop-conflicts` and look at `--audit`"
    )
