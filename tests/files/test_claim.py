"""Claims: who holds one, who may take one over, and that of many only one does."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from sambench.errors import ClaimError, DataError, StoreError
from sambench.files import claim as claims
from sambench.files.claim import Claimed, claiming, lock
from sambench.files.owner import STALE_SECONDS, Owner, file_system_time
from tests.patience import PATIENCE, wait_until

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the start of a process is told by Linux's /proc"
)
HOLD = """
import sys
from pathlib import Path
from sambench.files.claim import claiming
with claiming(Path(sys.argv[1]), "cuda:1"):
    print("held", flush=True)
    sys.stdin.read()
"""
RACE = """
import sys, time
from pathlib import Path
from sambench.files.claim import Claimed, claiming
print("ready", flush=True)
for line in sys.stdin:
    path = Path(line.strip())
    while not path.with_name("go").exists():
        pass
    try:
        with claiming(path):
            print("won", flush=True)
            while not path.with_name("over").exists():
                time.sleep(0.001)
    except Claimed:
        print("lost", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "a-run" / "claim.json"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def elsewhere() -> Owner:
    return replace(Owner.this_process("cuda:0"), machine="another", host="another", pid=1)


def dead() -> Owner:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return replace(Owner.this_process("cpu"), pid=done.pid)


def put(path: Path, owner: Owner, *, age: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**asdict(owner)}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@contextmanager
def other_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    with python(HOLD, str(path)) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def refused(path: Path) -> str:
    with pytest.raises(Claimed) as caught, claiming(path):
        pytest.fail("claimed although somebody is at it")
    return str(caught.value)


def test_a_claim_says_who_and_where_and_is_released(path: Path) -> None:
    with claiming(path, "cuda:3") as claim:
        found = Owner.read(path)
        assert found is not None
        assert found[0] == claim.owner
        assert (found[0].pid, found[0].device) == (os.getpid(), "cuda:3")
        assert names(path.parent) == ["claim.json"]
        (path.parent / "run.json").touch()
    assert names(path.parent) == ["run.json"]


def test_a_claim_that_led_to_nothing_leaves_nothing(path: Path) -> None:
    with claiming(path):
        pass
    assert names(path.parents[1]) == []


def test_a_claim_is_released_when_the_run_raises(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claiming(path):
        raise ZeroDivisionError
    assert names(path.parents[1]) == []


def test_two_threads_cannot_have_it(path: Path) -> None:
    with claiming(path):
        assert "is being run by another process" in refused(path)


@needs_proc
def test_a_living_process_keeps_its_claim_and_a_killed_one_does_not(path: Path) -> None:
    with other_process(path) as other:
        said = refused(path)
        assert said.startswith("a-run is being run by another process (")
        assert said.endswith(f"process {other.pid} on cuda:1)")
        other.kill()
        stat = Path(f"/proc/{other.pid}/stat")
        # killed but not waited for: it has ended all the same
        wait_until("it is a zombie", lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        with claiming(path) as claim:
            assert claim.owner.pid == os.getpid()


@needs_proc
def test_a_process_number_that_is_used_again_is_not_the_owner(path: Path) -> None:
    put(path, replace(Owner.this_process("cpu"), started="1"))
    with claiming(path):
        pass


def test_another_machine_holds_while_it_touches(path: Path) -> None:
    put(path, elsewhere(), age=STALE_SECONDS / 2)
    assert "(another, process 1 on cuda:0)" in refused(path)
    put(path, elsewhere(), age=STALE_SECONDS + 1)
    with claiming(path) as claim:
        assert claim.owner.host != "another"


def test_ages_are_by_the_clock_of_the_file_system(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, elsewhere())
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert "another" in refused(path)


def test_the_clock_of_a_file_system_that_cannot_be_written(tmp_path: Path) -> None:
    before = time.time()
    found = file_system_time(tmp_path / "nothing")
    assert before <= found <= time.time()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"host": "x"}', '{"host": "x", "pid": 1, "version": 1}']
)
def test_a_claim_that_cannot_be_understood_is_judged_by_its_age(path: Path, text: str) -> None:
    """Nobody can tell whether its owner lives while it may; nobody is waited for in silence."""
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ClaimError) as caught, claiming(path):
        pytest.fail("claimed although somebody may be at it")
    assert str(caught.value) == (
        f"{path} cannot be read as a claim of this version of sambench, so nobody can tell "
        "whether a process works there; if none does, remove this file and give the same command "
        "again"
    )
    os.utime(path, (0, 0))
    with claiming(path):
        pass


def test_a_claim_of_a_newer_sambench_is_not_guessed_at(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**json.loads(elsewhere().to_json()), "version": 3}))
    with pytest.raises(ClaimError, match="cannot be read as a claim"), claiming(path):
        pass


