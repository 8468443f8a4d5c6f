"""COVID-19 Radiography Database: chest X-rays gathered from several sources (Rahman et al., 2021).

    COVID-19_Radiography_Dataset/
        {COVID,Normal,Lung_Opacity,Viral Pneumonia}/images/COVID-1.png ...   masks/ beside
        COVID.metadata.xlsx ...                              FILE NAME, FORMAT, SIZE, URL
    older copies have no images/ and put the files straight into the class

Where an image comes from is a fact ("origin") if the metadata are there: in this set it nearly
tells the class. The set grew from 219 to 1,200 to 3,616 COVID images; say which you have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sambench.data.class_folders import ClassFolders, present, samples_of
from sambench.data.locating import Release
from sambench.data.problems import Problems
from sambench.data.source import Listing, Option, Request, Source, sources
from sambench.data.tables import read_table

CLASSES = ("Normal", "COVID", "Viral Pneumonia", "Lung_Opacity")
FOLDERS = {
    "normal": "Normal",
    "covid": "COVID",
    "covid-19": "COVID",
    "viral pneumonia": "Viral Pneumonia",
    "viral_pneumonia": "Viral Pneumonia",
    "lung_opacity": "Lung_Opacity",
    "lung opacity": "Lung_Opacity",
}
CHOICES = {"2": CLASSES[:2], "3": CLASSES[:3], "4": CLASSES, "all": CLASSES}
RELEASE = Release(
    name="covid-radiography",
    obtain="download it from kaggle.com/datasets/tawsifurrahman/covid19-radiography-database "
    "(needs an account) and unpack it",
    layout="COVID/, Normal/, Lung_Opacity/ and Viral Pneumonia/",
    wrappers=("COVID-19_Radiography_Dataset", "COVID-19 Radiography Database"),
)


def scan(request: Request) -> Listing:
    """List the images, with their origin where the metadata tell it.

    Raises:
        DataError: If the folder is not there or not this set's, files are at fault, or a class
            that was asked for has no images.
    """
    root = RELEASE.locate(request)
    problems = Problems()
    wanted = CHOICES[str(request.options["classes"])]
    folders = ClassFolders(labels=FOLDERS, id_of=lambda file: Path(file).stem)
    found = folders.find(root, problems)
    if not found:
        raise RELEASE.refuse(root)
    origins, checksums = _metadata(root, wanted)
    samples = tuple(
        replace(sample, facts={"origin": origins.get(sample.id.casefold())} if origins else {})
        for sample in samples_of(found)
        if sample.label in wanted
    )
    classes, absent = present(wanted, samples, root)
    if absent and request.options["classes"] != "all":
        lacking = ", ".join(label for label in wanted if label not in classes)
        problems.add(
            f"classes without images in {root}", lacking, "add them, or `--set classes=all`"
        )
    problems.check()
    counts = ", ".join(f"{sum(s.label == label for s in samples):,} {label}" for label in classes)
    return Listing(
        root=root,
        layout="a folder for each class",
        classes=classes,
        samples=samples,
        columns=("origin",) if origins else (),
        notes=(*absent, f"this copy has {counts}; cite the version, the set has grown"),
        checksums=checksums,
        passed={
            f.file: f"of class {f.meaning.label}, not wanted"
            for f in found.values()
            if f.meaning.label not in wanted
        },
    )


def _metadata(root: Path, classes: tuple[str, ...]) -> tuple[dict[str, str], Mapping[str, str]]:
    """Return the origin of each id in lower case, and the checksums of the workbooks."""
    origins: dict[str, str] = {}
    checksums = {}
    for label in classes:
        path = root / f"{label}.metadata.xlsx"
        if path.is_file():
            table = read_table(path)
            name, url = table.need("FILE NAME"), table.need("URL")
            checksums[path.name] = table.sha256
            for row in table.rows:
                origins[str(row.cells[name]).casefold()] = str(row.cells[url] or "")
    return origins, checksums


sources.register(
    Source(
        name="covid-radiography",
        summary="chest X-ray, COVID-19 Radiography Database: up to 21,165 images",
        scan=scan,
        image_size=224,
        classes=CLASSES,
        options={
            "classes": Option(
                default="all",
                choices=tuple(CHOICES),
                help="2: Normal, COVID; 3: also Viral Pneumonia; 4: also Lung_Opacity; "
                "all: those there",
            )
        },
        obtain=RELEASE.obtain,
        reference="Rahman et al., Computers in Biology and Medicine 132, 2021, "
        "doi 10.1016/j.compbiomed.2021.104319",
        licence="none of its own: that of each source it was gathered from",
        releases=tuple(
            dict(zip(CLASSES, counts, strict=True))
            for counts in ((10192, 3616, 1345, 6012), (1341, 1200, 1345, 0), (1341, 219, 1345, 0))
        ),
    )
)
