"""Optimizers, models and datasets of one's own, from a Python file."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from sambench.errors import PluginError

VARIABLE = "SAMBENCH_PLUGINS"
"""Environment variable with the files in use, so that worker processes load them too."""

_loading: list[tuple[str, str]] = []
"""Name and sha256 of the files and modules that are being run, the innermost last."""

_files: set[str] = set()
"""Paths of the files that were run."""

_brought: dict[tuple[str, str], tuple[str, str]] = {}
"""Of each entry that such a file registered, by kind and name: the file's name and sha256."""


def load_plugin(file: Path) -> str:
    """Run a Python file that registers entries, once, and return the module's name.

    Worker processes run it too. A file that does not exist, raises, or registers a name that is
    taken is a PluginError.
    """
    path = file.resolve()
    name = f"sambench_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:10]}"
    if name in sys.modules:
        return name
    if not path.is_file():
        raise PluginError(f"plugin {file} does not exist; give a Python file")
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise PluginError(f"plugin {file} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with running(path.name, path), chdir("."):  # the user's paths mean the same afterwards
            specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise PluginError(failure_in_plugin(error) or _failure(path, error, line)) from error
    known = os.environ.get(VARIABLE, "").split(os.pathsep)
    if str(path) not in known:
        os.environ[VARIABLE] = os.pathsep.join(filter(None, [*known, str(path)]))
    return name


@contextmanager
def running(name: str, path: Path | None = None) -> Iterator[None]:
    """Note what is registered within as brought by a file, or by the installed module `name`."""
    if path is None:
        found = importlib.util.find_spec(name)
        path = Path(found.origin) if found and found.has_location and found.origin else None
    content = path.read_bytes() if path else b""
    _files.add(str(path))
    _loading.append((name, hashlib.sha256(content).hexdigest()))
    try:
        yield
    finally:
        _loading.pop()


def note_entry(kind: str, name: str) -> None:
    """Note that the file which is being run, if any, brings this entry."""
    if _loading:
        _brought[kind, name] = _loading[-1]


def files_of(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the files of one's own, name to sha256, that bring entries of a kind and name."""
    return dict(_brought[entry] for entry in entries if entry in _brought)


def load_inherited() -> None:
    """Load the plugins that the parent process uses, as `load_plugin` does."""
    for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        load_plugin(Path(path))


def failure_in_plugin(error: BaseException) -> str | None:
    """Return what was raised while a plugin's code ran, with its line; None if none did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in _files]
    return _failure(Path(own[-1].filename), error, own[-1].lineno) if own else None


def _failure(file: Path, error: BaseException, line: int | None) -> str:
    where = f" in line {line}" if line else ""
    return f"plugin {file.name} failed: {type(error).__name__}{where}: {error}"
