"""One program's life seen from above: have it started, watch it, have it ended, and say what happened.

The supervisor reads requests and holds results; programs are forks of another process (`zygote`) that never saw either.

A program whose process ends in the middle of a test is started again at the next one, so that a crash costs one test; a program that used up its processor or
wall time is not (those limits are for all tests together). Not here: how the program is confined (`confine`) and run (`runner`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from . import confine, isolate, runner, tasks
from .directories import Directory
from .reports import MAX_TOTAL, Collected, Reports, Run, end_of, replies_of
from .world import World
from .zygote import Ended, Refused, Zygote

_TICK_MS = 10
"""How often a running program is measured. A limit can be passed by what a program can do in this time; a hard limit above it bounds that."""
_EXIT_GRACE = 1.0
"""Seconds between the last test's end and the process's end."""
_ROOMY = 2 << 30
"""Bytes of address space from which on the tables that map it are measured too: a program can make them large without touching any memory of its own."""
_LONGEST_WAIT = 8.0
"""How many times its wall limit a program may take when the machine keeps it waiting for a processor. The other side waits as long (`rrtf.sandbox.worker`)."""
_PART = 1 << 16
_MAX_KEYS = 3000
"""One-time keys that surely fit into a pipe at once."""


_MAX_SHOWN = 4 << 20
"""Bytes of what a program printed that are passed on for people to read, at most."""


class OutsideGone(Exception):
    """Nobody is left to report to."""


class Failure(Exception):
    """The sandbox itself failed."""


@dataclass(slots=True)
class _Pipes:
    """The supervisor's ends."""

    report: int
    stdout: int
    stderr: int

    def all(self) -> tuple[int, int, int]:
        return (self.report, self.stdout, self.stderr)

    def close(self) -> None:
        for fd in self.all():
            os.close(fd)


@dataclass(slots=True)
class _Printed:
    """The first of what all processes of a program printed."""

    keep: int
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def add(self, run: Run) -> None:
        for kept, more in ((self.stdout, run.stdout), (self.stderr, run.stderr)):
            kept.extend(more[: max(0, self.keep - len(kept))])
            more.clear()  # there may be thousands of runs


