"""`sambench report` of a suite, from stored records alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sambench.cli import main
from sambench.record import RunRecord
from sambench.store import Store

if TYPE_CHECKING:
    from conftest import RecordMaker

SUITE = """
name: tiny
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 5}
matrix: {optimizer: [adam, sam]}
seeds: 2
report: {baseline: sam}
"""


@pytest.fixture
def results(tmp_path: Path, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "tiny.yaml").write_text(SUITE)
    for name in ("adam", "sam"):
        for seed in range(2):
            record = replace(make_record(name, seed=seed), suite="tiny")
            Store(tmp_path / "results").save(record)
    Store(tmp_path / "results").save(replace(make_record("gcsam"), suite="another"))
    return tmp_path / "results"


def report(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", ["sambench", "report", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.mark.parametrize("suite", ["tiny", "tiny.yaml"])
def test_a_suite_has_a_folder_of_its_own(
    results: Path,
    suite: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(suite, monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "tiny" / "report.md").read_text()
    assert text.startswith("# sambench report tiny\n")
    assert "gcsam" not in text
    first = next(line for line in text.splitlines() if line.startswith(("| adam", "| sam")))
    assert first.startswith("| sam" if suite.endswith("yaml") else "| adam")
    assert (results / "reports" / "tiny" / "tables" / "small-cnn-on-phantom.tex").exists()
    assert "wrote results/reports/tiny/report.html" in capsys.readouterr().out


def test_the_claims_on_request(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report("--published", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "report.md").read_text()
    assert "## Claims of hassan2024sharpness" in text
    assert "| SAM is more accurate than Adam on all four models. | undecided |" in text


def test_a_suite_that_never_ran(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (results.parent / "other.yaml").write_text(SUITE.replace("epochs: 5", "epochs: 6"))
    assert report("other.yaml", monkeypatch=monkeypatch) == 2
    assert "no run of other.yaml is in results/runs" in capsys.readouterr().err


@pytest.mark.parametrize("patterns", [[], ["tiny"], ["tiny.yaml"], ["*-sam-*"]])
def test_every_record_is_read_once(
    results: Path, patterns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    parse = RunRecord.parse

    def counted(text: str, where: str) -> RunRecord:
        read.append(where)
        return parse(text, where)

    monkeypatch.setattr(RunRecord, "parse", counted)
    assert report(*patterns, monkeypatch=monkeypatch) == 0
    assert sorted(read) == sorted(f"results/runs/{path.name}/run.json" for path in runs(results))


@pytest.mark.parametrize("patterns", [[], ["tiny.yaml"]])
def test_good_records_are_not_lost_for_bad_ones(
    results: Path,
    patterns: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truncated, newer = [run / "run.json" for run in runs(results) if "-s1-" in run.name]
    truncated.write_text(truncated.read_text()[:400])
    newer.write_text(newer.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    assert report(*patterns, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr()
    assert "75.0 (1)" in shown.out
    assert shown.err.splitlines() == [
        f"results/runs/{truncated.parent.name}/run.json is not a run record; move it away and run "
        "it again",
        f"results/runs/{newer.parent.name}/run.json has schema version 2, not 1; upgrade sambench",
    ]


def test_very_many_bad_records_are_counted(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(50):
        (results / "runs" / f"bad-{number:02d}").mkdir()
        (results / "runs" / f"bad-{number:02d}" / "run.json").write_text("{")
    assert report(monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("results/runs/bad-00/run.json is not a run record")
    assert lines[-1] == "... and 30 more records that cannot be read"


def runs(results: Path) -> list[Path]:
    return sorted((results / "runs").iterdir())
