"""What a column of the samples alone tells of the class: the centre, the device, the fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency

from sambench.data.prepared import FIXED_COLUMNS, Prepared
from sambench.data.source import Fact

MOST_VALUES, LEAST_IMAGES = 30, 5
"""Columns of more values, or fewer images to a value (patients), fit the classes by chance."""


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """One column.

    Attributes:
        column: Its name.
        counts: Images of each class, by value of the column; "" where it is empty.
        accuracy: Of giving each image the most frequent class of its value.
        p: Of Pearson's chi-squared test that class and column are independent.
    """

    column: str
    counts: Mapping[str, Mapping[str, int]]
    accuracy: float
    p: float


def find_shortcuts(prepared: Prepared) -> tuple[Shortcut, ...]:
    """Return the columns that the source told and that have a few values, the strongest first."""
    labels = [prepared.classes[label] for label in prepared.labels]
    most = min(MOST_VALUES, len(prepared) // LEAST_IMAGES)
    found = [
        shortcut(name, values, labels, prepared.classes)
        for name, values in prepared.columns.items()
        if name not in FIXED_COLUMNS and 2 <= len(set(values)) <= most
    ]
    return tuple(sorted(found, key=lambda one: -one.accuracy))


def shortcut(
    column: str, values: Sequence[Fact], labels: Sequence[str], classes: Sequence[str]
) -> Shortcut:
    """Return what one column tells of the class.

    Args:
        column: Its name.
        values: Its value for each image.
        labels: The class of each image.
        classes: All classes, in order.
    """
    counted = Counter(zip(values, labels, strict=True))
    ordered = sorted(set(values), key=lambda value: (value is None, value))
    table = np.array([[counted[value, label] for label in classes] for value in ordered])
    present = table[:, table.sum(axis=0) > 0]
    texts = ["" if value is None else str(value) for value in ordered]
    return Shortcut(
        column=column,
        counts={
            text: dict(zip(classes, row.tolist(), strict=True))
            for text, row in zip(texts, table, strict=True)
        },
        accuracy=float(table.max(axis=1).sum() / len(labels)),
        p=float(chi2_contingency(present).pvalue) if min(present.shape) > 1 else 1.0,
    )
