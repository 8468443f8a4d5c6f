"""The tests: joint sign flips over seeds, the corrected t over folds, equivalence, the best.

A unit is what is independent: a seed on one test part, a fold where there are several (its seeds
averaged first). Differences are arrays of shape (units, hypotheses), NaN where a unit lacks one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

ALPHA = 0.05
POWER = 0.8
EXACT_UNITS = 12
"""Up to so many units all sign flips are counted."""
DRAWN = 10_000
"""Sign flips drawn beyond that."""
ROUNDING = 1e-6
"""Statistics that differ by less, relatively, count as equal."""
CHUNK = 2_000_000
"""Numbers of one block of flipped statistics, 16 MB."""

Floats = NDArray[np.float64]
Keys = tuple[object, ...]
"""Units: seeds, or split seeds and folds, or titles of settings."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Which test some differences get."""

    unit: str  # what is independent, in the singular
    test: str
    correction: str  # how p is corrected over a family
    least_units: int  # with fewer no difference is called shown at `ALPHA`
    fewer: str  # why it is not, as a clause
    interval: str  # how intervals are made


SEEDS = Design(
    unit="seed",
    test="sign-flip permutation test",
    correction="Westfall and Young's step-down max-T",
    least_units=6,
    fewer="p cannot fall below 0.05",
    interval="Student's t, Bonferroni",
)
"""On one test part. With n units p is 2 / 2^n at least, under 0.05 from six on, however many
optimizers are compared."""

SETTINGS = replace(SEEDS, unit="setting")
"""Over networks and data sets, each the mean of too few seeds to be tested by itself."""

FOLDS = Design(
    unit="fold",
    test="corrected resampled t test (Nadeau and Bengio 2003)",
    correction="Holm's method",
    least_units=3,
    fewer="p is not computed, by a rule of sambench: t would have one degree of freedom",
    interval="corrected resampled t, Bonferroni",
)
"""Over several test parts, whose training parts overlap. With two parts t has one degree of freedom
and says nothing in practice."""


@functools.cache
def t_quantile(freedom: int) -> float:
    """Return how many standard errors a 95 % interval of Student's t reaches to each side."""
    return float(stdtrit(freedom, 1 - ALPHA / 2))


def mean_of_rows(table: Floats) -> Floats:
    """Return the mean over rows of what is no NaN; NaN where nothing is."""
    there = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, table, 0.0).sum(axis=0) / there.sum(axis=0)
    return mean


def side_by_side(keys: Sequence[Keys], values: Sequence[Floats]) -> tuple[Floats, Keys]:
    """Join arrays of shape (units, ...) by their units.

    The table is of shape (all units, arrays, ...), NaN where an array lacks a unit.
    """
    every = tuple(dict.fromkeys(key for own in keys for key in own))
    place = {key: row for row, key in enumerate(every)}
    table = np.full((len(every), len(values), *values[0].shape[1:]), np.nan)
    for number, (own, given) in enumerate(zip(keys, values, strict=True)):
        table[[place[key] for key in own], number] = given
    return table, every


def over_settings(table: Floats, networks: Sequence[str], design: Design) -> tuple[Floats, Design]:
    """Average an array of shape (units, settings, ...) over settings; say what is independent.

    A unit counts n / n_s times in a setting that has n_s of all n, so that settings count alike.
    Where seeds are too few, but networks and data sets enough, the means of these are the units:
    other settings of one begin with the same weights, seed by seed, and are no evidence apart.
    """
    there = np.isfinite(table)
    units = int(there.any(axis=tuple(range(1, there.ndim))).sum())
    if design is SEEDS and units < SEEDS.least_units <= len({*networks}):
        means, codes = mean_of_rows(table), np.unique(networks, return_inverse=True)[1]
        found = [mean_of_rows(means[codes == code]) for code in range(max(codes) + 1)]
        return np.array(found), SETTINGS
    some, settings = there.any(axis=1), there.any(axis=0).sum(axis=0)
    weights = some.sum(axis=0) / np.maximum(there.sum(axis=0) * settings, 1)
    return np.where(some, (np.where(there, table, 0.0) * weights).sum(axis=1), np.nan), design


