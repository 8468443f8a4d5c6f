"""Stored runs as a `pandas.DataFrame`, for one's own analysis."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.analysis.curves import with_stored_predictions
from sambench.analysis.grouping import build_groups
from sambench.errors import StoreError
from sambench.report.forms import runs_table
from sambench.store.search_record import is_trial
from sambench.store.tree import Store

if TYPE_CHECKING:
    import pandas


def load_runs(*names: str | Path, results: str | Path = "results") -> pandas.DataFrame:
    """Return a table with a row for each stored run: its state, its settings and its metrics.

    The columns are those of `runs.csv` of a report: `model`, `optimizer.name`, `optimizer.rho`,
    `seed`, `status`, `accuracy` (percent), `train_seconds`, `top` and so on. What a run lacks is
    NaN or None. Runs that did not complete are included, trials of a search only if they are
    named. A record that is damaged or in another run's folder is left out, with a warning.

    Args:
        *names: Names, ids, folders or shell patterns of runs, or names of studies; without any,
            all runs.
        results: Folder of the results. A StoreError is raised if it has no run of one of the names,
            or is not there.
    """
    import pandas as pd

    store = Store(Path(results))
    if not store.runs.is_dir():
        raise StoreError(f"no runs in {store.runs}; name the folder of the results: results=...")
    there, damaged = store.records()
    records = (
        store.find([*map(str, names)], there) if names else [r for r in there if not is_trial(r)]
    )
    read, _, unread = with_stored_predictions(records, store)
    for message in (*damaged, *unread):
        warnings.warn(message, stacklevel=2)
    columns, *rows = runs_table(build_groups(read, None))
    return pd.DataFrame(rows, columns=[*columns])
