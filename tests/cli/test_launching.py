"""How `train` and `compare` end: a failed run is no mistake of the user's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sambench.cli.screen import Screen
from sambench.cli.train import _say_more
from sambench.config.run_config import RunConfig
from sambench.data.prepared import prepared_fingerprint
from sambench.errors import RunFailed
from sambench.launch.launcher import Launcher, Tally, Watcher, launchers
from sambench.launch.manifest import Manifest
from sambench.store.record import RunRecord
from sambench.store.tree import Store
from tests.cli.test_commands import Outcome, call
from tests.conftest import RecordMaker, measured

ONE = ("compare", "--dataset", "phantom", "--size", "32", "--model", "small-cnn", "--opt", "adam")


def test_a_run_that_failed_in_another_process_is_exit_code_1(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = OSError(errno.EIO, "Input/output error", "checkpoint.pt")
    away = OSError(errno.ENOTCONN, "Transport endpoint is not connected", "claim.json")
    for error, code, said in (
        (RunFailed("killed by signal 9"), 1, "error: killed by signal 9\n"),
        (lost, 2, "error: 'checkpoint.pt' cannot be used: Input/output error\n"),
        (away, 2, "error: 'claim.json' cannot be used: Transport endpoint is not connected\n"),
    ):
        tally = Tally(errors=[error])
        failing = Launcher(name="elsewhere", summary="", launch=lambda *told, t=tally: t)
        monkeypatch.setattr(launchers, "get", lambda name, failing=failing: failing)
        done = call(tmp_path, *ONE, "--data", str(phantom_data))
        assert (done.code, done.err) == (code, said)


def test_a_launcher_that_returns_no_tally_is_named(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for returned in (None, 3, {}):
        launch: Any = lambda *told, returned=returned: returned  # noqa: E731
        double = Launcher(name="mine", summary="", launch=launch)
        monkeypatch.setattr(launchers, "get", lambda name, double=double: double)
        done = call(tmp_path, *ONE, "--data", str(phantom_data))
        assert (done.code, done.err) == (
            2,
            f"error: `launch` of launcher 'mine' returns {returned!r}; have it return a Tally of "
            "sambench.launch.launcher\n",
        )


THREE = (*ONE, "--seeds", "3")
Launched = Callable[..., Outcome]


@pytest.fixture
def launched(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch, make_record: RecordMaker
) -> Launched:
    """Compare three runs, of which the others do the last two and somehow leave the first."""

    def compare(leave: Callable[[Store, RunConfig, Tally], None], *more: str) -> Outcome:
        def launch(manifest: Manifest, options: object, watcher: Watcher) -> Tally:
            store, tally = Store(manifest.results), Tally()
            first, *rest = manifest.configs
            leave(store, first, tally)
            for config in rest:
                store.save(replace(make_record(hessian=measured()), config=config))
                tally.count(config, store.load(config), watcher)
            return tally

        double = Launcher(name="elsewhere", summary="", launch=launch)
        monkeypatch.setattr(launchers, "get", lambda name: double)
        return call(tmp_path, *THREE, *more, "--data", str(phantom_data))

    return compare


def test_a_run_whose_other_process_was_killed_is_missing(launched: Launched) -> None:
    """It was being done when we came to it, and nobody is at it when we are done."""

    def leave(store: Store, config: RunConfig, tally: Tally) -> None:
        store.save(RunRecord(config=config, status="running"))
        tally.count(config, None, Watcher())

    done = launched(leave)
    assert done.code == 1
    assert "interrupted; run the same command again to continue from here\n" in done.err
    assert "1 of 3 runs are not in the tables: 1 interrupted." in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("failed", "1 failed; `--retry failed` does them again\n"),
        ("damaged", "1 damaged; `--retry damaged` does them again\n"),
        ("interrupted", "interrupted; run the same command again to continue from here\n"),
    ],
)
def test_what_helps_is_told_by_the_files(launched: Launched, state: str, said: str) -> None:
    """Not every run that ended in an error is one that `--retry failed` does again."""

    def leave(store: Store, config: RunConfig, tally: Tally) -> None:
        if state == "damaged":
            store.folder(config).mkdir(parents=True)
            (store.folder(config) / "run.json").write_text("{")
        else:
            store.save(replace(RunRecord(config=config, status="failed"), status=state))
        tally.errors.append(RunFailed("its worker ended"))

    done = launched(leave)
    assert (done.code, done.err.splitlines(keepends=True)[2:]) == (1, [said])
    assert f"1 of 3 runs are not in the tables: 1 {state}." in " ".join(done.out.split())


def test_a_measurement_that_failed_is_not_called_interrupted(
    launched: Launched, make_record: RecordMaker, phantom_data: Path
) -> None:
    """The same command may end alike, as where weights are gone."""
    now = prepared_fingerprint(phantom_data, "phantom", 32)

    def leave(store: Store, config: RunConfig, tally: Tally) -> None:
        record = replace(make_record(), config=config)
        store.save(record.with_sections(data={**(record.data or {}), "fingerprint": now}))
        tally.errors.append(RunFailed("it has no weights"))

    done = launched(leave, "--hessian")
    assert (done.code, "interrupted" in done.err) == (1, False)
    assert "\n1 left to measure; the same command goes on\n" in done.err


def test_what_was_interrupted_before_a_run_began_is_said(launched: Launched) -> None:
    def leave(store: Store, config: RunConfig, tally: Tally) -> None:
        tally.interrupted = True

    done = launched(leave)
    assert done.code == 130
    assert "interrupted; run the same command again to continue from here\n" in done.err
    assert "1 of 3 runs are not in the tables: 1 not done." in " ".join(done.out.split())


def test_classes_are_named_where_there_are_two(
    make_record: RecordMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_record()
    test = {**(made.final or {})["test"], "sensitivity": 0.25}
    record = made.with_sections(final={**(made.final or {}), "test": test})
    several = record.with_sections(data={**(record.data or {}), "classes": ["a", "b", "c"]})
    for one, said in ((record, "sensitivity (of malignant) 0.250"), (several, "sensitivity 0.250")):
        _say_more(Screen(), one)
        assert capsys.readouterr().err.splitlines()[0] == said
