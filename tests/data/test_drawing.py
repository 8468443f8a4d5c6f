from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sambench.data.drawing import COLUMNS, MARGIN, TILE, _shortened, draw_contact_sheet, write_png
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources

IDS = tuple(f"{label}({number})" for label in ("benign", "malignant") for number in range(20))


@pytest.fixture
def prepared(bus_folder):
    release = bus_folder(IDS)
    return prepare(sources.get("bus"), Request(folder=release), release.parent, 16).prepared


def test_it_is_a_png_and_replaces_the_old_one(prepared, tmp_path):
    path = tmp_path / "sheets" / "bus.png"
    write_png(draw_contact_sheet(prepared), path)
    write_png(draw_contact_sheet(prepared, seed=1), path)
    assert [file.name for file in path.parent.iterdir()] == ["bus.png"]
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > COLUMNS * TILE


def test_the_seed_chooses(prepared):
    first, again, other = (np.asarray(draw_contact_sheet(prepared, seed=s)) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_few_grey_images_with_long_ids(bus_folder):
    release = bus_folder([f"benign({'1' * 60})", "malignant(0)"], folders=None)
    for path in release.glob("*/*.png"):
        Image.open(path).convert("L").save(path)
    found = prepare(sources.get("bus"), Request(folder=release), release.parent, 16).prepared
    few = draw_contact_sheet(found)
    assert few.mode == "RGB"
    assert few.height < few.width


def test_a_name_is_shortened_where_it_is_too_wide():
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    assert _shortened("benign(0)", draw, 14, TILE) == "benign(0)"
    end = _shortened(f"{'1' * 60}(27)", draw, 14, TILE)
    assert end.startswith("...1") and end.endswith("1(27)")
    assert TILE - 20 < draw.textlength(end, font_size=14) <= TILE


@pytest.mark.parametrize(("classes", "said"), [(12, False), (13, True)])
def test_classes_that_are_not_shown_are_counted(plant, tmp_path, classes, said):
    root = plant(*(f"class{number}/1.png" for number in range(classes)))
    source = sources.get("folder")
    request = Request(folder=root, options=source.resolve({}))
    sheet = draw_contact_sheet(prepare(source, request, tmp_path / "p", 16).prepared)
    below = np.asarray(sheet)[-MARGIN:]
    assert bool((below != 255).any()) == said


@pytest.mark.real
def test_the_real_images(real_data, tmp_path):
    request = Request(folder=real_data / "gdph_sysucc_layout" / "GDPH&SYSUCC")
    found = prepare(sources.get("bus"), request, tmp_path, 32).prepared
    write_png(draw_contact_sheet(found), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 50_000
