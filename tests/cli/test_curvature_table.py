"""What the terminal says of a curvature section."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sambench.cli.curvature_table import (
    LAYERS_SHOWN,
    curvature_method,
    curvature_rows,
    run_row,
    study_rows,
    summary_rows,
)

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

EXTREMES = {
    "top": {
        **{"value": 5.0, "residual": 0.01, "upper_bound": 5.2, "converged": False},
        **{"values": [5.0, 4.0], "residuals": [0.01, 0.5], "tol": 0.01},
        **{"upper_bounds": [5.2, 4.01], "certified": [False, True]},
        **{"lowest": -1.0, "lowest_residual": 0.2, "lowest_converged": False, "lower_bound": -2.0},
    },
    "trace": {"value": 12.0, "interval": [11.0, 13.0], "converged": True},
}
SECTION: dict[str, Any] = {
    **{"definition": "batch-top-eigenvalue", "samples": 16, "available_samples": 192},
    **{"batches": 2, "matvecs": 20, "batch_matvecs": 9, "dtype": "float32", "seconds": 1.25},
    **{"batch_norm": "train", "hvp": "reverse", "l2": 0.1, "sigma": 0.01},
    **{"perturbations": 3, "loss": 0.5, "gradient_norm": 0.25, "gradient_top_cosine": 0.75},
    **EXTREMES,
    **{"median": 4.0, "mean": 4.5, "std": 0.7, "min": 4.0, "max": 5.0, "fraction_negative": 0.0},
    "batch_spectrum": {
        **{"median_interval": [3.0, 5.0], "mean_interval": [3.5, 5.5], "converged": True},
        **{"certified": 2, "measured_batches": 2},
    },
}


def test_a_reader_of_the_papers_finds_five_numbers() -> None:
    assert summary_rows(SECTION) == [
        ("top eigenvalue", "5", "± 0.2", "not certified"),
        ("trace", "12", "± 1", "yes"),
        ("median over batches", "4", "± 1", "yes"),
        ("mean over batches", "4.5", "± 1", "yes"),
        ("SD over batches", "0.7", "", "yes"),
    ]
    few = {"median_interval": None, "mean_interval": None, "converged": False, "certified": 1}
    section = {**SECTION, "batch_spectrum": {**few, "measured_batches": 2}}
    assert summary_rows(section)[2:4] == [
        ("median over batches", "4", "too few batches", "not certified: 1 of 2 are"),
        ("mean over batches", "4.5", "too few batches", "not certified: 1 of 2 are"),
    ]
    flips = {**SECTION["batch_spectrum"], "mean_interval": None, "one_sign": False}
    assert summary_rows({**SECTION, "batch_spectrum": flips})[2:4] == [
        ("median over batches", "4", "± 1", "yes"),
        ("mean over batches", "4.5", "none: its sign may flip", "yes"),
    ]


def test_no_number_without_its_error_and_verdict() -> None:
    assert curvature_rows(SECTION) == [
        ("top eigenvalue", "5", "none above 5.2 (99.9999 %), residual 0.01", "not certified"),
        ("eigenvalue 2", "4", "at most 4.01, residual 0.5", "yes"),
        ("lowest eigenvalue", "-1", "none below -2 (99.9999 %), residual 0.2", "not certified"),
        ("trace", "12", "95 % interval 11 .. 13", "yes"),
        ("loss", "0.5", "", ""),
        ("gradient norm", "0.25", "|cos| with the top eigenvector 0.75", ""),
        ("batches: median", "4", "95 % interval 3 .. 5", "yes"),
        ("batches: mean ± SD", "4.5 ± 0.7", "95 % interval 3.5 .. 5.5", "yes"),
        ("batches: range", "4 .. 5", "0 % negative", ""),
    ]


def test_a_run_is_one_line(make_record: RecordMaker) -> None:
    record = replace(make_record(), hessian=SECTION)
    assert run_row(record) == (
        *(record.name, "5 ± 0.2", "12 ± 1", "4 ± 1", "4.5 ± 1", "0.7", "not top eigenvalue"),
    )
    assert run_row(replace(record, hessian=None))[-1] == "not measured"


def test_published_records_are_shown() -> None:
    paths = sorted(Path("results/published").glob("*/runs/*/run.json"))
    measured = [found for path in paths if (found := json.loads(path.read_text())["hessian"])]
    assert len(measured) > 20
    for hessian in (*measured[:20], measured[-1]):
        assert len(summary_rows(hessian)) == 5
        assert curvature_rows(hessian)[0][3] in ("yes", "not certified")
        assert curvature_method(hessian)


def test_the_definition_and_all_that_is_unusual_are_named() -> None:
    assert curvature_method(SECTION) == (
        "batch-top-eigenvalue; 16 of 192 training images in 2 batches, 20 + 9 products, float32, "
        "batch norm train, with L2 penalty 0.1, 3 perturbations of 0.01 a batch, 1.2 s"
    )


def test_the_sharpest_layers_are_shown_first_and_the_rest_counted() -> None:
    layers = {
        str(n): {**EXTREMES, "top": {**EXTREMES["top"], "value": float(n)}}
        for n in range(LAYERS_SHOWN + 2)
    }
    rows = curvature_rows({**EXTREMES, "adaptive": EXTREMES, "layers": layers})
    assert ("relative: trace", "12", "95 % interval 11 .. 13", "yes") in rows
    names = [row[0] for row in rows if row[0].endswith(": top eigenvalue")]
    assert names[1] == "11: top eigenvalue"
    assert rows[-1] == ("2 flatter layers", "", "in the run's record", "")


def test_pictures_say_what_overflowed_and_did_not_converge() -> None:
    line = {
        **{"loss": 0.5, "highest_loss": 2.0, "overflowed": 0, "converged": None},
        **{"gradient_equivalents": 3.0, "samples": 8, "batch_norm": "eval"},
    }
    plane = {**line, "loss": None, "overflowed": 3, "converged": False}
    what, images = "loss at the weights and the highest", "3 gradients; 8 images, batch norm eval"
    doubts = "3 points overflow, eigenvectors not converged"
    assert list(study_rows({"landscape": {"eigenvectors": plane, "line": line}})) == [
        ("landscape", "0.5 .. 2", "", f"line: {what}, {images}"),
        ("landscape", "overflow .. 2", "", f"eigenvectors: {what}, {doubts}, {images}"),
    ]
