"""A published dataset as a row of facts, the place of its files, and the listing made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import msgspec

from sambench.data.download import Remote, fetch, unpack
from sambench.data.folders import NONE, describe, subfolders
from sambench.data.source import Listing, Request, Sample, Source
from sambench.errors import ConfigError, DataError
from sambench.files.yaml_text import read_own_yaml

DEEPEST = 4  # folders within folders that an archive may have wrapped around a dataset


@dataclass(frozen=True, kw_only=True)
class Family(Source):
    """A published dataset, how to tell its folder from others, and how to read it."""

    read: str  # function of this room that lists its images: "sources.class_folders.list_classes"
    layout: str  # what its folder should hold, in words
    asks: str = "--source DIR"
    image_size: int = 256
    wrappers: tuple[str, ...] = ()  # names of folders that archives put around it
    spellings: Mapping[str, str] = field(default_factory=dict)  # more lower-case class names
    masks: str = NONE  # pattern of the names, without suffix, of masks
    unique: bool = False  # whether names of files are, so that the folder is no part of an id
    takes_table: bool = False  # whether `--xlsx` means something
    downloads: tuple[Remote, ...] = ()  # the published files
    unpacked: tuple[str, ...] = ()  # the archives' folder; no need if it or another is there
    notes: tuple[str, ...] = ()  # what should be known of an archive
    # of one folder of images and a table of facts about them
    tables: tuple[str, ...] = ()  # patterns of its name, the likeliest first; "../" lies outside
    ids: tuple[str, ...] = ()  # what the column of the images may be called
    labels: tuple[str, ...] = ()  # what the column of the classes may be called
    facts: Mapping[str, str] = field(default_factory=dict)  # column of each; the patient's must be
    folder: str = ""  # name of the folder of the images, in lower case
    beside: bool = False  # whether the images may also lie beside the table
    numbered: bool = False  # whether ids are numbers, written with zeros in front or without

    def wanted(self, request: Request) -> tuple[str, ...]:
        """Return the classes that were asked for: the first few, or all but the normal ones."""
        number = str(request.options.get("classes"))
        if number.isdecimal():
            return self.classes[: int(number)]
        dropped = "normal" if request.options.get("normal") == "drop" else None
        return tuple(label for label in self.classes if label != dropped)

    def locate(self, request: Request) -> Path:
        """Return the folder as the user named it, that of the table, or `<raw>/<name>`.

        Of those that archives put around the dataset it is the innermost. Published files that are
        to be unpacked are fetched where the user names none and they are not there. `ConfigError`
        if a table was named that means nothing here; `DataError` if there is no folder, which says
        where to get the files and where to put them.
        """
        if request.table is not None and not self.takes_table:
            raise ConfigError(
                f"dataset {self.name!r} takes no workbook; leave out `--xlsx` and give its folder "
                "with `--source DIR`"
            )
        usual = request.raw / self.name
        there = any((usual / name).exists() for name in self.unpacked)
        if self.unpacked and not request.names_files and not there:
            for remote in self.downloads:
                path = fetch(remote, usual, request.progress)
                if path.suffix == ".zip":
                    unpack(path, usual / self.unpacked[0])
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
        names = {name.casefold() for name in self.wrappers}
        for _ in range(DEEPEST if names else 0):
            inside = subfolders(folder)
            folder = next((inside[name] for name in sorted(names & inside.keys())), folder)
        return folder

    def refuse(self, root: Path, lacking: str = "images", remedy: str = "") -> DataError:
        """Return the error for a folder that is not this dataset's."""
        return DataError(
            f"no {lacking} in {root}, which should hold {self.layout}, but has: "
            f"{describe(root)}; give its folder with `--source DIR`{remedy}"
        )


def rows() -> dict[str, Any]:
    """Return what `published.yaml` tells of the published datasets, by name."""
    return dict(read_own_yaml("sambench.data.sources", "published.yaml"))


def family_of(name: str, row: Mapping[str, Any]) -> Family:
    """Return the family that a row describes, which the function that it names reads."""

    def scan(request: Request) -> Listing:
        try:
            reader = resolve_name("sambench.data." + ":".join(family.read.rsplit(".", 1)))
        except (ImportError, AttributeError) as error:
            said = f"`read: {family.read}` of dataset {name!r} in published.yaml is no function"
            raise ConfigError(f"{said} ({error}); name one that is there") from error
        listing: Listing = reader(family, request)
        return listing

    counts = row.get("releases", ())
    releases = [dict.fromkeys(row["classes"], n["each"]) if "each" in n else n for n in counts]
    family = msgspec.convert({**row, "name": name, "scan": scan, "releases": releases}, Family)
    return family


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

    Classes without images are noted; images of other classes are accounted for.
    `DataError` if fewer than two classes have images.
    """
    kept = tuple(sample for sample in samples if sample.label in wanted)
    labels = {sample.label for sample in kept}
    there = tuple(label for label in wanted if label in labels)
    absent = ", ".join(label for label in wanted if label not in labels)
    if len(there) < 2:
        alone = ", of which one cannot learn to tell anything"
        found = f"images of {there[0]} alone in {root}{alone}" if there else f"no image in {root}"
        raise DataError(f"{found}; add images of {absent or 'another class'}")
    passed = {s.file: f"of class {s.label}, not wanted" for s in samples if s.label not in wanted}
    said = [f"no image of class {absent}"] if absent else []
    return Listing(
        root=root,
        layout=layout,
        classes=there,
        samples=kept,
        notes=(*said, *notes),
        passed=passed,
        **told,
    )
