"""The numbers that are drawn, read back from the axes, are those of the analysis."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from msgspec.structs import replace
from PIL import Image

from sambench.analysis.curves import confusion_matrix, mean_roc
from sambench.analysis.decision import flat_and_accurate
from sambench.analysis.predictions import read_predictions
from sambench.analysis.study import build_study
from sambench.config.suite import ReportSettings
from sambench.report.figures import gallery
from sambench.report.figures.layout import round_numbers, short
from sambench.report.style import BLUE, DPI, Picture
from sambench.store.tree import Store
from tests.conftest import ENVIRONMENT
from tests.report.figures.conftest import RunMaker, draw, figure_of, labels, material_of, points

ADAM, SAM = [0.70, 0.72, 0.74, 0.71, 0.73, 0.75], [0.80, 0.81, 0.85, 0.82, 0.83, 0.84]


def pair(add: RunMaker, **settings: Any) -> list[Any]:
    return [
        *(add("adam", k, accuracy=v, top=100.0 + k, **settings) for k, v in enumerate(ADAM)),
        *(
            add("sam", k, accuracy=v, passes=200.0, seconds=21.0, top=10.0 + k, **settings)
            for k, v in enumerate(SAM)
        ),
    ]


def only(made: tuple[Picture | str, ...]) -> Axes:
    """Return the only picture's only axes."""
    (ax,) = figure_of(made).axes
    return ax


def caption(made: tuple[Picture | str, ...]) -> str:
    """Return the only picture's caption."""
    (found,) = made
    assert isinstance(found, Picture)
    return found.caption


def segments(ax: Axes) -> list[list[float]]:
    """Return ends of all horizontal lines that intervals are drawn as."""
    return [
        path.vertices[:, 0].tolist()
        for lines in ax.collections
        if lines.get_transform() is not ax.get_yaxis_transform()
        for path in lines.get_paths()
        if len(path.vertices) == 2
    ]


def test_accuracy(add: RunMaker, store: Store) -> None:
    made = draw("accuracy", pair(add), store)
    ax = only(made)
    assert labels(ax) == ["SAM", "Adam"]
    np.testing.assert_allclose(points(ax, "mean"), [(82.5, 0), (72.5, 1)])
    half = 2.5705818 * 100 * np.std(SAM, ddof=1) / np.sqrt(6)  # t with 5 degrees of freedom
    assert any(np.allclose(ends, [82.5 - half, 82.5 + half], atol=1e-4) for ends in segments(ax))
    filled = [line.get_markerfacecolor() for line in ax.lines if line.get_gid() == "mean"]
    assert filled[0] != "white"  # sam differs: p = 1/32
    assert filled[1] == "white"
    assert "over 6 runs of each optimizer" in caption(made)


def test_a_collapsed_run_is_crossed_and_does_not_stretch_the_axis(
    add: RunMaker, store: Store
) -> None:
    runs = [*pair(add), *(add("asam", k, accuracy=0.2, collapsed=True) for k in range(6))]
    made = draw("accuracy", runs, store)
    ax = only(made)
    assert labels(ax)[-1] == "ASAM"
    low, high = ax.get_xlim()
    assert 60 < low < 70
    assert 85 < high < 95
    assert len(points(ax, "beyond")) == 1
    assert "20.0" in [text.get_text() for text in ax.texts]
    assert "Crosses: collapsed runs" in caption(made)
    assert "A triangle and a number stand for a mean beyond the edge." in caption(made)


@pytest.mark.parametrize(
    ("kind", "collapsed"),
    [("accuracy", False), ("cost", False), ("cost", True), ("flatness", False)],
)
def test_what_is_far_above_all_others_is_shown_there(
    add: RunMaker, store: Store, kind: str, collapsed: bool
) -> None:
    runs = [
        add(name, k, accuracy=0.63 + 0.0005 * place + 0.0001 * k)
        for place, name in enumerate(("adam", "sam", "asam", "gsam", "wsam"))
        for k in range(3)
    ]
    runs += [add("crsam", k, accuracy=0.9, collapsed=collapsed and k == 0) for k in range(3)]
    ax = figure_of(draw(kind, runs, store)).axes[0]
    low, high = ax.get_xlim() if kind == "accuracy" else ax.get_ylim()
    assert low < 63
    assert high > 90
    marked = [line for line in ax.lines if line.get_marker() in ("v", "<", ">")]
    assert all(len(np.ravel(line.get_xdata())) == 0 for line in marked)  # as beyond the edge