def test_a_claim_that_may_not_be_read_is_said_so(path: Path) -> None:
    path.mkdir(parents=True)  # a folder can be read by nobody, root included
    with pytest.raises(ClaimError, match="cannot be read as a claim"), claiming(path):
        pass


def test_a_claim_from_the_future_would_be_waited_for_for_ever(path: Path) -> None:
    put(path, elsewhere(), age=-STALE_SECONDS - 3600)
    future = r"is dated 3[67]\d\d seconds in the future, so nobody"
    with pytest.raises(ClaimError, match=future), claiming(path):
        pass
    put(path, elsewhere(), age=60 - STALE_SECONDS)  # clocks of servers and clients differ a little
    assert "another" in refused(path)
    put(path, Owner.this_process("cpu"), age=-1e6)  # of this machine the system tells who lives
    assert "another" in refused(path)


@needs_proc
def test_a_claim_of_a_dead_process_of_this_machine_may_have_any_date(path: Path) -> None:
    put(path, dead(), age=-1e6)
    with claiming(path):
        pass


def test_a_claim_that_is_removed_under_its_owner(path: Path) -> None:
    with claiming(path) as claim:
        shutil.rmtree(path.parent)
        with pytest.raises(ClaimError, match="was removed, alone or with its folder, while this"):
            claim.check()
        assert claim.lost
    assert names(path.parents[1]) == []


