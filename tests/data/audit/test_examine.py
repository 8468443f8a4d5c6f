"""The whole audit, on made-up data with known faults and on the real images."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from sambench.data.audit.copies import find_copies, find_turned, look
from sambench.data.audit.examine import (
    NEAR,
    SAME_FILE,
    SAME_PIXELS,
    TURNED,
    Audit,
    Burned,
    Link,
    examine,
)
from sambench.data.audit.facts import find_shortcuts
from sambench.data.audit.pages import in_markdown, sections, write_audit
from sambench.data.preparation import prepare
from sambench.data.prepared import Prepared
from sambench.data.source import Listing, Request, Sample, Source, sources
from sambench.data.writing import Drops

NUMBER = 60


def scan_picture(seed: int, brightness: float) -> Image.Image:
    generator = np.random.default_rng(seed)
    field = gaussian_filter(generator.normal(size=(96, 80)), 1.5)
    grey = brightness + 30 * field / field.std()
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Sixty scans whose centre, brightness and borders tell the class, three of them copied."""
    root = tmp_path_factory.mktemp("faulty")
    samples = []
    for number in range(NUMBER):
        label = "malignant" if number % 3 == 0 else "benign"
        image = scan_picture(number, 150 if label == "malignant" else 110)
        if label == "malignant" and number % 2:
            image.paste(0, (0, 0, 80, 12))
        path = root / f"{number:02}.png"
        image.save(path)
        # every fifth benign and every malignant image is of centre B
        centre = "B" if label == "malignant" or number % 5 == 0 else "A"
        facts = {"centre": centre, "fold": number % 2, "patient": f"p{number // 2}"}
        samples.append((f"i{number:02}", path, label, facts))
    shutil.copy(root / "01.png", root / "60.png")  # the same file with the other label
    samples.append(("i60", root / "60.png", "malignant", samples[1][3]))
    Image.open(root / "02.png").save(root / "61.bmp")  # the same pixels in another file
    samples.append(("i61", root / "61.bmp", "benign", samples[4][3]))
    smaller = Image.open(root / "04.png").resize((72, 88)).resize((80, 96))
    smaller.save(root / "62.png")  # nearly the same
    samples.append(("i62", root / "62.png", "malignant", samples[5][3]))
    listing = Listing(
        root=root,
        layout="a test",
        classes=("benign", "malignant"),
        samples=tuple(
            Sample(id=id, path=path, file=path.name, label=label, facts=facts)
            for id, path, label, facts in samples
        ),
    )
    source = Source(name="faulty", summary="", scan=lambda request: listing, image_size=64)
    return prepare(source, Request(), root / "prepared", 64).prepared


@pytest.fixture(scope="module")
def audit(faulty: Prepared) -> Audit:
    return examine(faulty)


def test_copies_of_each_kind_are_found(audit: Audit) -> None:
    assert audit.same_file == (("i01", "i60"),)
    assert audit.same_pixels == (("i01", "i60"), ("i02", "i61"))
    assert [(link.first, link.second) for link in audit.links] == [("i04", "i62")]
    assert audit.families == (("i01", "i60"), ("i02", "i61"), ("i04", "i62"))


def test_conflicting_labels_are_found_the_surest_first(audit: Audit) -> None:
    found = [(link.first, link.second, link.kind) for link in audit.conflicts]
    assert found == [("i01", "i60", SAME_FILE), ("i04", "i62", NEAR)]
    assert audit.conflicts[0].labels == ("benign", "malignant")


def test_a_shortcut_and_its_accuracy(audit: Audit) -> None:
    centre = next(one for one in audit.shortcuts if one.column == "centre")
    table = {value: (row["benign"], row["malignant"]) for value, row in centre.counts.items()}
    assert sum(map(sum, table.values())) == 63
    assert centre.accuracy == pytest.approx(sum(map(max, table.values())) / 63)
    assert centre.accuracy > audit.majority + 0.1
    assert centre.p < 1e-4
    assert audit.shortcuts[0] is centre
    assert {one.column for one in audit.shortcuts} == {"centre", "fold"}


def test_an_unknown_value_is_a_value_of_its_own(faulty: Prepared, audit: Audit) -> None:
    device = tuple("X" if place % 3 else None for place in range(len(faulty)))
    told = replace(faulty, columns={**faulty.columns, "device": device})
    (found,) = (one for one in find_shortcuts(told) if one.column == "device")
    assert list(found.counts) == ["X", ""]
    page = in_markdown(replace(audit, shortcuts=(found,)))
    assert page.count("| (empty) |") == page.count("| X |") == 1


def test_brightness_tells_the_class(audit: Audit) -> None:
    alone = {leak.facts: leak for leak in audit.leaks[1:]}
    assert alone["brightness",].accuracy > 0.75
    assert "brightness <=" in alone["brightness",].rule
    assert audit.leaks[0].accuracy > 0.75
    assert len(audit.leaks[0].facts) == len(alone)
    assert ("width",) not in alone, "a fact that does not vary tells nothing"


