"""A preparation that is killed, one that meets another, and one that has no room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sambench
from sambench.data import partial
from sambench.data.partial import COMMIT_EVERY
from sambench.data.preparation import Outlook, prepare
from sambench.data.source import Request, sources
from sambench.errors import DataError, StoreError
from sambench.files import atomic

IMAGES = 3 * COMMIT_EVERY
SLOWLY = """
import sys
from pathlib import Path
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources

source = sources.get("folder")
request = Request(folder=Path(sys.argv[1]), options=source.resolve({}))

def on_progress(done, total, file):
    if done == total - 20:
        print("nearly", flush=True)
        sys.stdin.read()  # until it is killed

prepare(source, request, Path(sys.argv[2]), 8, workers=1, on_progress=on_progress)
"""


@pytest.fixture
def request_for(plant):
    root = plant(*(f"{'ab'[number % 2]}/{number}.png" for number in range(IMAGES)))
    return Request(folder=root, options=sources.get("folder").resolve({}))


@pytest.fixture
def running(request_for, tmp_path):
    """A process that prepares the images and has come near the end."""
    environment = {**os.environ, "PYTHONPATH": str(Path(sambench.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(request_for.folder), str(tmp_path / "prepared")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "nearly\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_preparation_continues(running, request_for, tmp_path):
    running.send_signal(signal.SIGKILL)
    running.wait()
    source, root = sources.get("folder"), tmp_path / "prepared"
    assert not (root / "folder-8").exists()
    done = prepare(source, request_for, root, 8)
    assert done.resumed == 2 * COMMIT_EVERY
    assert (
        done.prepared.fingerprint
        == prepare(source, request_for, tmp_path / "b", 8).prepared.fingerprint
    )


def test_a_second_process_is_sent_away_and_harms_nothing(running, request_for, tmp_path):
    source, root = sources.get("folder"), tmp_path / "prepared"
    records = root / ".folder-8.partial" / "records"
    before = records.read_bytes()
    with pytest.raises(DataError) as caught:
        prepare(source, request_for, root, 8)
    assert str(caught.value) == (
        f"another process is preparing {root / 'folder-8'}; wait until it is done"
    )
    assert records.read_bytes() == before
    assert running.poll() is None


def test_the_room_is_told_before_the_first_image(request_for, tmp_path, monkeypatch):
    told: list[object] = []
    prepare(
        sources.get("folder"),
        request_for,
        tmp_path / "prepared",
        8,
        on_start=told.append,
        on_progress=lambda done, total, file: told.append(done),
    )
    outlook = told[0]
    assert isinstance(outlook, Outlook)
    assert told[1] == 1
    assert (outlook.images, outlook.resumed) == (IMAGES, 0)
    assert outlook.most == IMAGES * (3 + 1) * 8 * 8
    assert outlook.kept == IMAGES * 3 * 8 * 8
    assert outlook.free > 0


def test_the_images_fit_into_what_was_told(request_for, tmp_path):
    told: list[Outlook] = []
    done = prepare(
        sources.get("folder"), request_for, tmp_path / "prepared", 8, on_start=told.append
    )
    size = (done.prepared.folder / "images.npy").stat().st_size
    header = 128
    assert told[0].kept // 3 == size - header
    assert size - header <= told[0].kept


def test_no_room_is_said_before_anything_is_decoded(request_for, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "free_bytes", lambda folder: 1000)
    monkeypatch.setattr(partial, "decode", lambda *arguments: pytest.fail("decoded"))
    root = tmp_path / "prepared"
    with pytest.raises(StoreError) as caught:
        prepare(sources.get("folder"), request_for, root, 64)
    assert str(caught.value) == (
        f"preparing {IMAGES} images at 64x64 takes 1.6 MB in {root}, where 1 kB are free; "
        "free some space, or give another folder with `--data DIR`"
    )
