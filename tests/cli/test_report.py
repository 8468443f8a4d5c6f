"""`sambench report` of a suite, from stored records alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openpyxl
import pytest
from msgspec.structs import replace

from sambench.analysis.predictions import Predictions
from sambench.analysis.study import build_study
from sambench.cli import main, reporting
from sambench.cli.gathering import over_images
from sambench.config.suite import ReportSettings
from sambench.errors import DO_AGAIN
from sambench.files.checksums import sealed
from sambench.store.record import RunRecord
from sambench.store.tree import Store

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

pytestmark = pytest.mark.usefixtures("unpainted")
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
    first = next(line for line in text.splitlines() if line.startswith(("| Adam", "| SAM")))
    assert first.startswith("| SAM" if suite.endswith("yaml") else "| Adam")
    assert (results / "reports" / "tiny" / "tables" / "small-cnn-on-phantom.tex").exists()
    assert "wrote results/reports/tiny/report.html" in capsys.readouterr().out


def test_the_claims_on_request(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report("--published", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "all" / "report.md").read_text()
    assert "## Claims of hassan2024sharpness" in text
    assert "| SAM is more accurate than Adam on all four models. | not tested here |" in text


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

    def counted(text: str, where: str, *expected: Any, **told: Any) -> RunRecord:
        read.append(where)
        return parse(text, where, *expected, **told)

    monkeypatch.setattr(RunRecord, "parse", counted)
    assert report(*patterns, monkeypatch=monkeypatch) == 0
    assert sorted(read) == sorted(set(read))
    if patterns != ["tiny.yaml"]:  # of a suite file only its own runs are read
        assert set(read) == {f"results/runs/{path.name}/run.json" for path in runs(results)}


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
        f"results/runs/{truncated.parent.name}/run.json is not a run record; {DO_AGAIN}",
        f"results/runs/{newer.parent.name}/run.json has schema version 2, not 1; upgrade sambench",
    ]


@pytest.mark.parametrize("patterns", [[], ["tiny.yaml"]])
def test_a_record_that_git_lfs_has_not_fetched_does_not_stop_the_others(
    results: Path,
    patterns: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pointer, bytes_ = [run / "run.json" for run in runs(results) if "-s1-" in run.name]
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    bytes_.write_bytes(b"\xff\xfe")
    assert report(*patterns, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr()
    assert "75.0 (1)" in shown.out
    assert report(*patterns, "--explain", "adam/accuracy", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().err == shown.err
    assert sorted(shown.err.splitlines()) == sorted(
        [
            f"results/runs/{pointer.parent.name}/run.json is a git-lfs pointer in place of the "
            "file; run `git lfs pull`",
            f"results/runs/{bytes_.parent.name}/run.json is not a run record; {DO_AGAIN}",
        ]
    )


def test_very_many_bad_records_are_counted(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(50):
        (results / "runs" / f"bad-{number:02d}").mkdir()
        (results / "runs" / f"bad-{number:02d}" / "run.json").write_text("{")
    assert report(monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[0] == "results/runs/bad-00/run.json is not a run record; move its folder away"
    assert lines[-1] == "... and 30 more records that cannot be read"


def runs(results: Path) -> list[Path]:
    return sorted((results / "runs").iterdir())


def test_it_begins_with_the_answer_and_ends_with_what_went_wrong(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report("tiny", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "tiny" / "report.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# sambench report tiny",
        "## Results",
        "### small-cnn on phantom",
        "## Differences in accuracy",
        "### small-cnn on phantom: Test accuracy, difference to Adam",
        "## Differences in cost and flatness",
        "### small-cnn on phantom: Training time, ratio to Adam",
        "## Further measurements",
        "### small-cnn on phantom: test metrics",
        "## Figures",
        "## How to read this",
        "## Figures left out",
        "## Methods",
        "## What went wrong",
    ]
    answer = text.splitlines()[2]
    assert answer.startswith("For small-cnn on phantom, 2 seeds cannot show any difference to Adam")
    assert "at least 6 are needed (`--seeds 6`" in text[text.index("## What went wrong") :]


def test_where_a_number_comes_from(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("tiny", "--explain", "sam/test accuracy", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    paths = [word for word in out.split() if word.endswith("run.json")]
    assert len(paths) == 2
    assert all(Path(path).exists() for path in paths)
    assert "mean = (75 + 75) / 2 = 75" in out
    assert not (results / "reports").exists()


def test_a_cell_that_is_not_there(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("tiny", "--explain", "samm/test accuracy", monkeypatch=monkeypatch) == 2
    assert "did you mean 'sam/test accuracy'" in capsys.readouterr().err


def test_quiet_says_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("tiny", "--quiet", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr() == ("", "")
    assert (results / "reports" / "tiny" / "report.html").exists()


def test_json_for_programs(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("tiny", "--json", monkeypatch=monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    (table,) = found["results"][0]["tables"]
    row = next(row for row in table["rows"] if row["label"] == "SAM")
    assert (row["cells"][0]["mean"], row["cells"][0]["n"]) == (75.0, 2)
    assert found["written"][0] == "results/reports/tiny/report.md"


def record_file(results: Path, optimizer: str, seed: int) -> Path:
    (found,) = results.glob(f"runs/phantom-small-cnn-{optimizer}-s{seed}-*/run.json")
    return found


def truncated(text: str) -> str:
    return text[: len(text) // 2]


def newer(text: str) -> str:
    return text.replace('"schema_version": 1', '"schema_version": 99')


def by_hand(text: str) -> str:
    return text.replace('"accuracy": 0.75', '"accuracy": "very good"')


def another_seed(text: str) -> str:
    return text.replace('"seed": 1', '"seed": 7')


@pytest.mark.parametrize("asked", ["tiny", "tiny.yaml", "*-sam-*"])
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (truncated, "is not a run record"),
        (newer, "has schema version 99, not 1; upgrade sambench"),
        (by_hand, "final.test.accuracy='very good' is not allowed; allowed: a number in [0, 1]"),
        (another_seed, "it was altered"),
    ],
)
def test_one_bad_record_costs_no_good_one(
    results: Path,
    asked: str,
    harm: Callable[[str], str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = record_file(results, "sam", 1)
    path.write_text(harm(path.read_text()))
    assert report(asked, monkeypatch=monkeypatch) == 0
    out, err = capsys.readouterr()
    assert said in err
    assert re.search(r"SAM +75\.0 \(1\)", out)
    folder = results / "reports" / ("any-sam-any" if "*" in asked else "tiny")
    text = (folder / "report.md").read_text()
    assert said in text[text.index("## What went wrong") :]


def test_nothing_but_bad_records(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in results.glob("runs/*/run.json"):
        path.write_text("{}")
    assert report("tiny.yaml", monkeypatch=monkeypatch) == 2
    assert "is not a run record" in capsys.readouterr().err
    assert report(monkeypatch=monkeypatch) == 2
    assert "no runs in results/runs" in capsys.readouterr().err


def test_runs_of_other_images_are_in_a_table_of_their_own(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(results)
    record = store.read(record_file(results, "sam", 1))
    store.save(replace(record, data={**(record.data or {}), "fingerprint": "g"}))
    assert report("tiny", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "tiny" / "report.md").read_text()
    assert "### small-cnn on phantom (images 1 of 2)" in text
    assert "### small-cnn on phantom (images 2 of 2)" in text
    assert "Other images, another split or other code than most runs" in text


def test_stale_runs_of_a_suite_are_named_where_its_data_are_at_hand(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are of the same images, so nothing else tells that these are not those here now."""
    monkeypatch.setattr(reporting, "prepared_fingerprint", lambda data, name, side: "g")
    assert report("tiny.yaml", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "tiny" / "report.md").read_text()
    name = record_file(results, "sam", 1).parent.name
    said = next(line for line in text.splitlines() if "Stale, and counted" in line)
    assert "`sambench compare tiny.yaml --retry stale` does them again." in said
    assert f"{name} (the data were prepared anew and differ)" in said
    for there in ("f", None):
        monkeypatch.setattr(reporting, "prepared_fingerprint", lambda *of, now=there: now)
        assert report("tiny.yaml", monkeypatch=monkeypatch) == 0
        assert "Stale" not in (results / "reports" / "tiny" / "report.md").read_text()


