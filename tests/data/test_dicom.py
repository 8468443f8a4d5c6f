"""DICOM as an extra: grey as it is meant to be seen, patients as a hash, nothing else kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sambench.data import decoding
from sambench.data.assembling import assemble
from sambench.data.decoding import Decoded, Recipe, UnreadableError, decode
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.errors import DataError

pydicom = pytest.importorskip("pydicom")

RAMP = np.arange(0, 4096, 4096 // 64, dtype=np.uint16).reshape(8, 8)


def written(path: Path, pixels: NDArray[np.generic] = RAMP, bits: int = 12, **tags: object) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    found.PatientID, found.PatientName = "4711", "Doe^Jane"
    colour = pixels.shape[-1] == 3
    found.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    found.SamplesPerPixel = 3 if colour else 1
    if colour:
        found.PlanarConfiguration = 0
    frames = pixels.ndim - 2 - colour
    if frames:
        found.NumberOfFrames = len(pixels)
    found.Rows, found.Columns = pixels.shape[frames : frames + 2]
    found.BitsAllocated = 8 * pixels.dtype.itemsize
    found.BitsStored, found.HighBit = bits, bits - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(found, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path


def shown(path: Path, page: int = 0) -> NDArray[np.uint8]:
    found = decode(path, 8, Recipe(depth=12), page)
    assert isinstance(found, Decoded)
    return found.pixels[..., 0]


def test_grey_without_a_window_is_deep_and_scaled_with_its_set(tmp_path):
    path = written(tmp_path / "a.dcm")
    assert decode(path, 8) == 4032
    assert np.array_equal(shown(path), np.rint(RAMP / (4095 / 255)))


def test_monochrome1_is_inverted(tmp_path):
    path = written(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(shown(path), np.rint((4095 - RAMP) / (4095 / 255)))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_window_is_that_of_the_standard_and_inverted_in_monochrome1(tmp_path, function):
    """Against pydicom's own windowing, whose output spans the stored bits."""
    from pydicom.pixels.processing import apply_windowing

    tags = {"WindowCenter": [2000, 1], "WindowWidth": [1000, 1], "VOILUTFunction": function}
    path = written(tmp_path / "a.dcm", **tags)
    wanted = apply_windowing(RAMP, pydicom.dcmread(path)) / 4095 * 255
    assert np.abs(shown(path) - wanted).max() <= 0.51  # rounded to whole grey levels
    path = written(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **tags)
    assert np.abs(255 - shown(path) - wanted).max() <= 0.51


def test_rescaled_signed_pixels_are_windowed_in_their_own_units(tmp_path):
    pixels = np.linspace(-1000, 1000, 64).astype(np.int16).reshape(8, 8)
    window = {"WindowCenter": 40, "WindowWidth": 401, "RescaleSlope": 1, "RescaleIntercept": -24}
    found = shown(written(tmp_path / "a.dcm", pixels, bits=16, **window))
    assert (found[pixels - 24 <= -161] == 0).all()
    assert (found[pixels - 24 >= 240] == 255).all()
    plain = shown(written(tmp_path / "b.dcm", pixels, bits=16))
    assert (plain.min(), plain.max()) == (0, 255)


def test_windows_of_frames_are_those_of_files(tmp_path):
    """Enhanced files tell rescaling and window in groups, of all frames or of each."""

    def group(name: str, **tags: float):
        inner, outer = pydicom.Dataset(), pydicom.Dataset()
        inner.update(tags)
        setattr(outer, name, [inner])
        return outer

    scale = {"RescaleSlope": 2, "RescaleIntercept": -100}
    windows = [{"WindowCenter": 900 * n, "WindowWidth": 400} for n in (1, 2)]
    path = written(
        tmp_path / "a.dcm",
        np.stack([RAMP, RAMP]),
        SharedFunctionalGroupsSequence=[group("PixelValueTransformationSequence", **scale)],
        PerFrameFunctionalGroupsSequence=[group("FrameVOILUTSequence", **w) for w in windows],
    )
    for page, window in enumerate(windows):
        alone = written(tmp_path / f"{page}.dcm", **scale, **window)
        assert np.array_equal(shown(path, page), shown(alone))
        assert len(np.unique(shown(alone))) > 2


