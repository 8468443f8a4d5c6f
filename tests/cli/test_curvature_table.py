"""What the terminal says of a curvature section."""

from __future__ import annotations

from sambench.cli.curvature_table import LAYERS_SHOWN, curvature_method, curvature_rows

EXTREMES = {
    "top": {
        **{"value": 5.0, "residual": 0.01, "upper_bound": 5.2, "converged": False},
        **{"values": [5.0, 4.0], "residuals": [0.01, 0.5]},
        **{"lowest": -1.0, "lowest_residual": 0.2, "lowest_converged": False, "lower_bound": -2.0},
    },
    "trace": {"value": 12.0, "interval": [11.0, 13.0], "converged": True},
}
SECTION = {
    **{"definition": "batch-top-eigenvalue", "samples": 16, "available_samples": 192},
    **{"batches": 2, "matvecs": 20, "batch_matvecs": 9, "dtype": "float32", "seconds": 1.25},
    **{"batch_norm": "train", "hvp": "finite-difference", "l2": 0.1, "sigma": 0.01},
    **{"perturbations": 3, "loss": 0.5, "gradient_norm": 0.25, "gradient_top_cosine": 0.75},
    **EXTREMES,
    **{"median": 4.0, "mean": 4.5, "std": 0.7, "min": 4.0, "max": 5.0, "fraction_negative": 0.0},
    "batch_spectrum": {
        **{"median_interval": [3.0, 5.0], "mean_interval": [3.5, 5.5], "converged": True},
    },
}


def test_no_number_without_its_error_and_verdict() -> None:
    assert curvature_rows(SECTION) == [
        ("top eigenvalue", "5", "residual 0.01, none above 5.2 (99.9 %)", "NO"),
        ("eigenvalue 2", "4", "residual 0.5", ""),
        ("lowest eigenvalue", "-1", "residual 0.2, none below -2 (99.9 %)", "NO"),
        ("trace", "12", "95 % interval 11 .. 13", "yes"),
        ("loss", "0.5", "", ""),
        ("gradient norm", "0.25", "|cos| with the top eigenvector 0.75", ""),
        ("batches: median", "4", "95 % interval 3 .. 5", "yes"),
        ("batches: mean ± SD", "4.5 ± 0.7", "95 % interval 3.5 .. 5.5", "yes"),
        ("batches: range", "4 .. 5", "0 % negative", ""),
    ]


def test_the_definition_and_all_that_is_unusual_are_named() -> None:
    assert curvature_method(SECTION) == (
        "batch-top-eigenvalue; 16 of 192 training images in 2 batches, 20 + 9 products, float32, "
        "batch norm train, products by finite differences: approximate, with L2 penalty 0.1, "
        "3 perturbations of 0.01 a batch, 1.2 s"
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