def sd_of_mean(sds: Sequence[float]) -> float:
    """Return the SD of the mean of independent numbers, each of which has one of these SDs."""
    return math.hypot(*sds) / len(sds)


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean, SD (with n - 1), number and standard error of each column, shape (H,), NaN apart.

    A column without a unit has the mean NaN, one of fewer than two units the SD NaN.
    """

    mean: Floats
    sd: Floats
    units: NDArray[np.int64]
    error: Floats


def moments(
    differences: Floats, test_over_train: Floats | float = 0.0, least_sd: Floats | float = 0.0
) -> Moments:
    """Return mean, SD and standard error of each column of differences, shape (units, H).

    Over folds the variance of the mean is (1/n + n_test / n_train) s^2 (Nadeau and Bengio 2003):
    n_test / n_train is given then, for each column or for all. The standard error is that of the
    `least_sd` at least: units may agree only since their numbers are rounded.
    """
    there = np.isfinite(differences)
    units = there.sum(axis=0)
    filled = np.where(there, differences, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rounding = 1e-12 * np.abs(filled).max(axis=0, initial=0.0)
        mean = filled.sum(axis=0) / units
        mean = np.where(np.abs(mean) <= rounding, 0.0 * mean, mean)
        squares = (np.where(there, differences - mean, 0.0) ** 2).sum(axis=0)
        sd = np.sqrt(squares / np.where(units > 1, units - 1, np.nan))
        sd = np.where(sd <= rounding, 0.0 * sd, sd)
        error = np.maximum(sd, least_sd) * np.sqrt(1 / units + test_over_train)
    return Moments(mean=mean, sd=sd, units=units, error=error)


@functools.lru_cache(maxsize=4)
def sign_flips(units: int) -> Floats:
    """Return B sign flips of so many units, shape (B, units), the first all ones.

    All with the first sign fixed (the others are their negatives), or beyond `EXACT_UNITS` some
    that are drawn besides that of ones, which keeps the test valid (Phipson and Smyth 2010).
    """
    if units <= EXACT_UNITS:
        places = np.arange(2 ** (units - 1))[:, None]
        bits = (places >> np.arange(units - 1)) & 1
        flips = np.column_stack([np.ones(len(places)), 1.0 - 2.0 * bits])
    else:
        drawn = np.random.default_rng(0).integers(0, 2, size=(DRAWN, units), dtype=np.int8)
        flips = np.vstack([np.ones(units), 1.0 - 2.0 * drawn])
    flips.flags.writeable = False
    return flips


def _flipped(values: Floats, flips: Floats) -> Floats:
    """Return Student's t of each column under each flip, shape (B, H).

    The sum of squares Q does not change with signs, so t follows from the sum alone: with
    r^2 = sum^2 / (n Q), t^2 = (n - 1) r^2 / (1 - r^2).
    """
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    units, squares = there.sum(axis=0), (filled**2).sum(axis=0)
    scale = np.sqrt(np.where(squares > 0, units * squares, np.inf))
    share = np.clip((flips @ filled) / scale, -1.0, 1.0)
    t: Floats = share * np.sqrt(
        np.maximum(units - 1, 0) / np.maximum((1 - share) * (1 + share), 1e-12)
    )
    return t


def max_t(differences: Floats) -> Floats:
    """Return two-sided p of each column (1 for one of zeros), corrected over all of them.

    Westfall and Young's (1993) step-down max-T: signs are flipped jointly for all hypotheses of a
    unit, which keeps their dependence; the p of the k-th largest |t| is the share of flips in which
    the largest |t| of the k-th and all smaller ones is at least as large.
    """
    flips = sign_flips(len(differences))
    observed = np.abs(_flipped(differences, flips[:1])[0])
    order = np.argsort(-observed, kind="stable")
    reached, hits = observed[order] * (1 - ROUNDING) - 1e-9, np.zeros(len(order))
    step = max(1, CHUNK // max(len(order), 1))
    for start in range(0, len(flips), step):
        t = np.abs(_flipped(differences[:, order], flips[start : start + step]))
        largest = np.maximum.accumulate(t[:, ::-1], axis=1)[:, ::-1]
        hits += (largest >= reached).sum(axis=0)
    p = np.empty(len(order))
    p[order] = np.maximum.accumulate(hits / len(flips))
    return p


def largest_gap(gaps: Floats) -> float:
    """Return one-sided p that every column's mean is at most zero, by joint sign flips.

    The columns are the gaps of the others to one optimizer, which is tested for being the best.
    """
    flips = sign_flips(len(gaps))
    reached = _flipped(gaps, flips[:1]).max() * (1 - ROUNDING)
    if reached <= 0:
        return 1.0
    t = _flipped(gaps, flips)
    hits = (t.max(axis=1) >= reached).sum() + ((-t).max(axis=1) >= reached).sum()
    return float(hits / (2 * len(flips)))


def equivalence_p(found: Moments, margin: float) -> Floats:
    """Return p of two one-sided t tests (Schuirmann 1987) that the mean is within ±margin."""
    return student_tail(found, margin - np.abs(found.mean), sides=1)


def student_tail(found: Moments, size: Floats, *, sides: int) -> Floats:
    """Return p of sizes this large in standard errors; 0 or 1 where there is no error."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p = sides * stdtr(np.maximum(found.units - 1, 1), -size / found.error)
    return np.where(found.error == 0, np.where(size > 0, 0.0, 1.0), p)


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """Return Holm's (1979) adjusted p values, in the given order.

    The i-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= i, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def half_widths(found: Moments, family: int) -> Floats:
    """Return how far 95 % intervals reach from each mean, all of a family at once (Bonferroni).

    t(1 - 0.05 / (2 family), n - 1) SE; for one comparison that is Student's. The intervals of flips
    turned round are too narrow: with six to ten seeds and five to seventeen optimizers they hold
    all true differences in 86 to 90 of 100 studies, these in 94 to 96.
    """
    quantile = stdtrit(np.maximum(found.units - 1, 1), 1 - ALPHA / (2 * max(family, 1)))
    return np.asarray(quantile * found.error)


def units_to_settle(sd: float, margin: float, family: int, least: int) -> int:
    """Return how many units would show, or rule out, a difference of the margin.

    The least n, from `least` on, with (t(1 - 0.05 / (2 family)) + t(0.8)) sd / sqrt(n) <= margin,
    each t with n - 1 degrees of freedom: 80 % power at the spread seen.
    """
    guess, levels = max(least, 3), np.array([1 - ALPHA / (2 * family), POWER])
    while guess < 100_000:
        tail = stdtrit(guess - 1, levels).sum()
        if tail * sd / math.sqrt(guess) <= margin:
            break
        guess = max(guess + 1, int(guess * 1.02))
    return guess
