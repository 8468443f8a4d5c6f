"""The page of curvature: what each number is, its error, and the settings."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from docs.generator.docstrings import docstring, field_meanings
from docs.generator.markdown import Page, code
from sambench import curvature
from sambench.config.curvature_settings import OWN, HessianSettings, Studies
from sambench.curvature.batch_spectrum import (
    DEFINITIONS,
    mean_interval,
    median_interval,
    weight_noise,
)
from sambench.curvature.certificate import upper_bound
from sambench.curvature.checks import check_derivatives, check_function
from sambench.files.description import described
from sambench.run.measure import measure_minimum

INTRODUCTION = """
The Hessian is the matrix of the second derivatives of the loss with respect to the weights. Its
eigenvalues say how steeply the loss rises when the weights move: a minimum is flat where they are
small, and sharp where some are large. `sambench hessian RUN`, or `hessian:` in a suite, measures
the Hessian of the mean cross-entropy at the weights that were tested. Each number says how far it
can be trusted:
"""
NUMBERS = (
    (
        "Top eigenvalue",
        "The largest curvature of the loss in any direction, over all measured images",
        "A bound that no eigenvalue exceeds, except with a chance of one in a million (1e-6); the "
        "value is certified if it and the bound differ by less than the tolerance",
    ),
    (
        "Trace",
        "The sum of all eigenvalues: the mean curvature times the number of weights",
        "A Student-t 95 % interval; where few eigenvalues make up most of what the probes see, it "
        "covers 85 to 95 %",
    ),
    (
        "Median, Mean, SD",
        "One eigenvalue is measured for each batch, the one of largest magnitude; they show how "
        "much the curvature depends on the images it is measured on",
        "95 % intervals over batches, of the median from 6 and of the mean from 8 batches on, the "
        "latter for values about normal or log-normal; the SD has none, since no interval was "
        "found that holds in 95 % of cases",
    ),
    (
        "†",
        "A limit on products or minutes was reached before the tolerance",
        "The record's `notes` say how far off the value may be",
    ),
)
CAUTION = """
Curvature changes when layers are rescaled, although the network computes the same, so compare runs
of one network, not different networks. A network that names one class for every image may have
almost no curvature; ‡ marks it in the tables. The rest of this page is for readers who want to know
how each number is computed, or who use `sambench.curvature` in their own code.
"""
BATCHES = """
Papers print a median, a mean and an SD of "eigenvalues", but not which eigenvalues these are. They
cannot be those of one Hessian, since the mean exceeds its largest eigenvalue. Two readings fit the
printed numbers: the dominant eigenvalue of each batch's own Hessian, and the same at randomly
perturbed weights. The first is measured by default, the second with `--set perturbations=N`; the
record's `definition` says which it was.
"""


def page() -> str:
    """Return the page."""
    page = Page("Curvature")
    page.text(INTRODUCTION)
    page.table(("In a table", "What it is", "Its error"), NUMBERS)
    page.text(CAUTION)
    page.heading("The loss")
    _describe(page, measure_minimum, "How a run is measured")
    _describe(page, curvature.HessianOperator, "`HessianOperator`")
    _describe(page, check_function, "What is refused")
    _describe(page, check_derivatives, "Check of the second derivatives")
    page.heading("Top eigenvalue")
    _describe(page, curvature.eigenvalues, "`eigenvalues`")
    _describe(page, upper_bound, "The upper bound")
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
    _describe(page, mean_interval, "Interval of the mean")
    _describe(page, median_interval, "Interval of the median")
    _describe(page, weight_noise, "Weight noise")
    page.text("With `perturbations` the definition ends in `-under-weight-noise`.")
    _fields(page, curvature.BatchSpectrum)
    _around(page)
    page.heading("Settings")
    page.text(
        "These are the keys of a suite's `hessian:` and of `sambench hessian --set KEY=VALUE`. "
        "`batch_norm` is `eval` for the statistics that the network remembers, `train` for those "
        "of each batch, and `recalibrate` for statistics measured anew on the images."
    )
    _settings(page, HessianSettings)
    page.text(
        "`density`, `sharpness` and `landscape` ask for the studies around the minimum. Each is "
        "`true` or a mapping of its own settings, such as `density: {steps: 40}`; on the command "
        "line write `--density --set density.steps=40`. `seed` and `batch_norm` are those above."
    )
    own = {key: f"{study}.{key}" for study, keys in OWN.items() for key in keys}
    _settings(page, Studies, {study: study for study in OWN} | own)
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
        _describe(page, measure, f"`{measure.__name__}`")
    page.heading("Pictures of the loss")
    for picture in (
        curvature.filter_normalised,
        curvature.random_landscape,
        curvature.eigenvector_plane,
        curvature.interpolation,
    ):
        _describe(page, picture, f"`{picture.__name__}`")


def _describe(page: Page, of: object, heading: str = "") -> None:
    said = docstring(of)
    if heading:
        page.heading(heading, depth=3)
    summary = said.summary.removeprefix("Return ")
    page.text(summary[0].upper() + summary[1:])
    page.text(said.body)


def _fields(page: Page, of: type) -> None:
    said = docstring(of)
    page.text(f"`{of.__name__}`: {said.summary[0].lower()}{said.summary[1:]} {said.body}".strip())
    rows = [(f"`{name}`", meaning) for name, meaning in field_meanings(of).items() if meaning]
    page.table(("Field", "Meaning"), rows)


def _settings(page: Page, of: type[Struct], names: Mapping[str, str] | None = None) -> None:
    fields = {field.name: field for field in described(of)}
    shown = names or {name: name for name in fields}
    rows = [(fields[name], text) for name, text in shown.items()]
    page.table(
        ("Setting", "Default", "Allowed", "Meaning"),
        [(f"`{text}`", code(f.default), f.allowed, f.meaning) for f, text in rows],
    )
