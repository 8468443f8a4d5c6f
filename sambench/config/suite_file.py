"""Suite files: found by path or by name, and built upon each other.

With `extends` a file takes over another, named by path or as shipped. Mappings are merged key by
key at every depth; any other value, lists included, replaces the one of the extended file; `null`
takes a key away. The name is not taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import sambench
from sambench.config.suite import Suite
from sambench.config.suite_reader import KEYS, read_suite
from sambench.errors import ConfigError, did_you_mean
from sambench.files import yaml_text

Places = dict[yaml_text.Path, str]


def load_suite(given: Path) -> Suite:
    """Read a suite.

    Args:
        given: A file, or the name of a shipped suite.

    Raises:
        ConfigError: If it is missing, no YAML, or not a suite; names file and line.
    """
    path = find_suite(given)
    content, places = _read(path, ())
    return read_suite(content, str(path), places)


def shipped_suites() -> dict[str, Path]:
    """Return the suites that come with the package, by name."""
    package = Path(sambench.__file__).parent
    installed = package / "suites"
    folder = installed if installed.is_dir() else package.parent / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_suite(given: Path) -> Path:
    """Return the file of a suite.

    Raises:
        ConfigError: If there is no such file and none of that name is shipped.
    """
    if given.exists():
        return given
    shipped = shipped_suites()
    if str(given) in shipped:
        return shipped[str(given)]
    if given.suffix or given.parent != Path():
        beside = (
            sorted(p.name for p in given.parent.glob("*.yaml")) if given.parent.is_dir() else []
        )
        close = did_you_mean(given.name, beside) or did_you_mean(given.stem, shipped)
        there = f"; in {given.parent}: {', '.join(beside)}" if beside else ""
        raise ConfigError(f"suite {given} does not exist{close}{there}")
    raise ConfigError(
        f"suite {str(given)!r} does not exist{did_you_mean(str(given), shipped)}; "
        f"shipped: {', '.join(shipped)}"
    )


def _read(path: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], Places]:
    """Return a file's content over what it extends, and file and line of each part.

    Args:
        path: The file.
        above: The files that extend it, so that no file extends itself.
    """
    content, lines = _parse(path)
    places = {place: f"{path}:{line}" for place, line in lines.items()}
    extended = content.pop("extends", None)
    if extended is None:
        return content, places
    where = places[("extends",)]
    if not isinstance(extended, str):
        raise ConfigError(f"{where}: extends must name one suite, not {extended!r}")
    if "name" not in content:
        raise ConfigError(f"{where}: a suite that extends another needs a name of its own")
    beside = path.parent / extended
    try:
        base = beside if beside.exists() else find_suite(Path(extended))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if base.resolve() in (file.resolve() for file in (*above, path)):
        raise ConfigError(f"{where}: {path} extends itself by way of {base}")
    inherited, inherited_places = _read(base, (*above, path))
    _merge(inherited, inherited_places, content, places, ())
    return inherited, inherited_places


def _merge(
    base: dict[str, Any],
    base_places: Places,
    over: Mapping[str, Any],
    places: Places,
    path: yaml_text.Path,
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


def _parse(path: Path) -> tuple[dict[str, Any], dict[yaml_text.Path, int]]:
    try:
        content, lines = yaml_text.read_yaml_with_lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"suite {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"suite {path} is no valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"suite {path} must be a mapping with: {', '.join(KEYS)}")
    return content, lines
