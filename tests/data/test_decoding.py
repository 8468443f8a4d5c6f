from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench.data.decoding import Recipe, UnreadableError, _resized, bits_for, decode

BILINEAR = Image.Resampling.BILINEAR
GREY = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_colour_is_what_pillow_resizes_it_to(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    image = decode(path, 16)
    assert np.array_equal(image.pixels, Image.fromarray(RGB).resize((16, 16), BILINEAR))
    assert (image.width, image.height) == (40, 30)
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_grey_in_any_mode_has_one_channel(tmp_path, mode):
    grey = Image.fromarray(GREY)
    if mode == "P":
        grey = grey.copy()
        grey.putpalette([value for value in range(256) for _ in "rgb"])
    else:
        grey = grey.convert(mode)
    pixels = decode(saved(tmp_path, grey), 16).pixels
    assert pixels.shape == (16, 16, 1)
    assert np.array_equal(pixels[..., 0], Image.fromarray(GREY).resize((16, 16), BILINEAR))


@pytest.mark.parametrize("fit", ["squash", "letterbox", "crop"])
def test_equal_channels_come_out_as_resizing_all_three_does(tmp_path, fit):
    path = saved(tmp_path, Image.fromarray(np.stack([GREY] * 3, axis=-1)))
    red, green, blue = np.moveaxis(np.asarray(_resized(Image.open(path), 16, fit)), 2, 0)
    assert (red == green).all() and (green == blue).all()
    assert np.array_equal(decode(path, 16, Recipe(fit=fit)).pixels[..., 0], red)


def test_channels_that_are_equal_only_once_resized_are_grey(tmp_path):
    odd = np.full((64, 64, 3), 100, np.uint8)
    odd[5, 5] = (100, 101, 100)
    pixels = decode(saved(tmp_path, Image.fromarray(odd)), 8).pixels
    assert pixels.shape == (8, 8, 1) and (pixels == 100).all()


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_colour_in_any_mode_has_three_channels(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    pixels = decode(saved(tmp_path, image, "a.tif"), 16).pixels
    assert np.array_equal(pixels, image.convert("RGB").resize((16, 16), BILINEAR))


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency(tmp_path):
    image = Image.fromarray(RGB).convert("P")
    path = saved(tmp_path, image, transparency=bytes(range(256)))
    assert decode(path, 8).pixels.shape == (8, 8, 3)


def test_a_bilevel_image(tmp_path):
    image = Image.fromarray(GREY).convert("1")
    assert decode(saved(tmp_path, image), 8).pixels.shape == (8, 8, 1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled(tmp_path, name):
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    path = saved(tmp_path, deep, name)
    assert decode(path, 40) == int(GREY.max()) * 257
    pixels = decode(path, 40, Recipe(depth=16)).pixels[..., 0].astype(int)
    eight = np.asarray(Image.fromarray(GREY).resize((40, 40), BILINEAR)).astype(int)
    assert abs(pixels - eight).max() <= 1
    assert pixels.max() > 200


def test_white_is_zero_in_a_tiff(tmp_path):
    """Pillow turns 8 bits round, but not 16."""
    eight = np.asarray(Image.fromarray(GREY).resize((40, 40), BILINEAR))
    path = saved(tmp_path, Image.fromarray(GREY), "8.tif", tiffinfo={262: 0})
    assert np.array_equal(decode(path, 40).pixels[..., 0], eight)
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.uint16)), "16.tif", tiffinfo={262: 0})
    with pytest.raises(UnreadableError, match="more than 8 bits and 0 as white: save it with 0"):
        decode(path, 40)


