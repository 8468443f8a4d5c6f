"""Studies of a minimum beyond its eigenvalues: spectral density, sharpness, loss landscape.

settings     which are wanted, and where their numbers go
subject      what is studied
↑
density, sharpness, landscape      one study each: arrays into the folder, numbers returned
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sambench.minimum.studies.density import study_density
from sambench.minimum.studies.landscape import study_interpolation, study_picture
from sambench.minimum.studies.settings import (
    DENSITY,
    INTERPOLATIONS,
    LANDSCAPE,
    SHARPNESS,
    Section,
    Studies,
    holds_interpolation,
    merged,
    studies_in,
)
from sambench.minimum.studies.sharpness import study_sharpness
from sambench.minimum.studies.subject import Progress, Subject

__all__ = [
    "INTERPOLATIONS",
    "LANDSCAPE",
    "Studies",
    "Subject",
    "holds_interpolation",
    "merged",
    "studies_in",
    "study",
    "study_interpolation",
]


def study(
    subject: Subject, settings: Studies, names: Iterable[str], on_progress: Progress
) -> Iterator[Section]:
    """Do the named studies one after the other.

    Args:
        subject: The network and its data.
        settings: Of the studies.
        names: Of studies and pictures, as `Studies.missing` gives them.
        on_progress: Told the stage, what is done of it and the most it may take.

    Yields:
        After each study, what it adds to the record's hessian section.

    Raises:
        CurvatureError: If the model cannot be studied.
        StoreError: If the run's folder cannot be written.
    """
    for name in names:
        if name == DENSITY:
            yield {DENSITY: study_density(subject, settings, on_progress)}
        elif name == SHARPNESS:
            yield {SHARPNESS: study_sharpness(subject, settings, on_progress)}
        else:
            yield {LANDSCAPE: {name: study_picture(subject, settings, name, on_progress)}}
