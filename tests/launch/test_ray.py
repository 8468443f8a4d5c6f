"""The Ray launcher on a real local cluster of two nodes; skipped where Ray is absent."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sambench.errors import ConfigError, LaunchError
from sambench.launch.launcher import Tally, Watcher, launchers
from sambench.launch.launchers import ray as ray_launcher
from sambench.launch.launchers.ray import launch
from sambench.store.tree import CLAIM, Store
from tests.launch.conftest import ManifestMaker
from tests.patience import PATIENCE, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        PYTHONPATH=os.pathsep.join(
            filter(None, (str(Path(__file__).parents[2]), before.get("PYTHONPATH")))
        ),
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    )
    size = {"num_cpus": 1, "object_store_memory": 80 * 1024 * 1024, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    cluster.add_node(**{k: v for k, v in size.items() if k != "include_dashboard"})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(before)


def test_two_nodes_do_the_runs_and_a_killed_worker_is_retried(
    ray: Any, make_manifest: ManifestMaker
) -> None:
    manifest = make_manifest(3, epochs=40)
    said: list[str] = []
    tallies: list[Tally] = []

    def launching() -> None:
        tallies.append(launch(manifest, {}, Watcher(say=said.append)))

    thread = threading.Thread(target=launching, daemon=True)
    thread.start()
    folder = Store(manifest.results).folder(manifest.configs[0])
    wait_until("the run trains", (folder / "history.jsonl").exists)
    os.kill(json.loads((folder / CLAIM).read_text())["pid"], signal.SIGKILL)
    thread.join(timeout=PATIENCE)
    assert said == ["Ray on 2 node(s): 0 GPU and 1 CPU for each run"]
    assert (len(tallies[0].records), tallies[0].exit_code) == (3, 0)
    for record in tallies[0].records:
        assert record.environment is not None
        assert record.environment["threads"] == 1


def test_an_interrupt_saves_the_runs(ray: Any, make_manifest: ManifestMaker) -> None:
    manifest = make_manifest(3, epochs=1_000_000)
    folder = Store(manifest.results).folder(manifest.configs[0])

    sent: list[int] = []

    def interrupt(what: str, done: int, total: int) -> None:
        if (folder / "history.jsonl").exists() and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    tally = launch(manifest, {}, Watcher(waiting=interrupt))
    assert tally.exit_code == 130
    record = Store(manifest.results).load(manifest.configs[0])
    assert record is not None
    assert record.status == "interrupted"
    assert (folder / "checkpoint.pt").exists()


def test_what_the_cluster_has_not(ray: Any, make_manifest: ManifestMaker) -> None:
    with pytest.raises(ConfigError, match="a run cannot have 7 GPU: the Ray cluster has 0"):
        launch(make_manifest(), {"num_gpus": "7"}, Watcher())
    with pytest.raises(ConfigError, match="has no option 'num_gpu': did you mean"):
        launchers.get("ray").start(make_manifest(), {"num_gpu": "1"}, Watcher())


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for spelled in (address, f"ray://{address}"):
            with pytest.raises(LaunchError, match=f"no Ray cluster at {spelled} .*refused"):
                ray_launcher._probe(spelled)
    for searched in ("auto", "local", "ray://somewhere"):
        ray_launcher._probe(searched)


RAYS_OWN = SimpleNamespace(
    worker=SimpleNamespace(), ray_constants=SimpleNamespace(NUM_REDIS_GET_RETRIES=20)
)


def test_who_listens_and_is_no_cluster_is_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would try for ten minutes."""
    over = threading.Event()

    class Waiting:
        _private = RAYS_OWN

        def is_initialized(self) -> bool:
            return False

        def init(self, **options: object) -> None:
            over.wait()

    monkeypatch.setattr(ray_launcher, "CONNECT_SECONDS", 0.01)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(LaunchError, match="auto does not answer as a Ray cluster does"):
        ray_launcher._connect(Waiting(), None)
    over.set()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            ConnectionError("Failed to connect"),
            "there is a Ray cluster at auto, which does not let",
        ),
        (RuntimeError("Version mismatch: 2.1\n2.2"), "cannot be joined: Version mismatch: 2.1 2.2"),
    ],
)
def test_a_cluster_that_does_not_let_us_in(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, said: str
) -> None:
    class Refusing:
        __version__ = "2.60.0"

        _private = RAYS_OWN

        def is_initialized(self) -> bool:
            return False

        def init(self, **options: object) -> None:
            assert RAYS_OWN.ray_constants.NUM_REDIS_GET_RETRIES < 10  # said within half a minute
            raise raised

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(LaunchError, match=said):
        ray_launcher._connect(Refusing(), None)
    assert RAYS_OWN.ray_constants.NUM_REDIS_GET_RETRIES == 20  # for one that is started here


def test_an_interpreter_with_a_space_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/a b/python")
    assert ray_launcher._interpreter() == {"py_executable": "'/a b/python'"}
    monkeypatch.setattr(sys, "executable", "/ab/python")
    assert ray_launcher._interpreter() == {}