def test_missing_runs_of_a_suite_are_named(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record_file(results, "sam", 1)
    path.unlink()
    assert report("tiny.yaml", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "tiny" / "report.md").read_text()
    assert (
        "Missing runs of the suite: 1 run. `sambench compare tiny.yaml` makes them. Runs: "
        f"{path.parent.name}."
    ) in text


def test_the_search_of_a_suite_is_in_its_report(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        **{"schema_version": 1, "suite": "tiny", "tunings": []},
        "search": {"trials": 2, "seeds": [1000], "validation": 0.1, "grids": {}},
    }
    path = results / "searches" / "tiny.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    assert report("tiny", monkeypatch=monkeypatch) == 0
    assert "### Search of tiny" in (results / "reports" / "tiny" / "report.md").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 2}'])
def test_a_damaged_search_is_a_trouble_and_no_end(
    results: Path,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = results / "searches" / "tiny.json"
    path.parent.mkdir()
    path.write_text(text)
    assert report("tiny", monkeypatch=monkeypatch) == 0
    assert "`sambench compare SUITE` makes it anew" in capsys.readouterr().err


def test_a_suite_that_can_never_show_anything_says_so_before_it_runs(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sambench", "compare", "tiny.yaml", "--plan"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().err == (
        "small-cnn on phantom: 2 seeds cannot show any difference between optimizers; at least 6 "
        "are needed (`--seeds 6`, or `seeds: 6` in the suite).\n"
    )


def test_too_many_runs_for_figures(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.cli.reporting.MOST_RUNS_DRAWN", 3)
    assert report("tiny", monkeypatch=monkeypatch) == 0
    text = (results / "reports" / "tiny" / "report.md").read_text()
    assert (
        "- 4 runs in 1 setting are too many for figures; name a suite or runs to have them." in text
    )
    assert not (results / "reports" / "tiny" / "figures").exists()


def test_two_reports_never_share_a_folder(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, name in (
        ((), "all"),
        (("*-sam-*",), "any-sam-any"),
        (("tiny",), "tiny"),
        (("tiny", "--name", "for the paper"), "for_the_paper"),
    ):
        assert report(*arguments, monkeypatch=monkeypatch) == 0
        assert f"wrote results/reports/{name}/report.md" in capsys.readouterr().out
    assert {path.name for path in (results / "reports").iterdir()} == {
        *("all", "any-sam-any", "tiny", "for_the_paper")
    }


def test_names_and_baseline_of_ones_own(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (results.parent / "names.yaml").write_text("optimizers: {sam: My SAM}\n")
    assert report("tiny", "--names", "names.yaml", monkeypatch=monkeypatch) == 0
    assert "My SAM" in capsys.readouterr().out
    assert report("tiny", "--baseline", "adam (lr=0.5)", monkeypatch=monkeypatch) == 2
    assert "no run is of the baseline 'adam (lr=0.5)'" in capsys.readouterr().err
    assert report("tiny", "--baseline", "adm", monkeypatch=monkeypatch) == 2
    assert "did you mean 'adam'" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_reported_elsewhere(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "reports").write_text("in the way")
    assert report("tiny", monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: cannot write in results/reports/tiny: Not a directory; a file is in the way of a "
        "folder: move it or choose another folder with `--out DIR`\n"
    )
    assert report("tiny", "--out", "elsewhere", monkeypatch=monkeypatch) == 0
    assert "wrote elsewhere/tiny/report.html" in capsys.readouterr().out
    assert (results.parent / "elsewhere" / "tiny" / "report.html").exists()


def test_settings_that_differ_in_many_ways_have_files_of_names_that_fit(
    results: Path, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {"schedule": "cosine", "warmup": 2, "label_smoothing": 0.1, "class_weights": "balanced"}
    many |= {"sampler": "balanced", "average": "ema", "augmentation": "flip-shift", "fold": 1}
    many |= {"normalization": "standard", "precision": "bf16", "label_noise": 0.1}
    many |= {"shifts": "ultrasound", "batch_size": 64, "split": "grouped-5"}
    many |= {"selection": "best-validation", "stop": {"rule": "minutes", "value": 10.0}}
    for name in ("adam", "sam"):
        Store(results).save(make_record(name, **many))
    assert report(monkeypatch=monkeypatch) == 0
    names = [path.name for path in (results / "reports" / "all").rglob("*")]
    assert 170 < max(map(len, names)) < 220


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("etude-é", "etude-é"),
        ("etude-è", "etude-è"),
        ("../x y*", "x_yany"),
        ("..", "report"),
        ("a" + 79 * "研", "a" + 66 * "研"),
    ],
)
def test_names_in_any_script_are_folders_of_their_own(
    results: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    assert report("--name", name, monkeypatch=monkeypatch) == 0
    assert [path.name for path in (results / "reports").iterdir()] == [folder]


def test_what_strangers_write_into_a_record_is_shown_and_not_obeyed(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every form: a workbook cannot even hold some of it."""
    evil = "\x1b[31mA\x1b]8;;http://x\x07\x9b2J\u202eB\x00\x08\r\u2028"
    for path in (results / "runs").glob("*/run.json"):
        content = json.loads(path.read_text())
        content["environment"]["cpu"] = evil
        content["data"]["classes"] = [f"{evil}1", f"{evil}2"]
        content["error"] = f"{evil}\nlast\t{{line}} \\x1b"
        del content["sha256"]
        path.write_text(sealed(json.dumps(content, indent=2, ensure_ascii=False) + "\n"))
    assert report(monkeypatch=monkeypatch) == 0
    folder = results / "reports" / "all"
    texts = [
        path.read_text() for kind in ("md", "html", "csv") for path in folder.glob(f"*.{kind}")
    ]
    for text in (*texts, *capsys.readouterr()):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)
    assert (
        r"\x1b[31mA\x1b]8;;http://x\x07\x9b2J\u202eB\x00\x08\r" in (folder / "runs.csv").read_text()
    )
    assert "\nlast\t{line} \\x1b" in (folder / "runs.csv").read_text()
    openpyxl.load_workbook(folder / "tables.xlsx")


def test_an_interval_over_other_images_is_of_the_seeds_of_its_difference(
    make_record: RecordMaker,
) -> None:
    """Of two of three seeds it would be of another difference than the one it stands beside."""
    records = [make_record(name, seed=seed) for name in ("adam", "sam") for seed in range(3)]
    study = build_study(records, ReportSettings(baseline="adam"))
    draw, labels = np.random.default_rng(0), np.arange(40) % 2
    told = {}
    for record in records:
        ids, right = np.arange(40).astype(str), draw.random(40)
        probabilities = np.where(labels[:, None] == [0, 1], right[:, None], 1 - right[:, None])
        told[record.id] = Predictions(ids=ids, probabilities=probabilities, labels=labels)
    (one,) = over_images(study, told).groups[0].by("accuracy")
    assert one.images is not None
    del told[records[-1].id]
    (one,) = over_images(study, told).groups[0].by("accuracy")
    assert (one.n, one.images) == (3, None)
