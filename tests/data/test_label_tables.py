from __future__ import annotations

from datetime import date
from pathlib import Path
from unicodedata import normalize

import openpyxl
import pytest

from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.errors import SambenchWarning

FILES = ("a/1.png", "a/2.png", "b/3.png", "4.jpg")
TABLE = (
    "file,label,group,fold\na/1.png,sick,x,1\na/2.png,well,x,1\nb/3.png,sick,y,2\n4.jpg,well,,2\n"
)


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
        "name the column so in its first row, or add `--set file_column=ITS-NAME`"
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
        "b/3.png,,1\n4.jpg,q,1\n4.jpg,q,1\nloop.png,q,1\n5.jpg,q,\n"
    )
    (table.parent / "loop.png").symlink_to("loop.png")
    root = table.parent
    assert sorted(refused("folder", None, table).splitlines()) == sorted(
        [
            f"rows of {table} without an id: 6; fill it in",
            f"rows of {table} without a label: b/3.png has nothing (row 7); fill it in or delete "
            "them",
            f"ids twice in {table}: 4.jpg (rows 8 and 9); delete one row of each",
            f"ids with two image files in {root}: a/1 (a/1.png and a/1.jpg); rename one of each",
            f"folds in {table} that are no integer: a/2.png has 'one' (row 4), 5.jpg has nothing "
            "(row 11); give a whole number",
            f"files that lead out of {root}: ../outside/x.png (row 5); put them inside, or name "
            "their folder with `--source`",
            f"links in {root} that lead in a circle: loop.png (row 10); remove them",
        ]
    )


def test_a_listed_file_that_is_not_there_is_missing(listed, scan):
    table = listed("file,label\na/1.png,p\na/2.png,q\ngone.png,q\nbare,q\n")
    assert scan("folder", None, table).missing == ("gone.png", "bare")


def test_a_class_of_which_no_file_is_there_is_not_asked_for(listed, refused):
    table = listed("file,label\na/1.png,sick\na/2.png,sick\nb/3.png;4.jpg,well\n")
    assert refused("folder", None, table) == (
        f"no file for 1 of 3 rows of {table} in {table.parent}: b/3.png;4.jpg; files are 4.jpg, "
        "a/1.png, a/2.png ... and 1 more; write the names as the files have them"
    )


@pytest.mark.parametrize("written", ["./a/1.png", "a/1", "a\\1.png"])
def test_an_image_in_two_rows_that_write_it_differently(listed, refused, written):
    table = listed(f"file,label\na/1.png,sick\na/2.png,well\n{written},well\n")
    assert refused("folder", None, table) == (
        f"ids twice in {table}: a/1 (a/1.png and {written}); delete one row of each"
    )


def test_labels_that_differ_in_zeros_are_asked_about(listed, refused):
    table = listed("file,label\na/1.png,01\na/2.png,1\nb/3.png,2\n")
    assert refused("folder", None, table).startswith(f"classes '1' and '01' in {table} differ in ")


def test_columns_by_the_names_that_people_give_them(listed, scan):
    text = "Filename,Diagnosis,Patient_ID,split,age\n" + (
        "a/1.png,sick,x,train,5\na/2.png,well,x,train,6\nb/3.png,sick,y,test,7\n4.jpg,well,z,val,8\n"
    )
    listing = scan("folder", None, listed(text))
    assert listing.columns == ("patient", "part")
    assert [s.facts["part"] for s in listing.samples] == ["validation", "train", "train", "test"]
    assert listing.notes[-1] == (
        "columns of labels.csv that were used: file (Filename), label (Diagnosis), "
        "group (Patient_ID), split; not used: age"
    )


