"""Suite files: found by path or by name, and built upon each other.

With `extends` a file takes over another one, given by its path or as the name of a shipped suite.
Mappings are merged key by key at every depth; any other value, lists included, replaces the one of
the extended file; `null` takes a key away. The name is not taken over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sambench.config.launcher_settings import LauncherSettings
from sambench.config.measurement import Measurement
from sambench.config.search import Search
from sambench.config.suite import Suite
from sambench.errors import ConfigError, UserError, did_you_mean, shown
from sambench.files import yaml_text
from sambench.files.definition import Fault, build
from sambench.files.definition import Path as Keys

Places = dict[Keys, str]
KEYS = Suite.__struct_fields__

MOST_SEEDS = 10_000
"""More seeds than anybody has time for; a list may have as many as its writer likes."""


def load_suite(given: Path) -> Suite:
    """Read a suite: a file, or the name of a shipped one; a ConfigError names file and line."""
    path = find_suite(given)
    content, places = _read(path, ())
    return read_suite(content, str(path), places)


def read_suite(given: Mapping[str, Any], where: str, places: Places | None = None) -> Suite:
    """Check the content of a suite file `where`; `places` are file and line of each key and item.

    A key that is unknown or a value of the wrong type is a ConfigError, which names the place.
    """
    located = {(): where, **(places or {})}
    try:
        suite = build(Suite, _normalised(given), what="a suite")
        _refuse_empty(suite)
    except Fault as fault:
        path = fault.path
        while path not in located:
            path = path[:-1]
        raise ConfigError(f"{located[path]}: {fault}") from None
    suite.__dict__["places"] = located
    return suite


def prepare_lines(suite: Suite, dataset: str) -> list[str]:
    """Return the commands in the comments of a suite's files that prepare a dataset."""
    files = {place.rpartition(":")[0] for place in suite.places.values()} - {""}
    texts = (Path(file).read_text(encoding="utf-8") for file in sorted(files))
    lines = re.findall(r"^# +(sambench prepare .+)$", "\n".join(texts), re.MULTILINE)
    return [line for line in lines if dataset in line.split()]


