"""Whatever is in a file that sambench reads, it is read right or refused in one line."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sambench.config.measurement import Measurement
from sambench.config.search import Search, plan_search
from sambench.config.suite_file import load_suite
from sambench.data.prepared import open_prepared
from sambench.errors import UserError
from sambench.files.owner import Owner
from sambench.store.record import RunRecord
from sambench.store.search_record import found_now, read_search, write_search
from sambench.store.study_plan import StudyPlan, read_plan, write_plan
from tests.conftest import measured

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

Reader = Callable[[str], object]

SUITE = {
    "name": "demo",
    "defaults": {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 2},
    "matrix": {"optimizer": ["adam", {"name": "sam", "rho": [0.1, 0.2]}], "stop": ["patience=3"]},
    "include": [{"optimizer": {"name": "gsam", "betas": [0.8, 0.9]}, "split": "kfold-3"}],
    "exclude": [{"optimizer": "adam", "batch_size": 32}],
    "seeds": [0, 3],
    "folds": "all",
    "search": {"trials": 2, "seeds": 1, "grids": {"sam": {"rho": [0.05, 0.1]}}},
    "hessian": {"samples": 64, "tol": 0.1, "density": {"probes": 2}, "landscape": True},
    "tables": [{"paper": "a", "table": 1, "where": {"optimizer": "sam"}}],
    "report": {"baseline": "adam"},
    "launcher": {"name": "slurm", "account": "x", "mem": 8, "setup": ["a", "b"]},
}
DEEP = "[" * 3000 + "]" * 3000
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -1, 0, 2**63, 1_000_000_000]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["../../../esc", "/abs", "a\nb", "a\0b", "x" * 5000, "2020-13-45", "sam", ""]),
)
VALUES = st.one_of(
    LEAVES,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    ),
)
SCRAPS = st.sampled_from(
    [
        *("2020-13-45", "!!int abc", "!!float x", "!!bool 3", "!!timestamp x", "!!int ''", "0b__"),
        *("9" * 5000, DEEP, "{a: " * 400, "- " * 400, "x" * 5000, "&a [*a]", "*a", "<<: *a"),
        *(
            "!!python/object:os.system x",
            "!!binary ?",
            "? [a]\n: b",
            "\0",
            "\t",
            "{",
            "]",
            "%",
            "@",
        ),
        *("NaN", "1e999", "-", ": ", "|\n", "'", '"', "\ud7ff", "1:2:3", "0x", "<<: {a: 1}\n"),
        "&a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c]\ne: &e "
        "[*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f]\nh: [*g,*g,*g,*g]\n",
    ]
)
MANY = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of a structure."""
    items = list(value.items()) if isinstance(value, dict) else []
    for key, inside in [*enumerate(value)] if isinstance(value, list) else items:
        yield (*path, key)
        yield from places(inside, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, whole: Any, write: Callable[[Any], str]) -> str:
    """Return the text of a structure with one or two values, keys or scraps of text changed."""
    structure = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, 2))):
        found = list(places(structure))
        if not found:
            break
        *parents, key = draw(st.sampled_from(found))
        inside = structure
        for parent in parents:
            inside = inside[parent]
        match draw(st.sampled_from(["put", "drop", "rename"])):
            case "put":
                inside[key] = draw(VALUES)
            case "drop":
                del inside[key]
            case "rename" if isinstance(inside, dict):
                inside[draw(st.text(max_size=5)) + str(key)[1:]] = inside.pop(key)
    text = write(structure)
    if draw(st.booleans()):
        at, length = draw(st.integers(0, len(text))), draw(st.sampled_from([0, 0, 1, 5, 10**6]))
        text = text[:at] + draw(SCRAPS) + text[at + length :]
    return text


def in_one_line(read: Reader, text: str) -> None:
    """Read a text; a fault is one of the user's, in one line that can be taken in."""
    try:
        read(text)
    except UserError as error:
        said = str(error)
        assert said.isprintable(), said
        assert 0 < len(said) < 2000, said


def in_yaml(structure: Any) -> str:
    return yaml.safe_dump(structure, sort_keys=False)


def in_json(structure: Any) -> str:
    return json.dumps(structure)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutations")


@MANY
@given(text=mutated(SUITE, in_yaml))
def test_suites(folder: Path, text: str) -> None:
    path = folder / "suite.yaml"

    def read(text: str) -> object:
        path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        suite = load_suite(path)
        runs = suite.expand(lambda *_: (1, 2))
        return plan_search(suite.search, runs) if suite.search else runs

    in_one_line(read, text)


@MANY
@given(data=st.data())
def test_records(make_record: RecordMaker, data: st.DataObject) -> None:
    record = make_record("sam", stop="patience=3", hessian=measured({"median": 1.0}))
    text = data.draw(mutated(record.to_dict(), in_json))
    in_one_line(lambda text: RunRecord.parse(text, "run.json").to_dict(), text)


@MANY
@given(given=mutated(Measurement.parse({"density": True}).settings(), in_yaml))
def test_measurements(given: str) -> None:
    def read(text: str) -> object:
        try:
            block = yaml.safe_load(text)
        except Exception:  # what no YAML is, the suite's reader refuses
            return None
        return Measurement.parse(block) if isinstance(block, dict) else None

    in_one_line(read, given)


@pytest.fixture(scope="module")
def manifest(folder: Path, phantom_data: Path) -> Path:
    return Path(shutil.copytree(phantom_data / "phantom-32", folder / "phantom-32"))


@MANY
@given(data=st.data())
def test_manifests(manifest: Path, phantom_data: Path, data: st.DataObject) -> None:
    whole = json.loads((phantom_data / "phantom-32" / "manifest.json").read_text())
    text = data.draw(mutated(whole, in_json))

    def read(text: str) -> object:
        (manifest / "manifest.json").write_text(text, encoding="utf-8")
        return len(open_prepared(manifest.parent, "phantom", 32))

    in_one_line(read, text)


@MANY
@given(data=st.data())
def test_search_records(folder: Path, make_record: RecordMaker, data: st.DataObject) -> None:
    path = folder / "searches" / "demo.json"
    search = Search.from_dict({"trials": 2})
    tunings = plan_search(search, [make_record("sam").config])
    runs = [make_record("sam", seed=run.seed) for run in tunings[0].runs]
    write_search(folder, found_now("demo", search, tunings, {run.id: run for run in runs}))
    text = data.draw(mutated(json.loads(path.read_text()), in_json))

    def read(text: str) -> object:
        path.write_text(text, encoding="utf-8")
        return read_search(path)

    in_one_line(read, text)


@MANY
@given(data=st.data())
def test_study_plans(folder: Path, make_record: RecordMaker, data: st.DataObject) -> None:
    runs = [make_record(name).config for name in ("adam", "sam")]
    write_plan(folder, StudyPlan(suite="demo", search=Search.from_dict({}), runs=runs))
    path = folder / "studies" / "demo.json"
    text = data.draw(mutated(json.loads(path.read_text()), in_json))

    def read(text: str) -> object:
        path.write_text(text, encoding="utf-8")
        return read_plan(folder, "demo")

    in_one_line(read, text)


@MANY
@given(text=mutated(json.loads(Owner.this_process("cpu").to_json()), in_json))
def test_claims(folder: Path, text: str) -> None:
    path = folder / "claim.json"
    path.write_text(text, encoding="utf-8")
    found = Owner.read(path)
    assert found is not None
    owner, touched = found
    assert owner.lives(touched, touched) in (True, False)
    assert str(owner)
