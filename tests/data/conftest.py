"""Fixtures for the datasets' adapters: little trees in the layouts that people have on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from PIL import Image

from sambench.data.source import Listing, Request, Setting, sources
from sambench.errors import UserError

Plant = Callable[..., Path]
Scan = Callable[..., Listing]
Refused = Callable[..., str]
Sheet = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write small grey images, a different one for each name; returns the tree's root."""

    def write(*files: str, root: str = "tree") -> Path:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for file in files:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = int.from_bytes(file.encode()[-12:])
            pixels = np.random.default_rng(seed).integers(0, 256, (12, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return folder

    return write


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """List a dataset as `prepare` would, with `raw` in the test's own folder."""

    def listing(
        name: str,
        folder: Path | None = None,
        table: Path | None = None,
        image_size: int | None = None,
        **options: Setting,
    ) -> Listing:
        source = sources.get(name)
        return source.scan(
            Request(
                folder=folder,
                table=table,
                raw=tmp_path / "raw",
                image_size=image_size,
                options=source.resolve(options),
            )
        )

    return listing


@pytest.fixture
def refused(scan: Scan) -> Refused:
    """List what must not be listed; returns the error's text."""

    def message(*arguments: object, **options: object) -> str:
        with pytest.raises(UserError) as caught:
            scan(*arguments, **options)
        return str(caught.value)

    return message


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    """Write a workbook whose one sheet has some title."""

    def write(path: Path, header: Sequence[str], *rows: Sequence[object]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        book = openpyxl.Workbook()
        page = book.active
        page.title = "clinical data"
        for row in (header, *rows):
            page.append(list(row))
        book.save(path)
        return path

    return write
