"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 60,000 colour images of 32 x 32 pixels.

    cifar-10-batches-py/     data_batch_1..5, test_batch, batches.meta     the release
    cifar-100-python/        train, test, meta
    {train,test}/<class>/*.jpg                                             as many people keep it

The release is read by torchvision, which checks the sum of every file before it unpickles it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sambench.data.download import Remote, fetch, unpack
from sambench.data.family import Family, archive_samples, list_classes
from sambench.data.source import Listing, Request, Sample
from sambench.errors import DataError

CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon
ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
PARTS = {"train": True, "test": False}


@dataclass(frozen=True, kw_only=True)
class Member(Family):
    """One of the two sets: torchvision's class, which knows files and checksums, and its folder."""

    loader: str
    folder: str


def scan(member: Member, request: Request) -> Listing:
    """List the images of the release, which stay in memory until prepared, or of class folders."""
    import torchvision
    from torchvision.datasets.utils import check_integrity

    loader = getattr(torchvision.datasets, member.loader)
    named = request.folder is not None or request.table is not None
    root = member.given(request) if named else request.raw / member.name
    if root.name == member.folder and root.is_dir():
        root = root.parent
    folder = root / member.folder
    if not folder.is_dir():
        if named:
            return list_classes(member, request)
        remote = Remote(url=loader.url, name=loader.filename, checksum=f"md5:{loader.tgz_md5}")
        unpack(fetch(remote, root, request.progress), folder)
    samples: list[Sample] = []
    for part, train in PARTS.items():
        try:
            data = loader(root, train=train)
        except RuntimeError as error:
            meta = (loader.meta["filename"], loader.meta["md5"])
            known = (*loader.train_list, *loader.test_list, meta)
            wrong = [name for name, md5 in known if not check_integrity(folder / name, md5)]
            raise DataError(
                f"not as published in {folder}, changed or missing: {', '.join(wrong)}; delete the "
                f"folder and unpack {loader.filename} again"
            ) from error
        labels = [data.classes[label] for label in data.targets]
        samples += archive_samples(folder, part, part, data.data, labels, digits=5)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return Listing(
        root=root,
        layout=f"{member.folder}/",
        classes=member.classes,
        samples=tuple(samples),
        checksums={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    )


for _loader_name, _folder, _classes in (
    ("CIFAR10", "cifar-10-batches-py", tuple(CIFAR10.split())),
    ("CIFAR100", "cifar-100-python", tuple(CIFAR100.split())),
):
    Member(
        name=_loader_name.lower(),
        summary=f"photographs, CIFAR-{len(_classes)}: 60,000 images in train and test",
        obtain="cs.toronto.edu/~kriz/cifar.html, downloaded where it is missing",
        layout=f"{_folder}/, or train/ and test/ with a folder for each class",
        classes=_classes,
        image_size=32,
        reference="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="none stated; its author asks to cite the report",
        releases=({label: 60_000 // len(_classes) for label in _classes},),
        loader=_loader_name,
        folder=_folder,
    ).register(scan)
