"""Puts a listing together: sources for training and for testing, pages, patients, the counts.

Every file is accounted for: files found = images + tables + files named with the reason. Their
count is taken from the disk, not from what a source looked at, so nothing that a source passes over
can go missing without a word.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from sambench.data.decoding import is_dicom, read_header
from sambench.data.download import digest
from sambench.data.family import make_listing
from sambench.data.folders import SUFFIXES, printable, same_name, unseparated
from sambench.data.manifest import Account
from sambench.data.prepared import FIXED_COLUMNS
from sambench.data.source import PARTS, Listing, Request, Sample, Source
from sambench.data.tables import text_of
from sambench.errors import SET_UTF8, ConfigError, DataError, did_you_mean, some
from sambench.files.checksums import sha256_of


def assemble(source: Source, request: Request) -> tuple[Listing, Account]:
    """Return the images that there are, page by page, and what became of every file.

    `ConfigError` if one of two folders lies in the other; `DataError` if the listing is at fault,
    classes of two folders differ, a patient or centre seems to be written in several ways, or names
    cannot be kept in a table of text.
    """
    patients: dict[str, str] = {}  # as they are spelled first, by `same_name`
    listing = _one(source, request, patients)
    places = [(listing, request.folder)]
    if request.test is not None:
        one, other = ((path or request.test).resolve() for path in (request.folder, request.test))
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise ConfigError(
                f"--test-source {request.test} needs a `--source DIR` beside it, and neither may "
                "lie in the other"
            )
        tested = _one(source, replace(request, folder=request.test), patients)
        places.append((tested, request.test))
        listing = _joined(listing, tested)
    if request.options.get("similar") == "refuse":
        centres = {str(c) for s in listing.samples if (c := s.facts.get("centre"))}
        _ask_about(patients.values(), listing.root, "patients", "who differ in")
        _ask_about(sorted(centres), listing.root, "centres", "that differ in case,")
    texts = (t for s in listing.samples for t in (s.id, s.file, s.label, *s.facts.values()))
    named = {t for t in texts if isinstance(t, str)}
    if strange := [t for t in named if printable(t) != t or (SET_UTF8 and not t.isascii())]:
        shown = sorted(f"'{printable(t)}'" for t in strange)
        raise DataError(
            f"names in {listing.root} with line breaks, hidden characters or bytes that are "
            f"not UTF-8: {some(shown)}; {SET_UTF8 or 'rename them'}"
        )
    notes = (*listing.notes, *_shortfall(source, listing))
    return replace(listing, notes=notes), take_stock(*places)


def _one(source: Source, request: Request, patients: dict[str, str]) -> Listing:
    """List one folder: a sample for each page that is wanted, with the patient of a DICOM file.

    The pages of a file stay together in splits: where no patient is known, the file is the group.
    A patient is spelled as in `patients`, to which new ones are added; of one whom only DICOM files
    name, that is a hash of the id.
    """
    listing, every = source.scan(request), request.options.get("pages") == "all"
    for fault in _faults(listing) if isinstance(listing, Listing) else ("is no Listing",):
        raise DataError(f"what the scan of dataset {source.name!r} returns {fault}; mend it")
    shipped = str(getattr(source.scan, "__module__", "")).startswith("sambench.")
    # others may list images in the order of a folder or a set, which is another one each time
    listed = listing.samples if shipped else sorted(listing.samples, key=lambda s: s.path)
    # without a header an image has no patient and one page
    headers: dict[Path, tuple[str | None, int]] = {s.path: (None, 1) for s in listed}
    files = (s.path for s in listed if s.pixels is None and (every or is_dicom(s.path)))
    headers |= {path: read_header(path) for path in files}
    # whom a header and, of some images alone, the source name is one patient in the others too
    named = {
        same_name(id): patient
        for s in listed
        if (id := headers[s.path][0]) and (patient := text_of(s.facts.get("patient")))
    }
    samples: list[Sample] = []
    for sample in listed:
        told, frames = headers[sample.path]
        written = text_of(sample.facts.get("patient")) or named.get(same_name(told or ""))
        kept = written or (told and f"patient-{sha256_of(told.encode())[:12]}")
        patient = kept and patients.setdefault(same_name(written or told or ""), kept)
        several = every and frames > 1
        patient = patient or (sample.id if several else None)
        facts = {**sample.facts, "patient": patient} if patient else sample.facts
        if not several:
            samples.append(replace(sample, facts=facts) if facts != sample.facts else sample)
        for page in range(frames if several else 0):
            id, file = (f"{name}#{page + 1}" for name in (sample.id, sample.file))
            samples.append(replace(sample, id=id, file=file, facts=facts, page=page))
    return replace(listing, samples=tuple(samples))


def _faults(listing: Listing) -> Iterator[str]:
    """Yield why what a scan of one's own lists cannot be prepared."""
    classes, seen = listing.classes, set[str]()
    if not 1 < len({name for name in classes if name and isinstance(name, str)}) == len(classes):
        yield f"has the classes {classes}, not two or more different names"
    for sample in listing.samples:
        id, pixels, facts = sample.id, sample.pixels, sample.facts
        if id in seen:
            yield f"has two images of the id {id}"
        if sample.label not in classes:
            yield f"has the label {sample.label!r} of {id}, which is none of {classes}"
        shape = getattr(pixels, "shape", ())
        flawed = len(shape) < 2 or 0 in shape or shape[2:] not in ((), (3,))
        if pixels is not None and (flawed or pixels.dtype != "uint8"):
            kind = getattr(pixels, "dtype", f"in a {type(pixels).__name__}")
            yield f"has pixels {kind} {shape} of {id}, not uint8 (H, W) or (H, W, 3)"
        if facts.get("part") not in (None, *PARTS):
            yield f"has the part {facts['part']!r} of {id}, which is none of {PARTS}"
        if type(facts.get("fold")) not in (int, type(None)):  # a truth value is an int, too
            yield f"has the fold {facts['fold']!r} of {id}, which is no whole number"
        for name, fact in facts.items():
            if name in FIXED_COLUMNS:
                yield f"has the fact {name!r} of {id}, a name that a column of every set has"
            if not isinstance(fact, str | int | float | None) or str(fact) == "nan":
                yield f"has the {name} {fact!r} of {id}, not a text, a number of Python or None"
        seen.add(id)
    if not seen:
        yield "has no image"