@pytest.mark.parametrize(
    ("column", "what"),
    [
        *((name, "file") for name in ("File Name", "image_id", "Image-Path", "IMG", "image index")),
        *((name, "label") for name in ("Class Name", "labels", "Diagnosis")),
        *(
            (name, "group")
            for name in ("Patient ID", "patient-no.", "PatientId", "lesion_id", "MRN")
        ),
        *((name, "fold") for name in ("Folds", "k-fold", "cv_fold")),
    ],
)
def test_columns_are_known_by_their_letters_and_usual_words(listed, scan, column, what):
    names = {"file": "file", "label": "label", "group": "group", "fold": "fold"} | {what: column}
    text = TABLE.replace("file,label,group,fold", ",".join(names.values()))
    listing = scan("folder", None, listed(text))
    assert f"{what} ({column})" in listing.notes[-1] and "not used" not in listing.notes[-1]
    assert listing.columns == ("patient", "fold")


def test_centre_and_device_are_facts_that_splits_and_the_audit_use(listed, scan):
    text = (
        "file,label,Hospital,Scanner,site\n"
        "a/1.png,p,A,x,arm\na/2.png,q,A,,leg\nb/3.png,p,B,y,leg\n4.jpg,q,,y,arm\n"
    )
    listing = scan("folder", None, listed(text))
    assert listing.notes[-1].endswith("centre (Hospital), device (Scanner); not used: site")
    assert {s.id: (s.facts["centre"], s.facts["device"]) for s in listing.samples} == {
        "4": (None, "y"),
        "a/1": ("A", "x"),
        "a/2": ("A", None),
        "b/3": ("B", "y"),
    }
    named = scan("folder", None, listed(text), centre_column="site")
    assert {sample.facts["centre"] for sample in named.samples} == {"arm", "leg"}


def test_a_column_for_each_class_of_which_one_is_marked(listed, scan, refused):
    text = "image,MEL,NV,age\na/1,1.0,0.0,3\na/2,0.0,1.0,1\n4,1,0,0\n"
    listing = scan("folder", None, listed(text))
    assert {sample.id: sample.label for sample in listing.samples} == {
        "4": "MEL",
        "a/1": "MEL",
        "a/2": "NV",
    }
    assert listing.notes[-1] == (
        "columns of labels.csv that were used: file (image), label (the one of MEL, NV that is 1); "
        "not used: age"
    )
    for wrong in (text.replace("4,1,0", "4,1,1"), text.replace("4,1,0", "4,0,0")):
        assert "no column 'label' in" in refused("folder", None, listed(wrong))


def test_a_lesion_is_no_id_of_one_and_a_patients_name_is_not_taken(listed, scan):
    listing = scan(
        "folder", None, listed("file,label,lesion,Patient Name\na/1.png,p,1,Ann\n4.jpg,q,0,Eve\n")
    )
    assert listing.notes[-1].endswith("not used: lesion, Patient Name")
    assert listing.columns == ()


@pytest.mark.parametrize("column", ["Patienten-Nr", "Patient Name", "Identifiant patient"])
def test_a_column_that_may_tell_the_patients_is_asked_about(listed, scan, column):
    text = TABLE.replace("group,fold", f"{column},Patient Age").replace(",,2", ",z,3")
    listing = scan("folder", None, listed(text))
    assert listing.columns == ()
    asked = f"group_column={column}" if column.count(" ") == 0 else f"'group_column={column}'"
    assert listing.notes[1:] == (
        f"{column} may tell the patients, of whom some have several images; if so, prepare with "
        f"`--set {asked}`",
    )
    told = scan("folder", None, listed(text), group_column=column)
    assert (told.columns, told.notes[1:]) == (("patient",), ())
    apart = "\n".join(f"{line},{number}" for number, line in enumerate(text.splitlines()))
    alone = scan(
        "folder", None, listed(apart.replace(column, "x").replace(",0\n", ",Patient\n", 1))
    )
    assert len(alone.notes) == 1  # each patient has one image


