from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from sambench.errors import PluginError, UnknownNameError, did_you_mean
from sambench.optim.method import Method, OptimizerInfo
from sambench.registry import Registry, installed


@dataclass(frozen=True)
class Fruit:
    name: str
    summary: str = "grows on trees"


ENTRY = """
from test_registry_orchard import fruits
from test_registry import Fruit
fruits.register(Fruit({name!r}))
"""


@pytest.fixture
def registry() -> Registry[Fruit]:
    """A registry whose package, `analysis`, registers nothing in it."""
    made: Registry[Fruit] = Registry("fruit", "sambench.analysis")
    for name in ("apple", "apricot", "pear"):
        made.register(Fruit(name))
    return made


@pytest.fixture
def orchard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[Fruit]]:
    """A registry and its package on disk, with a module for each of two entries."""
    package = tmp_path / "test_registry_orchard"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from sambench.registry import Registry\n"
        "fruits = Registry('fruit', 'test_registry_orchard')\n"
    )
    for name in ("cherry", "plum"):
        (package / f"{name}.py").write_text(ENTRY.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])
    import test_registry_orchard  # type: ignore[import-not-found]

    yield test_registry_orchard.fruits
    for module in [name for name in sys.modules if name.startswith("test_registry_orchard")]:
        del sys.modules[module]


def test_get(registry: Registry[Fruit]) -> None:
    assert registry.get("pear") == Fruit("pear")


def test_list_is_sorted(registry: Registry[Fruit]) -> None:
    assert [entry.name for entry in registry.list()] == ["apple", "apricot", "pear"]


def test_an_unknown_name_offers_the_closest(registry: Registry[Fruit]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.get("appel")
    assert str(caught.value) == (
        "unknown fruit 'appel': did you mean 'apple'?; `sambench list fruits` shows all; "
        "--plugin FILE adds your own"
    )


def test_an_unknown_name_like_no_other(registry: Registry[Fruit]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.get("zzz")
    assert str(caught.value) == (
        "unknown fruit 'zzz'; `sambench list fruits` shows all; --plugin FILE adds your own"
    )


def test_two_entries_of_one_name_are_refused(registry: Registry[Fruit]) -> None:
    with pytest.raises(PluginError, match="two fruits are called 'pear'"):
        registry.register(Fruit("pear", "another one"))


@pytest.mark.parametrize("name", ["Pear", "PEAR"])
def test_capitals_make_no_other_name(registry: Registry[Fruit], name: str) -> None:
    with pytest.raises(PluginError, match=f"two fruits are called '{name}'; rename one"):
        registry.register(Fruit(name))


@pytest.mark.parametrize("name", ["", "sour cherry", "a/b", "timm:fig", "a,b", ".fig", "f" * 81])
def test_what_is_no_name_is_refused(registry: Registry[Fruit], name: str) -> None:
    with pytest.raises(PluginError, match="is not allowed; allowed: a name of at most 80 letters"):
        registry.register(Fruit(name))


def test_registering_the_same_entry_again_is_harmless(registry: Registry[Fruit]) -> None:
    registry.register(Fruit("pear"))
    assert len(registry.list()) == 3


def test_modules_of_the_package_are_imported_when_first_asked(orchard: Registry[Fruit]) -> None:
    assert "test_registry_orchard.plum" not in sys.modules
    assert [entry.name for entry in orchard.list()] == ["cherry", "plum"]
    assert "test_registry_orchard.plum" in sys.modules


def test_a_new_file_is_a_new_entry(orchard: Registry[Fruit], tmp_path: Path) -> None:
    (tmp_path / "test_registry_orchard" / "quince.py").write_text(ENTRY.format(name="quince"))
    assert orchard.get("quince") == Fruit("quince")


def test_an_installed_entry_point_registers(
    registry: Registry[Fruit], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    class Point(EntryPoint):
        def load(self) -> None:
            loaded.append(self.name)
            registry.register(Fruit(self.name))

    points = [Point("mango", "a", "sambench.fruits"), Point("leek", "a", "sambench.vegetables")]
    monkeypatch.setattr("sambench.registry.installed", lambda: EntryPoints(points))
    assert registry.get("mango") == Fruit("mango")
    assert loaded == ["mango"]


def test_the_files_of_installed_packages_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def entry_points() -> EntryPoints:
        read.append("all")
        return EntryPoints()

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    installed.cache_clear()
    assert [len(installed()) for _ in range(3)] == [0, 0, 0]
    installed.cache_clear()
    assert read == ["all"]


@pytest.mark.parametrize("name", ["GCSAM", "Gcsam", "gc-sam"])
def test_capitals_do_not_hide_the_closest_name(name: str) -> None:
    assert did_you_mean(name, ["adam", "gcsam"]) == ": did you mean 'gcsam'?"


def test_a_name_that_begins_with_what_was_given_is_closest() -> None:
    assert did_you_mean("best", ["last", "best-validation"]) == ": did you mean 'best-validation'?"
    assert did_you_mean("", ["adam"]) == ""


@pytest.mark.parametrize("said", [None, ""])
def test_a_method_without_a_docstring_is_listed_without_words(said: str | None) -> None:
    """As all are under `python -OO`, which strips them."""
    silent = type("Silent", (Method,), {"__doc__": said})
    assert OptimizerInfo("silent", reference="none", method=silent).summary == ""