def test_a_neighbour_that_removes_the_folder_between_two_looks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Path.mkdir` finds the folder, looks whether it is one, and it is gone: FileExistsError."""
    path.parent.mkdir(parents=True)
    plain, removed = os.mkdir, []

    def mkdir(folder: Path, *mode: int) -> None:
        try:
            plain(folder, *mode)
        except FileExistsError:
            if not removed:
                removed.append(path.parent.rmdir())
            raise

    monkeypatch.setattr(os, "mkdir", mkdir)
    with claiming(path) as claim:
        claim.check()
    assert removed


def test_a_stale_handle_of_a_file_server_is_asked_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ESTALE: another machine has removed the folder, or replaced the file, just now."""
    link, opened, stale = os.link, Path.open, {"link": 1, "open": 2}

    def once(name: str) -> None:
        if stale[name]:
            stale[name] -= 1
            raise OSError(errno.ESTALE, "Stale file handle")

    def stale_link(source: Path, target: Path) -> None:
        once("link")
        link(source, target)

    def stale_open(self: Path, mode: str = "r", **rest: Any) -> Any:
        if mode == "rb":
            once("open")
        return opened(self, mode, **rest)

    monkeypatch.setattr(os, "link", stale_link)
    monkeypatch.setattr(Path, "open", stale_open)
    with claiming(path) as claim:
        stale["open"] = 2
        claim.check()
        stale["open"] = 3
        with pytest.raises(ClaimError, match="was removed"):
            claim.check()
    assert stale == {"link": 0, "open": 0}


def test_an_answer_of_a_file_server_that_was_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is repeated, and now the name is there already: that of the claim itself."""
    link = os.link

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    with claiming(path) as claim:
        claim.check()
    assert not path.exists()


def test_a_disk_that_fails_is_not_taken_for_a_removed_claim(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with claiming(path) as claim:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", fail)
            with pytest.raises(OSError, match="Input/output"):
                claim.check()
        assert not claim.lost


def test_a_full_disk_leaves_no_half_claim(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str) -> None:  # as `write_text`
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"), claiming(path):
        pass
    assert names(path.parents[1]) == []


def test_a_lock_is_a_claim_beside_what_is_made(tmp_path: Path) -> None:
    final = tmp_path / "data" / "set-32"
    with lock(final, "preparing"):
        assert names(final.parent) == [".set-32.claim"]
        (final.parent / ".other.tmp").touch()  # of a neighbour that makes something else there
        with pytest.raises(DataError) as caught, lock(final, "preparing"):
            pytest.fail("locked twice")
        with lock(final.with_name("set-64"), "preparing"):
            pass
    assert str(caught.value) == f"another process is preparing {final}; wait until it is done"
    assert names(final.parent) == [".other.tmp"]


def test_a_lock_that_is_held_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, waited = ExitStack(), []
    held.enter_context(lock(tmp_path / "plan", "writing"))

    def pause(seconds: float) -> None:
        waited.append(seconds)
        held.close()

    monkeypatch.setattr(time, "sleep", pause)
    with lock(tmp_path / "plan", "writing", tries=2):
        assert len(waited) == 1
        with pytest.raises(DataError), lock(tmp_path / "plan", "writing", tries=3):
            pytest.fail("locked twice")
    assert len(waited) == 3
    assert names(tmp_path) == []


@needs_proc
def test_a_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    put(tmp_path / ".set-32.claim", dead())
    with lock(tmp_path / "set-32", "preparing"):
        pass


@needs_proc
def test_a_process_whose_name_the_system_cut_within_a_letter_holds_a_claim(path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from sambench.files.claim import claiming; from sambench.store.environment import *\n"
        "Path('/proc/self/comm').write_bytes(b'gr\\xc3')\n"
        "with claiming(Path(sys.argv[1])): print(memory_peak(torch.device('cpu')) > 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_where_capitals_are_ignored_a_name_never_stands_for_that_of_another(tmp_path, monkeypatch):
    with lock(tmp_path / "study.json", "writing"):
        (tmp_path / "study.json").touch()
    with lock(tmp_path / "Study.json", "writing"):  # of another file, where capitals count
        pass
    listed = [tmp_path / "Study.json", tmp_path / "other.json"]
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(listed))
    refused = pytest.raises(
        StoreError, match=r"has 'Study\.json', .* takes for 'study\.json'; choose"
    )
    with refused, lock(tmp_path / "study.json", "writing"):
        pytest.fail("the other would be replaced")


def test_the_heartbeat_touches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with claiming(path):
        os.utime(path, (0, 0))
        wait_until("the claim is touched", lambda: path.stat().st_mtime > 0)


def test_who_was_taken_over_learns_it_and_leaves_the_other_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with claiming(path) as claim:
        claim.check()
        assert not claim.lost
        temporary = path.with_name("new")
        put(temporary, elsewhere())
        temporary.replace(path)
        wait_until("the loss is noticed", lambda: claim.lost)
        with pytest.raises(Claimed, match="was taken over by another process"):
            claim.check()
    found = Owner.read(path)
    assert found is not None
    assert found[0].host == "another"


def test_the_heart_stops_with_the_claim(path: Path) -> None:
    with claiming(path):
        assert "claim a-run" in {thread.name for thread in threading.enumerate()}
    for thread in threading.enumerate():
        if thread.name == "claim a-run":
            thread.join(timeout=PATIENCE)
            assert not thread.is_alive()


def test_who_dies_while_taking_over_is_succeeded(path: Path) -> None:
    """The right to take over is a claim itself, so a second death is handled as the first."""
    first, second = dead(), dead()
    put(path, first)
    put(path.with_name(f"claim.json.after-{first.token}"), second)
    put(path.with_name(f"claim.json.after-{second.token}"), dead())
    with claiming(path) as claim:
        assert claim.owner.pid == os.getpid()
        assert names(path.parent) == ["claim.json"]


def test_an_old_observation_takes_nothing(path: Path) -> None:
    old = dead()
    with claiming(path) as claim:
        assert not claims._succeed(path, old, Owner.this_process("cpu"))
        claim.check()
        assert names(path.parent) == ["claim.json"]


def test_a_takeover_that_another_is_at_is_left_to_it(path: Path) -> None:
    first = dead()
    put(path, first)
    put(path.with_name(f"claim.json.after-{first.token}"), elsewhere())
    refused(path)


def test_what_a_killed_process_left_is_removed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for name in (".run.json.0a.tmp", ".claim.json.0b", "claim.json.after-0c", "checkpoint.pt"):
        (path.parent / name).touch()
    with claiming(path):
        assert names(path.parent) == ["checkpoint.pt", "claim.json"]


def test_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with claiming(path):
        refused(path)
    put(path, dead())
    with claiming(path) as claim:
        assert claim.owner.pid == os.getpid()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_processes_one_wins(tmp_path: Path, stale: bool) -> None:
    """All rush at a free claim, or at that of a dead owner, ten times over."""
    racers = [python(RACE) for _ in range(6)]
    gone = dead()
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for number in range(10):
            path = tmp_path / str(number) / "claim.json"
            path.parent.mkdir()
            if stale:
                put(path, replace(gone, token=f"{number}"))
            for racer in racers:
                assert racer.stdin is not None
                print(path, file=racer.stdin, flush=True)
            path.with_name("go").touch()
            said = []
            for racer in racers:
                assert racer.stdout is not None
                said.append(racer.stdout.readline().strip())
            path.with_name("over").touch()
            assert sorted(said) == ["lost"] * 5 + ["won"]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_a_folder_that_cannot_be_made_is_not_somebody_elses_work(tmp_path: Path) -> None:
    """A link to a disk that is not there: `mkdir` says that it exists, as beside a neighbour."""
    (tmp_path / "results").symlink_to(tmp_path / "unmounted")
    with pytest.raises(FileExistsError), claiming(tmp_path / "results" / "run" / "claim.json"):
        pass
    with (
        pytest.raises(StoreError, match=r"cannot write in .*/results: File exists"),
        lock(tmp_path / "results" / "data", "preparing"),
    ):
        pass
