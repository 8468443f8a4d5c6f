"""A published dataset as a row of facts, the place of its files, and the listing made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from sambench.data.download import Remote
from sambench.data.folders import NONE, describe, subfolders
from sambench.data.source import Listing, Request, Sample, Source, sources
from sambench.errors import ConfigError, DataError
from sambench.files.yaml_text import read_own_yaml

DEEPEST = 4  # folders within folders that an archive may have wrapped around a dataset


def _unread(request: Request) -> Listing:
    raise NotImplementedError("a family is read once it is registered")


@dataclass(frozen=True, kw_only=True)
class Family(Source):
    """A published dataset, and how to tell its folder from others."""

    layout: str  # what its folder should hold, in words
    asks: str = "--source DIR"
    image_size: int = 256
    wrappers: tuple[str, ...] = ()  # names of folders that archives put around it
    spellings: Mapping[str, str] = field(default_factory=dict)  # more lower-case class names
    masks: str = NONE  # pattern of the names, without suffix, of masks
    unique: bool = False  # whether names of files are, so that the folder is no part of an id
    takes_table: bool = False  # whether `--xlsx` means something
    downloads: tuple[Remote, ...] = ()  # the published files
    notes: tuple[str, ...] = ()  # what should be known of an archive
    scan: Callable[[Request], Listing] = _unread

    @classmethod
    def published(cls, name: str) -> Self:
        """Return the family that a row of `published.yaml` describes."""
        return msgspec.convert({"name": name, **rows()[name]}, cls)

    @classmethod
    def read_as(cls, read: str) -> list[Self]:
        """Return the published families that are read as their rows say, and need no more."""
        return [cls.published(name) for name, row in rows().items() if row.get("read") == read]

    def register(self, scan: Callable[[Self, Request], Listing]) -> None:
        """Make it an entry of `sources` that is read by `scan`."""
        sources.register(replace(self, scan=partial(scan, self)))

    def wanted(self, request: Request) -> tuple[str, ...]:
        """Return the classes that were asked for: the first few, or all but the normal ones."""
        number = str(request.options.get("classes"))
        if number.isdecimal():
            return self.classes[: int(number)]
        dropped = "normal" if request.options.get("normal") == "drop" else None
        return tuple(label for label in self.classes if label != dropped)

    def locate(self, request: Request) -> Path:
        """Return the folder as the user named it, that of the table, or `<raw>/<name>`.

        Of those that archives put around the dataset it is the innermost.

        Raises:
            ConfigError: If a table was named that means nothing here.
            DataError: If there is none; says where to get the files and where to put them.
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
            wanted = f"the one that holds {self.layout}"
            raise DataError(f"no folder {folder}; give {wanted} with `--source DIR`")
        names = {name.casefold() for name in self.wrappers}
        for _ in range(DEEPEST if names else 0):
            inside = subfolders(folder)
            folder = next((inside[name] for name in sorted(names & inside.keys())), folder)
        return folder

    def refuse(self, root: Path, lacking: str = "images") -> DataError:
        """Return the error for a folder that is not this dataset's."""
        return DataError(
            f"no {lacking} in {root}, which should hold {self.layout}, but has: "
            f"{describe(root)}; give its folder with `--source DIR`"
        )


def rows() -> dict[str, Any]:
    """Return what `published.yaml` tells of the published datasets, by name."""
    return dict(read_own_yaml("sambench.data.sources", "published.yaml"))


def make_listing(
    root: Path,
    layout: str,
    wanted: Sequence[str],
    samples: Sequence[Sample],
    *,
    notes: Sequence[str] = (),
    **told: Any,
) -> Listing:
    """Return the listing of the samples of the classes that are wanted, in label order.

    Classes without images are noted, also in a part; images of other classes are accounted for.

    Raises:
        DataError: If fewer than two classes have images.
    """
    kept = tuple(sample for sample in samples if sample.label in wanted)
    labels = {sample.label for sample in kept}
    there = tuple(label for label in wanted if label in labels)
    absent = ", ".join(label for label in wanted if label not in labels)
    if len(there) < 2:
        raise DataError(
            f"images of {there[0] if there else 'no class'} alone in {root}, of which one cannot "
            f"learn to tell anything; add images of {absent or 'another class'}"
        )
    passed = {s.file: f"of class {s.label}, not wanted" for s in samples if s.label not in wanted}
    said = [f"no image of class {absent}"] if absent else []
    counted = Counter((sample.facts.get("part"), sample.label) for sample in kept)
    for part in sorted({str(part) for part, _ in counted if part}):
        if lacking := sorted(label for label in labels if not counted[part, label]):
            said.append(f"no image of class {', '.join(lacking)} in the part {part}")
    return Listing(
        root=root,
        layout=layout,
        classes=there,
        samples=kept,
        notes=(*said, *notes),
        **{"passed": passed, **told},
    )
