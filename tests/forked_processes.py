"""Processes that fork from one which has imported torch.

Importing torch takes seconds, a fork milliseconds. A process that a test starts through the
template has the arguments, environment, folder, open files and number of threads that
`subprocess.Popen` would give it, and a session of its own. So have the workers of launches, those
of this process and those of processes that were forked. The template has imported modules and done
nothing else; it serves all processes of a test run. At least one test of each kind of process
starts its own anew, as a user does.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, NoReturn

ADDRESS = "SAMBENCH_TEST_TEMPLATE"
"""The variable that tells the processes of a test run where the template listens."""

SIZE = 4
"""Bytes of a number on the line."""


class Forked:
    """A forked process: what tests and `sambench.launch.pool` need of `subprocess.Popen`."""

    def __init__(self, pid: int, line: socket.socket, stdout: IO[str] | None) -> None:
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None
        self._line = line

    def poll(self) -> int | None:
        """Return the exit code, if the process has ended."""
        if self.returncode is None and select.select([self._line], [], [], 0.0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code as soon as there is one."""
        if self.returncode is None:
            self._line.settimeout(timeout)
            with self._line:
                told = self._line.recv(SIZE, socket.MSG_WAITALL)
            assert told, "the template's keeper of this process was killed"
            self.returncode = os.waitstatus_to_exitcode(int.from_bytes(told))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class Template:
    """Starts processes with what is given to Python: `-m`, `-c` or a script, and arguments."""

    def __init__(self, address: bytes) -> None:
        self._address = address
        self.subprocess = SimpleNamespace(Popen=self.popen, DEVNULL=subprocess.DEVNULL)
        """What `sambench.launch.pool` is given for the module of this name."""

    def popen(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: IO[bytes],
        stderr: IO[bytes],
        pass_fds: Sequence[int],
        env: Mapping[str, str],
        start_new_session: bool,
    ) -> Forked:
        """Start a worker of a launch."""
        assert command[0] == sys.executable
        assert stdin == subprocess.DEVNULL
        assert start_new_session
        return self._start(command[1:], stdout.fileno(), stderr.fileno(), pass_fds, environment=env)

    def start(self, *arguments: object) -> Forked:
        """Start a process whose standard output is read from here."""
        reading, writing = os.pipe()
        process = self._start([*map(str, arguments)], writing, 2)
        os.close(writing)
        process.stdout = os.fdopen(reading)
        return process

    def call(self, function: Callable[..., None], *arguments: object) -> Forked:
        """Start a process that calls a function of a module with texts and numbers."""
        words = ", ".join(map(repr, arguments))
        name = function.__name__
        return self.start("-c", f"from {function.__module__} import {name}; {name}({words})")

    def run(
        self,
        *arguments: object,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Return how a process ended, and what it printed."""
        words = [*map(str, arguments)]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            files = out.fileno(), err.fileno()
            code = self._start(words, *files, folder=folder, environment=environment).wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), err.read())

    def _start(
        self,
        arguments: Sequence[str],
        stdout: int,
        stderr: int,
        passed: Sequence[int] = (),
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Forked:
        order = {
            "arguments": [*arguments],
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(folder or Path.cwd()),
            "places": [1, 2, *passed],
        }
        text = json.dumps(order).encode()
        line = socket.socket(socket.AF_UNIX)
        line.connect(self._address)
        socket.send_fds(line, [len(text).to_bytes(SIZE)], [stdout, stderr, *passed])
        line.sendall(text)
        number = int.from_bytes(line.recv(SIZE, socket.MSG_WAITALL))
        return Forked(number, line, None)


def begin() -> Callable[[], None]:
    """Start the template and tell this process and its children of it; return what ends it.

    It imports nothing until the first process is wanted, and ends with this process at the latest.
    """
    ours, theirs = socket.socketpair()
    with theirs, socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")  # at an address that the system makes up
        listening.listen()
        os.environ[ADDRESS] = listening.getsockname().hex()
        handed = (listening.fileno(), theirs.fileno())
        alone = {name: it for name, it in os.environ.items() if name != "OMP_NUM_THREADS"}
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, handed)],
            cwd=Path(__file__).parents[1],
            env=alone,
            stdin=subprocess.DEVNULL,
            pass_fds=handed,
            start_new_session=True,
        )

    def end() -> None:
        del os.environ[ADDRESS]
        ours.close()
        process.wait()

    return end


def of_this_run() -> Template:
    """Return the template of this test run."""
    return Template(bytes.fromhex(os.environ[ADDRESS]))


def _serve(listening: socket.socket, owner: socket.socket) -> None:
    """Start what is ordered until nobody is there to order."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while listening in select.select([listening, owner], [], [])[0]:
        line, _ = listening.accept()
        with line:
            if _user_of(line) != os.getuid():
                continue
            _import()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                address = listening.getsockname()
                listening.close()
                owner.close()
                _keep(line, address)


def _user_of(line: socket.socket) -> int:
    """Return the number of the user at the other end."""
    three = struct.Struct("3i")  # process, user, group
    told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, three.size)
    return int(three.unpack(told)[1])


def _import() -> None:
    """Import what most processes need, once."""
    if "torch" in sys.modules:
        return
    import torch._inductor  # noqa: F401  (deterministic algorithms import it)

    import sambench.launch.launchers.local
    import sambench.launch.unit
    import sambench.run.measure  # noqa: F401

    gc.freeze()


def _keep(line: socket.socket, address: bytes) -> NoReturn:
    """Start a process, tell its number, wait for its end and tell that too."""
    size, files, _, _ = socket.recv_fds(line, SIZE, 16)
    order = json.loads(line.recv(int.from_bytes(size), socket.MSG_WAITALL))
    process = os.fork()
    if process == 0:
        line.close()
        _be(files, address, **order)
    for file in files:
        os.close(file)
    line.sendall(process.to_bytes(SIZE))
    _, status = os.waitpid(process, 0)
    with suppress(OSError):
        line.sendall(status.to_bytes(SIZE))
    os._exit(0)


def _be(
    files: list[int],
    address: bytes,
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    places: list[int],
) -> NoReturn:
    """Be a process that was started with a command: its session, files, environment and code."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        high = [fcntl.fcntl(file, fcntl.F_DUPFD, 256) for file in files]
        for file in files:
            os.close(file)
        for file, place in zip(high, places, strict=True):
            os.dup2(file, place)
            os.close(file)
        _run(address, *arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(address: bytes, how: str, *arguments: str) -> None:
    """Run a module, code or a script."""
    import torch

    from sambench.launch import pool

    if threads := os.environ.get("OMP_NUM_THREADS"):  # which was read as torch was imported
        torch.set_num_threads(int(threads))
    pool.subprocess = Template(address).subprocess  # type: ignore[assignment]
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [how, *arguments[1:]]
    if how == "-m":
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.path[0] = str(Path(how).parent)
        sys.argv = [how, *arguments]
        runpy.run_path(how, run_name="__main__")


if __name__ == "__main__":
    _serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
