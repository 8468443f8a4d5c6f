"""One registry for all things that come in kinds: optimizers, datasets, models.

A registry knows the package whose modules register its entries and imports them when it is first
asked, so nothing is imported at start-up and adding an entry is adding a file.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from sambench.errors import PluginError, UnknownNameError
from sambench.plugin import files_of, note_entry, running

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints


class Named(Protocol):
    """An entry."""

    @property
    def name(self) -> str:
        """As on the command line."""


Entry = TypeVar("Entry", bound=Named)


class Registry(Generic[Entry]):
    """Named entries of one kind, in the singular as "optimizer".

    The modules of a package, and what installed packages have under `sambench.optimizers`, register
    them when they are imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def register(self, entry: Entry) -> Entry:
        """Add an entry and return it; a PluginError if its name is wrong or taken, in any case."""
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{,79}", entry.name):
            allowed = "a name of at most 80 letters, digits and ._-"
            raise PluginError(f"{self.kind} {entry.name!r} is not allowed; allowed: {allowed}")
        alike = (one for one in self._entries.values() if one.name.lower() == entry.name.lower())
        if (other := next(alike, entry)) != entry:
            which = "".join(f" in {file}" for file in files_of([(self.kind, other.name)]))
            raise PluginError(f"two {self.kind}s are called {entry.name!r}; rename one{which}")
        self._entries[entry.name] = entry
        note_entry(self.kind, entry.name)
        return entry

    def get(self, name: str) -> Entry:
        """Return the entry of that name; an UnknownNameError names the closest if there is none."""
        self._discover()
        if name not in self._entries:
            remedy = f"`sambench list {self.kind}s` shows all; --plugin FILE adds your own"
            raise UnknownNameError(self.kind, name, self._entries, remedy)
        return self._entries[name]

    def list(self) -> tuple[Entry, ...]:
        """Return all entries, sorted by name."""
        self._discover()
        return tuple(self._entries[name] for name in sorted(self._entries))

    def _discover(self) -> None:
        """Import, once, what registers entries; an installed package that fails is named."""
        if self._discovered:
            return
        home = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(home.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        for point in installed().select(group=f"sambench.{self.kind}s"):
            package = point.dist.name if point.dist else point.value
            try:
                with running(point.module):
                    point.load()
            except PluginError as error:
                raise PluginError(f"package {package}: {error}") from error
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"package {package} fails as it brings {self.kind} {point.name!r} "
                    f"({type(error).__name__}: {error}); repair or uninstall it"
                ) from error
        self._discovered = True


@functools.cache
def installed() -> EntryPoints:
    """Return the entry points of all installed packages, whose files are read once."""
    from importlib.metadata import entry_points

    return entry_points()  # type: ignore[return-value,unused-ignore]