def test_one_seed_has_no_interval(add: RunMaker, store: Store) -> None:
    runs = [add("adam"), add("sam", accuracy=0.8)]
    made = draw("accuracy", runs, store)
    assert segments(only(made)) == []
    assert "one run of each optimizer, so no interval" in caption(made)
    paired = draw("paired", runs, store)
    assert "Fewer than 6 seeds can show no difference." in caption(paired)
    assert [text.get_text() for text in only(paired).texts] == ["n = 1"]


def test_a_panel_for_each_model_in_one_order(add: RunMaker, store: Store) -> None:
    models = ["resnet18", "small-cnn", "vgg16"]
    runs = [
        add(name, k, accuracy=0.7 + 0.1 * (name == "sam") + 0.01 * k, model=model)
        for model in models
        for name in ("adam", "sam")
        for k in range(2)
        if (model, name) != ("vgg16", "adam")
    ]
    made = draw("accuracy", runs, store)
    figure = figure_of(made)
    assert [ax.get_title() for ax in figure.axes] == ["ResNet-18", "small-cnn", "VGG-16"]
    assert labels(figure.axes[0]) == ["SAM", "Adam"]
    assert [len(points(ax, "mean")) for ax in figure.axes] == [2, 2, 1]


def test_paired(add: RunMaker, store: Store) -> None:
    made = draw("paired", pair(add), store)
    ax = only(made)
    assert labels(ax) == ["SAM"]
    differences = 100 * (np.array(SAM) - np.array(ADAM))
    np.testing.assert_allclose([x for x, _ in points(ax, "runs")], differences)
    np.testing.assert_allclose(points(ax, "mean"), [(differences.mean(), 0)])
    assert [text.get_text() for text in ax.texts] == ["p = 0.031"]
    assert "sign-flip permutation" in caption(made)


def test_paired_differences_stand_best_first_and_not_in_a_corner(
    add: RunMaker, store: Store
) -> None:
    """One run of Adam's collapsed, from which all others differ by much."""
    runs = [add("adam", k, accuracy=v) for k, v in enumerate([0.2, *ADAM[1:]])]
    for name, gain in (("sam", 0.02), ("asam", 0.01)):
        runs += [add(name, k, accuracy=v + gain) for k, v in enumerate(ADAM)]
    ax = only(draw("paired", runs, store))
    assert labels(ax) == ["SAM", "ASAM"]
    low, high = ax.get_xlim()
    assert low < 0
    assert 2 < high < 50


def test_a_printed_number_far_below_is_marked_at_the_edge(add: RunMaker, store: Store) -> None:
    """80.2 % is printed for Adam and 84.0 % for SAM."""
    place = {"dataset": "bus", "model": "resnet50"}
    runs = [
        add(name, k, accuracy=level + 0.001 * k, **place)
        for name, level in (("adam", 0.98), ("sam", 0.981))
        for k in range(6)
    ]
    (made,) = gallery.accuracy(dataclasses.replace(material_of(runs, store), printed=True))
    assert isinstance(made, Picture)
    (ax,) = made.figure.axes
    low, _ = ax.get_xlim()
    assert [x for x, _ in points(ax, "printed")] == [low, low]
    assert {line.get_marker() for line in ax.lines if line.get_gid() == "printed"} == {"<"}
    runs = [add("adam", k, accuracy=0.8 + 0.01 * k, **place) for k in range(6)]
    (made,) = gallery.accuracy(dataclasses.replace(material_of(runs, store), printed=True))
    assert isinstance(made, Picture)
    assert points(made.figure.axes[0], "printed") == [(80.2, 0.0)]


