"""Studies made by hand: what every run had, the rest is plausible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

StudyMaker = Callable[..., list[RunRecord]]


def on_images(number: int, records: Iterable[RunRecord], folds: int = 5) -> list[RunRecord]:
    """Return runs that say they were tested on so many images, one of that many folds."""
    data = {"train": (folds - 1) * number, "test": number}
    return [record.with_sections(data={**(record.data or {}), **data}) for record in records]


@pytest.fixture
def make_runs(make_record: RecordMaker) -> StudyMaker:
    """Make runs from accuracies (percent) by optimizer, seed by seed; None for a diverged run."""

    def make(
        accuracies: Mapping[str, Sequence[float | None]],
        *,
        top: Mapping[str, Sequence[float]] | None = None,
        seconds: Mapping[str, float] | None = None,
        majority: float = 0.6,
        **settings: object,
    ) -> list[RunRecord]:
        records = []
        for name, values in accuracies.items():
            for seed, accuracy in enumerate(values):
                status = "diverged" if accuracy is None else "completed"
                curvature = {"top": {"value": top[name][seed], "converged": True}} if top else None
                record = make_record(
                    name,
                    status=status,
                    accuracy=(accuracy or 0.0) / 100,
                    seconds=(seconds or {}).get(name, 10.0),
                    hessian=curvature,
                    **{"seed": seed, **settings},
                )
                if record.final is not None:
                    test = {**record.final["test"], "majority_accuracy": majority}
                    record = record.with_sections(final={**record.final, "test": test})
                records.append(record)
        return records

    return make