@pytest.mark.parametrize(
    ("sick", "healthy"),
    [
        *(
            ("cancer", "healthy"),
            ("abnormal", "normal"),
            ("COVID", "non-COVID"),
            ("A", "Normal scans"),
        ),
        *(("Disease", "No disease"), ("A", "controls"), ("finding", "no_finding")),
        *(("Malignant", "benign"), ("Benign tumour", "normal")),
    ],
)
def test_a_healthy_class_that_would_count_as_positive_is_told(plant, scan, sick, healthy):
    root = plant(f"{sick}/1.png", f"{healthy}/1.png")
    asked = f"`--set classes={healthy},{sick}` turns them round"
    told = (
        f"the second class counts as the positive one, so sensitivity will be of {healthy}: {asked}"
    )
    assert scan("folder", root).notes == (told,)
    turned = scan("folder", root, classes=f"{healthy},{sick}")
    assert (turned.classes, turned.notes) == ((healthy, sick), ())
    table = root / "t.csv"
    table.write_text(f"file,label\n{sick}/1.png,{sick}\n{healthy}/1.png,{healthy}\n")
    assert scan("folder", None, table).notes[-1] == told


def test_patients_by_names_in_a_table(listed, scan, refused):
    table = listed("file,label\na/1.png,p\n4.jpg,q\n")
    assert "finds no patient in" in refused("folder", None, table, patient=1)
    assert "a column tells the patients already" in refused("folder", None, listed(), patient=1)


def test_a_column_that_says_whether_an_image_is_for_testing(listed, scan):
    listing = scan("folder", None, listed("file,label,test\na/1.png,p,0\na/2.png,q,1\n4.jpg,q,0\n"))
    assert {s.id: s.facts["part"] for s in listing.samples} == {
        "a/1": "train",
        "a/2": "test",
        "4": "train",
    }


def test_a_column_of_validation_images_beside_that_of_test_images_is_told(listed, scan):
    text = "file,label,test,val\na/1.png,p,0,0\na/2.png,q,1,0\n4.jpg,q,0,1\n"
    assert scan("folder", None, listed(text)).notes[1:] == (
        "val is not read beside test, so its images are in the training part; one column of train, "
        "validation and test keeps them apart",
    )


def test_a_named_column_that_is_not_there(listed, refused):
    table = listed("file,label,patient_id\na/1.png,p,1\n")
    assert refused("folder", None, table, group_column="patientid") == (
        f"no column 'patientid' in {table}, which has 'file', 'label', 'patient_id': did you mean "
        "'patient_id'?; name the column so in its first row"
    )


def test_names_for_labels_and_a_choice_of_classes(listed, scan):
    table = listed("file,label\na/1.png,0\na/2.png,1\nb/3.png,2\n4.jpg,1.0\n")
    listing = scan("folder", None, table, labels="0:benign,1:malignant", classes="benign,malignant")
    assert listing.classes == ("benign", "malignant")
    assert {s.id: s.label for s in listing.samples} == {
        "a/1": "benign",
        "a/2": "malignant",
        "4": "malignant",
    }
    assert listing.notes[-1] == "classes that were not chosen (and rows): 2 (1)"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "a/1.png,Effusion|Mass\na/2.png,Mass\nb/3.png,Effusion\n",
            "labels in {table} of several classes at once, as 'Effusion|Mass' in 1 of 3 rows: "
            "multi-label sets are not supported; give one label to each image",
        ),
        (
            "a/1.png,0.25\na/2.png,1\nb/3.png,0\n",
            "labels in {table} that are fractions rather than classes: a/1.png has '0.25' (row 2); "
            "give class names",
        ),
        (
            "a/1.png,NaN\na/2.png,#N/A\nb/3.png,p\n4.jpg,q\n",
            "rows of {table} without a label: a/1.png has 'NaN' (row 2), a/2.png has '#N/A' "
            "(row 3); fill it in, delete them, or list all classes, if it is one, with "
            "`--set classes=A,B`",
        ),
        (
            "7,p\n8,q\n",
            "no file for 2 of 2 rows of {table} in {root}: 7, 8; files are 4.jpg, a/1.png, "
            "a/2.png ... and 1 more; write the names as the files have them",
        ),
    ],
)
def test_rows_that_cannot_be_used(listed, refused, rows, message):
    table = listed(f"file,label\n{rows}")
    assert refused("folder", None, table) == message.format(table=table, root=table.parent)


