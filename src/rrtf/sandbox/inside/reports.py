"""What comes back from a program's process, and what it amounts to: frames checked one by one, then one reply for each test.

Not here: reading pipes and ending processes (`supervise`), the frames' meaning on the program's side (`runner`).
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field

from . import runner, tasks

MAX_TOTAL = 64 << 20
"""Bytes that the replies to all tests of one program may take together on their way out, as JSON. Nothing outside may fail for what a program prints or
returns, so what goes beyond is a result of the program's: the test is wrong."""
_TOO_MUCH = f"the results together take more than {MAX_TOTAL >> 20} MB"
_AROUND = 8192
"""Bytes of reports around the value of one test, at most."""
_LONGEST_ESCAPE = 12
"""Bytes that JSON takes for one character, at most."""
_AROUND_REPLY = 100
_STATUSES = frozenset({"wrong", "raised", "memory"})

Reply = dict[str, str]


@dataclass(slots=True)
class Run:
    """What one process did."""

    compile_error: str = ""
    load_error: str = ""
    loaded: bool = False
    replies: list[Reply] = field(default_factory=list[Reply])
    ended_by: str = ""
    """`timeout`, `memory` or (for too much output) `wrong`, when the supervisor ended it."""
    detail: str = ""
    spiked: bool = False
    """It was found only afterwards to have passed its memory limit, in which of its tests is not known."""
    forged: str = ""
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    cpu: float = 0.0
    waited: float = 0.0
    """Seconds its first process was ready to run but got no processor: time the machine took, not the program."""
    at: float = 0.0
    """When this was last measured, by the monotonic clock."""
    peak_mb: float = 0.0
    status: int = 0

    def measured(self, cpu: float, waited: float | None) -> None:
        """Processor seconds until now, and how long it waited for one; None where that is not known: then what it did not compute since the last time counts
        as waiting, which is short.
        """
        now = time.monotonic()
        self.waited = self.waited + max(0.0, now - self.at - (cpu - self.cpu)) if waited is None else waited
        self.cpu, self.at = cpu, now


@dataclass(slots=True)
class Collected:
    """The replies of one program so far, over all its processes, and how much room they take."""

    replies: list[Reply] = field(default_factory=list[Reply])
    size: int = 0
    """Bytes, at most."""
    exact: bool = False

    def add(self, replies: list[Reply]) -> None:
        """Take these, or for what does not fit any more a short one that says so."""
        for reply in replies:
            size = self._size(reply)
            if self.size + size > MAX_TOTAL and not self.exact:  # seldom: until then a cheap bound does
                self.exact = True
                self.size, size = sum(map(self._size, self.replies)), self._size(reply)
            fits = self.size + size <= MAX_TOTAL
            self.replies.append(reply if fits else {"status": "wrong", "error": _TOO_MUCH})
            self.size += size if fits else 0

    def _size(self, reply: Reply) -> int:
        return len(json.dumps(reply)) if self.exact else _LONGEST_ESCAPE * sum(map(len, reply.values())) + _AROUND_REPLY


class Reports:
    """The frames that come from the program's process, taken one by one. What breaks the protocol ends the program."""

    def __init__(self, task: tasks.Task, keys: bytes, room: int) -> None:
        """`room`: bytes that may come, at most."""
        self.task, self.keys, self.buffer, self.total = task, keys, bytearray(), 0
        self.room = min(room, (task.stop - task.start + 1) * (runner.MAX_VALUE + _AROUND))
        self.any = self.done = False

    def feed(self, data: bytes, run: Run) -> None:
        """Take bytes as they come; what they say goes into `run`."""
        self.total += len(data)
        if self.total > self.room:
            if not run.ended_by:
                run.ended_by, run.detail = "wrong", _TOO_MUCH
            return
        self.buffer += data
        size, place, end = runner.HEADER.size, 0, len(self.buffer)
        while end - place >= size and not run.forged:
            kind, test, length = runner.HEADER.unpack_from(self.buffer, place)
            if length > runner.MAX_VALUE + _AROUND:
                run.forged = "it reported a value of impossible size"
                return
            if end - place < size + length:
                break
            place += size + length
            self._frame(kind, test, bytes(self.buffer[place - length : place]), run)
        del self.buffer[:place]

    def _frame(self, kind: bytes, test: int, payload: bytes, run: Run) -> None:
        text = payload.decode("utf-8", "replace")
        first, self.any = not self.any, True
        if kind == b"E" and first:
            run.compile_error = text or "does not compile"
            self.done = True
        elif kind == b"L" and first:
            run.loaded = True
            self.done = self.task.start == self.task.stop
        elif kind == b"N" and first:
            run.load_error = text or "did not load"
            self.done = True
        elif kind in b"VS" and run.loaded and test == self._next(run) < self.task.stop:
            self._answer(kind, test, payload, text, run)
        else:
            run.forged = "it spoke out of turn on the report channel"

    def _next(self, run: Run) -> int:
        return self.task.start + len(run.replies)

    def _answer(self, kind: bytes, test: int, payload: bytes, text: str, run: Run) -> None:
        if kind == b"S":
            status, classes, error = [*text.split("\n", 2), "", ""][:3]
            run.replies.append({"status": status if status in _STATUSES else "crashed", "value": classes, "error": error})
        elif self.task.kind in tasks.WITH_KEYS:
            place = (test - self.task.start) * runner.KEY_BYTES
            if payload != self.keys[place : place + runner.KEY_BYTES]:
                run.forged = "it claimed the end of a test with a wrong key"
                return
            run.replies.append({"status": "passed"})
        else:
            run.replies.append({"status": "passed", "value": text})
        self.done = self._next(run) == self.task.stop and self.task.kind != "io"


def end_of(run: Run) -> str:
    """One line on how the process ended."""
    if run.ended_by:
        return f"{run.ended_by}: {run.detail}"
    if run.forged:
        return f"crashed: {run.forged}"
    if os.WIFSIGNALED(run.status):
        number = os.WTERMSIG(run.status)
        return f"crashed: ended by signal {number} ({signal.strsignal(number)})"
    return f"crashed: left with exit status {os.WEXITSTATUS(run.status)} before it finished"


def replies_of(run: Run, task: tasks.Task) -> list[Reply]:
    """The replies of one process, with one more for the test it died in; for stdin/stdout tests with what was printed as the value."""
    replies = list(run.replies)
    if run.spiked:
        replies = [{"status": "memory", "error": run.detail} if reply["status"] == "passed" else reply for reply in replies]
    if task.kind == "io":
        printed = run.stdout.decode("utf-8", "replace")
        clean = not run.ended_by and not run.forged and os.WIFEXITED(run.status) and os.WEXITSTATUS(run.status) == 0
        if clean and (not replies or replies[0]["status"] == "passed"):
            return [{"status": "passed", "value": printed}]
        if replies and replies[0]["status"] != "passed":
            return replies
        replies = []
    if task.start + len(replies) < task.stop:
        status, _, text = end_of(run).partition(": ")
        replies.append({"status": status, "error": text})
    return replies
