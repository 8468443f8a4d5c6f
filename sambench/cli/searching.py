"""The part of `sambench compare` that chooses hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.run_config import RunConfig
    from sambench.config.search import Tuning
    from sambench.config.suite import Suite


def tuned_runs(
    screen: Screen, results: Path, study: Suite, tunings: Sequence[Tuning], *, keep: bool
) -> tuple[RunConfig, ...]:
    """Return the final runs with chosen values, of those searches that are done.

    Args:
        screen: Where to show what was chosen.
        results: Folder of the results.
        study: The suite.
        tunings: Its searches.
        keep: Write what was found for the report, and show it.
    """
    from sambench.store.search_record import choose_trial, search_path, write_search
    from sambench.store.tree import Store

    if study.search is None:
        return ()
    store = Store(results)
    loaded, _ = store.records(run.name for tuning in tunings for run in tuning.runs)
    records = {record.id: record for record in loaded}
    choices = [(tuning, choose_trial(tuning, records)) for tuning in tunings]
    if keep:
        path = search_path(results, study.name)
        write_search(path, study.name, study.search, tunings, records)
        rows = []
        for tuning, chosen in choices:
            first = tuning.untuned[0]
            values = chosen and ", ".join(f"{k}={v}" for k, v in chosen.values.items())
            found = "search not done" if chosen is None else values or "as given"
            fold = "" if first.fold is None else f" fold {first.fold}"
            place = f"{first.model} on {first.dataset}{fold}"
            rows.append((place, str(first.optimizer["name"]), str(len(tuning.trials)), found))
        screen.listing(("", "optimizer", "trials", "chosen on validation"), rows, "search")
        screen.show(f"wrote {path}")
    runs = [run for tuning, chosen in choices if chosen for run in tuning.finals(chosen)]
    return tuple({run.id: run for run in runs}.values())
