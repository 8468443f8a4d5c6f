"""Names that the shell completes. Without torch, and silent where something cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path

import typer

Named = tuple[str, str]
"""A name and what the shell shows beside it."""

Names = Callable[[typer.Context, str], Iterable[Named]]
"""Returns the names that fit a command and what is typed of the word."""

SPLITS = ("holdout", "folds", "authors", "kfold-5", "grouped-5", "patient-5")
DEVICES = ("cpu", "cuda", "mps")


def _silent(*kinds: Names, in_list: bool = False) -> Callable[..., list[Named]]:
    """Return a completion that offers what begins as typed, and nothing where it fails.

    In a list it completes the last of several names with commas between them.
    """

    def complete(context: typer.Context, incomplete: str) -> list[Named]:
        before, comma, last = incomplete.rpartition(",") if in_list else ("", "", incomplete)
        found: list[Named] = []
        with suppress(Exception):  # a traceback in the middle of a line helps nobody
            for name, text in chain.from_iterable(names(context, incomplete) for names in kinds):
                if name.startswith(last) and name not in before.split(","):
                    found.append((f"{before}{comma}{name}", text))
        return found

    return complete


def _registered(module: str, registry: str) -> Names:
    """Return what offers the entries of a registry."""
    return lambda context, incomplete: (
        (entry.name, entry.summary) for entry in getattr(import_module(module), registry).list()
    )


def _listed(module: str, names: str) -> Names:
    """Return what offers the names of a tuple."""
    return lambda context, incomplete: ((n, "") for n in getattr(import_module(module), names))


def _datasets(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the datasets that are prepared in the folder of the command."""
    from sambench.data.prepared import prepared_datasets

    found = prepared_datasets(Path(context.params.get("data") or "data/prepared"))
    return ((name, f"{' and '.join(map(str, sizes))} pixels") for name, sizes in found.items())


def _suites(context: typer.Context, incomplete: str) -> Iterator[Named]:
    from sambench.config.suite_file import shipped_suites

    yield from ((name, "shipped") for name in shipped_suites())
    beside = Path(incomplete).parent if "/" in incomplete else Path()
    for path in sorted((*beside.glob("*.yaml"), *Path().glob("suites/*.yaml"))):
        yield str(path), "a file"


def _runs(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer runs by the names of their folders: records are not read."""
    runs = Path(context.params.get("results") or "results", "runs")
    return ((path.name, "") for path in sorted(runs.iterdir()))


def _devices(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the devices of this machine without asking torch, which takes seconds."""
    present = Path("/dev").glob("nvidia[0-9]*")
    numbers = sorted(int(path.name.removeprefix("nvidia")) for path in present)
    return ((name, "") for name in (*DEVICES, *(f"cuda:{number}" for number in numbers)))


def _settings(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the keys of `--set`, and the values of those that have few."""
    from sambench.config.settings import optimizer_settings, run_settings

    for setting in (*run_settings(), *optimizer_settings()):
        values = SPLITS if setting.name == "split" else setting.choices
        yield from ((f"{setting.name}={value}", setting.meaning) for value in values or ("",))


def _curvature_settings(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the keys of `hessian --set`, and the values of those that have few."""
    from sambench.config.curvature_settings import HessianSettings
    from sambench.config.study_settings import OWN
    from sambench.files.description import choices

    for name in HessianSettings.__struct_fields__:
        yield from ((f"{name}={value}", "") for value in choices(HessianSettings, name) or ("",))
    yield from ((f"{study}.{key}=", "") for study, keys in OWN.items() for key in keys)


def _options_of_source(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the keys of `prepare --set`, for the dataset that is named before."""
    from sambench.data.source import sources

    named = context.params.get("dataset") or context.args[0]  # a line that breaks off is not parsed
    return ((f"{name}=", option.help) for name, option in sources.get(named).options.items())


_optimizers = _registered("sambench.optim.method", "optimizers")
_models = _registered("sambench.models.model", "models")

datasets, runs, settings = _silent(_datasets), _silent(_runs), _silent(_settings)
curvature_settings, options_of_source = _silent(_curvature_settings), _silent(_options_of_source)
optimizers, optimizers_in_list = _silent(_optimizers), _silent(_optimizers, in_list=True)
models, models_in_list = _silent(_models), _silent(_models, in_list=True)
devices, devices_in_list = _silent(_devices), _silent(_devices, in_list=True)
runs_and_suites = _silent(_runs, _suites)
suites_and_optimizers = _silent(
    _suites, _optimizers, lambda *_: [("published", "the papers' numbers")]
)
sources = _silent(_registered("sambench.data.source", "sources"))
launchers = _silent(_registered("sambench.launch.launcher", "launchers"))
splits = _silent(_listed(__name__, "SPLITS"))
sinks = _silent(_listed("sambench.run.sinks", "SINKS"))
kinds = _silent(_listed("sambench.cli.catalogue", "KINDS"))
states_in_list = _silent(_listed("sambench.store.status", "REPEATABLE"), in_list=True)
