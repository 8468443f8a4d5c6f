"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 60,000 colour images of 32 x 32 pixels.

    cifar-10-batches-py/     data_batch_1..5, test_batch, batches.meta     the release
    cifar-100-python/        train, test, meta
    {train,test}/<class>/*.jpg                                             as many people keep it

The release is read by torchvision, which checks the sum of every file before it unpickles it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from sambench.data.download import Remote, fetch, unpack
from sambench.data.family import Family, archive_samples, list_classes
from sambench.data.source import Listing, Request, Sample
from sambench.errors import DataError

PARTS = {"train": True, "test": False}


def scan(family: Family, request: Request) -> Listing:
    """List the images of the release, which stay in memory until prepared, or of class folders."""
    import torchvision
    from torchvision.datasets.utils import check_integrity

    loader = getattr(torchvision.datasets, family.name.upper())
    named = request.folder is not None or request.table is not None
    root = family.given(request) if named else request.raw / family.name
    if root.name == loader.base_folder and root.is_dir():
        root = root.parent
    folder = root / loader.base_folder
    if not folder.is_dir():
        if named:
            return list_classes(family, request)
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
        layout=f"{loader.base_folder}/",
        classes=family.classes,
        samples=tuple(samples),
        checksums={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    )


for _name in ("cifar10", "cifar100"):
    _family = Family.published(_name)
    _each = 60_000 // len(_family.classes)
    replace(_family, releases=(dict.fromkeys(_family.classes, _each),)).register(scan)
