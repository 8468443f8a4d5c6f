"""`sambench hessian`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from sambench.cli import options
from sambench.cli.grouping import argument, flag, group, grouped, option
from sambench.config.curvature_settings import OWN, HessianSettings
from sambench.errors import INTERRUPTED, ConfigError

if TYPE_CHECKING:
    from sambench.config.measurement import Measurement
    from sambench.store.tree import Store

DEFAULTS = HessianSettings()


@group("What is measured")
class Measured:
    """What is measured, and how exactly."""

    samples: int | None = option(
        "IMAGES",
        "Number of training images to measure on.",
        min=1,
        show_default=f"{DEFAULTS.samples}",
    )
    tol: float | None = option(
        "FRACTION", "Relative error of the eigenvalues.", show_default=f"{DEFAULTS.tol}"
    )
    minutes: float | None = option(
        "MINUTES", "Stop each run's measurement after this many minutes.", show_default="no limit"
    )
    per_layer: bool = flag("Also measure each layer by itself.")
    settings: list[str] | None = option(
        "KEY=VALUE",
        "trace_tol, max_matvecs, seed, k, batch_stat, batches, perturbations, sigma, batch_norm, "
        "dtype, adaptive, include_l2, or of a study as density.steps. Repeatable.",
        "--set",
    )
    again: bool = flag("Measure again runs that already have a measurement.")
    verbose: bool = flag(
        "Also show intervals, residuals, the lowest eigenvalue, layers and costs.",
        "--verbose",
        "-v",
    )

    def given(self) -> dict[str, Any]:
        """Return the settings that the user gave, as a suite file's `hessian` has them."""
        from sambench.config.settings import parse_settings

        own = {name: getattr(self, name) for name in ("samples", "tol", "minutes")}
        own["per_layer"] = self.per_layer or None
        found = {name: value for name, value in own.items() if value is not None}
        for key, value in parse_settings(self.settings).items():
            study, dot, name = key.partition(".")
            if key in found:
                option = f"--{key.replace('_', '-')}"
                raise ConfigError(f"{option} and --set {key} are both given; keep one")
            if dot and study in OWN:
                found[study] = {**found.get(study, {}), name: value}
            else:
                found[key] = value
        return found


@group("Around the minimum")
class Around:
    """What is studied besides the Hessian's eigenvalues and trace."""

    density: bool = flag("Also estimate the density of all eigenvalues.")
    sharpness: bool = flag("Also measure how the loss rises: one step, worst case, average case.")
    landscape: bool = flag(
        "Also compute the loss on a line, on a plane and on the plane of the top two eigenvectors."
    )
    landscape_with: str | None = option(
        "RUN", "Also compute the loss on the line to another run of the same model."
    )

    def added_to(self, wanted: Measurement, store: Store) -> Measurement:
        """Return a measurement with what is asked for besides; the other run is looked up."""
        asked: Any = {name: True for name in OWN if getattr(self, name)}
        name = self.landscape_with
        other = None if name is None else store.find_one(name).config
        return replace(wanted, studies=replace(wanted.studies, **asked), other=other)


@group("Devices and launchers")
class Launching(options.Launching):
    """Where it is measured."""

    device: str | None = option(
        "DEVICE,...",
        "cpu or cuda:0; several devices get one process each.",
        "--device",
        "--devices",
        show_default="a GPU if there is one",
    )


@grouped
def hessian(
    runs: Annotated[
        list[str],
        argument("RUN", "Names, ids or shell patterns of runs, or names or files of suites."),
    ],
    measured: Measured,
    around: Around,
    launching: Launching,
    place: options.Place,
    output: options.Output,
    chosen: options.Filter,
) -> None:
    """Measure how sharp a run's minimum is: eigenvalues and trace of the Hessian, with errors.

    Runs that have been measured before are only shown; several runs end with one table. Ctrl-C
    keeps what is finished, and the same command continues from there.

    Examples:
      sambench hessian 'phantom-small-cnn-*' --samples 128 --set batch_norm=recalibrate
      sambench hessian demo
    """
    from sambench.cli.curvature_table import RUN_HEADINGS, run_row
    from sambench.cli.launching import run_answer
    from sambench.cli.measuring import find_runs, measure
    from sambench.launch.manifest import Manifest
    from sambench.store.tree import Store

    screen, store = output.screen(), Store(place.results)
    given = measured.given()
    groups, damaged = find_runs(screen, runs, given, chosen.where or (), place.data, store)
    several = launching.device if "," in (launching.device or "") else None
    code = int(bool(damaged))
    device = None if several else launching.device
    manifest = Manifest(data=place.data, results=place.results, device=device)
    for records, wanted, of_suite in groups:
        asked = replace(around.added_to(wanted, store), again=measured.again)
        launcher = launching.chosen(of_suite, devices=several)
        ended = measure(screen, records, asked, given, manifest, launcher, verbose=measured.verbose)
        code = max(code, ended)
        if code == INTERRUPTED:
            break
    found = [store.load(record.config) or record for records, *_ in groups for record in records]
    if len(found) > 1:
        screen.listing(RUN_HEADINGS, map(run_row, found), "curvature")
    if output.as_json:
        output.answer({"runs": [run_answer(store, record.config) for record in found]})
    raise typer.Exit(code)
