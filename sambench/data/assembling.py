"""Puts a listing together: sources for training and for testing, pages, patients, the counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sambench.data.accounting import Account, names_that_cannot_be_kept, take_stock
from sambench.data.decoding import count_frames
from sambench.data.dicom import is_dicom, read_header
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Request, Sample, Source
from sambench.errors import ConfigError, did_you_mean

PAGED = frozenset({".tif", ".tiff", ".webp", ".png", ".dcm", ".dicom"})


def assemble(source: Source, request: Request) -> tuple[Listing, Account]:
    """Return the images that there are, page by page, and what became of every file.

    Raises:
        ConfigError: If one of two folders lies in the other.
        DataError: If the listing is at fault, classes of two folders differ, or names cannot be
            kept in a table of text.
    """
    listing, account = _one(source, replace(request, test=None))
    if request.test is not None:
        one, other = ((path or request.test).resolve() for path in (request.folder, request.test))
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise ConfigError(
                f"--test-source {request.test} needs a `--source DIR` beside it, and neither may "
                "lie in the other"
            )
        tested, more = _one(source, replace(request, folder=request.test, test=None))
        listing, account = _joined(listing, tested), _summed(account, more)
    problems = Problems()
    for name in names_that_cannot_be_kept(listing.samples):
        kind = f"names in {listing.root} with line breaks or bytes that are not UTF-8"
        problems.add(kind, f"'{name}'", "rename them")
    problems.check()
    return replace(listing, notes=(*listing.notes, *_shortfall(source, listing))), account


def _one(source: Source, request: Request) -> tuple[Listing, Account]:
    """List one folder, with the patients that DICOM files name and the pages that are wanted."""
    listing = source.scan(request)
    samples = tuple(_paged(listing.samples, every=request.options.get("pages") == "all"))
    known = any(sample.facts.get("patient") is not None for sample in samples)
    columns = tuple(dict.fromkeys((*listing.columns, *(["patient"] if known else []))))
    top = request.folder
    inside = top is not None and top.is_dir() and listing.root.is_relative_to(top)
    stock = take_stock(
        replace(listing, samples=samples), top if top is not None and inside else listing.root
    )
    return replace(listing, samples=samples, columns=columns), stock


def _joined(trained: Listing, tested: Listing) -> Listing:
    """Return both, of the same classes, as one; validation images of the first stay such."""
    spelled = {label.casefold(): label for label in trained.classes}
    problems = Problems()
    for label in tested.classes:
        if label.casefold() not in spelled:
            kind = f"classes in {tested.root} that are not in {trained.root}"
            near = did_you_mean(label, trained.classes)
            problems.add(kind, f"{label}{near}", "rename them, or add images to train on")
    problems.check()
    root = Path(os.path.commonpath([trained.root.absolute(), tested.root.absolute()]))
    samples: list[Sample] = []
    checksums: dict[str, str] = {}
    for part, listing in (("train", trained), ("test", tested)):
        place = listing.root.absolute().relative_to(root)
        checksums |= {f"{part}/{name}": sha256 for name, sha256 in listing.checksums.items()}
        for sample in listing.samples:
            kept = sample.facts.get("part") == "validation" and part == "train"
            samples.append(
                replace(
                    sample,
                    id=f"{part}/{sample.id}",
                    file=(place / sample.file).as_posix(),
                    label=spelled[sample.label.casefold()],
                    facts={**sample.facts, "part": "validation" if kept else part},
                )
            )
    there = {spelled[sample.label.casefold()] for sample in tested.samples}
    lacking = ", ".join(label for label in trained.classes if label not in there)
    notes = dict.fromkeys((*trained.notes, *tested.notes))
    return Listing(
        root=root,
        layout=f"{trained.layout} for training, {tested.layout} for testing",
        classes=trained.classes,
        samples=tuple(samples),
        columns=tuple(dict.fromkeys(("part", *trained.columns, *tested.columns))),
        notes=(*notes, *([f"no image of class {lacking} to test on"] if lacking else [])),
        checksums=checksums,
        missing=(*trained.missing, *tested.missing),
    )


def _summed(one: Account, other: Account) -> Account:
    reasons = dict.fromkeys((*one.passed, *other.passed))
    return Account(
        found=one.found + other.found,
        images=one.images + other.images,
        tables=(*one.tables, *other.tables),
        passed={r: [*one.passed.get(r, ()), *other.passed.get(r, ())] for r in reasons},
        empty=(*one.empty, *other.empty),
    )


def _paged(samples: tuple[Sample, ...], *, every: bool) -> Iterator[Sample]:
    """Yield a sample for each page that is wanted.

    The pages of a file stay together in splits: where no patient is known, the file is the group.
    """
    for sample in samples:
        if sample.pixels is not None or sample.path.suffix.lower() not in PAGED:
            yield sample
            continue
        facts = dict(sample.facts)
        if is_dicom(sample.path) and facts.get("patient") is None:
            patient, _ = read_header(sample.path)
            facts.update({"patient": patient} if patient else {})
        frames = count_frames(sample.path) if every else 1
        if frames == 1:
            yield replace(sample, facts=facts) if facts != sample.facts else sample
            continue
        facts["patient"] = facts.get("patient") or sample.id
        for page in range(frames):
            id, file = (f"{name}#{page + 1}" for name in (sample.id, sample.file))
            yield replace(sample, id=id, file=file, facts=facts, page=page)


def _shortfall(source: Source, listing: Listing) -> Iterator[str]:
    """Yield a note if the images are not as many as in any release of the dataset.

    Of a release counts what it has of the classes that were asked for.
    """
    there: Counter[str] = Counter({"all": len(listing.samples)})
    there.update(sample.label for sample in listing.samples)
    there.update(str(sample.facts["part"]) for sample in listing.samples if "part" in sample.facts)
    left_out = set(source.classes) - set(listing.classes)
    wanted = [
        {key: number for key, number in release.items() if key not in left_out}
        for release in source.releases
    ]
    if wanted and not any(all(there[k] == n for k, n in one.items()) for one in wanted):
        nearest = min(wanted, key=lambda one: abs(sum(one.values()) - len(listing.samples)))
        counts = some([f"{key} {number:,}" for key, number in nearest.items()])
        yield (
            f"{len(listing.samples):,} of {sum(nearest.values()):,} images of the release"
            f"{'' if list(nearest) == ['all'] else f' ({counts})'}: is it complete, and is it this "
            "dataset?"
        )
