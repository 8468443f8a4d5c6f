"""What people's disks hold: each fault is answered with the name of the file, all at once."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sambench.data.preparation import Preparation, prepare
from sambench.data.source import Request, sources
from sambench.errors import DataError, StoreError

SIZE = 16
GREY = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def with_files(plant, tmp_path):
    """Prepare a folder of two classes to which files were added."""

    def run(*makers: Callable[[Path], object], **options) -> Preparation:
        root = plant("a/good.png", "b/good.png")
        for make in makers:
            make(root / "a")
        source = sources.get("folder")
        request = Request(folder=root, options=source.resolve({}))
        return prepare(source, request, tmp_path / "prepared", SIZE, **options)

    return run


def truncated(folder: Path) -> None:
    path = folder / "truncated.png"
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:-200])


def huge(folder: Path) -> None:
    """A PNG of 20,000 x 20,000: a header, and no pixels that could be decoded."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, data)
    )
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def text(folder: Path) -> None:
    (folder / "text.jpg").write_text("not an image")


def empty(folder: Path) -> None:
    (folder / "empty.bmp").touch()


def deep(folder: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 257).save(folder / "new.png")


def transparent(folder: Path) -> None:
    image = Image.fromarray(RGB)
    image.putalpha(Image.fromarray(GREY))
    image.save(folder / "new.png")


def palette(folder: Path) -> None:
    Image.fromarray(GREY // 64 * 64).convert("P").save(folder / "new.png")


def program(folder: Path) -> None:
    """PostScript, which Pillow would have Ghostscript run, under the name of an image."""
    Image.fromarray(RGB).save(folder / "program.eps")
    (folder / "program.eps").rename(folder / "program.png")


def cmyk(folder: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(folder / "new.jpg", quality=100, subsampling=0)


def turned(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(GREY).rotate(180).save(folder / "new.png", exif=exif)


@pytest.mark.parametrize(
    ("make", "expected", "off"),
    [
        (deep, GREY, 0),
        (transparent, RGB, 0),
        (palette, GREY // 64 * 64, 0),
        (cmyk, RGB, 24),  # JPEG is lossy, and most so on noise
        (turned, GREY, 0),
    ],
)
def test_unusual_images_are_read_right(with_files, make, expected, off):
    prepared = with_files(make).prepared
    pixels = prepared.images[prepared.ids.index("a/new")].astype(int)
    wanted = expected[..., np.newaxis] if expected.ndim == 2 else expected
    assert abs(pixels - wanted).max() <= off


def test_unusable_images_are_named_with_their_reasons(with_files):
    with pytest.raises(DataError) as caught:
        with_files(truncated, huge, text, empty, program)
    message = str(caught.value)
    for part in (
        "a/empty.bmp is empty",
        "a/program.png is not an image",
        "a/huge.png has more than 100 megapixels",
        "a/text.jpg is not an image",
        "a/truncated.png is damaged: ",
        "; restore the files or leave these images out with `--skip-unreadable`",
    ):
        assert part in message


def test_on_request_they_are_left_out_and_recorded(with_files):
    prepared = with_files(truncated, huge, skip_unreadable=True).prepared
    assert prepared.ids == ("a/good", "b/good")
    assert [image["file"] for image in prepared.manifest["skipped"]] == [
        "a/huge.png",
        "a/truncated.png",
    ]


def test_images_that_git_lfs_has_not_fetched_are_no_unreadable_ones(with_files):
    def pointer(folder: Path) -> None:
        (folder / "x.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    for skip in (False, True):
        with pytest.raises(StoreError, match=r"a/x\.png is a git-lfs pointer in place of the file"):
            with_files(pointer, skip_unreadable=skip)


def test_a_huge_image_is_not_decoded(with_files, monkeypatch):
    prepare_to_load = PngImageFile.load_prepare

    def load_prepare(self):
        assert self.width < 20_000, "the pixels were asked for"
        prepare_to_load(self)

    monkeypatch.setattr(PngImageFile, "load_prepare", load_prepare)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DataError, match=r"a/huge\.png has more than"):
        with_files(huge)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("pages", ["first", "all"])
def test_a_pipe_is_not_waited_for(plant, tmp_path, pages):
    root = plant("a/good.png", "b/good.png")
    os.mkfifo(root / "a" / "pipe.png")
    source = sources.get("folder")
    request = Request(folder=root, options=source.resolve({"pages": pages}))
    with pytest.raises(DataError, match=r"a/pipe\.png cannot be read: it is a pipe, a socket or"):
        prepare(source, request, tmp_path / "prepared", SIZE)


def test_a_pipe_of_the_name_of_a_table_is_not_waited_for(plant, tmp_path):
    root = plant("1.png", "2.png", "b/3.png")
    (root / "t.csv").write_text("file,label\n1.png,p\n2.png,q\n")
    os.mkfifo(root / "b" / "t.csv")
    source = sources.get("folder")
    request = Request(folder=root, table=root / "t.csv", options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "prepared", SIZE).prepared
    assert prepared.manifest["account"]["passed"][".csv"] == ["b/t.csv"]