def test_more_settings_than_panels_are_left_out(add: RunMaker, store: Store) -> None:
    runs = [add("adam", batch_size=size, files=()) for size in range(2, 15)]
    (said,) = draw("accuracy", runs, store)
    assert said == (
        "Accuracy by optimizer and model: 13 settings on phantom are more than 12 panels."
    )


def test_cost(add: RunMaker, store: Store) -> None:
    """Points and the intervals of their accuracy, and no front through what may be equal."""
    runs = [*pair(add), add("asam", accuracy=0.71, passes=300.0, seconds=5.0)]
    figure = figure_of(draw("cost", runs, store))
    passes, seconds = figure.axes
    np.testing.assert_allclose(points(passes, "points"), [(100, 72.5), (300, 71), (200, 82.5)])
    np.testing.assert_allclose(points(seconds, "points"), [(10, 72.5), (5, 71), (21, 82.5)])
    assert points(passes, "front") == []
    assert sum(len(lines.get_paths()) for lines in passes.collections) == 2 + 3  # and the names'


def test_names_of_points_do_not_touch(add: RunMaker, store: Store) -> None:
    names = ("adam", "sam", "asam", "gsam", "wsam", "crsam", "gcsam", "fsam", "vasso", "esam")
    runs = [add(name, k) for name in names for k in range(2)]
    for kind in ("cost", "flatness"):
        figure = figure_of(draw(kind, runs, store))
        for ax in figure.axes:
            boxes = sorted(
                (text.get_window_extent().y0, text.get_window_extent().y1) for text in ax.texts
            )
            assert len(boxes) == len(names)
            assert all(low[1] <= high[0] + 1 for low, high in itertools.pairwise(boxes))
            assert boxes[-1][1] <= figure.bbox.y1


def test_targets(add: RunMaker, store: Store) -> None:
    """Histories rise by a quarter of the final accuracy each epoch."""
    runs = [
        *(add("adam", k, accuracy=0.8, validation=True) for k in range(3)),
        *(
            add("sam", k, accuracy=v, passes=200.0, validation=True)
            for k, v in enumerate([0.8, 1.06, 0.5])
        ),
    ]
    made = draw("targets", runs, store)
    figure = figure_of(made)
    passes, seconds = figure.axes
    assert labels(passes) == ["Adam", "SAM"]
    assert points(passes, "median") == [(100.0, 0.0), (200.0, 1.0)]
    assert [x for x, _ in points(passes, "runs")] == [100.0] * 3 + [200.0, 150.0]
    assert [text.get_text() for text in seconds.texts] == ["3/3", "2/3"]
    assert "71.3 % validation accuracy" in caption(made)


def test_the_names_of_two_costs_do_not_touch_beside_long_names(add: RunMaker, store: Store) -> None:
    """They read "Gradient evaluationsTraining time (s)"."""
    runs = [add("adam", validation=True), add("adam", validation=True, lr=0.000123)]
    figure = figure_of(draw("targets", runs, store))
    figure.canvas.draw()
    left, right = (ax.xaxis.label.get_window_extent() for ax in figure.axes)
    assert left.x1 + 10 < right.x0


@pytest.mark.parametrize("kind", ["cost", "targets", "learning"])
def test_seconds_of_several_machines_are_told(add: RunMaker, store: Store, kind: str) -> None:
    runs = [add(name, k, validation=True) for name in ("adam", "sam") for k in range(3)]
    told = "cannot be compared between machines"
    assert told not in caption(draw(kind, runs, store))
    runs[-1] = runs[-1].with_sections(environment={**ENVIRONMENT, "cpu": "another CPU"})
    assert told in caption(draw(kind, runs, store))
    assert "another CPU" in caption(draw(kind, runs, store))


def test_learning_curves_on_three_axes(add: RunMaker, store: Store) -> None:
    runs = [add("adam", k, accuracy=v, validation=True) for k, v in enumerate([0.6, 0.8])]
    made = draw("learning", runs, store)
    figure = figure_of(made)
    for ax, ends in zip(figure.axes, (4, 100, 10), strict=True):
        (line,) = ax.lines
        np.testing.assert_allclose(line.get_xdata(), np.arange(1, 5) / 4 * ends)
        np.testing.assert_allclose(line.get_ydata(), 63 * np.arange(1, 5) / 4)
        assert len(ax.collections) == 1  # the band
    assert "Validation accuracy" in caption(made)