@pytest.mark.parametrize("depth", [10, 12, 14])
def test_fewer_bits_than_the_file_has_are_scaled_by_their_own_range(tmp_path, depth):
    white = (1 << depth) - 1
    path = saved(tmp_path, Image.fromarray((GREY.astype(np.uint32) * white // 255).astype("u2")))
    peak = decode(path, 40)
    assert bits_for(peak) == depth
    pixels = decode(path, 40, Recipe(depth=depth)).pixels[..., 0].astype(int)
    eight = np.asarray(Image.fromarray(GREY).resize((40, 40), BILINEAR)).astype(int)
    assert abs(pixels - eight).max() <= 1
    with pytest.raises(UnreadableError, match=f"has a pixel of {peak}, beyond depth=8"):
        decode(path, 40, Recipe(depth=8))


def sixteen_bit_png(path: Path, pixels: np.ndarray) -> Path:
    """Write (H, W, 2 or 3) uint16 as grey with alpha or colour, which Pillow does not write."""
    height, width, channels = pixels.shape
    kind = {2: 4, 3: 2}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        whole += struct.pack(">I", len(data)) + name + data
        whole += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(whole)
    return path


def sixteen_bit_tiff(path: Path, pixels: np.ndarray) -> Path:
    """Write (H, W, 3) uint16 uncompressed."""
    height, width, channels = pixels.shape
    data = pixels.astype("<u2").tobytes()
    bits = struct.pack("<HHH", 16, 16, 16)
    tags = [
        *((256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, 14), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(data))),
    ]
    table = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = struct.pack("<2sHI", b"II", 42, 14 + len(data)) + bits
    path.write_bytes(start + data + struct.pack("<H", len(tags)) + table + bytes(4))
    return path


@pytest.mark.parametrize("kind", ["grey and alpha", "colour", "colour tiff"])
def test_sixteen_bit_colour_that_uses_fewer_is_refused(tmp_path, kind):
    """Pillow reads its upper 8 bits: of 12 bits 4 would be left, and an almost black image."""
    write = sixteen_bit_tiff if kind == "colour tiff" else sixteen_bit_png
    seen = RGB
    if kind == "grey and alpha":
        seen = np.dstack([RGB[..., 0], np.full_like(RGB[..., 0], 255)])
    whole = write(tmp_path / "whole", seen.astype("u2") * 257)
    assert decode(whole, 16) == 65535
    eight = Image.fromarray(seen[..., 0] if kind == "grey and alpha" else seen)
    pixels = decode(whole, 16, Recipe(depth=16)).pixels
    assert np.array_equal(pixels.squeeze(), np.asarray(eight.resize((16, 16), BILINEAR)))
    part = seen.astype("u2") * 16
    if kind == "grey and alpha":
        part[..., 1] = 65535
    dark = write(tmp_path / "dark", part)
    assert decode(dark, 16) == 4095
    with pytest.raises(UnreadableError, match="uses 12 of its 16 bits a channel: save it with 8"):
        decode(dark, 16, Recipe(depth=12))
    assert decode(dark, 16, Recipe(depth=16)).pixels.max() <= 15


def test_the_depth_of_a_peak():
    assert [bits_for(peak) for peak in (0, 255, 256, 1023, 4095, 4096, 65535)] == [
        *(8, 8, 10, 10, 12, 14, 16)
    ]


def test_letterbox_keeps_the_aspect_ratio_and_crop_the_middle(tmp_path):
    wide = np.full((20, 40), 200, np.uint8)
    wide[:, :10] = wide[:, 30:] = 50  # what a crop to the middle square leaves out
    path = saved(tmp_path, Image.fromarray(wide))
    boxed = decode(path, 20, Recipe(fit="letterbox")).pixels[..., 0]
    assert (boxed[:5] == 0).all() and (boxed[15:] == 0).all()
    assert set(np.unique(boxed[6:14, 6:14])) == {200}
    assert set(np.unique(decode(path, 20, Recipe(fit="crop")).pixels)) == {200}
    assert set(np.unique(decode(path, 20).pixels)) > {50, 200}


@pytest.mark.parametrize("pixels", [GREY.astype(np.int32) * 70000, GREY.astype(np.float32)])
def test_thirty_two_bits_are_refused(tmp_path, pixels):
    image = Image.fromarray(pixels)
    with pytest.raises(UnreadableError, match="has pixels beyond 16 bits"):
        decode(saved(tmp_path, image, "a.tif"), 8)


def test_the_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    image = decode(path, 40)
    upright = Image.fromarray(RGB).transpose(Image.Transpose.ROTATE_270)
    assert (image.width, image.height) == (30, 40)
    assert np.array_equal(image.pixels, upright.resize((40, 40), BILINEAR))


def reason(path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        decode(path, 8)
    return str(caught.value)


def test_what_cannot_be_used_has_a_reason(tmp_path):
    path = tmp_path / "a.png"
    assert reason(path) == "cannot be read: No such file or directory"
    path.write_bytes(b"")
    assert reason(path) == "is empty"
    path.write_bytes(b"not an image")
    assert reason(path) == "is not an image"
    whole = saved(tmp_path, Image.fromarray(RGB)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert reason(path).startswith("is damaged: ")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_001, 20_000])
def test_a_huge_image_is_refused_by_its_header(tmp_path, side):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(side))
    assert reason(path) == "has more than 100 megapixels"


def png_header(side: int) -> bytes:
    """Return the beginning of a PNG that claims to be huge and has no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = b"\0\0\0\0IDAT"
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\r"
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + pixels
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )
