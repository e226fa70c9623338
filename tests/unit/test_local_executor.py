"""What the process executor does beyond the contract of executors (tests/contract/test_executor_contract.py): workers that die, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from toy_stages import doubling

from rrtf.engine.local import ProcessExecutor
from rrtf.errors import EngineError


def test_a_killed_worker_is_a_sentence_and_not_a_hang(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="A worker process died") as caught:
        list(ProcessExecutor(2).map(partial(doubling, tmp_path / "log"), [1, 2, -9, 3, 4, 5]))
    assert "Finished parts are kept" in caught.value.hint


def test_workers_are_other_processes_and_all_of_them_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    list(ProcessExecutor(2).map(partial(doubling, log), range(8)))
    workers = {int(line.split()[1]) for line in log.read_text().splitlines()}
    assert os.getpid() not in workers
    assert not any(psutil.pid_exists(worker) for worker in workers)


_WAITING = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from functools import partial
from toy_stages import doubling
from rrtf.engine.local import ProcessExecutor

def items():
    for number in range(1000):
        yield 100 + number
        if number == 20:
            print("going", flush=True)
        if number > 20:
            time.sleep(0.05)

if __name__ == "__main__":
    try:
        for _ in ProcessExecutor(2).map(partial(doubling, Path({log!r})), items()):
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


def test_ctrl_c_ends_workers_without_a_word(tmp_path: Path) -> None:
    script, log = tmp_path / "waiting.py", tmp_path / "log"
    script.write_text(_WAITING.format(tests=str(Path(__file__).parent), log=str(log)))
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (out, process.returncode) == ("interrupted\n", 130)
    assert "Traceback" not in err
    workers = {int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("open")}
    assert workers
    assert not any(psutil.pid_exists(worker) for worker in workers)


_SLOW = """
import os, sys, time
from contextlib import contextmanager
from functools import partial
from rrtf.engine.local import ProcessExecutor

@contextmanager
def work(slow_to_open):
    if slow_to_open:
        os.write(1, b"opening\\n")  # in one piece: two workers share the stream
        time.sleep(600)
    yield slow

def slow(item):
    os.write(1, b"item\\n")
    time.sleep(600)

if __name__ == "__main__":
    try:
        for _ in ProcessExecutor(2).map(partial(work, {slow_to_open}), range(8)):
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


@pytest.mark.parametrize("slow_to_open", [False, True])
def test_ctrl_c_ends_what_waits_in_the_queue_too(tmp_path: Path, slow_to_open: bool) -> None:
    script = tmp_path / "slow.py"
    script.write_text(_SLOW.format(slow_to_open=slow_to_open))
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        started = [process.stdout.readline() for _ in range(2)]
        assert started == [("opening\n" if slow_to_open else "item\n")] * 2
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)  # far less than an item takes
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (out, process.returncode) == ("interrupted\n", 130)
    assert "Traceback" not in err