def test_a_gap_in_validation_leaves_no_curve_out(add: RunMaker, store: Store) -> None:
    runs = [add(name, accuracy=0.6, validation=True) for name in ("adam", "sam")]
    path = store.history(runs[1].config)
    first, *others = map(json.loads, path.read_text().splitlines())
    first["validation_accuracy"] = None
    store.save_history(runs[1].config, [first, *others])
    made = draw("learning", runs, store)
    assert len(figure_of(made).axes[0].lines) == 2
    assert "Training loss" in caption(made)


def test_learning_curves_of_many_optimizers(add: RunMaker, store: Store) -> None:
    names = ("adam", "sam", "asam", "gsam", "wsam", "crsam", "gcsam", "fsam", "vasso")
    runs = [add(name, accuracy=0.5 + 0.05 * place) for place, name in enumerate(names)]
    figure = figure_of(draw("learning", runs, store))
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["Adam", "VaSSO", "F-SAM", "GCSAM"]  # the baseline and the most accurate
    assert len(figure.axes[0].lines) == len(names)
    made = draw("roc", runs, store)
    assert len(only(made).lines) == len(names) + 1  # and the diagonal
    assert "Grey: the other optimizers." in caption(made)


@pytest.mark.parametrize("kind", ["learning", "roc", "reliability"])
def test_where_the_leaders_have_no_files_the_best_of_the_others_stand_out(
    add: RunMaker, store: Store, kind: str
) -> None:
    best = ("adam", "sam", "asam", "gsam")
    runs = [add(name, accuracy=0.9, files=()) for name in best]
    others = ("wsam", "crsam", "gcsam", "fsam")
    runs += [add(name, accuracy=0.7 - 0.05 * n) for n, name in enumerate(others)]
    (legend,) = figure_of(draw(kind, runs, store)).legends
    names = [text.get_text().partition(",")[0] for text in legend.get_texts()]
    assert sorted(names) == ["CR-SAM", "F-SAM", "GCSAM", "WSAM"]


def test_flatness_leaves_out_what_cannot_be_trusted(add: RunMaker, store: Store) -> None:
    runs = [
        *pair(add),
        add("asam", 0, accuracy=0.5, top=1e6, collapsed=True),
        add("asam", 1, accuracy=0.99, top=1e6, converged=False),
    ]
    made = draw("flatness", runs, store)
    figure = figure_of(made)
    ax = figure.axes[0]
    assert len(points(ax, "runs")) == 12
    assert len(points(ax, "untrusted")) == 2
    from scipy.stats import kendalltau

    top = [*(100.0 + k for k in range(6)), *(10.0 + k for k in range(6))]
    tau = kendalltau(top, [*ADAM, *SAM]).statistic
    assert f"all runs: τ = {tau:+.2f}".replace("-", "−") in ax.get_title(loc="left")
    assert ax.get_xscale() == "log"
    assert {text.get_text() for text in ax.texts} == {"Adam", "SAM"}
    assert "neither is counted" in caption(made)
    (middles,) = (line.get_xydata() for line in ax.lines if line.get_color() == BLUE)
    np.testing.assert_allclose(middles, [(102.5, 72.5), (12.5, 82.5)])


def test_a_negative_trace_is_drawn(add: RunMaker, store: Store) -> None:
    runs = [add("adam", k, trace=v) for k, v in enumerate([-192.55, 30.0, 2.84])]
    made = draw("flatness", runs, store)
    _, trace = figure_of(made).axes
    assert trace.get_xscale() == "asinh"
    assert sorted(x for x, _ in points(trace, "runs")) == [-192.55, 2.84, 30.0]
    assert 0.0 in trace.get_xticks()


