from __future__ import annotations

import pytest

from sambench.data.preparation import prepare
from sambench.data.source import Request, sources

FILES = ("a/1.png", "a/2.png", "b/3.png", "4.jpg")
TABLE = (
    "file,label,group,fold\na/1.png,sick,x,1\na/2.png,well,x,1\nb/3.png,sick,y,2\n4.jpg,well,,2\n"
)


def test_class_folders(plant, scan):
    root = plant("cats/1.png", "cats/10.png", "cats/2.png", "Dogs/1.png")
    listing = scan("folder", root)
    assert listing.classes == ("Dogs", "cats")
    assert [sample.id for sample in listing.samples] == ["Dogs/1", "cats/1", "cats/2", "cats/10"]
    assert listing.layout == "a folder for each class"


def test_what_looks_like_masks_is_told(plant, scan):
    listing = scan("folder", plant("cats/1.png", "cats/1_mask.png", "dogs/1.png"))
    assert listing.notes == ("read as images, though their names are of masks: cats/1_mask",)


def test_parts(plant, scan):
    root = plant("Train/cats/1.png", "Train/dogs/1.png", "valid/cats/1.png", "test/dogs/1.png")
    listing = scan("folder", root)
    assert [(s.id, s.label, s.facts["part"]) for s in listing.samples] == [
        ("Train/cats/1", "cats", "train"),
        ("Train/dogs/1", "dogs", "train"),
        ("test/dogs/1", "dogs", "test"),
        ("valid/cats/1", "cats", "validation"),
    ]
    assert listing.layout == "a folder for each part and class"


def test_the_order_of_the_classes_may_be_given(plant, scan):
    root = plant("healthy/1.png", "cancer/1.png", "other/1.png")
    listing = scan("folder", root, classes="healthy, cancer")
    assert listing.classes == ("healthy", "cancer")
    assert len(listing.samples) == 2


@pytest.fixture
def listed(plant):
    """Write the images and a table beside them; returns the table."""

    def write(text: str = TABLE, name: str = "labels.csv"):
        root = plant(*FILES)
        (root / name).write_text(text)
        return root / name

    return write


def test_a_table(listed, scan):
    table = listed()
    listing = scan("folder", None, table)
    assert [(s.id, s.label, s.facts["patient"], s.facts["fold"]) for s in listing.samples] == [
        ("4", "well", None, 2),
        ("a/1", "sick", "x", 1),
        ("a/2", "well", "x", 1),
        ("b/3", "sick", "y", 2),
    ]
    assert listing.classes == ("sick", "well")
    assert listing.columns == ("patient", "fold")
    assert listing.notes == ("columns of labels.csv that were used: file, label, group, fold",)
    assert list(listing.checksums) == ["labels.csv"]
    assert scan("folder", table.parent, table) == listing


def test_the_groups_of_the_table_stay_together(listed, tmp_path):
    source = sources.get("folder")
    request = Request(table=listed(), options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "prepared", 8).prepared
    assert prepared.groups == ("4", "a/1", "a/1", "b/3")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_columns(listed, scan, delimiter):
    text = TABLE.replace("file,label,group,fold", "picture,truth,site,part").replace(",", delimiter)
    listing = scan(
        "folder", None, listed(text),
        file_column="Picture", label_column="truth", group_column="site", fold_column="part",
    )  # fmt: skip
    assert [sample.facts["fold"] for sample in listing.samples] == [2, 1, 1, 2]


def test_a_workbook_of_file_and_label_alone(plant, sheet, scan):
    root = plant(*FILES)
    table = sheet(root / "labels.xlsx", ("File", "Label"), ("a/1", 0), ("a\\2.png", 1))
    listing = scan("folder", None, table)
    assert [(sample.id, sample.label) for sample in listing.samples] == [("a/1", "0"), ("a/2", "1")]
    assert listing.columns == ()


def test_a_missing_column(listed, refused):
    table = listed("photo,label\na/1.png,sick\n")
    assert refused("folder", None, table) == (
        f"no column 'file' in {table}, which has 'photo', 'label'; "
        "name the column so in its first row"
    )


def test_a_label_that_is_no_class(listed, refused):
    table = listed()
    assert refused("folder", None, table, classes="well,ill") == (
        f"classes without a row in {table}, which has sick, well: ill; correct `--set classes`"
    )


def test_labels_that_differ_in_case_are_one_class(listed, scan):
    table = listed("file,label\na/1.png,Sick\na/2.png,sick\nb/3.png,well\n")
    assert scan("folder", None, table).classes == ("Sick", "well")


def test_faults_are_named_together(listed, refused, plant):
    plant("a/1.jpg")
    plant("x.png", root="outside")
    table = listed(
        "file,label,fold\na/1.png,p,1\na/1.jpg,q,1\na/2.png,p,one\n../outside/x.png,q,1\n,p,1\n"
        "b/3.png,,1\n4.jpg,q,1\n4.jpg,q,1\nloop.png,q,1\n"
    )
    (table.parent / "loop.png").symlink_to("loop.png")
    root = table.parent
    assert sorted(refused("folder", None, table).splitlines()) == sorted(
        [
            f"rows of {table} without an id: 6; fill it in",
            f"rows of {table} without a label: b/3.png has None (row 7); fill it in or delete them",
            f"ids twice in {table}: 4.jpg (rows 8 and 9); delete one row of each",
            f"ids with two image files in {root}: a/1 (a/1.png and a/1.jpg); rename one of each",
            f"folds in {table} that are no integer: a/2.png has 'one' (row 4); give a whole number",
            f"files that lead out of {root}: ../outside/x.png (row 5); put them inside, or give "
            "`--source`",
            f"links in {root} that lead in a circle: loop.png (row 10); remove them",
        ]
    )


def test_a_listed_file_that_is_not_there_is_missing(listed, scan):
    table = listed("file,label\na/1.png,p\na/2.png,q\ngone.png,q\nbare,q\n")
    assert scan("folder", None, table).missing == ("gone.png", "bare")


def test_nothing_named(refused, tmp_path):
    assert refused("folder") == (
        "dataset 'folder' is not on this machine: these are your own images; put a folder for each "
        "class (also within train/, val/ and test/) or images that `--xlsx TABLE` lists in "
        f"{tmp_path / 'raw' / 'folder'}, or say where it is with `--source DIR`"
    )


def test_one_class_alone(plant, refused):
    root = plant("cats/1.png")
    assert refused("folder", root) == (
        f"images of cats alone in {root}, of which one cannot learn to tell anything; "
        "add images of another class"
    )
