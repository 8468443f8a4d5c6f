"""Which test paired differences get: by the number of different test parts among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sambench.analysis.intervals import Interval, student_interval
from sambench.analysis.paired import mean_difference, resampled_difference, sign_flip

Part = tuple[int | None, int | None]
"""A test part: seed of the split, and fold."""


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What paired differences show.

    Attributes:
        difference: Their mean; None without any.
        interval: 95 % interval of the mean; None for fewer than two.
        test: Which test `p` is of.
        p: Two-sided; None where there is no test.
        smallest_p: The least that p can be; 0 for t tests, which have no bound.
        partitions: Number of different test parts.
    """

    difference: float | None = None
    interval: Interval | None = None
    test: str = "none (no pair)"
    p: float | None = None
    smallest_p: float | None = None
    partitions: int = 0


def infer(differences: Sequence[float], parts: Sequence[Part], test_over_train: float) -> Inference:
    """Test paired differences.

    On one test part: the sign-flip permutation over the pairs and Student's interval, which speak
    of other seeds, not of other images. Over several: the corrected resampled t over the parts,
    with the seeds of each part averaged first.

    Args:
        differences: One for each pair.
        parts: The test part of each.
        test_over_train: n_test / n_train of the parts.
    """
    if not differences:
        return Inference()
    by_part: dict[Part, list[float]] = {}
    for part, difference in zip(parts, differences, strict=True):
        by_part.setdefault(part, []).append(difference)
    if len(by_part) == 1:
        mean = mean_difference(differences)
        flips = sign_flip(differences)
        return Inference(
            difference=mean.estimate,
            interval=student_interval(mean),
            test=flips.name,
            p=flips.p,
            smallest_p=flips.smallest_p,
            partitions=1,
        )
    means = [math.fsum(found) / len(found) for found in by_part.values()]
    mean = resampled_difference(means, test_over_train)
    return Inference(
        difference=mean.estimate,
        interval=student_interval(mean, "corrected resampled t"),
        test=f"Nadeau-Bengio corrected resampled t ({len(means)} test parts, "
        f"n_test / n_train = {test_over_train:.3g})",
        p=mean.p,
        smallest_p=0.0,
        partitions=len(means),
    )
