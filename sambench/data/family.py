"""A published dataset as a row of facts, the place of its files, and the listing made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sambench.data.folders import describe, subfolders
from sambench.data.source import Listing, Option, Request, Sample, Source, sources
from sambench.errors import ConfigError, DataError

DEEPEST = 4
"""Folders within folders that an archive may have wrapped around a dataset."""

NORMAL = Option(default="keep", choices=("keep", "drop"), help="images without a lesion")
Kind = TypeVar("Kind", bound="Family")


@dataclass(frozen=True, kw_only=True)
class Family:
    """What there is to know of a dataset besides how to read it; most fields are a `Source`'s."""

    name: str
    summary: str
    obtain: str  # where it comes from, for a sentence that goes on after a colon
    layout: str  # what its folder should hold, in words
    reference: str
    licence: str
    classes: tuple[str, ...] = ()
    image_size: int = 256
    releases: tuple[Mapping[str, int], ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    wrappers: Sequence[str] = ()  # names of folders that archives put around it
    takes_table: bool = False  # whether `--xlsx` means something

    def register(self: Kind, scan: Callable[[Kind, Request], Listing]) -> Kind:
        """Make it an entry of `sources` that is read by `scan`."""
        names = {one.name for one in fields(Source)} & {one.name for one in fields(Family)}
        facts: dict[str, Any] = {name: getattr(self, name) for name in names}
        sources.register(Source(scan=partial(scan, self), **facts))
        return self

    def wanted(self, request: Request) -> tuple[str, ...]:
        """Return the classes that were asked for: the first few, or all but the normal ones."""
        number = str(request.options.get("classes"))
        if number.isdecimal():
            return self.classes[: int(number)]
        dropped = "normal" if request.options.get("normal") == "drop" else None
        return tuple(label for label in self.classes if label != dropped)

    def locate(self, request: Request) -> Path:
        """Return the innermost folder of the dataset, within those that archives put around it.

        Raises:
            ConfigError: If a table was named that means nothing here.
            DataError: If there is none; says where to get the files and where to put them.
        """
        folder = self.given(request)
        names = {name.casefold() for name in self.wrappers}
        for _ in range(DEEPEST):
            inside = subfolders(folder)
            wrapper = next((inside[name] for name in sorted(names & inside.keys())), None)
            if wrapper is None:
                break
            folder = wrapper
        return folder

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

    def refuse(self, root: Path, lacking: str = "images") -> DataError:
        """Return the error for a folder that is not this dataset's."""
        return DataError(
            f"no {lacking} in {root}, which should hold {self.layout}, but has: "
            f"{describe(root)}; give its folder with `--source DIR`"
        )


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
