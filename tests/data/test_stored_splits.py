from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import pytest

from sambench.data import splits as module
from sambench.data.prepared import Prepared, open_prepared
from sambench.data.splits import make_split, split_path, stored_split
from sambench.errors import DataError, SambenchWarning, StoreError


@pytest.fixture
def prepared(phantom_data: Path, tmp_path: Path) -> Prepared:
    shutil.copytree(phantom_data / "phantom-32", tmp_path / "phantom-32")
    shutil.rmtree(tmp_path / "phantom-32" / "splits", ignore_errors=True)
    return open_prepared(tmp_path, "phantom", 32)


def test_the_file_says_the_part_of_each_image(prepared: Prepared) -> None:
    split, checksum = stored_split(prepared, "holdout", fold=None, seed=3, validation=0.2)
    (path,) = (prepared.folder / "splits").iterdir()
    assert path.name == "holdout-s3-v0.2.csv"
    assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    rows = list(csv.DictReader(path.open(newline="")))
    assert [row["id"] for row in rows] == list(prepared.ids)
    for part in ("train", "validation", "test"):
        places = [place for place, row in enumerate(rows) if row["part"] == part]
        assert places == getattr(split, part).tolist()
    expected = make_split(prepared, "holdout", fold=None, seed=3, validation=0.2)
    assert split.test.tolist() == expected.test.tolist()


def test_using_it_again_gives_the_same_and_writes_nothing(prepared: Prepared) -> None:
    first = stored_split(prepared, "kfold-4", fold=2, seed=0, validation=0)
    path = prepared.folder / "splits" / "kfold-4-s0-f2.csv"
    before = path.stat().st_mtime_ns
    again = stored_split(prepared, "kfold-4", fold=2, seed=0, validation=0)
    assert again[1] == first[1]
    assert path.stat().st_mtime_ns == before


def test_a_split_that_has_changed_is_not_used(prepared: Prepared) -> None:
    stored_split(prepared, "holdout", fold=None, seed=0, validation=0)
    path = prepared.folder / "splits" / "holdout-s0.csv"
    path.write_text(path.read_text().replace("train", "test", 1))
    with pytest.raises(DataError) as caught:
        stored_split(prepared, "holdout", fold=None, seed=0, validation=0)
    assert str(caught.value) == (
        f"{path} says otherwise than split holdout of these data: it was changed, or another "
        "version of sambench made it; move it away to go on with the split as it is now"
    )


def test_names_too_long_for_a_file_are_told_apart(tmp_path: Path) -> None:
    one, other = ("centre:" + "\u9662" * 30 + last for last in "AB")
    paths = [
        split_path(tmp_path, name, fold=1, seed=2**32, validation=0.1) for name in (one, other)
    ]
    assert len({*paths}) == 2
    assert all(len(path.name) < 200 and path.name.startswith("centre%3A%E9") for path in paths)


def test_every_setting_is_in_the_name() -> None:
    settings = [("holdout", None, 0, 0.0), ("centre:A/B", None, 0, 0.0), ("centre:A_B", None, 0, 0)]
    settings += [("kfold-5", 1, 0, 0.0), ("kfold-5", 1, 1, 0.0), ("kfold-5", 1, 0, 0.1)]
    settings += [("kfold-5", 1, 0, 0.1234567), ("kfold-5", 1, 0, 0.1234568)]
    paths = {
        split_path(Path("d"), name, fold=fold, seed=seed, validation=share)
        for name, fold, seed, share in settings
    }
    assert len(paths) == len(settings)
    assert {path.parent for path in paths} == {Path("d/splits")}


def test_data_that_cannot_be_written_can_be_used(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise StoreError(f"cannot write in {path.parent}: Read-only file system")

    monkeypatch.setattr(module, "write_bytes", refuse)
    with pytest.warns(SambenchWarning, match="the split is not kept: cannot write in"):
        split, _ = stored_split(prepared, "holdout", fold=None, seed=0, validation=0)
    assert len(split.test) == 8


def test_two_preparations_give_the_same_file(
    prepared: Prepared, phantom_data: Path, tmp_path: Path
) -> None:
    """As two machines do: what is hashed is ids and settings, no path and no random state."""
    one = stored_split(prepared, "grouped-5", fold=1, seed=0, validation=0.1)
    shutil.copytree(phantom_data / "phantom-32", tmp_path / "elsewhere" / "phantom-32")
    shutil.rmtree(tmp_path / "elsewhere" / "phantom-32" / "splits", ignore_errors=True)
    other = open_prepared(tmp_path / "elsewhere", "phantom", 32)
    assert stored_split(other, "grouped-5", fold=1, seed=0, validation=0.1)[1] == one[1]
