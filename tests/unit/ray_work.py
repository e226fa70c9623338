"""Work for the tests of the Ray executor, in a module that workers can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from toy_stages import pay

from rrtf.protocols import Program
from rrtf.records import CallTest


@contextmanager
def judging(log: Path) -> Generator[Callable[[str], int]]:
    """A worker with a sandbox, as judging has it. Says which processes it consists of; a source of `kill me` ends it as by `kill -9`."""
    from rrtf.sandbox.process import ProcessSandbox

    with ProcessSandbox(workers=2) as sandbox:
        import psutil

        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            pay(log, str(process.pid))
        yield partial(_judge, sandbox)


def _judge(sandbox: Any, source: str) -> int:
    if source == "kill me":
        os.kill(os.getpid(), signal.SIGKILL)
    replies = sandbox.run(Program(source=source, entry_point="f", tests=(CallTest(args="[]", kwargs="{}", expected="1"),))).replies
    return int(replies[0].value)


@contextmanager
def visible(name: str) -> Generator[Callable[[int], str]]:
    """Tells an environment variable of the worker."""
    yield lambda item: os.environ.get(name, "")


@contextmanager
def sleeping(log: Path) -> Generator[Callable[[float], None]]:
    """Takes as many seconds as the item says."""
    pay(log, str(os.getpid()))
    yield time.sleep


@contextmanager
def deadly() -> Generator[Callable[[int], int]]:
    """Gives items back at once; a negative one ends the worker as by `kill -9`, often before its last result has left it."""

    def apply(item: int) -> int:
        if item < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    yield apply


@contextmanager
def dying(log: Path) -> Generator[Callable[[int], int]]:
    """Dies while it is opened."""
    pay(log, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)
    yield abs