@dataclass(slots=True)
class Supervisor:
    """Runs a program in one worker."""

    world: World
    zygote: Zygote
    outside: int
    """The control socket. It becomes readable during a run only when the other side is gone."""
    directory: Directory
    oom_kills: int = 0
    measures_waiting: bool = False
    _tests: list[tasks.Prepared] = field(default_factory=list[tasks.Prepared])
    """Of the last request: the next one may say that it has the same."""

    def __post_init__(self) -> None:
        self.oom_kills = oom_kills()
        self.measures_waiting = os.path.exists("/proc/self/schedstat")

    def execute(self, request: dict[str, object]) -> dict[str, object]:
        """Run all tests of one program; the reply is an `rrtf.protocols.Execution` as JSON data."""
        limits = cast("dict[str, float]", request["limits"])
        if request["tests"] is not None:
            self._tests = tasks.prepare(cast("list[dict[str, str]]", request["tests"]))
        tests, kind = self._tests, cast("str", request["kind"])
        begun = time.monotonic()
        collected, printed = Collected(), _Printed(min(int(limits["output_kb"]) * 1024, _MAX_SHOWN))
        replies = collected.replies
        runs: list[Run] = []
        load_error = ""
        while not runs or len(replies) < len(tests):
            cpu_left = limits["cpu_seconds"] - sum(run.cpu for run in runs)
            wall_left = limits["wall_seconds"] - (time.monotonic() - begun) + sum(run.waited for run in runs)
            if runs and (cpu_left <= 0 or wall_left <= 0):
                collected.add([{"status": "timeout", "error": "the program's time was used up by the tests before"}])
                break
            start = len(replies)
            stop = min(start + (1 if kind == "io" else _MAX_KEYS), len(tests))
            task = tasks.Task(
                source=cast("str", request["source"]),
                entry_point=cast("str | None", request["entry_point"]),
                kind=kind,
                tests=tests[start:stop],
                start=start,
                stop=stop,
                files=cast("dict[str, str]", request.get("files", {})),
                module=cast("str", request.get("module", "solution")),
            )
            run = self._one_process(task, limits, cpu_left, wall_left, MAX_TOTAL - collected.size)
            runs.append(run)
            if run.compile_error:
                break
            if run.loaded:
                collected.add(replies_of(run, task))
            elif start:
                collected.add([{"status": "crashed", "error": "started again after a crash, the program did not load: " + (run.load_error or end_of(run))}])
            else:
                load_error = run.load_error or end_of(run)
            printed.add(run)
            if not run.loaded or (replies and replies[-1]["status"] == "timeout"):
                break
        if not runs[-1].compile_error and not load_error:
            collected.replies += [{"status": "not-run"}] * (len(tests) - len(replies))
        return {
            "compile_error": runs[-1].compile_error,
            "load_error": load_error,
            "replies": replies,
            "stdout": printed.stdout.decode("utf-8", "replace"),
            "stderr": printed.stderr.decode("utf-8", "replace"),
            "cpu_seconds": sum(run.cpu for run in runs),
            "wall_seconds": time.monotonic() - begun,
            "waited_seconds": sum(run.waited for run in runs) if self.measures_waiting else None,
            "peak_mb": max(run.peak_mb for run in runs),
        }

    def _one_process(self, task: tasks.Task, limits: dict[str, float], cpu_left: float, wall_left: float, room: int) -> Run:
        try:
            tmp = self.directory.fresh(int(limits["file_mb"]))
        except OSError as error:
            raise Failure(f"no temporary directory for the program: {error}") from error
        try:
            run = self._run(task, tmp, limits, cpu_left, wall_left, room)
        except Refused as error:
            raise Failure(str(error)) from error
        finally:
            self.directory.used(tmp)
        if os.WIFSIGNALED(run.status) and os.WTERMSIG(run.status) == signal.SIGKILL and not run.ended_by and run.cpu < cpu_left:
            self._suspect_machine()
        if not run.ended_by and run.cpu >= cpu_left and (os.WIFSIGNALED(run.status)):
            run.ended_by, run.detail = "timeout", f"more than {limits['cpu_seconds']:g} s of processor time"
        if not run.ended_by and run.peak_mb > limits["memory_mb"]:  # for a shorter time than lies between two measurements
            run.ended_by, run.detail, run.spiked = "memory", f"more than {limits['memory_mb']:g} MB of memory", True
        if run.ended_by == "memory" and len(run.replies) == task.stop - task.start:
            run.spiked = True  # measured after the last test: memory that a test gave back stays with the process
        return run

    def _run(self, task: tasks.Task, tmp: str, limits: dict[str, float], cpu_left: float, wall_left: float, room: int) -> Run:
        pipes, keys = self._start(task, tmp, limits, cpu_left)
        run, reports = Run(at=time.monotonic()), Reports(task, keys, room)
        try:
            ended = None
            try:
                ended = self._watch(pipes, reports, limits, cpu_left, wall_left, run)
            finally:
                ended = ended or self.zygote.end()
            run.status, run.peak_mb = ended.status, max(run.peak_mb, ended.peak_mb)
            run.measured(max(run.cpu, ended.cpu), None)  # the kernel's sum lacks processes that nobody waited for
            for fd in _readable(pipes.all()):
                while self._take(fd, pipes, reports, run, int(limits["output_kb"]) * 1024) == _PART:
                    pass
        finally:
            pipes.close()
        return run

    def _start(self, task: tasks.Task, tmp: str, limits: dict[str, float], cpu_left: float) -> tuple[_Pipes, bytes]:
        theirs: list[int] = []
        ours: list[int] = []
        try:
            for _ in range(3):
                reading, writing = os.pipe()
                os.set_blocking(reading, False)
                ours.append(reading)
                theirs.append(writing)
            report, stdout, stderr = theirs
            theirs += [stdin := _stdin(task), given := tasks.write(task)]
            keys = os.urandom(runner.KEY_BYTES * (task.stop - task.start)) if task.kind in tasks.WITH_KEYS else b""
            key = [_key_pipe(keys)] if keys else []
            theirs += key
            self.zygote.begin(confine.most(self.world, limits, cpu_left), tmp, [stdin, stdout, stderr, report, given, *key])
        except (OSError, Refused) as error:
            _close(ours)
            raise Failure(f"no process for the program: {error}") from error
        finally:
            _close(theirs)
        return _Pipes(*ours), keys

    def _watch(self, pipes: _Pipes, reports: Reports, limits: dict[str, float], cpu_left: float, wall_left: float, run: Run) -> Ended | None:
        """Follow the program until its first process ends (then how it did), a limit is passed, or it has nothing left to do.

        Most programs end before the first tick. Until then nothing is read: being woken for every report costs more than the reports.
        """
        poll = select.poll()
        poll.register(self.zygote.orders, select.POLLIN)
        poll.register(self.outside, select.POLLIN)
        keep = int(limits["output_kb"]) * 1024
        begun = time.monotonic()
        next_tick = begun + _TICK_MS / 1000
        finished = float("inf")
        pid = 0
        while not run.forged and not run.ended_by:
            now = time.monotonic()
            ready = {fd for fd, _ in poll.poll(max(0.0, (next_tick - now) * 1000))}
            if self.outside in ready:
                raise OutsideGone
            if self.zygote.orders.fileno() in ready:
                return self.zygote.said()
            for fd in pipes.all():
                if fd in ready and self._take(fd, pipes, reports, run, keep) == 0:
                    poll.unregister(fd)
            if reports.done and finished == float("inf"):
                finished = time.monotonic()
            now = time.monotonic()
            if now - finished > _EXIT_GRACE:
                return None
            if now >= next_tick:
                if next_tick == begun + _TICK_MS / 1000:
                    for fd in pipes.all():
                        poll.register(fd, select.POLLIN)
                        self._take(fd, pipes, reports, run, keep)  # what came before a limit was passed counts
                next_tick = now + _TICK_MS / 1000
                pid = pid or self.zygote.program()  # none: it is about to begin, or to be said to have ended
                if pid and self._over_limit(pid, limits, cpu_left, wall_left - (now - begun), run):
                    return None
        return None

    def _over_limit(self, pid: int, limits: dict[str, float], cpu_left: float, wall_left: float, run: Run) -> bool:
        cpu, resident = self._measure(pid)
        run.measured(max(run.cpu, cpu), isolate.waited(pid))
        if cpu > cpu_left:
            run.ended_by, run.detail = "timeout", f"more than {limits['cpu_seconds']:g} s of processor time"
        elif wall_left + min(run.waited, (_LONGEST_WAIT - 1) * limits["wall_seconds"]) < 0:
            run.ended_by, run.detail = "timeout", f"more than {limits['wall_seconds']:g} s of wall time"
        elif resident > limits["memory_mb"]:
            run.ended_by, run.detail, run.peak_mb = "memory", f"more than {limits['memory_mb']:g} MB of memory", resident
        return bool(run.ended_by)

    def _take(self, fd: int, pipes: _Pipes, reports: Reports, run: Run, keep: int) -> int:
        """Read what is there, at most `_PART` bytes; how many were, 0 only at the end of the stream."""
        try:
            data = os.read(fd, _PART)
        except BlockingIOError:
            return -1
        if fd == pipes.report:
            if not run.ended_by:  # what it still said between passing a limit and its end does not undo that
                reports.feed(data, run)
        else:
            kept = run.stdout if fd == pipes.stdout else run.stderr
            kept += data[: max(0, keep - len(kept))]
        return len(data)

    def _measure(self, pid: int) -> tuple[float, float]:
        """(processor seconds, resident MB) of everything the program is made of now."""
        cpu = resident = 0.0
        for member in self._members(pid):
            try:
                with open(f"/proc/{member}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            cpu += sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")
            resident += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
            if int(fields[20]) > _ROOMY:
                resident += _page_tables(member)
        return cpu, resident

    def _members(self, pid: int) -> Iterator[str]:
        if self.world.own_pids:
            ours = {str(os.getpid()), str(self.zygote.pid)}
            with contextlib.suppress(OSError):
                for name in os.listdir("/proc"):
                    if name.isdigit() and name not in ours:
                        yield name
        else:
            yield from (str(member) for member in isolate.descendants(self.zygote.pid))

    def _suspect_machine(self) -> None:
        """A kill that we did not order may be the machine running out of memory, which is no fault of the program."""
        before, self.oom_kills = self.oom_kills, oom_kills()
        if self.oom_kills > before:
            raise Failure("the machine ran out of memory while the program ran")


