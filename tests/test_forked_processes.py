"""What is forked for a test is as if it had been started: `tests/forked_processes.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked_processes import Template

SEEN = (
    "import os, sys; print(sys.argv, os.getcwd(), os.environ['WORD'], __name__); "
    "print('told', file=sys.stderr); sys.exit(3)"
)


def test_a_forked_process_sees_what_a_started_one_does(template: Template, tmp_path: Path) -> None:
    environment = {**os.environ, "WORD": "a word"}
    (tmp_path / "script.py").write_text(SEEN)
    for words in (["-c", SEEN, "x", "1"], ["script.py", "x", "1"]):
        command = [sys.executable, *words]
        started = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        forked = template.run(*words, folder=tmp_path, environment=environment)
        assert (forked.stdout, forked.stderr) == (started.stdout, started.stderr)
        assert forked.returncode == started.returncode == 3


@pytest.mark.parametrize("threads", ["1", "3"])
def test_it_has_the_threads_that_its_environment_says(template: Template, threads: str) -> None:
    code = "import torch; print(torch.get_num_threads())"
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    assert template.run("-c", code, environment=environment).stdout == f"{threads}\n"


def test_it_gets_signals_and_leads_a_session(template: Template) -> None:
    process = template.start("-c", "import os; print(os.getsid(0), flush=True); os.read(0, 1)")
    assert process.stdout is not None
    with process.stdout:
        assert int(process.stdout.readline()) == process.pid
    assert process.wait() == 0  # its standard input is empty
    process = template.start("-c", "import signal; print(flush=True); signal.pause()")
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == process.poll() == -signal.SIGTERM
    process.kill()  # which is too late


def test_what_it_raises_is_a_traceback(template: Template) -> None:
    done = template.run("-c", "1 / 0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
