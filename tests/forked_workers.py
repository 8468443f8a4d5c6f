"""Worker processes that fork from one which has imported torch.

Importing torch takes seconds, a fork milliseconds. A worker of `sambench.launch.pool` that a test
starts from its own process is forked from a template: it has the same arguments, environment, open
files and session as one that `subprocess.Popen` starts. The template has imported modules and done
nothing else. Workers of commands that a test starts as processes of their own are started anew, as
a user's are.
"""

from __future__ import annotations

import fcntl
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

MODULE = "sambench.launch.pool"
SIZE = 4
"""Bytes of a number on the line."""


class Forked:
    """A forked worker: what `sambench.launch.pool` needs of `subprocess.Popen`."""

    def __init__(self, pid: int, ended: IO[bytes]) -> None:
        self.pid = pid
        self._ended = ended
        self._code: int | None = None

    def kill(self) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self._code is None:
            with self._ended:
                self._code = os.waitstatus_to_exitcode(int(self._ended.read()))
        return self._code


class Template:
    """Starts workers; its process begins with the first of them and ends with this one."""

    def __init__(self) -> None:
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
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
        assert [*command[:3]] == [sys.executable, "-m", MODULE]
        assert stdin == subprocess.DEVNULL
        assert start_new_session
        reading, writing = os.pipe()
        order = {
            "arguments": [*command[2:]],
            "environment": dict(env),
            "folder": str(Path.cwd()),
            "places": [1, 2, *pass_fds],
        }
        files = [stdout.fileno(), stderr.fileno(), *pass_fds]
        text = json.dumps(order).encode()
        with self._turn:
            if self._line is None:
                self._line = self._begin()
            socket.send_fds(self._line, [len(text).to_bytes(SIZE)], [writing, *files])
            self._line.sendall(text)
            number = int.from_bytes(self._line.recv(SIZE, socket.MSG_WAITALL))
        os.close(writing)
        return Forked(number, os.fdopen(reading, "rb"))

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def end(self) -> None:
        """Have the process of the template end."""
        if self._line is not None and self._process is not None:
            self._line.close()
            self._process.wait()


def _serve(line: socket.socket) -> None:
    """Start what is ordered until nobody is there to order."""
    import torch._dynamo  # noqa: F401  (an optimizer of torch imports it)

    import sambench.launch.unit
    import sambench.run.measure  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while True:
        size, files, _, _ = socket.recv_fds(line, SIZE, 16)
        if not size:
            return
        text = line.recv(int.from_bytes(size), socket.MSG_WAITALL)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(line, json.loads(text), files)
        for file in files:
            os.close(file)


def _keep(line: socket.socket, order: dict[str, Any], files: list[int]) -> NoReturn:
    """Start a worker, tell its number, wait for its end and tell that too."""
    worker = os.fork()
    if worker == 0:
        line.close()
        os.close(files[0])
        _work(order, files[1:])
    line.sendall(worker.to_bytes(SIZE))
    line.close()
    for file in files[1:]:
        os.close(file)
    _, status = os.waitpid(worker, 0)
    with suppress(BrokenPipeError):
        os.write(files[0], str(status).encode())
    os._exit(0)


def _work(order: dict[str, Any], files: list[int]) -> NoReturn:
    """Be a process that was started with a command: its session, files, environment and code."""
    code = 1
    try:
        os.setsid()
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        high = [fcntl.fcntl(file, fcntl.F_DUPFD, 256) for file in files]
        for file in files:
            os.close(file)
        for file, place in zip(high, order["places"], strict=True):
            os.dup2(file, place)
            os.close(file)
        sys.argv = order["arguments"]
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
