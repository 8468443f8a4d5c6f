"""What the wheel holds, and that the package works from it alone."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

import sambench
from sambench.analysis.published import printed_rows
from sambench.optim.method import optimizers

ROOT = Path(__file__).parents[1]
SKIPPED = ("__pycache__",)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built by the backend that is installed, without the network."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = python(["-c", code, str(folder)], ROOT)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(folder / done.stdout.split()[-1])


def python(
    arguments: Sequence[str], folder: Path, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; what the tests themselves import from is not on its path."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        check=False,
    )


def test_the_wheel_holds_the_package_its_suites_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "sambench").rglob("*")
        if path.is_file() and not set(path.parts) & {*SKIPPED}
    }
    suites = {f"sambench/suites/{path.name}" for path in (ROOT / "suites").glob("*.yaml")}
    described = {name for name in wheel.namelist() if ".dist-info/" in name}
    assert set(wheel.namelist()) - described == package | suites
    assert {
        "sambench/py.typed",
        "sambench/analysis/published.yaml",
        "sambench/analysis/claims.yaml",
        "sambench/report/templates/page.html",
        "sambench/data/audit/page.md",
        "sambench/data/sources/published.yaml",
    } <= package
    assert {name.partition(".dist-info/")[2] for name in described} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    said = email.message_from_bytes(wheel.read(name))
    assert (said["Version"], said["License-Expression"]) == (sambench.__version__, "MIT")
    least, beyond = re.findall(r"3\.(\d+)", said["Requires-Python"])[::-1]
    named = {text for text in said.get_all("Classifier") if re.search(r":: 3\.\d+$", text)}
    assert named == {
        f"Programming Language :: Python :: 3.{minor}" for minor in range(int(least), int(beyond))
    }
    assert set(said.get_all("Provides-Extra")) >= {"dicom", "ray", "test", "test-loops", "dev"}
    entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "sambench = sambench.cli:main" in wheel.read(entry).decode()


def test_the_package_works_from_the_wheel_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    wheel.extractall(installed)
    empty.mkdir()
    where = python(["-c", "import sambench; print(sambench.__file__)"], empty, str(installed))
    assert Path(where.stdout.strip()).is_relative_to(installed)
    done = python(["-m", "sambench", "compare", "demo", "--plan"], empty, str(installed))
    assert done.returncode == 0, done.stderr
    assert "to do: 9 of 9 runs; nothing was run" in done.stdout
    numbers = "from sambench.analysis.published import printed_rows as f; print(len(f()))"
    found = python(["-c", numbers], empty, str(installed)).stdout
    assert int(found) == len(printed_rows()) > 0
    assert list(empty.iterdir()) == []


def test_the_citation_names_this_version_and_every_method() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == sambench.__version__
    works = [
        {
            "authors": [a.get("family-names", a.get("name")) for a in work["authors"]],
            "year": work["year"],
            "ids": {i["value"] for i in work.get("identifiers", ())} | {work.get("doi")},
        }
        for work in citation["references"]
    ]
    for info in optimizers.list():
        author, year = (
            re.split(r"[ &,]", info.reference)[0],
            re.search(r"\b\d{4}\b", info.reference),
        )
        assert year is not None
        fitting = [w for w in works if w["authors"][0] == author and w["year"] == int(year[0])]
        assert fitting, f"CITATION.cff lacks {info.reference}"
        if number := re.search(r"arXiv (\S+)", info.reference):
            assert any(f"arXiv:{number[1]}" in w["ids"] for w in fitting), info.reference


def test_the_changelog_begins_with_what_is_not_released_or_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[([^\]]+)\]", text, re.MULTILINE)
    assert first is not None
    assert first[1] in ("Unreleased", sambench.__version__)
