"""Test accuracy at each centre that the test images come from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sambench.analysis.predictions import Predictions
from sambench.analysis.study import Panel
from sambench.report.table import Cell, Table, mean_and_spread


def centre_table(
    panel: Panel, predictions: Mapping[str, Predictions], centres: Mapping[str, str]
) -> Table | None:
    """Return a column for each centre of the test images; None where they are of fewer than two.

    Predictions are by the id of their run, centres by the id of their image.
    """
    rows, images = [], dict[str, int]()
    for line in panel.group.lines:
        found: dict[str, list[float]] = {}
        for record in line.completed:
            told = predictions.get(record.id)
            if told is None or any(str(image) not in centres for image in told.ids):
                continue
            where = np.array([centres[str(image)] for image in told.ids])
            for centre in np.unique(where):
                mine = where == centre
                images[str(centre)] = int(mine.sum())
                found.setdefault(str(centre), []).append(100 * float(told.correct[mine].mean()))
        if found:
            rows.append((line, found))
    names = sorted(images)
    if len(names) < 2:
        return None
    return Table(
        title=f"{panel.title}: test accuracy by centre",
        headings=("Optimizer", *(f"{name} (%)" for name in names)),
        rows=tuple(
            (line.title, tuple(_cell(found.get(name, [])) for name in names))
            for line, found in rows
        ),
        notes=(
            f"Mean ± SD (runs) of the share of each centre's test images that is classified "
            f"rightly: {', '.join(f'{name} {images[name]}' for name in names)} images. Not tested.",
        ),
        setting=panel.title,
        keys=tuple(line.label for line, _ in rows),
    )


def _cell(shares: list[float]) -> Cell:
    if not shares:
        return Cell(text="–")
    mean, sd = float(np.mean(shares)), float(np.std(shares, ddof=1)) if len(shares) > 1 else None
    text = f"{mean_and_spread(mean, sd, 1, ratio=False)} ({len(shares)})"
    return Cell(text=text, numbers={"mean": mean, "sd": sd, "n": len(shares)})