def _joined(trained: Listing, tested: Listing) -> Listing:
    """Return both, of the same classes, as one; validation images of the first stay such."""
    spelled = {same_name(label): label for label in trained.classes}
    if alone := [label for label in tested.classes if same_name(label) not in spelled]:
        named = some([f"{label}{did_you_mean(label, trained.classes)}" for label in alone])
        raise DataError(
            f"classes in {tested.root} that are not in {trained.root}: {named}; rename them, or "
            "add images to train on"
        )
    root = Path(os.path.commonpath([trained.root.absolute(), tested.root.absolute()]))
    missing, other = trained.missing, tested.missing
    one_table = trained.checksums == tested.checksums != {}  # each row is of one of the folders
    missing = tuple(id for id in missing if id in other) if one_table else missing + other
    samples: list[Sample] = []
    checksums: dict[str, str] = {}
    apart = sum(sample.facts.get("part") == "test" for sample in trained.samples)
    told = f"images that {trained.root} sets apart for testing are in the training part: {apart:,}"
    told += "; the test part is that of `--test-source` alone"
    for part, listing in (("train", trained), ("test", tested)):
        place = listing.root.absolute().relative_to(root)
        checksums |= {f"{part}/{name}": sha256 for name, sha256 in listing.checksums.items()}
        for sample in listing.samples:
            kept = sample.facts.get("part") == "validation" and part == "train"
            theirs = {"part": "validation" if kept else part}
            samples.append(
                replace(
                    sample,
                    id=f"{part}/{sample.id}",
                    file=(place / sample.file).as_posix(),
                    label=spelled[same_name(sample.label)],
                    facts=theirs | {**sample.facts, **theirs},
                )
            )
    return make_listing(
        root,
        f"{trained.layout} for training, {tested.layout} for testing",
        trained.classes,
        samples,
        notes=(*dict.fromkeys((*trained.notes, *tested.notes)), *([told] if apart else [])),
        checksums=checksums,
        missing=missing,
    )


