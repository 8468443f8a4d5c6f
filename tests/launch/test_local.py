"""Runs that stop when their time is over."""

from __future__ import annotations

import pytest

from sambench.errors import ConfigError
from sambench.launch.launchers.local import launch, seconds_allowed
from sambench.launch.watcher import Watcher
from sambench.store.record import INTERRUPTED
from sambench.store.tree import Store
from tests.launch.conftest import ManifestMaker


@pytest.mark.parametrize("workers", ["1", "2"])
def test_time_that_is_over_stops_the_runs_as_ctrl_c_does(
    make_manifest: ManifestMaker, workers: str
) -> None:
    """Of runs that would take hours: those at hand are saved, the others are not begun."""
    manifest = make_manifest(3, epochs=1_000_000)
    minutes = "0.005" if workers == "1" else "0.1"  # workers start first
    tally = launch(manifest, {"minutes": minutes, "runs_per_device": workers}, Watcher())
    assert (tally.interrupted, tally.exit_code) == (True, 130)
    records, _ = Store(manifest.results).records()
    assert {record.status for record in records} <= {INTERRUPTED}
    assert len(records) <= int(workers)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "soon"])
def test_minutes_that_are_none(minutes: str) -> None:
    with pytest.raises(ConfigError, match="allowed: a number above 0"):
        seconds_allowed({"minutes": minutes})


def test_no_limit_unless_there_is_one() -> None:
    assert seconds_allowed({}) is None
    assert seconds_allowed({"minutes": "1.5"}) == 90
