"""The page of curvature: what each number is, its error, and the settings."""

from __future__ import annotations

from msgspec import Struct

from docs.generator.docstrings import docstring, field_meanings
from docs.generator.markdown import Page, code
from sambench import curvature
from sambench.config.curvature_settings import HessianSettings, Studies
from sambench.curvature.batch_spectrum import (
    DEFINITIONS,
    mean_interval,
    median_interval,
    weight_noise,
)
from sambench.curvature.certificate import upper_bound
from sambench.curvature.checks import check_derivatives, check_function
from sambench.files.description import described
from sambench.run.measure import measure_hessian

INTRODUCTION = """
`sambench hessian RUN`, or `hessian:` in a suite, measures the Hessian of the mean cross-entropy at
the weights that were tested. Each number says how far it can be trusted:
"""
NUMBERS = (
    (
        "Top eigenvalue",
        "The largest curvature of the loss in any direction, over all measured images",
        "A bound that no eigenvalue exceeds, but for a chance of 1e-6; certified where value and "
        "bound are within the tolerance of each other",
    ),
    (
        "Trace",
        "The sum of all eigenvalues: the mean curvature times the number of weights",
        "A Student-t 95 % interval",
    ),
    (
        "Median, Mean, SD",
        "Of one eigenvalue for each batch, the one of largest magnitude: how much the curvature "
        "depends on which images are looked at",
        "95 % intervals over batches, of the median from 6 and of the mean from 8 batches on; the "
        "SD has none, since none was found that covers",
    ),
    (
        "†",
        "A budget ran out before the accuracy that was asked for",
        "The record's `notes` say by how much",
    ),
)
CAUTION = """
They are curvature with respect to the weights as they are, so they change when layers are rescaled
although the network computes the same: compare runs of one network, not networks. A network that
names one class for everything may have almost none; ‡ marks it in the tables.
"""
BATCHES = """
Papers print a median, a mean and an SD of "eigenvalues" without saying of what. They cannot be of
one Hessian: their mean exceeds its largest eigenvalue. Two readings fit the printed numbers: D1,
the dominant eigenvalue of each batch's own Hessian, and D2, the same at randomly perturbed weights.
D1 is measured unless told otherwise, `--set perturbations=N` measures D2, and the record's
`definition` says which it was.
"""


def page() -> str:
    """Return the page."""
    page = Page("Curvature")
    page.text(INTRODUCTION)
    page.table(("In a table", "What it is", "Its error"), NUMBERS)
    page.text(CAUTION)
    page.heading("The loss")
    _describe(page, measure_hessian)
    _describe(page, curvature.HessianOperator)
    _describe(page, check_function)
    _describe(page, check_derivatives)
    page.heading("Top eigenvalue")
    _describe(page, curvature.eigenvalues)
    _describe(page, upper_bound)
    _fields(page, curvature.Eigenpairs)
    page.heading("Trace")
    _describe(page, curvature.trace)
    _fields(page, curvature.TraceEstimate)
    page.heading("Median, mean and SD over batches")
    page.text(BATCHES)
    _describe(page, curvature.batch_spectrum)
    page.table(
        ("`batch_stat`", "`definition` in a record"),
        [(f"`{name}`", f"`{stored}`") for name, stored in DEFINITIONS.items()],
    )
    _describe(page, mean_interval)
    _describe(page, median_interval)
    page.text("With `perturbations` the definition ends in `-under-weight-noise`:")
    _describe(page, weight_noise)
    _fields(page, curvature.BatchSpectrum)
    _around(page)
    page.heading("Settings")
    page.text("Keys of a suite's `hessian:` and of `sambench hessian --set KEY=VALUE`.")
    _settings(page, HessianSettings)
    page.text("Of the studies around the minimum:")
    _settings(page, Studies)
    return str(page)


def _around(page: Page) -> None:
    """Add what lies around the minimum."""
    page.heading("Density of all eigenvalues")
    _describe(page, curvature.density)
    page.heading("Rise of the loss")
    for measure in (
        curvature.step_sharpness,
        curvature.worst_case_sharpness,
        curvature.average_sharpness,
    ):
        page.heading(f"`{measure.__name__}`", depth=3)
        _describe(page, measure)
    page.heading("Pictures of the loss")
    for picture in (
        curvature.filter_normalised,
        curvature.random_landscape,
        curvature.eigenvector_plane,
        curvature.interpolation,
    ):
        page.heading(f"`{picture.__name__}`", depth=3)
        _describe(page, picture)


def _describe(page: Page, of: object) -> None:
    said = docstring(of)
    summary = said.summary.removeprefix("Return ")
    page.text(summary[0].upper() + summary[1:])
    page.text(said.body)


def _fields(page: Page, of: type) -> None:
    said = docstring(of)
    page.text(f"`{of.__name__}`: {said.summary[0].lower()}{said.summary[1:]} {said.body}".strip())
    rows = [(f"`{name}`", meaning) for name, meaning in field_meanings(of).items() if meaning]
    page.table(("Field", "Meaning"), rows)


def _settings(page: Page, of: type[Struct]) -> None:
    page.table(
        ("Setting", "Default", "Allowed", "Meaning"),
        [(f"`{f.name}`", code(f.default), f.allowed, f.meaning) for f in described(of)],
    )
