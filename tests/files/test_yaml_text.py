from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import sambench
from sambench.files.yaml_text import read_own_yaml, read_yaml

PACKAGE = Path(sambench.__file__).parent


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),
        ("1E5", 100_000.0),
        ("-2.e+3", -2000.0),
        ("0.05", 0.05),
        ("3", 3),
        ("true", True),
        ("null", None),
        ("e5", "e5"),
        ("1e", "1e"),
        ("1e-4x", "1e-4x"),
        ("'1e-4'", "1e-4"),
        ("[0.9, 1e-1]", [0.9, 0.1]),
        ("1:30:00", "1:30:00"),
        ("12:30:45.5", "12:30:45.5"),
        ("010", "010"),
        ("0.10", 0.1),
        ("0", 0),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = read_yaml(text)
    assert found == value
    assert type(found) is type(value)


def test_nothing_is_executed() -> None:
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        read_yaml("!!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: " + "x" * 2**18, "it is larger than 256 kB"),
        ("a: &a [*a]", "there are more than 30 levels"),
        ("\n".join(["a: &a [" + "1," * 999 + "]", "b: [" + "*a," * 99 + "]"]), "than 20000 values"),
        ("[a, b]: 1", "a key must be a word"),
        ("a: 1\na: 2", "key 'a' is given twice"),
    ],
)
def test_what_is_too_much_or_no_mapping_of_words_is_refused(text: str, said: str) -> None:
    with pytest.raises(yaml.YAMLError, match=said):
        read_yaml(text)


def test_pyyaml_itself_is_left_alone() -> None:
    assert yaml.safe_load("1e-4") == "1e-4"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.yaml")), ids=lambda file: file.stem)
def test_files_of_the_package_mean_the_same_to_the_fast_reader(file: Path) -> None:
    """It has the rules of YAML 1.1 and takes a key twice."""
    package = ".".join(("sambench", *file.parent.relative_to(PACKAGE).parts))
    assert read_own_yaml(package, file.name) == read_yaml(file.read_text("utf-8"))