def test_of_many_classes_those_with_something_at_their_edges_are_listed(audit: Audit) -> None:
    """Two hundred lines of zeros would push all that was found out of the window."""
    some = tuple(
        Burned(label=f"class{n}", border=0.5 * (n == 7), margin=0.0, marks=0.0) for n in range(200)
    )
    told = in_markdown(replace(audit, burned=some))
    assert re.findall(r"\| class\d+ \|.*", told) == ["| class7 | 50.0 % | 0.0 % | 0.0 % |"]
    assert "No image of the other 199 classes has any." in told
    without = in_markdown(replace(audit, burned=tuple(b for b in some if not b.border)))
    assert "No image of any of the 199 classes has any." in without
    few = in_markdown(replace(audit, burned=some[:2]))
    assert re.findall(r"\| class(\d+) \|", few) == ["0", "1"]


def test_burned_in_borders_by_class(audit: Audit) -> None:
    benign, malignant = audit.burned
    assert (benign.label, benign.border, benign.margin) == ("benign", 0, 0)
    assert malignant.border == pytest.approx(10 / 22)
    assert malignant.margin == pytest.approx(10 / 22)


def test_what_splits_do_with_copies(audit: Audit) -> None:
    tears = {tear.split: tear for tear in audit.tears}
    assert tears["folds"].test == 63
    assert tears["grouped-5"].leaked == 0
    # the patient of each even image has the odd one after it, in the other fold
    assert tears["folds"].leaked == 63


def test_groups_join_copies_and_patients(faulty: Prepared) -> None:
    group = dict(zip(faulty.ids, faulty.groups, strict=True))
    assert group["i00"] == group["i01"] == group["i60"]  # i00 is of the patient of i01
    assert group["i02"] == group["i03"] == group["i61"] == group["i04"]  # i61: patient of i04
    assert group["i08"] == group["i09"] != group["i10"]


@pytest.mark.parametrize(
    ("drops", "gone"),
    [
        (Drops(conflicts=True), {"i01", "i60", "i04", "i62"}),
        (Drops(duplicates=True), {"i61"}),
        (Drops(conflicts=True, duplicates=True), {"i01", "i60", "i04", "i62", "i61"}),
    ],
    ids=["conflicts", "duplicates", "both"],
)
def test_what_is_dropped_is_recorded(
    faulty: Prepared, tmp_path: Path, drops: Drops, gone: set[str]
) -> None:
    samples = [
        Sample(
            id=id,
            path=faulty.folder.parent.parent / str(file),
            file=str(file),
            label=str(label),
            facts={"centre": "A"},
        )
        for id, file, label in zip(
            faulty.ids, faulty.column("file"), faulty.column("label"), strict=True
        )
    ]
    listing = Listing(
        root=faulty.folder.parent.parent,
        layout="",
        classes=faulty.classes,
        samples=tuple(samples),
    )
    source = Source(name="faulty", summary="", scan=lambda request: listing, image_size=64)
    plain = prepare(source, Request(), tmp_path, 64).prepared
    done = prepare(source, Request(), tmp_path, 64, drops=drops)
    assert not done.reused
    assert set(plain.ids) - set(done.prepared.ids) == gone
    assert {image["id"] for image in done.prepared.manifest["dropped"]} == gone
    assert done.prepared.fingerprint != plain.fingerprint
    assert prepare(source, Request(), tmp_path, 64, drops=drops).reused
    after = examine(done.prepared)
    assert {id for id, _, _ in after.dropped} == gone
    assert not (drops.conflicts and after.conflicts)
    assert "left out when the data were prepared" in in_markdown(after)


def test_the_audit_is_kept_as_numbers_words_and_pictures(faulty: Prepared, audit: Audit) -> None:
    names = [path.name for path in write_audit(faulty, audit)]
    assert names == ["audit.md", "audit.json", "conflicts.png", "copies.png"]
    kept = json.loads((faulty.folder / "audit.json").read_text())
    assert kept["version"] == 3
    assert kept["fingerprint"] == faulty.fingerprint
    assert kept["families"] == [list(family) for family in audit.families]
    assert kept["shortcuts"][0]["accuracy"] == audit.shortcuts[0].accuracy
    picture = Image.open(faulty.folder / "conflicts.png")
    assert picture.width > 3 * 2 * 200
    page = (faulty.folder / "audit.md").read_text()
    assert "| i01 | benign | i60 | malignant | same file |" in page
    assert "| i04 | benign | i62 | malignant | nearly the same:" in page


def test_a_bar_that_copies_may_not_reach_is_said(audit: Audit) -> None:
    hidden = "Different images here resemble each other as much as copies do"
    assert hidden not in in_markdown(audit)
    assert hidden in in_markdown(replace(audit, bars=(0.95,)))


