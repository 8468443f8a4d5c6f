"""What a study asked for when it was last compared, which its name stands for ever after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from msgspec.structs import replace

from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.config.search import Search
from sambench.config.suite import ReportSettings, Suite, TableReference
from sambench.errors import ConfigError, StoreError, UnknownNameError, UserError
from sambench.files.atomic import write_json
from sambench.files.checksums import read_sealed
from sambench.files.claim import lock
from sambench.files.definition import Definition, decode, plain
from sambench.store.search_record import read_search, search_path, still_asked


class StudyPlan(Definition, frozen=True, kw_only=True):
    """The runs of a study, whoever did them, and how it is reported."""

    schema_version: Annotated[Literal[1], "Of this file."] = 1
    suite: Annotated[str, "Name of the study."]
    report: Annotated[ReportSettings, "How it is reported."] = ReportSettings()
    tables: Annotated[tuple[TableReference, ...], "Published tables that it stands beside."] = ()
    hessian: Annotated[Measurement | None, "What is measured of each minimum, if that is."] = None
    search: Annotated[Search | None, "How hyperparameters are chosen, if they are."] = None
    runs: Annotated[list[RunConfig], "Its final runs as given, in order."]

    @classmethod
    def of(cls, suite: Suite, runs: Iterable[RunConfig]) -> StudyPlan:
        """Return the plan of a suite with these final runs."""
        kept = {name: getattr(suite, name) for name in ("report", "tables", "hessian", "search")}
        return cls(suite=suite.name, **kept, runs=[*runs])


def write_plan(results: Path, plan: StudyPlan, *, joins: bool = False) -> None:
    """Keep the plan of a study in place of its last, or have its runs join those of the last.

    Others may do so too. A StoreError if it cannot be written, or is to join a damaged one.
    """
    path = results / "studies" / f"{plan.suite}.json"
    with lock(path, "writing", tries=100):
        if joins and (last := read_plan(results, plan.suite)):
            more = [run for run in plan.runs if run not in last.runs]
            plan = replace(last, runs=[*last.runs, *more])
        write_json(path, {**plain(plan), "runs": [run.to_dict() for run in plan.runs]})


def read_plan(results: Path, name: str) -> StudyPlan | None:
    """Return the plan of a study, None where none is kept; a damaged one is a StoreError."""
    if name not in studies(results):  # also what is no name, but a pattern or a path
        return None
    path, remedy = results / "studies" / f"{name}.json", "`sambench compare SUITE` makes it anew"
    try:
        found = decode(StudyPlan, read_sealed(path))
        with suppress(UnknownNameError, ConfigError):  # of a plug-in: not loaded, or changed
            return replace(found, runs=[run.checked() for run in found.runs])
    except (OSError, UserError, ValueError) as error:
        raise StoreError(f"{path} is no study of this sambench ({error}); {remedy}") from error
    return found


def planned_ids(results: Path, name: str) -> set[str]:
    """Return the ids of a study's runs, tuned ones too; damage is a StoreError."""
    plan = read_plan(results, name)
    return set() if plan is None else {run.id for run in final_runs(results, plan)}


def final_runs(results: Path, plan: StudyPlan) -> Sequence[RunConfig]:
    """Return the runs of a plan, tuned ones too; damage is a StoreError."""
    search = read_search(search_path(results, plan.suite))
    return still_asked(search, plan.search, plan.runs)[1] if search else plan.runs


def studies(results: Path) -> list[str]:
    """Return the names of the studies whose plans are kept, in order."""
    return sorted(path.stem for path in (results / "studies").glob("*.json"))