def _normalised(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content without short forms, its measurement and its search checked."""
    content = {key: value for key, value in given.items() if value is not None}
    if "seeds" in content:
        content["seeds"] = _seeds(content["seeds"], "seeds")
    readers: dict[str, Callable[[dict[str, Any]], object]] = {
        "search": _search,
        "hessian": Measurement.parse,
        "launcher": LauncherSettings.parse,
    }
    for key, read in readers.items():
        if content.get(key) is False:
            del content[key]
        elif key in content:
            block = {} if content[key] is True else content[key]
            if not isinstance(block, dict):
                raise Fault(f"{key} must be a mapping, not {shown(block)}", (key,))
            try:
                content[key] = read(block)
            except Fault:
                raise
            except UserError as error:
                raise Fault(str(error), (key,)) from None
    if isinstance(content.get("tables"), list):
        content["tables"] = [_named_table(item) for item in content["tables"]]
    return content


def _search(block: dict[str, Any]) -> Search:
    if block.get("seeds") is not None:
        block = {**block, "seeds": _seeds(block["seeds"], "search", "seeds", first=1000)}
    return Search.from_dict(block)


def _seeds(value: object, *path: str, first: int = 0) -> tuple[int, ...]:
    if type(value) is int and 1 <= value <= MOST_SEEDS:
        return tuple(range(first, first + value))
    if isinstance(value, list) and value and all(type(v) is int and v >= 0 for v in value):
        _refuse_twice(value, path)
        return tuple(value)
    raise Fault(
        f"{' '.join(path)}={shown(value)} must be a number of seeds, at most {MOST_SEEDS}, or a "
        "list of them",
        path,
    )


def _named_table(item: object) -> object:
    """Return a table with its paper and number as text, which YAML may take for numbers."""
    if not isinstance(item, dict):
        return item
    return {k: str(v) if type(v) is int and k != "where" else v for k, v in item.items()}


def _refuse_twice(values: object, path: Keys) -> None:
    """Refuse a list that has a value twice, a slip of the pen that would be taken once."""
    listed = map(repr, values) if isinstance(values, list | tuple) else ()
    for value, number in Counter(listed).items():
        if number > 1:
            raise Fault(f"{' '.join(map(str, path))} has {value} more than once; keep one", path)


def _refuse_empty(suite: Suite) -> None:
    for path, grid in suite.grids():
        if not grid and path[0] == "include":
            raise Fault("include must list settings, not {}", path)
        for key, value in grid.items():
            if value == []:
                raise Fault(f"{path[0]} {key} is empty; give at least one value", (*path, key))
            _refuse_twice(value, (*path, key))
    if suite.folds == ():
        raise Fault("folds=[] must be all or a list, as in [1, 2]", ("folds",))
    _refuse_twice(suite.folds, ("folds",))


def shipped_suites() -> dict[str, Path]:
    """Return the suites that come with the package, by name."""
    package = Path(__file__).parents[1]
    installed = package / "suites"
    folder = installed if installed.is_dir() else package.parent / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_suite(given: Path) -> Path:
    """Return the file of a suite, there or shipped by that name; a ConfigError if there is none."""
    if _is_there(given):
        return given
    shipped = shipped_suites()
    if str(given) in shipped:
        return shipped[str(given)]
    if given.suffix or given.parent != Path():
        beside = sorted(p.name for p in given.parent.glob("*.yaml"))
        close = did_you_mean(given.name, beside) or did_you_mean(given.stem, shipped)
        there = f"; in {given.parent}: {', '.join(beside)}" if beside else ""
        name = str(given) if str(given).isprintable() else repr(str(given))
        raise ConfigError(f"suite {name} does not exist{close}{there}")
    raise ConfigError(
        f"suite {shown(str(given))} does not exist{did_you_mean(str(given), shipped)}; "
        f"shipped: {', '.join(shipped)}"
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a loop of links
        raise ConfigError(f"suite {shown(str(path))} is no path: {error}") from None


def _read(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], Places]:
    """Return a file's content over what it extends, and its places; the files above extend it."""
    content, lines = _parse(path)
    places = {place: f"{path}:{line}" for place, line in lines.items()}
    extended = content.pop("extends", None)
    if extended is None:
        return content, places
    where = places.get(("extends",), str(path))
    if not isinstance(extended, str):
        raise ConfigError(f"{where}: extends must name one suite, not {shown(extended)}")
    if "name" not in content:
        raise ConfigError(f"{where}: a suite that extends another needs a name of its own")
    beside = path.parent / extended
    try:
        base = beside if _is_there(beside) else find_suite(Path(extended))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if base.resolve() in (file.resolve() for file in (*above, path)):
        raise ConfigError(f"{where}: {path} extends itself by way of {base}")
    inherited, inherited_places = _read(base, (*above, path))
    _merge(inherited, inherited_places, content, places, ())
    return inherited, inherited_places


def _merge(
    base: dict[str, Any], base_places: Places, over: Mapping[str, Any], places: Places, path: Keys
) -> None:
    """Put one mapping over another, in place."""
    for key, value in over.items():
        inside = (*path, str(key))
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], base_places, value, places, inside)
            continue
        for stale in [p for p in base_places if p[: len(inside)] == inside]:
            del base_places[stale]
        if value is None:
            base.pop(key, None)
            continue
        base[key] = value
        base_places.update({p: at for p, at in places.items() if p[: len(inside)] == inside})


def _parse(path: Path) -> tuple[dict[str, Any], dict[Keys, int]]:
    try:
        content, lines = yaml_text.read_yaml_with_lines(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"suite {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        text = " ".join(str(error).split()).replace(' in "<unicode string>"', "")
        said = "".join(c if c.isprintable() else "?" for c in text)
        raise ConfigError(f"suite {path} is no valid YAML: {said[:500]}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"suite {path} must be a mapping with: {', '.join(KEYS)}")
    return content, lines
