"""A program's share of work on its way to the program's own process, prepared once for all programs with the same tests.

Arguments are decoded and assertions compiled on the supervisor's side, so that this is paid once for all answers to a problem; `marshal` carries them to each
program, which gets objects of its own. Nothing of the program's is read here. Not here: running (`runner`).
"""

from __future__ import annotations

import json
import marshal
import os
from typing import NamedTuple

from .encode import decode

PROGRAM_FILE, TEST_FILE = "program.py", "<test>"
Prepared = dict[str, object]
WITH_KEYS = ("assert", "pytest")
"""Kinds of tests whose end only the program's own process can tell."""
_PART = 1 << 16


class Task(NamedTuple):
    """One process's share of the work: the program and the tests from `start` to `stop`. A tuple, because every program pays for making one."""

    source: str
    entry_point: str | None
    kind: str
    """`call`, `io`, `assert` or `pytest`."""
    tests: list[Prepared]
    """These tests alone: the first is number `start`."""
    start: int
    stop: int
    files: dict[str, str]
    """Path -> text of what the program finds in its working directory."""
    module: str
    """The name by which pytest files import the program."""


def prepare(tests: list[dict[str, str]]) -> list[Prepared]:
    """The tests of a request, ready to be run."""
    return [_prepared(test) for test in tests]


def _prepared(test: dict[str, str]) -> Prepared:
    if "args" in test:
        return {**test, "args": decode(json.loads(test["args"])), "kwargs": decode(json.loads(test["kwargs"]))}
    if "code" in test:
        try:
            return {**test, "compiled": compile(test["code"], TEST_FILE, "exec", dont_inherit=True)}
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            return {**test}  # it is compiled again where it is to run, which then says why it cannot be
    return {**test}


def write(task: Task) -> int:
    """A descriptor from which `read` gets the task. Raises OSError."""
    return memory_file(packed(task))


def packed(task: Task) -> bytes:
    """The task as `read` takes it."""
    return marshal.dumps(tuple(task))


def read(fd: int) -> Task:
    """The task behind a descriptor, which is closed. Raises OSError."""
    data = part = os.read(fd, _PART)
    while len(part) == _PART:
        data += (part := os.read(fd, _PART))
    os.close(fd)
    return Task(*marshal.loads(data))  # noqa: S302 - written by our own supervisor


def memory_file(data: bytes) -> int:
    """A descriptor of a file in memory that holds `data`, to be read from its beginning."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rrtf")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
