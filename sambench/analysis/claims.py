"""The papers' claims as data: sentences, and the inequalities between cells that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sambench.analysis.comparison import BETTER, WORSE
from sambench.analysis.published import FAMILIES

NOT_BETTER = "not better"

MARGIN = 1.0
"""An improvement of less than so many points of accuracy counts as none."""

FAR_CHEAPER = 2.0
"""Least ratio of training times that "far cheaper" asks for; the paper's are 8 to 61."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A model trained by an optimizer, both by the paper's names."""

    model: str
    optimizer: str

    def __str__(self) -> str:
        return f"{self.optimizer} on {self.model}"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One inequality of a claim.

    Attributes:
        candidate: The cell that the claim is about.
        baseline: What it is compared with.
        metric: By what.
        expected: "better", "worse" or "not better" (worse, or better by less than `MARGIN`).
        factor: Least ratio of the baseline's mean to the candidate's that "better" asks for.
    """

    candidate: Cell
    baseline: Cell
    metric: str
    expected: str
    factor: float | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of a paper and the inequalities that it stands for.

    Attributes:
        name: Short.
        sentence: What the paper claims.
        source: Where.
        expectations: All of them must hold.
    """

    name: str
    sentence: str
    source: str
    expectations: tuple[Expectation, ...]


def _beside(
    optimizer: str, models: Iterable[str], metrics: Iterable[str], expected: str
) -> tuple[Expectation, ...]:
    """Expect the same of an optimizer against Adam on several models."""
    return tuple(
        Expectation(
            candidate=Cell(model=model, optimizer=optimizer),
            baseline=Cell(model=model, optimizer="adam"),
            metric=metric,
            expected=expected,
        )
        for model in models
        for metric in metrics
    )


def _others(*models: str) -> tuple[str, ...]:
    return tuple(name for name in FAMILIES if name not in models)


ACCURACY, CURVATURE = ("accuracy",), ("top", "trace", "median", "mean", "sd")
PAPER_A = "hassan2024sharpness"

CLAIMS = (
    Claim(
        name="sam-beats-adam",
        sentence="SAM is more accurate than Adam on all four models.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=_beside("sam", FAMILIES, ACCURACY, BETTER),
    ),
    Claim(
        name="asam-helps-cnns",
        sentence="ASAM is more accurate than Adam on CNNs and less accurate on transformers.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=(
            *_beside("asam", ("resnet50", "vgg16"), ACCURACY, BETTER),
            *_beside("asam", ("vit", "swin"), ACCURACY, WORSE),
        ),
    ),
    Claim(
        name="gsam-helps-resnet50",
        sentence="GSAM is more accurate than Adam on ResNet50 only.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=(
            *_beside("gsam", ("resnet50",), ACCURACY, BETTER),
            *_beside("gsam", _others("resnet50"), ACCURACY, NOT_BETTER),
        ),
    ),
    Claim(
        name="crsam-helps-vgg16",
        sentence="CR-SAM is more accurate than Adam on VGG16 only.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=(
            *_beside("crsam", ("vgg16",), ACCURACY, BETTER),
            *_beside("crsam", _others("vgg16"), ACCURACY, NOT_BETTER),
        ),
    ),
    Claim(
        name="wsam-helps-none",
        sentence="WSAM is more accurate than Adam on none of the models.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=_beside("wsam", FAMILIES, ACCURACY, NOT_BETTER),
    ),
    Claim(
        name="sam-is-flatter",
        sentence="SAM's minimum is flatter than Adam's on all models, by all five measures.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=_beside("sam", FAMILIES, CURVATURE, BETTER),
    ),
    Claim(
        name="sam-and-crsam-are-cheap",
        sentence="SAM and CR-SAM are far cheaper than ASAM, GSAM and WSAM.",
        source=f"{PAPER_A}, tables 2 to 5",
        expectations=tuple(
            Expectation(
                candidate=Cell(model=model, optimizer=cheap),
                baseline=Cell(model=model, optimizer=dear),
                metric="train_seconds",
                expected=BETTER,
                factor=FAR_CHEAPER,
            )
            for model in FAMILIES
            for cheap in ("sam", "crsam")
            for dear in ("asam", "gsam", "wsam")
        ),
    ),
    Claim(
        name="vit-is-flattest",
        sentence="Of the minima that Adam finds, ViT's is flattest and ResNet50's sharpest.",
        source=f"{PAPER_A}, table 1",
        expectations=tuple(
            Expectation(
                candidate=Cell(model=flat, optimizer="adam"),
                baseline=Cell(model=sharp, optimizer="adam"),
                metric="top",
                expected=BETTER,
            )
            for flat, sharp in (
                *(("vit", model) for model in _others("vit")),
                *((model, "resnet50") for model in _others("vit", "resnet50")),
            )
        ),
    ),
)
"""What the first paper says that its tables can be asked about."""
