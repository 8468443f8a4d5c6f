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

_loading: list[str] = []
"""The files' modules that are being run, the innermost last."""

_files: dict[str, tuple[str, str, str]] = {}
"""Path, name and sha256 of each file that was run, by its module."""

_brought: dict[tuple[str, str], tuple[str, ...]] = {}
"""By kind and name of an entry: the module that registers it, and the one then being run."""


def load_plugin(file: Path) -> None:
    """Run a Python file that registers entries, once, as worker processes do too.

    One that does not exist, raises, or registers a name that is taken is a PluginError.
    """
    path = file.resolve()
    name = f"sambench_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:10]}"
    if name in sys.modules:
        return
    if not path.is_file():
        raise PluginError(f"plugin {file} does not exist; give a Python file")
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise PluginError(f"plugin {file} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with running(name, path), chdir("."):  # the user's paths mean the same afterwards
            specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise PluginError(failure_in_plugin(error) or _failure(path, error, line)) from error
    known = os.environ.get(VARIABLE, "").split(os.pathsep)
    if str(path) not in known:
        os.environ[VARIABLE] = os.pathsep.join(filter(None, [*known, str(path)]))


@contextmanager
def running(module: str, path: Path | None = None) -> Iterator[None]:
    """Note what is registered within as brought by a file, or by an installed module."""
    name = path.name if path else module
    _loading.append(module)
    try:
        if path is None:  # to find it imports the package around it, which may import it at once
            found = importlib.util.find_spec(module)
            path = Path(found.origin) if found and found.has_location and found.origin else None
        content = path.read_bytes() if path else b""
        _files[module] = str(path), name, hashlib.sha256(content).hexdigest()
        yield
    finally:
        _loading.pop()


def note_entry(kind: str, name: str) -> None:
    """Note whose code registers an entry: that of a file, of what a file imports, or our own."""
    tops = (f for f, _ in traceback.walk_stack(None) if f.f_code.co_name == "<module>")
    module = next((str(f.f_globals.get("__name__")) for f in tops), "")
    _brought[kind, name] = () if module.startswith("sambench.") else (module, *_loading[-1:])


def is_foreign(kind: str, name: str) -> bool:
    """Whether an entry is of other code than ours, which our tests do not know."""
    return bool(_brought.get((kind, name)))


def files_of(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the files that bring entries, name to sha256; of two alike one has its kind behind."""
    found: dict[str, str] = {}
    for entry in entries:
        module = next((one for one in _brought.get(entry, ()) if one in _files), None)
        if module is not None:
            _, name, sha256 = _files[module]
            alone = found.get(name, sha256) == sha256
            found[name if alone else f"{name} ({entry[0]})"] = sha256
    return found


def load_inherited() -> None:
    """Load the plugins that the parent process uses, as `load_plugin` does."""
    for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        load_plugin(Path(path))


def failure_in_plugin(error: BaseException) -> str | None:
    """Return what was raised while a plugin's code ran, with its line; None if none did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if any(f.filename == path for path, *_ in _files.values())]
    return _failure(Path(own[-1].filename), error, own[-1].lineno) if own else None


def _failure(file: Path, error: BaseException, line: int | None) -> str:
    where = f" in line {line}" if line else ""
    return f"plugin {file.name} failed: {type(error).__name__}{where}: {error}"