def test_pictures_of_faults_that_are_gone_are_removed(faulty: Prepared, audit: Audit) -> None:
    write_audit(faulty, audit)
    from dataclasses import replace

    sound = replace(audit, conflicts=(), links=(), possible=(), turned=())
    names = [path.name for path in write_audit(faulty, sound)]
    assert names == ["audit.md", "audit.json"]
    assert not (faulty.folder / "conflicts.png").exists()


def test_every_row_fits_its_headings(audit: Audit) -> None:
    found = sections(audit)
    assert len(found) >= 7
    for section in found:
        assert {len(row) for row in section.rows} <= {len(section.headings)}


def test_long_tables_are_cut_and_say_so(audit: Audit) -> None:
    from dataclasses import replace

    link = Link(first="a", second="b", labels=("x", "y"), kind=SAME_PIXELS)
    odd = replace(link, first="<script>", second="a | b")
    assert "| &lt;script> | x | a \\| b | y |" in in_markdown(replace(audit, conflicts=(odd,)))
    told = [row for one in sections(replace(audit, conflicts=(odd,))) for row in one.rows]
    assert ("<script>", "x", "a | b", "y") in [row[:4] for row in told]
    page = in_markdown(replace(audit, conflicts=(link,) * 40))
    assert "The first 25; audit.json has all." in page
    assert page.count("| a | x | b | y |") == 25


@pytest.fixture(scope="module")
def real_bus(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = real_data / "gdph_sysucc_layout" / "GDPH&SYSUCC"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    root = tmp_path_factory.mktemp("real")
    return prepare(sources.get("bus"), Request(folder=folder), root, 256).prepared


@pytest.mark.real
def test_the_real_breast_images(real_bus: Prepared) -> None:
    found = examine(real_bus)
    assert found.images == 647
    assert found.same_file == (("benign(432)", "malignant(144)"),)
    first = found.conflicts[0]
    assert (first.first, first.second, first.kind) == ("benign(432)", "malignant(144)", SAME_FILE)
    assert len(found.conflicts) == 8  # all seen to be one scan, by eye, in conflicts.png
    assert len(found.links) >= 160  # the 24 least alike seen to be one scan each, by eye
    assert found.possible == found.turned == ()
    folds = next(one for one in found.shortcuts if one.column == "fold")
    assert len(folds.counts) == 5
    tears = {tear.split: tear.leaked for tear in found.tears}
    assert tears["grouped-5"] == 0
    assert tears["holdout"] > 30
    names = [path.name for path in write_audit(real_bus, found)]
    assert "conflicts.png" in names


@pytest.mark.real
def test_the_real_chest_images(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "covid_radiography" / "COVID-19_Radiography_Dataset"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    samples = tuple(
        Sample(id=path.stem, path=path, file=path.name, label=label)
        for label in ("COVID", "Normal")
        for path in sorted((folder / label / "images").glob("*.png"))
    )
    listing = Listing(root=folder, layout="", classes=("COVID", "Normal"), samples=samples)
    source = Source(name="covid", summary="", scan=lambda request: listing, image_size=224)
    found = examine(prepare(source, Request(), tmp_path, 224).prepared)
    assert ("COVID-137", "COVID-139") in found.same_pixels
    assert len(found.same_pixels) == 3
    # alike as chest X-rays are, only two more pairs are copies, as the eye confirms
    assert {(link.first, link.second) for link in found.links} == {
        ("COVID-1", "COVID-140"),
        ("COVID-100", "COVID-97"),
    }
    assert found.conflicts == found.turned == ()


@pytest.mark.real
@pytest.mark.parametrize("side", [28, 64])
def test_random_crops_of_different_real_images_are_no_copies(real_data: Path, side: int) -> None:
    folder = real_data / "covid_radiography"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    generator = np.random.default_rng(0)
    crops = []
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as image:
            half = min(image.size) // 2
            left, top = generator.integers(0, half, 2).tolist()
            crop = image.convert("L").crop((left, top, left + half, top + half))
        crops.append(np.asarray(crop.resize((side, side)))[..., None])
    looks = look(crops)
    found = find_copies(looks, range(len(crops)))
    assert len(crops) == 300
    assert (found.certain, found.same_pixels) == ((), ())
    assert find_turned(crops, looks, found) == ()


def test_turned_copies_are_shown_and_said(faulty: Prepared, audit: Audit) -> None:
    from dataclasses import replace

    link = Link(first="i01", second="i60", labels=("benign", "malignant"), kind=TURNED)
    shown = replace(audit, turned=(link,))
    assert "turned_copies.png" in [path.name for path in write_audit(faulty, shown)]
    assert "augmented before: 1 pair, as i01 and i60. They are neither" in in_markdown(shown)
    assert "augmented before: 0 pairs. Cropped copies" in in_markdown(replace(audit, turned=()))
    assert "near-duplicates: 1 pair (perceptual" in in_markdown(audit)
    assert "are in 3 families of copies; 3 could go" in in_markdown(audit)