def test_a_curve_of_8_bits_for_pixels_of_12(tmp_path):
    curve = pydicom.Dataset()
    curve.LUTDescriptor = [4096, 0, 8]
    curve.LUTData = [255 - place // 16 for place in range(4096)]
    for tag in ("LUTDescriptor", "LUTData"):
        curve[tag].VR = "US"
    path = written(tmp_path / "a.dcm", VOILUTSequence=[curve])
    assert np.array_equal(shown(path), 255 - RAMP // 16)


def test_a_window_that_is_empty_is_none(tmp_path):
    tags = {"WindowCenter": None, "WindowWidth": None, "VOILUTSequence": []}
    assert np.array_equal(
        shown(written(tmp_path / "a.dcm", **tags)), shown(written(tmp_path / "b.dcm"))
    )


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
def test_few_bits_span_the_whole_range(tmp_path, kind, bits):
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) % min(2**bits, 64)
    path = written(tmp_path / "a.dcm", pixels, bits, PhotometricInterpretation=kind)
    wanted = pixels * (17 if bits == 4 else 1)
    assert np.array_equal(shown(path), 255 - wanted if kind == "MONOCHROME1" else wanted)


def test_colour_and_frames(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    path = written(tmp_path / "a.dcm", frames, bits=8)
    for page in range(3):
        found = decode(path, 8, page=page)
        assert np.array_equal(found.pixels, frames[page])
        assert (found.frames, found.mode) == (3, "RGB")


def with_palette(path: Path, entries: NDArray[np.integer], bits: int) -> Path:
    found = pydicom.dcmread(path)
    found.PhotometricInterpretation = "PALETTE COLOR"
    for colour, factor in {"Red": 1, "Green": 2, "Blue": 4}.items():
        name = f"{colour}PaletteColorLookupTable"
        setattr(found, f"{name}Descriptor", [len(entries), 0, bits])
        found[f"{name}Descriptor"].VR = "US"
        setattr(found, f"{name}Data", (entries // factor).tobytes())
    found.save_as(path)
    return path


def test_colour_of_more_than_8_bits_keeps_its_brightness(tmp_path):
    """A dark image stays as dark as it is beside a bright one, with a palette or without."""
    ramp = np.arange(64).reshape(8, 8)
    for most in (63, 255):
        colours = np.stack([ramp * most // 63 * 16 // factor for factor in (1, 2, 4)], axis=2)
        deep = written(tmp_path / "deep.dcm", colours.astype(np.uint16), bits=12)
        assert np.array_equal(decode(deep, 8).pixels, colours // 16)
        entries = (np.arange(64) * most // 63).astype(np.uint16)
        places = ramp.astype(np.uint8)
        for bits in (8, 16):  # of 8 bits in room for 16, and of 16
            path = written(tmp_path / f"{bits}.dcm", places, bits=8)
            found = decode(with_palette(path, entries << (bits - 8), bits), 8).pixels
            assert np.array_equal(found, colours // 16)
        for kind in (np.uint8, np.uint16):  # palettes that say 16 bits and hold 8
            path = written(tmp_path / "lies.dcm", places, bits=8)
            found = decode(with_palette(path, entries.astype(kind), 16), 8).pixels
            assert np.array_equal(found, colours // 16)


@pytest.mark.parametrize(
    ("said", "turned"),
    [
        (["L", "F"], lambda pixels: pixels),
        (["R", "F"], lambda pixels: pixels[:, ::-1]),
        (["L", "H"], lambda pixels: pixels[::-1]),
        (["A", "F"], lambda pixels: pixels),
    ],
)
def test_radiographs_are_turned_upright(tmp_path, said, turned):
    plain = shown(written(tmp_path / "a.dcm"))
    found = shown(written(tmp_path / "b.dcm", PatientOrientation=said))
    assert np.array_equal(found, turned(plain))


def test_patients_are_groups_and_nothing_else_of_them_is_kept(tmp_path):
    root = tmp_path / "images"
    generator = np.random.default_rng(0)
    for number in range(8):
        pixels = generator.integers(0, 4096, (8, 8), dtype=np.uint16)
        path = root / "ab"[number % 2] / f"{number}.dcm"
        written(path, pixels, PatientID=f"id{number // 2}", PatientBirthDate="19700101")
    source = sources.get("folder")
    request = Request(folder=root, options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "p", 8).prepared
    patients = dict(zip(prepared.ids, prepared.column("patient"), strict=True))
    assert patients["a/0"] == patients["b/1"] != patients["a/2"]
    assert len(set(prepared.groups)) == 4
    kept = "".join(path.read_text("latin-1") for path in prepared.folder.iterdir())
    for secret in ("id0", "Doe", "19700101"):
        assert secret not in kept
    assert any("16-bit images read as 12 bits" in note for note in prepared.manifest["notes"])
    assert prepared.images.max() > 240  # the range of 12 bits, not of 16


def test_a_patient_whom_the_table_names_in_some_images_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (4, 8, 8), dtype=np.uint16)
    for number, patient in enumerate(("one", "one", "two", "")):
        written(tmp_path / f"{number}.dcm", pixels[number], PatientID=patient)
    written(tmp_path / "4.dcm", pixels[0], PatientID="")
    table = tmp_path / "t.csv"
    table.write_text("file,label,patient\n0,a,\n1,b,P07\n2,a,\n3,b,P08\n4,b,\n")
    source = sources.get("folder")
    listing, _ = assemble(source, Request(table=table, options=source.resolve({})))
    patients = [one.facts.get("patient") for one in listing.samples]
    assert patients[:2] == ["P07", "P07"]
    assert patients[2].startswith("patient-")
    assert patients[3:] == ["P08", None]


def test_a_patient_is_the_same_in_any_case(tmp_path):
    for number, patient in enumerate(("P07", "p07 ", "P08")):
        written(tmp_path / "ab"[number % 2] / f"{number}.dcm", RAMP + number, PatientID=patient)
    source = sources.get("folder")
    listing, _ = assemble(source, Request(folder=tmp_path, options=source.resolve({})))
    patients = {one.path.stem: one.facts["patient"] for one in listing.samples}
    assert patients["0"] == patients["1"] != patients["2"]
    assert patients["0"] == f"patient-{hashlib.sha256(b'P07').hexdigest()[:12]}"


def test_removed_names_are_no_patient(tmp_path):
    root = tmp_path / "images"
    for number in range(4):
        path = root / "ab"[number % 2] / f"{number}.dcm"
        written(path, np.full((8, 8), number, np.uint16), PatientID="Anonymous")
    source = sources.get("folder")
    request = Request(folder=root, options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "p", 8).prepared
    assert len(set(prepared.groups)) == 4


def test_files_without_a_suffix_are_told_by_their_content(tmp_path):
    """As archives export them; a table names them."""
    generator = np.random.default_rng(0)
    rows = ["file,label"]
    for number in range(8):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        written(tmp_path / "images" / f"IM{number:04}", pixels, 8, PatientID=f"id{number // 2}")
        rows.append(f"IM{number:04},{'ab'[number % 2]}")
    (tmp_path / "images" / "labels.csv").write_text("\n".join(rows))
    source = sources.get("folder")
    request = Request(table=tmp_path / "images" / "labels.csv", options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "p", 8).prepared
    assert len(set(prepared.column("patient"))) == len(set(prepared.groups)) == 4
    frames = generator.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    path = written(tmp_path / "IM0009", frames, 8)
    assert decoding.read_header(path) == (decoding.read_header(path)[0], 3)


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize("frames", [2**31, 10**12])
def test_a_number_of_frames_that_cannot_be_is_not_believed(tmp_path, frames):
    path = written(tmp_path / "i" / "a" / "1.dcm", NumberOfFrames=frames)
    written(tmp_path / "i" / "b" / "1.dcm", RAMP // 2)
    assert decoding.read_header(path)[1] <= path.stat().st_size
    source = sources.get("folder")
    request = Request(folder=tmp_path / "i", options=source.resolve({"pages": "all"}))
    with pytest.raises(DataError, match=r"a/1\.dcm#1 is damaged"):
        prepare(source, request, tmp_path / "p", 8)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_header_that_makes_no_sense_leaves_it_to_decoding(tmp_path):
    path = written(tmp_path / "a.dcm", NumberOfFrames="1")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"IS\x02\x001 ", b"IS\x02\x00x "))
    assert path.read_bytes() != data
    assert decoding.read_header(path) == (None, 1)
    with pytest.raises(UnreadableError, match="is damaged"):
        decode(path, 8)


def test_without_pydicom_it_is_named_with_the_remedy(tmp_path, monkeypatch):
    import sys

    path = written(tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UnreadableError, match=r"needs pydicom; `pip install 'sambench\[dicom\]'`"):
        decode(path, 8)
    assert decoding.read_header(path) == (None, 1)


@pytest.mark.parametrize(
    ("syntax", "tags", "reason"),
    [
        ("1.2.840.10008.1.2.1", {"Rows": 20_000, "Columns": 20_000}, "more than 100 megapixels"),
        ("1.2.840.10008.1.2.4.201", {}, "cannot be decompressed: .*requires pylibjpeg"),
        ("1.2.840.10008.1.2.1", {"PixelData": None}, "is DICOM without a picture"),
    ],
)
def test_a_picture_that_cannot_be_had_is_said(tmp_path, syntax, tags, reason):
    found = pydicom.dcmread(written(tmp_path / "a.dcm", **tags))
    found.file_meta.TransferSyntaxUID = syntax  # the second is compressed as no package here can
    if found.PixelData is None:
        del found.PixelData
    elif syntax.endswith("201"):
        found.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f"])
    found.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableError, match=reason):
        decode(tmp_path / "a.dcm", 8)


def test_what_is_no_dicom_file_is_said(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableError, match="is not an image"):
        decode(tmp_path / "a.dcm", 8)
