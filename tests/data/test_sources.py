"""What every dataset must do with a machine that does not have it, or has something else."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import fields

import pytest

from sambench.data.family import Family, family_of, rows
from sambench.data.source import COMMON, Request, sources
from sambench.errors import ConfigError

NAMES = [s.name for s in sources.list() if not s.simulated and s.name != "chestmnist"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_that_is_not_there_says_where_to_get_it_and_where_to_put_it(refused, name):
    message = refused(name)
    assert "\n" not in message
    assert "--source" in message or "yourself" in message
    assert "download" in message or sources.get(name).obtain in message


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_named(refused, tmp_path, name):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in refused(name, empty)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_does_not_exist_is_named(refused, tmp_path, name):
    assert str(tmp_path / "gone") in refused(name, tmp_path / "gone")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_place_of_the_folder_is_named(refused, tmp_path, name):
    path = tmp_path / "file"
    path.write_text("no dataset")
    assert str(path) in refused(name, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_does_not_exist_is_named_or_not_wanted(refused, tmp_path, name):
    message = refused(name, None, tmp_path / "gone.xlsx")
    assert str(tmp_path) in message or "takes no workbook" in message


@pytest.mark.parametrize("source", sources.list(), ids=lambda source: source.name)
def test_a_source_says_whose_it_is(source):
    assert source.summary and source.reference and source.licence and source.obtain
    assert source.name == source.name.lower()
    assert len(set(source.classes)) == len(source.classes)
    options = {**source.options, **COMMON}
    assert source.resolve({}) == {name: option.default for name, option in options.items()}


@pytest.mark.parametrize("name", sorted(rows().keys() - {"medmnist"}))
def test_every_key_of_a_row_is_read(name):
    assert rows()[name].keys() <= {field.name for field in fields(Family)}


@pytest.mark.parametrize("name", sorted(rows().keys() - {"medmnist"}))
def test_a_spelling_is_of_a_class(name):
    row = rows()[name]
    assert {*row.get("spellings", {}).values()} <= {*row.get("classes", ())}


@pytest.mark.parametrize(
    ("read", "why"),
    [
        ("sources.folder.scn", "module 'sambench.data.sources.folder' has no attribute 'scn'"),
        ("sources.foldr.scan", "No module named 'sambench.data.sources.foldr'"),
    ],
)
def test_a_misspelled_reader_is_named(read, why):
    with pytest.raises(ConfigError) as caught:
        family_of("mine", {**rows()["folder"], "read": read}).scan(Request())
    said = f"`read: {read}` of dataset 'mine' in published.yaml is no function ({why})"
    assert str(caught.value) == f"{said}; name one that is there"
