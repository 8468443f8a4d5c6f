from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from sambench.data.source import Listing, Request, Sample, sources
from sambench.data.sources.image_tables import RELEASE
from sambench.data.tables import read_table
from sambench.data.writing import notes_on
from sambench.errors import DataError

scan = sources.get("bus").scan
IDS = ("benign(0)", "benign(10)", "benign(2)", "malignant(0)")
WORKBOOK = "BIRADS&FOLD.xlsx"
LAYOUT = "GDPH/ and SYSUCC/ beside BIRADS&FOLD.xlsx, or img/ beside label.csv"


def of(root: Path, **request: Path) -> Listing:
    return scan(Request(**(request or {"table": root / WORKBOOK})))


def facts(listing: Listing, name: str) -> dict[str, object]:
    return {sample.id: sample.facts[name] for sample in listing.samples}


def refused(root: Path, **request: Path) -> str:
    with pytest.raises(DataError) as caught:
        of(root, **request)
    return str(caught.value)


def test_the_release_in_its_two_folders(bus_folder):
    root = bus_folder()
    listing = of(root)
    assert [sample.id for sample in listing.samples] == [
        "benign(0)",
        "benign(2)",
        "benign(10)",
        "malignant(0)",
    ]
    assert listing.root == root
    assert listing.classes == ("benign", "malignant")
    assert listing.columns == ("centre", "fold", "birads_reader1", "birads_reader2")
    assert listing.layout == "GDPH and SYSUCC with BIRADS&FOLD.xlsx"
    assert list(listing.checksums) == [WORKBOOK]
    assert listing.missing == ()
    first, last = listing.samples[0], listing.samples[-1]
    assert first.file == "SYSUCC/benign(0).png"
    assert first.path == root / first.file
    assert first.facts == {
        "centre": "SYSUCC",
        "fold": 0,
        "birads_reader1": "4A",
        "birads_reader2": "3",
    }
    assert (last.label, last.facts["centre"]) == ("malignant", "GDPH")


def test_the_source_alone_finds_the_workbook(bus_folder):
    root = bus_folder()
    assert of(root, folder=root) == of(root)


def test_a_workbook_of_another_name_is_found_and_an_open_one_of_excel_is_not_taken(bus_folder):
    root = bus_folder(workbook="folds.xlsx")
    (root / "~$folds.xlsx").write_bytes(b"lock")
    assert len(of(root, folder=root).samples) == 4


def test_the_images_may_be_elsewhere(bus_folder):
    images = bus_folder()
    table = images.rename(images.with_name("elsewhere")) / WORKBOOK
    images = bus_folder(workbook="unused.xlsx")
    assert of(images, table=table, folder=images).root == images


def test_a_flat_folder_has_no_centre(bus_folder):
    listing = of(bus_folder(folders={"": IDS}))
    assert set(facts(listing, "centre").values()) == {None}
    assert listing.samples[0].file == "benign(0).png"
    assert "the centre is unknown" in listing.notes[-1]


def test_a_flat_folder_of_all_ids_of_the_release_has_centres(bus_folder):
    root = bus_folder(tuple(RELEASE), folders={"": ()})
    for id in RELEASE:
        (root / f"{id}.png").touch()
    centre = facts(of(root), "centre")
    assert Counter(centre.values()) == {"GDPH": 846, "SYSUCC": 1559}
    assert [centre[id] for id in ("benign(442)", "benign(443)")] == ["SYSUCC", "GDPH"]
    assert [centre[id] for id in ("malignant(1115)", "malignant(1116)")] == ["SYSUCC", "GDPH"]


@pytest.mark.parametrize("suffix", [".png", ""])
def test_the_older_layout(bus_folder, suffix):
    root = bus_folder(folders={"img": IDS})
    (root / WORKBOOK).unlink()
    lines = [f"{id}{suffix},{int(id.startswith('m'))}" for id in IDS]
    (root / "label.csv").write_text("\n".join(["name,label", *lines, ""]))
    listing = of(root, folder=root)
    assert [sample.label for sample in listing.samples] == ["benign"] * 3 + ["malignant"]
    assert listing.samples[0].file == "img/benign(0).png"
    assert listing.columns == ("centre",)
    assert listing.notes == ("the centre is unknown: neither the folders nor the ids tell it",)
    assert list(listing.checksums) == ["label.csv"]
    assert of(root, table=root / "label.csv") == listing