def test_two_columns_of_one_name(listed, refused):
    table = listed("file,label,Label\na/1.png,p,q\n")
    assert refused("folder", None, table) == (
        f"columns of one name in {table}: label; rename one of each"
    )


@pytest.mark.parametrize("word", ["NA", "na", "n/a", "None", "NULL", "<NA>"])
def test_a_label_that_stands_for_a_blank(listed, refused, scan, word):
    table = listed(f"file,label\na/1.png,{word}\na/2.png,p\nb/3.png,q\n")
    message = refused("folder", None, table)
    assert message.startswith(f"rows of {table} without a label: a/1.png has {word!r} (row 2);")
    assert "`--set classes=A,B`" in message
    assert scan("folder", None, table, classes=f"{word},p,q").classes == (word, "p", "q")
    named = scan("folder", None, table, labels=f"{word}:r,p:p,q:q")
    assert named.classes == ("p", "q", "r")


@pytest.mark.parametrize("word", ["", "NA", "N/A", "#N/A", "none", "-", "Unknown", "ANONYMOUS"])
def test_a_group_that_stands_for_a_blank_is_none(listed, tmp_path, word):
    text = f"file,label,patient\na/1.png,p,x\na/2.png,q,x\nb/3.png,p,{word}\n4.jpg,q,{word}\n"
    source = sources.get("folder")
    request = Request(table=listed(text), options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "prepared", 8).prepared
    assert prepared.groups == ("4", "a/1", "a/1", "b/3")
    assert prepared.column("patient") == (None, "x", "x", None)
    assert (
        "1 patients or groups; 2 images without one, each for itself"
        in (prepared.manifest["notes"])
    )


@pytest.mark.parametrize("column", ["test", "train"])
@pytest.mark.parametrize(
    ("yes", "no"),
    [*zip("1Yytx", "0NnF ", strict=True), ("1.0", "0.0"), ("TRUE", "False"), ("yes", "NA")],
)
def test_words_for_yes_and_no(listed, scan, column, yes, no):
    table = listed(f"file,label,{column}\na/1.png,p,{yes}\na/2.png,q,{no}\nb/3.png,q,{yes}\n")
    other = {"test": "train", "train": "test"}[column]
    parts = {sample.id: sample.facts["part"] for sample in scan("folder", None, table).samples}
    assert parts == {"a/1": column, "a/2": other, "b/3": column}


def test_words_that_are_neither_yes_nor_no(listed, refused):
    table = listed("file,label,test\na/1.png,p,1\na/2.png,q,maybe\nb/3.png,q,2.0\n4.jpg,p,0\n")
    assert refused("folder", None, table) == (
        f"cells of the column test in {table} that say neither yes nor no: a/2.png has 'maybe' "
        "(row 3), b/3.png has '2.0' (row 4); write 1 or 0, or rename the column if it tells other "
        "things"
    )
    other = listed("file,label,set\na/1.png,p,A\n4.jpg,q,B\n")
    assert refused("folder", None, other).endswith("or rename the column if it tells other things")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            "0:benign,1:malignant,2:normal,4:other",
            "labels without a row in {table}, which has 0, 1, 2: 4; correct `--set labels`",
        ),
        (
            "0:benign,1:malignant",
            "labels in {table} without a name, though others are given one: 2; add 2:NAME to "
            "`--set labels`, or leave them out with `--set classes=benign,malignant`",
        ),
        (
            "0=benign,1=malignant",
            "`--set labels=0=benign,1=malignant` gives no name to a label in '0=benign'; write it "
            "as `--set labels=0:benign,1:malignant`",
        ),
        (
            ":benign,1:malignant",
            "`--set labels=:benign,1:malignant` gives no name to a label in ':benign'; write it as "
            "`--set labels=0:benign,1:malignant`",
        ),
    ],
)
def test_names_that_do_not_fit_the_labels(listed, refused, scan, labels, message):
    table = listed("file,label\na/1.png,0\na/2.png,1\nb/3.png,2\n4.jpg,1.0\n")
    assert refused("folder", None, table, labels=labels) == message.format(table=table)
    whole = scan("folder", None, table, labels=" 0 : benign, 1:malignant,2:malignant,")
    assert whole.classes == ("benign", "malignant")


