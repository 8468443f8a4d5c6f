"""Studies of a minimum beyond its eigenvalues: spectral density, sharpness, loss landscape.

subject      what is studied
↑
density, sharpness, landscape      one study each: arrays into the folder, numbers returned
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sambench.config.study_settings import DENSITY, LANDSCAPE, SHARPNESS, Section, Studies
from sambench.run.journal import Deadline
from sambench.run.studies.density import study_density
from sambench.run.studies.landscape import study_interpolation, study_picture
from sambench.run.studies.sharpness import study_sharpness
from sambench.run.studies.subject import Progress, Subject

__all__ = ["Subject", "study", "study_interpolation"]


def study(
    subject: Subject,
    settings: Studies,
    names: Iterable[str],
    on_progress: Progress,
    deadline: Deadline,
) -> Iterator[Section]:
    """Do the named studies one after the other.

    Args:
        subject: The network and its data.
        settings: Of the studies.
        names: Of studies and pictures, as `Studies.missing` gives them.
        on_progress: Told the stage, what is done of it and the most it may take.
        deadline: After which no study and no row of a picture is begun.

    Yields:
        After each study, what it adds to the record's hessian section.

    Raises:
        CurvatureError: If the model cannot be studied.
        StoreError: If the run's folder cannot be written.
        OutOfTime: If the deadline is over before all is done.
    """
    for place, name in enumerate(names):
        if place:  # however short the time, every call gets something done
            deadline.check()
        if name == DENSITY:
            yield {DENSITY: study_density(subject, settings, on_progress)}
        elif name == SHARPNESS:
            yield {SHARPNESS: study_sharpness(subject, settings, on_progress)}
        else:
            picture = study_picture(subject, settings, name, on_progress, deadline)
            yield {LANDSCAPE: {name: picture}}