def test_a_label_that_contradicts_the_name(bus_folder):
    root = bus_folder(folders={"img": IDS[:1]})
    (root / "label.csv").write_text("name,label\nbenign(0).png,1\n")
    message = refused(root, table=root / "label.csv")
    assert "labels in" in message
    assert "benign(0) has '1' (row 2); correct label or name" in message


def test_headers_in_any_case_and_further_columns(bus_folder):
    rows = [(id, "remark", 3, "4c", "1") for id in IDS]
    header = (" id", "Remark", "birads-READER1 ", "BIRADS-reader2", "Fold")
    listing = of(bus_folder(rows=rows, header=header, sheet="Prediction "))
    assert set(facts(listing, "birads_reader2").values()) == {"4C"}
    assert set(facts(listing, "fold").values()) == {1}


def test_grades_are_normalised_and_a_stray_one_is_kept_and_reported(bus_folder):
    grades = ["4a", 3.0, "c", None]
    rows = [(id, 5, grade, 0) for id, grade in zip(IDS, grades, strict=True)]
    listing = of(bus_folder(rows=rows))
    assert set(facts(listing, "birads_reader1").values()) == {"5"}
    assert list(facts(listing, "birads_reader2").values()) == ["4A", "c", "3", None]
    assert listing.notes == (
        "birads_reader2: grades that are no BI-RADS category, kept as written: benign(2) ('c')",
        "birads_reader2: no grade for malignant(0)",
    )


def test_any_integer_folds_are_accepted_and_reported(bus_folder):
    rows = [(id, 3, 3, fold) for id, fold in zip(IDS, [1, 1.0, "7", 3], strict=True)]
    listing = of(bus_folder(rows=rows))
    assert list(facts(listing, "fold").values()) == [1, 7, 1, 3]
    assert list(notes_on(listing.samples)) == [
        "numbers of the folds (and images): 1 (2), 3 (1), 7 (1)"
    ]


def test_many_folds_are_told_in_order_and_the_first_of_them_alone(tmp_path):
    samples = [
        Sample(id=f"{n}", path=tmp_path, file=f"{n}", label="a", facts={"fold": n})
        for n in range(1, 101)
    ]
    (told,) = notes_on(samples)
    assert told.startswith("numbers of the folds (and images): 1 (1), 2 (1), 3 (1), ")
    assert told.endswith(", 20 (1) ... and 80 more")


def test_empty_rows_hidden_files_and_other_files_do_not_matter(bus_folder):
    rows = [(id, 3, 3, 0) for id in IDS]
    root = bus_folder(rows=[*rows[:2], (None, None, " ", None), *rows[2:]])
    (root / "GDPH" / "._benign(0).png").write_bytes(b"")
    (root / "GDPH" / "Thumbs.db").write_bytes(b"")
    assert len(of(root).samples) == 4


def test_neither_workbook_nor_folder():
    with pytest.raises(DataError, match=r"not on this machine: manual download.*`--source DIR`"):
        scan(Request())


