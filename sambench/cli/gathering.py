"""The runs that a report is of: of a suite, of a pattern, or all; and what should be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.errors import ConfigError, UserError

if TYPE_CHECKING:
    from sambench.config.run_config import RunConfig
    from sambench.config.suite import Suite
    from sambench.store.record import RunRecord
    from sambench.store.tree import Store


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Runs, and what is known of the suite that they belong to.

    Attributes:
        records: Those that can be counted.
        damaged: A message for each of the others.
        name: Of the suite; None where no suite was asked for.
        given: As `sambench compare` is given the suite.
        suite: The suite, where its file is known.
        planned: Every run of the suite; empty where that is not known.
    """

    records: tuple[RunRecord, ...]
    damaged: tuple[str, ...]
    name: str | None = None
    given: str = "SUITE"
    suite: Suite | None = None
    planned: tuple[RunConfig, ...] = ()


def gather(patterns: Sequence[str], store: Store, data: Path) -> Gathered:
    """Return the runs that are asked for; trials of a search are none.

    Args:
        patterns: A suite (file or name), or names, ids and shell patterns of runs; none for all.
        store: Where the records are.
        data: Folder of the prepared datasets, which tells image sizes and folds.

    Raises:
        UserError: If nothing is found.
    """
    from sambench.config.suite_file import shipped_suites

    alone = patterns[0] if len(patterns) == 1 else ""
    if alone.endswith((".yaml", ".yml")):
        return of_suite(Path(alone), store, data)
    if alone in shipped_suites():
        try:
            return of_suite(Path(alone), store, data)
        except UserError:  # other images than are prepared now: the records tell
            pass
    return _of_records(patterns, alone, store)


def _of_records(patterns: Sequence[str], alone: str, store: Store) -> Gathered:
    from sambench.analysis.soundness import sound
    from sambench.store.search_record import is_trial

    there, damaged = store.records()
    records, unsound = sound(record for record in there if not is_trial(record))
    named = [record for record in records if alone and record.suite == alone]
    if patterns and not named:
        wanted = {record.id for record in store.find(patterns, there)}
        records = [record for record in records if record.id in wanted]
    if not records:
        raise UserError(
            f"no runs in {store.runs}; `sambench train` or `sambench compare` makes some"
            + "".join(f"; {message}" for message in (*damaged, *unsound)[:3])
        )
    return Gathered(
        records=tuple(named or records),
        damaged=(*damaged, *unsound),
        name=alone if named else None,
        given=alone if named else "SUITE",
    )


def of_suite(path: Path, store: Store, data: Path) -> Gathered:
    """Return the stored runs of a suite file, the tuned ones of its search among them.

    Raises:
        ConfigError: If it is no suite or none of its runs is stored.
    """
    from sambench.analysis.soundness import sound
    from sambench.cli.checking import expanded
    from sambench.config.suite_file import load_suite

    suite = load_suite(path)
    planned = expanded(suite, data, store)
    names = dict.fromkeys((*(config.name for config in planned), *_tuned(suite, store)))
    there, damaged = store.records(names)
    records, unsound = sound(there)
    if not records:
        raise ConfigError(
            f"no run of {path} is in {store.runs}; `sambench compare {path}` makes them"
            + "".join(f"; {message}" for message in (*damaged, *unsound)[:3])
        )
    return Gathered(
        records=tuple(records),
        damaged=(*damaged, *unsound),
        name=suite.name,
        given=str(path),
        suite=suite,
        planned=planned,
    )


def _tuned(suite: Suite, store: Store) -> list[str]:
    """Return the names of the runs with chosen values."""
    from sambench.errors import StoreError
    from sambench.store.search_record import read_search, search_path

    if suite.search is None:
        return []
    try:
        found = read_search(search_path(store.root, suite.name))
    except StoreError:  # said where the search itself is shown
        return []
    return [name for tuning in (found.tunings if found else ()) for name in tuning.tuned]
