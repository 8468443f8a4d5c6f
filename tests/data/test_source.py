from __future__ import annotations

from pathlib import Path

import pytest

from sambench.data.source import Listing, Option, Source
from sambench.errors import ConfigError

OPTIONS = {
    "images": Option(default=600, minimum=20, maximum=1000, help="a number"),
    "normal": Option(default="keep", choices=("keep", "drop"), help="a choice"),
    "folds": Option(default=5, choices=(5, 10), help="a choice of numbers"),
    "column": Option(default="file", help="any text"),
}
SOURCE = Source(
    name="s",
    summary="a source",
    scan=lambda request: Listing(root=Path(), layout="", classes=(), samples=()),
    image_size=8,
    options=OPTIONS,
)


def test_options_are_completed():
    own = {"images": 600, "normal": "keep", "folds": 5, "column": "file"}
    assert SOURCE.resolve({}) == {**own, "fit": "squash", "depth": "auto", "pages": "first"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"images": 20.0}, 20),
        ({"normal": "DROP"}, "drop"),
        ({"folds": "10"}, 10),
        ({"folds": 10}, 10),
        ({"column": 7}, "7"),
        ({"column": None}, ""),
    ],
)
def test_values_get_the_type_of_their_option(given, read):
    ((name, _),) = given.items()
    value = SOURCE.resolve(given)[name]
    assert (value, type(value)) == (read, type(read))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": 19}, "option images=19 of dataset 's' is outside 20..1000"),
        ({"images": "x"}, "option images=x of dataset 's' is not allowed; allowed: a number"),
        ({"images": True}, "option images=True of dataset 's' is not allowed; allowed: a number"),
        (
            {"normal": "dorp"},
            "option normal=dorp of dataset 's' is not allowed: did you mean 'drop'?; "
            "allowed: keep, drop",
        ),
        ({"folds": 7}, "option folds=7 of dataset 's' is not allowed; allowed: 5, 10"),
        (
            {"norml": 1},
            "dataset 's' has no option 'norml': did you mean 'normal'?; "
            "its options: images, normal, folds, column, fit, depth, pages",
        ),
    ],
)
def test_values_that_are_not_allowed(given, message):
    with pytest.raises(ConfigError) as caught:
        SOURCE.resolve(given)
    assert str(caught.value) == message