def test_no_such_workbook(tmp_path):
    assert refused(tmp_path) == (
        f"cannot read {tmp_path / WORKBOOK}: No such file or directory; check the path (an & in it "
        "needs quotes in a shell) and its permissions"
    )


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("BIRADS&FOLD.xlsx", "data/raw/bus/BIRADS&FOLD.xlsx"),
        ("bus/BIRADS&FOLD.xlsx", "bus/birads & fold.XLSX"),
        ("bus/BIRADS&FOLD.xlsx", "BIRADS&FOLD.xlsx"),
        ("bus/BIRADS&FOLD.xlsx", "bus/GDPH/BIRADS_FOLD.xlsx"),
    ],
)
def test_a_workbook_that_lies_elsewhere(tmp_path, monkeypatch, given, there):
    monkeypatch.chdir(tmp_path)
    for file in (there, "bus/other.xlsx"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(DataError) as caught:
        read_table(Path(given))
    remedy = f"`--xlsx {shlex.quote(there)}` is there"
    assert str(caught.value) == f"cannot read {given}: No such file or directory; {remedy}"


def test_no_such_folder(bus_folder, tmp_path):
    table, folder = bus_folder() / WORKBOOK, tmp_path / "gone"
    expected = f"no folder {folder}; give the one that holds {LAYOUT} with `--source DIR`"
    assert refused(folder, table=table, folder=folder) == expected
    assert refused(folder, folder=folder) == expected


def test_no_table_in_the_folder(tmp_path):
    (tmp_path / "GDPH&SYSUCC").mkdir()
    assert refused(tmp_path, folder=tmp_path) == (
        f"no table in {tmp_path}, which should hold {LAYOUT}, but has: GDPH&SYSUCC/ (empty); "
        "give its folder with `--source DIR`"
    )


def test_several_workbooks(tmp_path):
    for name in ("a.xlsx", "b.xlsx"):
        (tmp_path / name).touch()
    assert refused(tmp_path, folder=tmp_path) == (
        f"several tables in {tmp_path} (a.xlsx, b.xlsx); say which with `--xlsx FILE`"
    )


def test_a_file_that_is_no_workbook(bus_folder):
    root = bus_folder()
    (root / WORKBOOK).write_text("ID,fold")
    assert refused(root) == (
        f"{root / WORKBOOK} is not an xlsx workbook; open it in a spreadsheet and save it as .xlsx"
    )


def test_no_sheet_of_that_name(bus_folder):
    root = bus_folder(sheet="Sheet1")
    assert refused(root) == (
        f"no sheet 'prediction' in {root / WORKBOOK}, which has 'Sheet1'; "
        "rename the sheet that lists the images to 'prediction'"
    )


def test_missing_columns(bus_folder):
    root = bus_folder(header=("ID", "BIRADS-reader1", "reader2", "fold"))
    assert refused(root) == (
        f"no column 'BIRADS-reader2' in sheet 'prediction' of {root / WORKBOOK}, which has 'ID', "
        "'BIRADS-reader1', 'reader2', 'fold': did you mean 'BIRADS-reader1' or 'reader2'?; "
        "name the column so in its first row"
    )


def test_a_csv_that_is_none(bus_folder):
    root = bus_folder()
    for data in (b"\xff\xfe\x00", b"name,label\nbenign(0)\0,0\n", "name,label".encode("utf-16-le")):
        (root / "label.csv").write_bytes(data)
        assert "is not a CSV file" in refused(root, table=root / "label.csv")
    (root / "label.csv").write_bytes(b"")
    assert "is empty; give the table" in refused(root, table=root / "label.csv")


def test_no_images(bus_folder):
    root = bus_folder(folders={"pictures": IDS})
    assert refused(root) == (
        f"no images in {root}, which should hold {LAYOUT}, but has: pictures/ (4 .png), 1 .xlsx; "
        "give its folder with `--source DIR`"
    )


def test_one_centre_alone(bus_folder):
    root = bus_folder(folders={"GDPH": IDS[:2]})
    assert refused(root) == (
        f"no folder in {root} named: SYSUCC/; put it beside the other centre\n"
        f"ids without an image file in {root}: benign(2), malignant(0); restore the files"
    )


def test_one_class_alone(bus_folder):
    root = bus_folder(IDS[:3])
    assert refused(root) == (
        f"images of benign alone in {root}, of which one cannot learn to tell anything; add images "
        "of malignant"
    )


def test_ids_without_a_file_alone_are_left_to_the_caller(bus_folder):
    listing = of(bus_folder(folders={"GDPH": IDS[:1], "SYSUCC": IDS[3:]}))
    assert listing.missing == ("benign(2)", "benign(10)")
    assert [sample.id for sample in listing.samples] == ["benign(0)", "malignant(0)"]


def test_a_file_without_an_id(bus_folder):
    root = bus_folder(rows=[(id, 3, 3, 0) for id in IDS[:3]])
    assert refused(root) == (
        f"image files without a row in {root / WORKBOOK}: GDPH/malignant(0).png; "
        "add the rows or move the files away"
    )


def test_an_id_twice(bus_folder):
    root = bus_folder(rows=[(id, 3, 3, 0) for id in (*IDS, "benign(2)")])
    assert refused(root) == (
        f"ids twice in {root / WORKBOOK}: benign(2) (rows 4 and 6); delete one row of each"
    )


@pytest.mark.parametrize("id", ["../benign(0)", "/etc/benign(0)", "GDPH/benign(0)", r"..\x", ".."])
def test_an_id_that_leads_out_of_the_folder(bus_folder, id):
    root = bus_folder(rows=[(name, 3, 3, 0) for name in (*IDS, id)])
    message = refused(root)
    assert message.startswith(
        f"labels in {root / WORKBOOK} that are none of the classes benign, malignant: {id} has "
    )
    assert message.endswith(" (row 6); correct them")


def test_a_link_that_leads_out_of_the_folder(bus_folder, tmp_path):
    root = bus_folder(folders={"GDPH": IDS[:3], "SYSUCC": ()})
    outside = tmp_path / "outside.png"
    (root / "GDPH" / "benign(0).png").rename(outside)
    (root / "SYSUCC").mkdir()
    (root / "SYSUCC" / "malignant(0).png").symlink_to(outside)
    assert f"links that lead out of {root}: SYSUCC/malignant(0).png; replace" in refused(root)


def test_both_folders_are_links_that_lead_out(bus_folder, tmp_path):
    root = bus_folder()
    for centre in ("GDPH", "SYSUCC"):
        (root / centre).rename(tmp_path / f"elsewhere-{centre}")
        (root / centre).symlink_to(tmp_path / f"elsewhere-{centre}")
    said = refused(root)
    assert f"links that lead out of {root}: GDPH/" in said
    assert "no images in" not in said


def test_an_id_of_no_class(bus_folder):
    ids = (*IDS, "normal(1)", "benignant(1)")
    root = bus_folder(ids)
    assert refused(root) == (
        f"labels in {root / WORKBOOK} that are none of the classes benign, malignant: "
        "normal(1) has 'normal' (row 6), benignant(1) has 'benignant' (row 7); correct them"
    )


def test_a_row_without_an_id(bus_folder):
    root = bus_folder(rows=[*[(id, 3, 3, 0) for id in IDS], (None, 3, 3, 0)])
    assert refused(root) == f"rows of {root / WORKBOOK} without an id: 6; fill it in"


@pytest.mark.parametrize("fold", [1.5, "two", None, "nan"])
def test_a_fold_that_is_no_integer(bus_folder, fold):
    root = bus_folder(rows=[*[(id, 3, 3, 0) for id in IDS[:3]], (IDS[3], 3, 3, fold)])
    said = "nothing" if fold is None else repr(str(fold))
    assert refused(root) == (
        f"folds in {root / WORKBOOK} that are no integer: malignant(0) has {said} (row 5); "
        "give a whole number"
    )


def test_one_id_in_both_folders(bus_folder):
    root = bus_folder(folders={"GDPH": IDS, "SYSUCC": IDS[:1]})
    assert refused(root) == (
        f"ids with two image files in {root}: "
        "benign(0) (GDPH/benign(0).png and SYSUCC/benign(0).png); keep one of each"
    )


def test_all_problems_are_named_at_once_and_long_lists_are_cut(bus_folder):
    ids = tuple(f"benign({number})" for number in range(30))
    rows = [*[(id, 3, 3, 0.5) for id in ids], ("../x", 3, 3, 0), ("normal(0)", 3, 3, 0)]
    lines = refused(bus_folder(ids, rows=rows, folders={"GDPH": ids[1:], "SYSUCC": ids[:0]}))
    kinds = [line.split(" ")[0] for line in lines.splitlines()]
    assert kinds == ["no", "folds", "labels", "ids"]
    assert "benign(19) has '0.5' (row 21) ... and 10 more; give" in lines


def test_it_is_registered():
    source = sources.get("bus")
    assert (source.scan, source.image_size) == (scan, 256)


@pytest.mark.real
def test_the_real_images(real_data):
    listing = of(real_data / "gdph_sysucc_layout" / "GDPH&SYSUCC")
    assert Counter(sample.label for sample in listing.samples) == {"benign": 437, "malignant": 210}
    assert [note for note in listing.notes if "('c')" in note]
    assert set(facts(listing, "fold").values()) == {0, 1, 2, 3, 4}
    with Image.open(listing.samples[0].path) as image:
        assert image.size == (256, 256)