def _page_tables(member: str) -> float:
    """MB that the kernel needs to map what a process has mapped; 0 where it does not say."""
    try:
        with open(f"/proc/{member}/status", "rb") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith(b"VmPTE:")), 0.0)
    except OSError:
        return 0.0


def _readable(descriptors: Sequence[int]) -> list[int]:
    """Those with something to read: asking for all at once is cheaper than an empty read of each, and most programs print nothing."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return [fd for fd, event in poll.poll(0) if event & select.POLLIN]


def _stdin(task: tasks.Task) -> int:
    text = task.tests[0].get("stdin") if task.tests else None
    return os.open(os.devnull, os.O_RDONLY) if text is None else tasks.memory_file(cast("str", text).encode("utf-8", "surrogateescape"))


def _key_pipe(keys: bytes) -> int:
    """The end of a pipe from which these keys can be read, once."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        if os.write(writing, keys) < len(keys):  # who has many pipes gets small ones, and this user's others may be a program's
            os.close(reading)
            raise OSError(errno.ENOBUFS, "the pipe for one-time keys is too small")
    finally:
        os.close(writing)
    return reading


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def oom_kills() -> int:
    """How often the kernel has killed for lack of memory since the machine started."""
    try:
        with open("/proc/vmstat") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0


def dumps(reply: dict[str, object]) -> bytes:
    """A reply as it goes outside."""
    return json.dumps(reply).encode()
