"""Splits as files beside the data, so that what was trained on can be seen and cannot drift.

`splits/<name>.csv` in the folder of a prepared dataset has the part of each image. It is written
when a split is first used; whoever uses it again gets the same, or is told that it has changed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
from pathlib import Path
from urllib.parse import quote

from sambench.data.prepared import Prepared
from sambench.data.splits import Population, Split, make_split
from sambench.errors import DataError, SambenchWarning, StoreError
from sambench.files.atomic import write_bytes

FOLDER = "splits"


def stored_split(
    prepared: Prepared, name: str, *, fold: int | None, seed: int, validation: float
) -> tuple[Split, str]:
    """Return a split (`make_split`) and the sha256 of its file, which is written if there is none.

    Raises:
        ConfigError: If there is no such split or fold.
        DataError: If the data lack what it needs, or the file says otherwise.
    """
    split = make_split(Population.of(prepared), name, fold=fold, seed=seed, validation=validation)
    path = split_path(prepared.folder, name, fold=fold, seed=seed, validation=validation)
    data = _as_csv(prepared, split)
    if not path.exists():
        try:
            write_bytes(path, data)
        except StoreError as error:  # data that many share are often read-only, and can be used so
            warnings.warn(f"the split is not kept: {error}", SambenchWarning, stacklevel=2)
    elif path.read_bytes() != data:
        raise DataError(
            f"{path} says otherwise than split {name} of these data: it was changed, or another "
            "version of sambench made it; move it away to go on with the split as it is now"
        )
    return split, hashlib.sha256(data).hexdigest()


def split_path(folder: Path, name: str, *, fold: int | None, seed: int, validation: float) -> Path:
    """Return the file of a split: each setting that decides it is in the name."""
    parts = [quote(name, safe=""), f"s{seed}"]
    parts += [f"f{fold}"] if fold is not None else []
    parts += [f"v{validation:g}"] if validation else []
    return folder / FOLDER / f"{'-'.join(parts)}.csv"


def _as_csv(prepared: Prepared, split: Split) -> bytes:
    part_of = {
        int(index): part
        for part in ("train", "validation", "test")
        for index in getattr(split, part)
    }
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "part"))
    writer.writerows((id, part_of.get(index, "")) for index, id in enumerate(prepared.ids))
    return text.getvalue().encode()