def test_what_is_no_minimum_is_drawn_and_not_ranked(add: RunMaker, store: Store) -> None:
    runs = [*pair(add), add("asam", 0, accuracy=0.99, top=-5.0)]
    made = draw("flatness", runs, store)
    ax = figure_of(made).axes[0]
    assert len(points(ax, "runs")) == 13
    found = flat_and_accurate(build_study(runs, ReportSettings(baseline="adam")))
    assert found is not None
    assert found[0].runs == 12
    assert f"all runs: τ = {found[0].tau:+.2f}".replace("-", "−") in ax.get_title(loc="left")
    assert "zero or below is at no minimum, and not counted" in caption(made)


def test_brackets_are_explained_where_there_are_any(add: RunMaker, store: Store) -> None:
    """Of six seeds one diverged to no minimum in each optimizer: five give no interval."""
    tops = [-1.0, 10.0, 12.0, 9.0, 14.0, 8.0]
    runs = [
        add(name, k, top=top + place, accuracy=0.7 + 0.01 * k)
        for place, name in enumerate(("adam", "sam"))
        for k, top in enumerate(tops)
    ]
    made = draw("flatness", runs, store)
    assert all("[" not in ax.get_title(loc="left") for ax in figure_of(made).axes)
    assert "Fewer than six seeds or folds give no interval." in caption(made)
    assert "Brackets" not in caption(made)


def test_paired_intervals_of_too_few_seeds_are_told_apart(add: RunMaker, store: Store) -> None:
    runs = [*pair(add), *(add("asam", k, accuracy=0.7 + 0.01 * k) for k in range(3))]
    words = "that are tested, and at once for all that have too few seeds to be tested."
    assert words in caption(draw("paired", runs, store))


def test_batches(add: RunMaker, store: Store) -> None:
    runs = [
        *(add("adam", k, top=100.0 * (k + 1)) for k in range(2)),
        add("sam", top=10.0),
        add("sam", 1, top=1.0, collapsed=True),
    ]
    made = draw("batches", runs, store)
    ax = only(made)
    assert labels(ax) == ["SAM", "Adam"]
    pooled = [50.0, 100.0, 200.0, 100.0, 200.0, 400.0]
    assert points(ax, "median") == [(10.0, 0.0), (float(np.median(pooled)), 1.0)]
    low, high = np.percentile(pooled, [25, 75])
    assert any(np.allclose(ends, [low, high]) for ends in segments(ax))
    assert "Dominant eigenvalue" in caption(made)


@pytest.mark.parametrize("classes", [2, 3])
def test_roc(add: RunMaker, store: Store, classes: int) -> None:
    runs = [add("adam", k, classes=classes) for k in range(3)]
    made = draw("roc", runs, store)
    expected = mean_roc([read_predictions(store.predictions(run.config)) for run in runs])
    assert expected is not None
    mean, areas = expected
    ax = only(made)
    np.testing.assert_allclose([y for _, y in points(ax, "mean")], mean)
    assert [line.get_color() for line in ax.lines if line.get_gid() == "mean"] == ["black"]
    area, sd = np.mean(areas), np.std(areas, ddof=1)
    (entry,) = ax.figure.legends[0].get_texts()
    assert entry.get_text() == f"Adam, {area:.3f} ± {sd:.3f}"
    words = "class 1 against class 0" if classes == 2 else "each class against the rest, averaged"
    assert words in caption(made)
    assert ": the mean over 3 runs of each" in caption(made)
    one = caption(draw("roc", runs[:1], store))
    assert ": one run of each optimizer. Numbers are the area under the curve." in one


def test_reliability(add: RunMaker, store: Store) -> None:
    runs = [add("adam", k) for k in range(3)]
    made = draw("reliability", runs, store)
    ax = only(made)
    drawn_points = points(ax, "curve")
    found = [read_predictions(store.predictions(run.config)) for run in runs]
    confidence = np.concatenate([one.probabilities.max(axis=1) for one in found])
    correct = np.concatenate([one.correct for one in found])
    inside = (confidence > 14 / 15) & (confidence <= 1.0)
    assert drawn_points[-1] == pytest.approx((confidence[inside].mean(), correct[inside].mean()))
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["Adam, ECE 0.125"]