def _ask_about(names: Iterable[str], root: Path, what: str, differing: str) -> None:
    """Refuse names that are probably of one: different in case, zeros or separators alone."""
    bare: dict[str, list[str]] = {}
    for name in names:
        bare.setdefault(unseparated(name), []).append(name)
    if alike := [" and ".join(map(repr, ids)) for ids in bare.values() if len(ids) > 1]:
        raise DataError(
            f"{what} of {root} {differing} zeros or separators alone: {some(alike)}; "
            f"write each in one way, or `--set similar=keep` if they are different {what}"
        )


def _shortfall(source: Source, listing: Listing) -> Iterator[str]:
    """Yield a note if no release has as many images of the classes that were asked for."""
    there = Counter(str(k) for s in listing.samples for k in ("all", s.label, s.facts.get("part")))
    left_out = set(source.classes) - set(listing.classes)
    wanted = [{k: n for k, n in one.items() if k not in left_out} for one in source.releases]
    if wanted and not any(all(there[k] == n for k, n in one.items()) for one in wanted):
        nearest = min(wanted, key=lambda one: abs(sum(one.values()) - len(listing.samples)))
        counts = some([f"{key} {number:,}" for key, number in nearest.items()])
        yield (
            f"{len(listing.samples):,} of {sum(nearest.values()):,} images of the release"
            f"{'' if list(nearest) == ['all'] else f' ({counts})'}: is it complete, and is it this "
            "dataset?"
        )


def take_stock(*places: tuple[Listing, Path | None]) -> Account:
    """Account for all files below each listing's folder, or the one around it that was named."""
    number = 0
    empty: list[str] = []
    tables: list[str] = []
    passed: dict[str, list[str]] = {}
    for listing, named in places:
        if any(sample.pixels is not None for sample in listing.samples):
            number += len(listing.samples)
            continue
        top = named if named and listing.root.is_relative_to(named) else listing.root
        root, base = listing.root.absolute(), str(top.absolute())
        images = {str(sample.path.absolute()) for sample in listing.samples}
        number += len(images)
        said = {str(root / file): reason for file, reason in listing.passed.items()}
        folders = {path.rpartition("/")[0] for path in (*images, *said)}
        for path in _walk(base, empty):
            file = Path(path.removeprefix(f"{base}/"))
            if path in images:
                continue
            told = listing.checksums.get(file.name)  # another file may have the name of a table
            if told and Path(path).is_file() and digest(Path(path)) == told:
                tables.append(printable(str(file)))
                continue
            unlisted = listing.unlisted if path.rpartition("/")[0] in folders else ""
            closed = f"folder that cannot be opened: {file}/" if path.endswith("/") else ""
            reason = closed or said.get(path) or _reason(file, unlisted)
            passed.setdefault(reason, []).append(printable(str(file)))
    commonest = sorted(passed.items(), key=lambda item: (-len(item[1]), item[0]))
    return Account(
        found=number + len(tables) + sum(map(len, passed.values())),
        images=number,
        tables=tuple(sorted(tables)),
        passed={reason: sorted(files) for reason, files in commonest},
        empty=tuple(sorted(empty)),
    )


def _walk(folder: str, empty: list[str]) -> Iterator[str]:
    """Yield all files below a folder, each link to a folder once; tell folders without any.

    Folders that may not be opened are yielded with a slash behind.
    """
    seen: set[Path] = set()
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        real = Path(here).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        if not folders and not files and here != folder:
            empty.append(f"{printable(here.removeprefix(f'{folder}/'))}/")
        yield from (f"{here}/{file}" for file in files)
    yield from (f"{error.filename}/" for error in closed)


def _reason(file: Path, unlisted: str) -> str:
    if any(part.startswith(".") or part == "__MACOSX" for part in file.parts):
        return "hidden"
    if file.suffix.lower() not in SUFFIXES:
        return printable(file.suffix.lower()) or "without suffix"
    folder = file.parent.as_posix()
    return unlisted or ("beside the folders" if folder == "." else f"in {printable(folder)}/")
