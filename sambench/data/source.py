"""What a dataset family tells about the images on somebody's disk, before any is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sambench.errors import ConfigError, did_you_mean
from sambench.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fact = str | int | None
Setting = bool | int | float | str
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) while files or images are worked through."""

PARTS = ("train", "validation", "test")
"""Values of the fact "part": what the authors of a release meant an image for."""

NO_FACTS: Mapping[str, Fact] = MappingProxyType({})
"""One for all samples without facts, of which there may be very many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One image on disk; `pixels` (H, W) or (H, W, 3) only where an archive holds many.

    Facts are what else the source says of it, by column: "patient" keeps images together in splits,
    "part" is one of `PARTS`, "fold" an integer; centre, reader grades ...
    """

    id: str  # unique in the dataset, e.g. "benign(0)"
    path: Path  # the image file, or the archive that holds it with others
    file: str  # the same, relative to the listing's root, with forward slashes
    label: str  # class name; "" while only a table can tell it
    facts: Mapping[str, Fact] = field(default_factory=lambda: NO_FACTS)
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    page: int = 0  # which page or frame of the file, from 0


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The images of one dataset as found on disk."""

    root: Path  # folder that the samples' `file` is relative to
    layout: str  # one phrase that names it, e.g. "GDPH/ and SYSUCC/ beside a workbook"
    classes: tuple[str, ...]  # in label order
    samples: tuple[Sample, ...]  # in a fixed order that does not depend on the file system
    notes: tuple[str, ...] = ()  # oddities that were kept and should be known, one sentence each
    checksums: Mapping[str, str] = field(default_factory=dict)  # sha256 of each workbook or CSV
    missing: tuple[str, ...] = ()  # ids that are listed but have no image file
    passed: Mapping[str, str] = field(default_factory=dict)  # why a file is not read, where known
    unlisted: str = ""  # what all other images beside those that are read are, e.g. "masks"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the facts, in the order of `samples.csv`."""
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.facts))


@dataclass(frozen=True, kw_only=True, slots=True)  # msgspec writes the defaults of slots as well
class Option:
    """A setting of one source; the default's type is its own, unless there are choices."""

    default: Setting
    minimum: int | float = -math.inf
    maximum: int | float = math.inf
    choices: tuple[Setting, ...] = ()
    help: str

    def read(self, value: Setting | None, what: str) -> Setting:
        """Return the value in the setting's type, or a `ConfigError` that calls both `what`."""
        if self.choices:
            spelled = {str(choice).casefold(): choice for choice in self.choices}
            if str(value).casefold() not in spelled:
                raise ConfigError(
                    f"{what} is not allowed{did_you_mean(str(value), spelled)}; "
                    f"allowed: {', '.join(map(str, self.choices))}"
                )
            return spelled[str(value).casefold()]
        if isinstance(self.default, str):
            return "" if value is None else str(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{what} is not allowed; allowed: a number")
        if not self.minimum <= value <= self.maximum:
            raise ConfigError(f"{what} is outside {self.minimum:g}..{self.maximum:g}")
        if isinstance(self.default, int) and value != int(value):
            raise ConfigError(f"{what} must be a whole number")
        return int(value) if isinstance(self.default, int) else value


FITS = {
    "squash": "to a square whatever the aspect ratio",
    "letterbox": "to a square with the aspect ratio kept and black bars",
    "crop": "to a square with the aspect ratio kept, cropped about the centre",
}
COMMON = {
    "fit": Option(default="squash", choices=tuple(FITS), help="how images become square"),
    "depth": Option(
        default="auto",
        choices=("auto", 8, 10, 12, 14, 16),
        help="bits of grey in 16-bit images; auto: as many as the set uses. 16-bit colour needs 16",
    ),
    "pages": Option(
        default="first", choices=("first", "all"), help="of files with several pages or frames"
    ),
}
"""The settings that every dataset has."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked `prepare` for; the options are complete (see `Source.resolve`)."""

    table: Path | None = None  # workbook or CSV that lists the images, if one was named
    folder: Path | None = None  # that holds the images, if one was named
    test: Path | None = None  # another one, whose images are the test part
    raw: Path = Path("data/raw")  # where a source that makes or downloads images puts them
    options: Mapping[str, Setting] = field(default_factory=dict)
    image_size: int | None = None  # side to be prepared at, for a source that has several
    progress: Progress = lambda done, total, what: None  # while a source makes or reads files

    @property
    def names_files(self) -> bool:
        """Whether the user says where the files are."""
        return self.table is not None or self.folder is not None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A dataset family: registry entry of `sambench list datasets`.

    `scan` finds the images on disk (or makes them) and returns the listing. It raises `DataError`
    for files that are missing, damaged or at fault, all that are at once; `ConfigError` for what
    cannot be asked of it; `StoreError` where the disk refuses what it makes.
    """

    name: str  # as on the command line
    summary: str  # one line: what it is and how many images
    scan: Callable[[Request], Listing]
    image_size: int  # side in pixels that `prepare` uses unless told otherwise
    classes: tuple[str, ...] = ()  # in label order; none where the user's files tell
    options: Mapping[str, Option] = field(default_factory=dict)  # of this source alone
    asks: str = ""  # what `prepare` must be told of it, as it is typed
    obtain: str = ""  # where it comes from: what is downloaded, or what the user does by hand
    reference: str = ""  # the paper or data release to cite
    licence: str = ""  # what the release says about use
    releases: tuple[Mapping[str, int], ...] = ()  # images of each class or part, or of "all"
    simulated: bool = False  # made on the spot, so a run that asks for them may make them

    def resolve(self, given: Mapping[str, Setting | None]) -> dict[str, Setting]:
        """Complete options by defaults; `ConfigError` if one is unknown or its value is wrong."""
        read, options = {}, {**self.options, **COMMON}
        for name, value in given.items():
            if name not in options:
                raise ConfigError(
                    f"dataset {self.name!r} has no option {name!r}"
                    f"{did_you_mean(name, options)}; its options: {', '.join(options)}"
                )
            what = f"option {name}={value} of dataset {self.name!r}"
            read[name] = options[name].read(value, what)
        return {name: read.get(name, option.default) for name, option in options.items()}


sources: Registry[Source] = Registry("dataset", "sambench.data.sources")


def source_of(dataset: str) -> Source:
    """Return the source of a dataset; a name of one's own was given to one's own images."""
    known = {source.name: source for source in sources.list()}
    return known.get(dataset) or known["folder"]


def default_size(dataset: str) -> int:
    """Return the side in pixels of a dataset's images unless told otherwise.

    It is a fact of the dataset, not of what happens to be prepared: what a suite means must not
    change with the files that lie around.
    """
    return source_of(dataset).image_size