def test_a_label_that_is_written_as_a_name_needs_none(listed, scan):
    table = listed("file,label\na/1.png,b\na/2.png,Benign\nb/3.png,m\n")
    assert scan("folder", None, table, labels="b:benign,m:malignant").classes == (
        "benign",
        "malignant",
    )


def test_labels_that_are_surely_one_class(listed, scan):
    table = listed("file,label\na/1.png,b\u00f6se\na/2.png, bo\u0308se \nb/3.png,gut\n")
    assert scan("folder", None, table).classes == ("b\u00f6se", "gut")
    (table.parent / "a" / "1.txt").write_text("beside an image")
    table = listed("file,label\na/1,x|y\na/2.png,x|y\nb/3.png,z\n")  # no class is called x or y
    assert scan("folder", None, table).classes == ("x|y", "z")


def test_absolute_files(plant, scan, refused, tmp_path, monkeypatch):
    root = plant("a/1.png", "a/2.png", "b/3.png")
    (tmp_path / "link").symlink_to(root)
    table = tmp_path / "table.csv"
    table.write_text(f"file,label\n{root}/a/1.png,p\n{root}/a/2,q\n{tmp_path}/link/b/3.png,q\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for source in (root, Path("../tree"), tmp_path / "link", Path("../link")):
        listing = scan("folder", source, table)
        assert [sample.id for sample in listing.samples] == ["a/1", "a/2", "b/3"]
        assert [sample.file for sample in listing.samples] == ["a/1.png", "a/2.png", "b/3.png"]
    assert refused("folder", Path("../tree/a"), table) == (
        f"files that lead out of ../tree/a: {tmp_path}/link/b/3.png (row 4); put them inside, or "
        "name their folder with `--source`"
    )


def test_files_by_way_of_a_folder_above(plant, scan):
    root = plant("images/1.png", "images/2.png", "tables/x.png")
    table = root / "tables" / "t.csv"
    table.write_text("file,label\n../images/1.png,p\n../tables/../images/2,q\n")
    listing = scan("folder", root / "images", table)
    assert [(one.id, one.file) for one in listing.samples] == [("1", "1.png"), ("2", "2.png")]


def test_files_in_a_folder_above(plant, scan, tmp_path, monkeypatch):
    root = plant("1.png", "2.png")
    (root / "t.csv").write_text("file,label\n1.png,p\n2,q\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert len(scan("folder", Path("../tree"), root / "t.csv").samples) == 2
    assert len(scan("folder", None, Path("../tree/t.csv")).samples) == 2


def test_an_id_of_two_image_files(listed, refused, plant, scan):
    plant("a/1.tif")
    table = listed("file,label\na/1,p\na/2,q\nb/3,q\n")
    assert refused("folder", None, table) == (
        f"ids with two image files in {table.parent}: a/1 (1.png and 1.tif); write the suffix in "
        "the table"
    )
    table = listed("file,label\na/1.tif,p\na/2,q\nb/3,q\n")
    assert [one.file for one in scan("folder", None, table).samples] == [
        "a/1.tif",
        "a/2.png",
        "b/3.png",
    ]


def test_numbers_of_dicom_are_no_suffixes(plant, scan):
    root = plant("1.2.840.0.png", "1.2.840.1.png", "1.2.841.1.png", "x.gif")
    (root / "1.2.840.0.png").rename(root / "1.2.840.0")
    (root / "1.2.840.1.png").rename(root / "1.2.840.1")
    (root / "t.csv").write_text("file,label\n1.2.840.0,p\n1.2.840.1,q\n1.2.841.1,q\nx.gif,q\n")
    assert [one.id for one in scan("folder", None, root / "t.csv").samples] == [
        *("1.2.840.0", "1.2.840.1", "1.2.841.1", "x"),
    ]


def test_suffixes_in_capital_letters(plant, scan):
    root = plant("0.PNG", "1.Tif")
    (root / "t.csv").write_text("file,label\n0,p\n1,q\n")
    files = [one.file for one in scan("folder", None, root / "t.csv").samples]
    assert files == ["0.PNG", "1.Tif"]


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("suffix", [".png", ""])
def test_accents_that_are_coded_in_another_way(plant, scan, written, suffix):
    """Archives made on one system and tables made on another write them in two ways."""
    names = ("b\u00f6se/f\u00fcnf", "gut/\u00e9ins", "gut/2")
    there = {"NFC": "NFD", "NFD": "NFC"}[written]
    files = [normalize(there, f"{name}.png") for name in names]
    root, table = plant(*files), plant() / "t.csv"
    rows = [f"{normalize(written, name)}{suffix},{'pq'[n > 0]}" for n, name in enumerate(names)]
    table.write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    listing = scan("folder", root, table)
    assert {sample.file for sample in listing.samples} == {*files}
    assert listing.missing == ()


def test_a_comma_behind_the_last_name_makes_no_column(listed, scan, refused):
    table = listed("file,label,\na/1.png,p,\na/2.png,q\n")
    assert len(scan("folder", None, table).samples) == 2
    table = listed("file,label,\na/1.png,p,P0\na/2.png,q,P1\n")
    assert "with more cells than the first row has columns: 2, 3;" in refused("folder", None, table)
    table = listed(",file,label\n0,a/1.png,p\n1,a/2.png,q\n")  # the index that pandas writes
    assert len(scan("folder", None, table).samples) == 2


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_values_in_a_column_without_a_name_are_said(plant, scan, kind):
    root = plant("a/1.png", "a/2.png")
    rows = [["file", None, "label"], ["a/1.png", "P0", "p"], ["a/2.png", None, "q"]]
    table = root / f"t.{kind}"
    if kind == "csv":
        table.write_text("\n".join(",".join(cell or "" for cell in row) for row in rows))
    else:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.active["E3"] = 7  # beside the table
        book.save(table)
    columns = "2" if kind == "csv" else "2, 5"
    with pytest.warns(SambenchWarning, match=rf"are left out: column {columns}; name the columns"):
        found = scan("folder", None, table)
    assert [sample.facts for sample in found.samples] == [{}, {}]


@pytest.mark.parametrize(
    ("text", "rows", "delimiter"),
    [
        ('file,label,patient\na,p,"Doe, P0"\nb,p,Doe, P0\nc,q,Doe, P1\n', "3, 4", ","),
        ("file;label\na;p;;\nb;p;3\n", "3", ";"),
    ],
)
def test_rows_longer_than_the_first(listed, refused, text, rows, delimiter):
    table = listed(text)
    assert refused("folder", None, table) == (
        f"rows of {table} with more cells than the first row has columns: {rows}; name all columns "
        f"in the first row, and quote values that contain {delimiter!r}"
    )


def test_dates_of_a_workbook_are_text(plant, sheet, refused):
    root = plant(*FILES)
    table = sheet(root / "t.xlsx", ("file", "label"), (date(2020, 1, 2), "p"), (7.0, "q"))
    assert f"no file for 2 of 2 rows of {table} in {root}: 2020-01-02, 7; files are" in refused(
        "folder", None, table
    )