def test_confusion(add: RunMaker, store: Store) -> None:
    runs = [add("adam", k, classes=3) for k in range(2)]
    made = draw("confusion", runs, store)
    ax = only(made)
    counts = sum(confusion_matrix(read_predictions(store.predictions(r.config))) for r in runs)
    percent = 100 * counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ax.images[0].get_array(), percent)
    assert [text.get_text() for text in ax.texts] == [f"{value:.0f}" for value in percent.ravel()]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["class 0", "class 1", "class 2"]
    assert "over 2 runs" in caption(made)


def test_many_classes_are_told_by_shade(add: RunMaker, store: Store) -> None:
    made = draw("confusion", [add("adam", classes=20)], store)
    ax = only(made)
    assert len(ax.texts) == 0
    assert ax.get_xticks().tolist() == [0, 4, 8, 12, 16]  # as many as stand apart
    assert caption(made).endswith(" and 10 more.")


@pytest.mark.parametrize(
    "names", [["normal", "良性", "恶性"], ["carcinoma", "metastasis", "fibroadenoma"]]
)
def test_names_of_classes_that_cannot_stand_below_are_numbered(
    add: RunMaker, store: Store, names: list[str]
) -> None:
    runs = [add(name, classes=3) for name in ("adam", "sam", "asam")]
    runs = [replace(run, data={**(run.data or {}), "classes": names}) for run in runs]
    made = draw("confusion", runs, store)
    assert [text.get_text() for text in figure_of(made).axes[-1].get_xticklabels()] == [*"012"]
    assert f"Classes: 0 {names[0]}, 1 {names[1]}, 2 {names[2]}." in caption(made)


def test_no_accuracy_is_above_100(add: RunMaker, store: Store) -> None:
    runs = [add(name, k, accuracy=1.0) for name in ("adam", "sam") for k in range(3)]
    accuracies = [only(draw("accuracy", runs, store)).xaxis]
    for kind in ("cost", "flatness"):
        accuracies += [ax.yaxis for ax in figure_of(draw(kind, runs, store)).axes]
    for axis in accuracies:
        assert axis.get_ticklocs().max() == 100
        assert len(axis.get_ticklocs()) > 1


def test_long_names_of_optimizers_are_broken_into_lines(add: RunMaker, store: Store) -> None:
    names: list[Any] = [
        {"name": name, "base": "sgd", "rho": rho, "lr": lr, "momentum": 0.5 + lr, "nesterov": odd}
        for name in ("sam", "fsam")
        for rho, lr, odd in ((0.0512345, 0.0123, True), (0.0754321, 0.0234, False))
    ]
    runs = [add(name, k, accuracy=0.7 + k / 10) for name in ("adam", *names) for k in range(2)]
    for kind in ("cost", "flatness", "roc", "learning"):
        (picture,) = draw(kind, runs, store)
        assert isinstance(picture, Picture)
        assert all(ax.get_position().width > 0.3 for ax in picture.figure.axes), kind
        with Image.open(io.BytesIO(picture.png)) as image:
            height = picture.figure.get_size_inches()[1]
            needed = picture.figure.get_tightbbox()
            assert image.height + 1 >= height * DPI
            assert image.width + 1 >= needed.width * DPI  # nothing is cut


def test_words_of_a_panels_title_stay_whole(add: RunMaker, store: Store) -> None:
    budgets = {"selection": "best-validation"}, {"precision": "bf16"}, {"epochs": 3}, {}
    runs = [add("adam", k, **some) for some in budgets for k in range(2)]
    titles = [ax.get_title() for ax in figure_of(draw("accuracy", runs, store)).axes]
    assert any("selection=best-" in title for title in titles)
    assert all("validation=0" in title for title in titles)


def test_a_dollar_in_a_name_is_a_dollar(add: RunMaker, store: Store) -> None:
    (picture,) = draw("accuracy", [add("adam", model=r"net $\frac$ of $a_b$")], store)
    assert isinstance(picture, Picture)
    assert r"net $\frac$ of $a_b$" in picture.svg
    assert picture.png.startswith(b"\x89PNG")


