"""The content of a suite file, checked key by key; each complaint names file and line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sambench.config.grid import Pattern
from sambench.config.measurement import Measurement
from sambench.config.search import Search
from sambench.config.suite import Suite, TableReference
from sambench.errors import ConfigError, UserError, did_you_mean
from sambench.files.yaml_text import Path

KEYS = (
    *("name", "extends", "defaults", "matrix", "include", "exclude", "seeds", "folds"),
    *("search", "hessian", "tables", "report"),
)


def read_suite(
    given: Mapping[str, Any], where: str, places: Mapping[Path, str] | None = None
) -> Suite:
    """Check the content of a suite file.

    Args:
        given: The content.
        where: The file, for messages.
        places: File and line of each key and list item, where known.

    Raises:
        ConfigError: If a key is unknown or a value of the wrong type; names the place.
    """
    return _Reader(given, where, places or {}).suite()


class _Reader:
    def __init__(self, given: Mapping[str, Any], where: str, places: Mapping[Path, str]) -> None:
        self.given = given
        self.places = {(): where, **places}

    def suite(self) -> Suite:
        self._known(self.given, KEYS, "")
        name = self.given.get("name")
        if not isinstance(name, str) or not name:
            raise self._error("a suite needs a name, as in `name: demo`", "name")
        report = self._mapping("report")
        self._known(report, ("baseline",), "report")
        baseline = report.get("baseline")
        return Suite(
            name=name,
            defaults=self._mapping("defaults"),
            matrix=self._grid(self._mapping("matrix"), "matrix"),
            include=tuple(self._include()),
            exclude=tuple(
                self._pattern(item, "exclude", "exclude", number)
                for number, item in enumerate(self._list("exclude"))
            ),
            seeds=self._seeds("seeds", self.given.get("seeds", 1)),
            folds=self._folds(),
            search=self._search(),
            hessian=self._hessian(),
            tables=tuple(self._tables()),
            baseline=None if baseline is None else str(baseline),
            places=self.places,
        )

    def _include(self) -> Iterable[Mapping[str, Any]]:
        for number, grid in enumerate(self._list("include")):
            if not isinstance(grid, dict) or not grid:
                raise self._error(f"include must list settings, not {grid!r}", "include", number)
            yield self._grid(grid, "include", number)

    def _grid(self, grid: Mapping[str, Any], *path: str | int) -> Mapping[str, Any]:
        for key, value in grid.items():
            if value == []:
                raise self._error(f"{path[0]} {key} is empty; give at least one value", *path, key)
        return grid

    def _tables(self) -> Iterable[TableReference]:
        for number, item in enumerate(self._list("tables")):
            path = ("tables", number)
            if not isinstance(item, dict):
                raise self._error(
                    f"a table is given as {{paper: ID, table: 1}}, not {item!r}", *path
                )
            self._known(item, ("paper", "table", "where"), *path)
            for key in ("paper", "table"):
                if not isinstance(item.get(key), str | int) or isinstance(item[key], bool):
                    raise self._error(
                        f"a table needs its {key}, as in {{paper: ID, table: 1}}", *path
                    )
            where = item.get("where")
            yield TableReference(
                paper=str(item["paper"]),
                table=str(item["table"]),
                where=Pattern() if where is None else self._pattern(where, "where", *path, "where"),
            )

    def _search(self) -> Search | None:
        given = self.given.get("search")
        if given in (None, False):
            return None
        mapping = self._mapping("search")
        seeds = mapping.get("seeds")
        if seeds is not None:
            mapping["seeds"] = self._seeds("search seeds", seeds, first=1000)
        try:
            return Search.from_dict(mapping)
        except UserError as error:
            raise self._error(str(error), "search") from error

    def _hessian(self) -> Measurement | None:
        if self.given.get("hessian") in (None, False):
            return None
        try:
            return Measurement.parse(self._mapping("hessian"))
        except UserError as error:
            raise self._error(str(error), "hessian") from error

    def _pattern(self, given: object, what: str, *path: str | int) -> Pattern:
        try:
            return Pattern.parse(given, what)
        except UserError as error:
            raise self._error(str(error), *path) from error

    def _seeds(self, what: str, value: object, first: int = 0) -> tuple[int, ...]:
        if type(value) is int and value >= 1:
            return tuple(range(first, first + value))
        if isinstance(value, list) and value and all(type(v) is int and v >= 0 for v in value):
            return tuple(dict.fromkeys(value))
        raise self._error(
            f"{what}={value!r} must be a number of seeds or a list of them", *what.split()
        )

    def _folds(self) -> str | tuple[int, ...] | None:
        value = self.given.get("folds")
        if value is None or value == "all":
            return value
        if isinstance(value, list) and value and all(type(v) is int and v >= 0 for v in value):
            return tuple(dict.fromkeys(value))
        raise self._error(f"folds={value!r} must be all or a list, as in [1, 2]", "folds")

    def _mapping(self, key: str) -> dict[str, Any]:
        value = self.given.get(key)
        if value is None or value is True:
            return {}
        if not isinstance(value, dict):
            raise self._error(f"{key} must be a mapping, not {value!r}", key)
        return {str(name): item for name, item in value.items()}

    def _list(self, key: str) -> list[Any]:
        value = self.given.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._error(f"{key} must be a list, not {value!r}", key)
        return value

    def _known(self, given: Mapping[str, Any], known: Collection[str], *path: str | int) -> None:
        inside = f" in {path[0]}" if path[0] else ""
        for key in map(str, given):
            if key not in known:
                place = (*path, key) if path[0] else (key,)
                raise self._error(
                    f"unknown key {key!r}{inside}{did_you_mean(key, known)}; "
                    f"known: {', '.join(known)}",
                    *place,
                )

    def _error(self, message: str, *path: str | int) -> ConfigError:
        while path not in self.places:
            path = path[:-1]
        return ConfigError(f"{self.places[path]}: {message}")
