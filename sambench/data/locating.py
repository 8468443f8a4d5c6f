"""Finds the folder of a dataset that its user has downloaded by hand, or says where to get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.data.folders import describe, subfolders
from sambench.data.problems import Problems
from sambench.data.source import Request
from sambench.errors import ConfigError, DataError

DEEPEST = 4
"""Folders within folders that an archive may have wrapped around a dataset."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a user can have on disk.

    Attributes:
        name: The dataset's.
        obtain: Where it comes from, for a sentence that goes on after a colon.
        layout: What its folder should hold, in words.
        wrappers: Names of folders that archives put around it.
        takes_table: Whether `--xlsx` means something.
    """

    name: str
    obtain: str
    layout: str
    wrappers: Sequence[str] = ()
    takes_table: bool = False

    def locate(self, request: Request) -> Path:
        """Return the innermost folder of the dataset: the user's, or `<raw>/<name>`.

        Raises:
            DataError: If there is none; says where to get the files and where to put them.
        """
        return self.unwrap(self.given(request))

    def given(self, request: Request) -> Path:
        """Return the folder as the user named it, that of the table, or `<raw>/<name>`.

        Raises:
            ConfigError: If a table was named that means nothing here.
            DataError: If there is no such folder.
        """
        if request.table is not None and not self.takes_table:
            raise ConfigError(
                f"dataset {self.name!r} takes no workbook; leave out `--xlsx` and give its folder "
                "with `--source DIR`"
            )
        usual = request.raw / self.name
        named = request.folder or (request.table.parent if request.table else None)
        if named is None and not usual.is_dir():
            raise DataError(
                f"dataset {self.name!r} is not on this machine: {self.obtain}; put {self.layout} "
                f"in {usual}, or say where it is with `--source DIR`"
            )
        folder = named or usual
        if not folder.is_dir():
            raise DataError(
                f"no folder {folder}; give the one that holds {self.layout} with `--source DIR`"
            )
        return folder

    def unwrap(self, folder: Path) -> Path:
        """Return the innermost of the folders that an archive has put around the dataset."""
        names = {name.casefold() for name in self.wrappers}
        for _ in range(DEEPEST):
            inside = subfolders(folder, Problems())
            wrapper = next((inside[name] for name in sorted(names & inside.keys())), None)
            if wrapper is None:
                break
            folder = wrapper
        return folder

    def workbook(self, root: Path) -> Path:
        """Return the one workbook in a folder.

        Raises:
            DataError: If there is none, or several.
        """
        found = [path for path in sorted(root.glob("*.xlsx")) if not path.name.startswith("~$")]
        if len(found) != 1:
            raise self.refuse(root, "single workbook" if found else "workbook")
        return found[0]

    def refuse(self, root: Path, lacking: str = "images") -> DataError:
        """Return the error for a folder that is not this dataset's."""
        return DataError(
            f"no {lacking} in {root}, which should hold {self.layout}, but has: "
            f"{describe(root)}; give its folder with `--source DIR`"
        )