def test_large_numbers_of_seconds_stand_at_their_ticks(add: RunMaker, store: Store) -> None:
    figure = figure_of(draw("learning", [add("adam", seconds=4e6)], store))
    figure.canvas.draw()
    seconds = figure.axes[-1].xaxis
    assert seconds.get_offset_text().get_text() == ""
    assert seconds.get_ticklabels()[1].get_text() in ("1·10⁶", "10⁶")


def test_studies(add: RunMaker, store: Store) -> None:
    runs = [add(name, k, files=("studies",)) for name in ("adam", "sam") for k in range(2)]
    densities = figure_of(draw("densities", runs, store))
    assert [ax.get_title() for ax in densities.axes] == ["Adam", "SAM"]
    middle = [y for x, y in points(densities.axes[0], "density") if x == 0.0]
    assert middle == [pytest.approx(1.0001)]
    assert densities.axes[0].texts[0].get_text() == "40"
    studied = draw("landscape", runs, store)
    lines, planes = (figure_of((one,)) for one in studied)
    assert len(lines.axes) == 2
    assert len(planes.axes) == 3  # and the bar of colours
    curve = lines.axes[0].lines[0]
    np.testing.assert_allclose(curve.get_ydata(), 0.1 + np.linspace(-1, 1, 5) ** 2)


def test_ranks_from_six_settings_on(add: RunMaker, store: Store) -> None:
    names = ("adam", "sam", "asam")
    runs = [
        add(name, accuracy=0.7 + 0.05 * place, batch_size=2**size, files=(), top=None)
        for size in range(3, 9)
        for place, name in enumerate(names)
    ]
    made = draw("ranks", runs, store)
    ax = only(made)
    names_drawn = [text.get_text() for text in ax.texts if "SAM" in text.get_text()]
    assert names_drawn == ["ASAM", "SAM"]  # best first; Adam on the other side
    assert len([line for line in ax.lines if line.get_gid() == "clique"]) == 2  # CD is 1.35
    said = caption(made)
    assert any(text.get_text() == "CD = 1.35" for text in ax.texts)
    assert "are of 1 data set, and so not independent" in said


@pytest.mark.parametrize("count", [10, 21, 60])
def test_ranks_of_many_optimizers_do_not_touch(add: RunMaker, store: Store, count: int) -> None:
    radii = [round(0.01 * n, 2) for n in range(1, count + 1)]
    runs = [
        add({"name": "sam", "rho": rho}, accuracy=0.5 + rho / 10, batch_size=2**size, files=(),
            top=None)
        for size in range(3, 9)
        for rho in radii
    ]  # fmt: skip
    ax = only(draw("ranks", runs, store))
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text().isdigit()]
    assert len(boxes) >= 6
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


@pytest.mark.parametrize("ends", [(0.51, 0.69), (730, 980), (1, 1e6), (3, 4), (0.02, 0.9)])
def test_a_log_axis_has_two_numbers_or_more(ends: tuple[float, float]) -> None:
    found = round_numbers(*ends)
    assert 2 <= len(found) <= 6
    assert all(ends[0] * 0.999 <= value <= ends[1] * 1.001 for value in found)
    assert len({short(value) for value in found}) == len(found)


def test_accuracies_of_some_runs_are_said_to_be_so(add: RunMaker, store: Store) -> None:
    """One of twelve lacks its curvature: the mean accuracy is not that of the tables."""
    every = pair(add)
    some = draw("flatness", [*every[:-1], every[-1].with_sections(hessian=None)], store)
    assert {ax.get_ylabel() for ax in figure_of(some).axes} == {
        "Test accuracy (%) of runs\nwith this curvature"
    }
    assert "mean accuracies here differ from the tables'" in caption(some)
    whole = draw("flatness", every, store)
    assert {ax.get_ylabel() for ax in figure_of(whole).axes} == {"Test accuracy (%)"}
    assert "of the tables" not in caption(whole)
