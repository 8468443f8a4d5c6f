"""Names that the shell completes. Without torch, and silent where something cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name

import typer

Named = tuple[str, str]
"""A name and what the shell shows beside it."""

Names = Callable[[typer.Context, str], Iterable[Named]]
"""Returns the names that fit a command and what is typed of the word."""

SPLITS = ("holdout", "folds", "authors", "kfold-5", "grouped-5", "patient-5")


def _registered(registry: str) -> Names:
    """Return what offers the entries of a registry."""
    return lambda *_: ((entry.name, entry.summary) for entry in resolve_name(registry).list())


def _listed(names: str) -> Names:
    """Return what offers the names of a tuple."""
    return lambda *_: ((name, "") for name in resolve_name(names))


def _datasets(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the datasets that are prepared in the folder of the command."""
    from sambench.data.prepared import prepared_datasets

    found = prepared_datasets(Path(context.params.get("data") or "data/prepared"))
    return ((name, f"{' and '.join(map(str, sizes))} pixels") for name, sizes in found.items())


def _suites(context: typer.Context, incomplete: str) -> Iterator[Named]:
    from sambench.config.suite_file import shipped_suites

    yield from ((name, "shipped") for name in shipped_suites())
    beside = Path(f"{incomplete}*").parent
    for path in sorted((*beside.glob("*.yaml"), *Path().glob("suites/*.yaml"))):
        yield str(path), "a file"


def _runs(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer runs by the names of their folders: records are not read."""
    runs = Path(context.params.get("results") or "results", "runs")
    return ((path.name, "") for path in sorted(runs.glob("*")))


def _devices(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the devices of this machine without asking torch, which takes seconds."""
    present = Path("/dev").glob("nvidia[0-9]*")
    numbers = sorted(int(path.name.removeprefix("nvidia")) for path in present)
    return ((name, "") for name in ("cpu", "cuda", *(f"cuda:{number}" for number in numbers)))


def _settings(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the keys of `--set`, and the values of those that have few."""
    from sambench.config.settings import optimizer_settings, run_settings

    for setting in (*run_settings(), *optimizer_settings()):
        values = SPLITS if setting.name == "split" else setting.choices
        yield from ((f"{setting.name}={value}", setting.meaning) for value in values or ("",))


def _curvature_settings(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the keys of `hessian --set`, and the values of those that have few."""
    from sambench.config.curvature_settings import OWN, HessianSettings
    from sambench.files.description import described

    for setting in described(HessianSettings):
        yield from ((f"{setting.name}={value}", "") for value in setting.choices or ("",))
    yield from ((f"{study}.{key}=", "") for study, keys in OWN.items() for key in keys)


def _options_of_source(context: typer.Context, incomplete: str) -> Iterator[Named]:
    """Offer the keys of `prepare --set`, for the dataset that is named before."""
    from sambench.data.source import sources

    named = context.params.get("dataset") or context.args[0]  # a line that breaks off is not parsed
    return ((f"{name}=", option.help) for name, option in sources.get(named).options.items())


def _published(context: typer.Context, incomplete: str) -> Iterator[Named]:
    yield "published", "the papers' numbers"


_optimizers = _registered("sambench.optim.method:optimizers")

OFFERED: Mapping[str, tuple[Names, ...]] = {
    "dataset": (_datasets,),
    "model": (_registered("sambench.models.model:models"),),
    "optimizer": (_optimizers,),
    "baseline": (_optimizers,),
    "split": (_listed(f"{__name__}:SPLITS"),),
    "settings": (_settings,),
    "where": (_settings,),
    "device": (_devices,),
    "devices": (_devices,),
    "launcher": (_registered("sambench.launch.launcher:launchers"),),
    "log": (_listed("sambench.run.sinks:SINKS"),),
    "runs": (_runs, _suites),
    "only": (_runs,),
    "landscape_with": (_runs,),
    "retry": (_listed("sambench.store.status:REPEATABLE"),),
    "suite": (_suites, _optimizers, _published),
    "other": (_suites, _optimizers, _published),
    "kind": (_listed("sambench.cli.catalogue:KINDS"),),
    "prepare.dataset": (_registered("sambench.data.source:sources"),),
    "prepare.settings": (_options_of_source,),
    "hessian.settings": (_curvature_settings,),
    "list_entries.patterns": (_runs,),
    "report.patterns": (_runs, _suites),
}
"""What is offered for a parameter of all commands, or of one."""


def completed(
    command: str, parameter: str, metavar: str | None
) -> Callable[..., list[Named]] | None:
    """Return what completes a parameter, of a list the last name; nothing where that fails."""
    kinds = OFFERED.get(f"{command}.{parameter}") or OFFERED.get(parameter, ())
    in_list = (metavar or "").endswith(",...")

    def complete(context: typer.Context, incomplete: str) -> list[Named]:
        before, comma, last = incomplete.rpartition(",") if in_list else ("", "", incomplete)
        found: list[Named] = []
        with suppress(Exception):  # a traceback in the middle of a line helps nobody
            for name, text in chain.from_iterable(names(context, incomplete) for names in kinds):
                if name.startswith(last) and name not in before.split(","):
                    found.append((f"{before}{comma}{name}", text))
        return found

    return complete if kinds else None
