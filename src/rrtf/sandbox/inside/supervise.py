"""One program's life seen from above: start it, watch it, end it, and say what happened. Runs in a process of its own, forked from the worker for this program
alone, of which the program is a fork in turn: so it holds nothing of another program.

A program whose process ends in the middle of a test is started again at the next one, so that a crash costs one test; a program that used up its processor or
wall time is not (those limits are for all tests together). Not here: how the program is confined (`confine`) and run (`runner`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn, cast

from . import confine, isolate, runner
from .isolate import World
from .reports import MAX_TOTAL, Collected, Reports, Run, end_of, replies_of

_TICK_MS = 10
"""How often a running program is measured. A limit can be passed by what a program can do in this time; a hard limit above it bounds that."""
_EXIT_GRACE = 1.0
"""Seconds between the last test's end and the process's end."""
_LONGEST_WAIT = 8.0
"""How many times its wall limit a program may take when the machine keeps it waiting for a processor. The other side waits as long (`rrtf.sandbox.worker`)."""
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
    """The parent's ends."""

    report: int
    stdout: int
    stderr: int

    def all(self) -> tuple[int, int, int]:
        return (self.report, self.stdout, self.stderr)


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
    outside: int
    """The control socket. It becomes readable during a run only when the other side is gone."""
    pristine: runner.Pristine
    oom_kills: int = 0

    def execute(self, request: dict[str, object]) -> dict[str, object]:
        """Run all tests of one program; the reply is an `rrtf.protocols.Execution` as JSON data."""
        limits = cast("dict[str, float]", request["limits"])
        tests = cast("list[dict[str, str]]", request["tests"])
        kind = cast("str", request["kind"])
        begun = time.monotonic()
        self.oom_kills = oom_kills()
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
            task = runner.task_of(request, start, stop, self.pristine)
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
            "waited_seconds": sum(run.waited for run in runs) if os.path.exists("/proc/self/schedstat") else None,
            "peak_mb": max(run.peak_mb for run in runs),
        }

    def _one_process(self, task: runner.Task, limits: dict[str, float], cpu_left: float, wall_left: float, room: int) -> Run:
        try:
            tmp = isolate.program_tmp(self.world, int(limits["file_mb"]))
        except OSError as error:
            raise Failure(f"no temporary directory for the program: {error}") from error
        try:
            pid, pipes, keys = self._start(task, tmp, limits, cpu_left)
            run, reports = Run(), Reports(task, keys, room)
            try:
                self._watch(pid, pipes, reports, limits, cpu_left, wall_left, run)
            finally:
                self._end_everything(pid, run)
                self._drain(pipes, reports, run, int(limits["output_kb"]) * 1024)
        finally:
            isolate.drop_tmp(self.world, tmp)
        if run.failure:
            raise Failure(run.failure)
        if os.WIFSIGNALED(run.status) and os.WTERMSIG(run.status) == signal.SIGKILL and not run.ended_by and run.cpu < cpu_left:
            self._suspect_machine()
        if not run.ended_by and run.cpu >= cpu_left and (os.WIFSIGNALED(run.status)):
            run.ended_by, run.detail = "timeout", f"more than {limits['cpu_seconds']:g} s of processor time"
        if not run.ended_by and run.peak_mb > limits["memory_mb"]:  # for a shorter time than lies between two measurements
            run.ended_by, run.detail, run.spiked = "memory", f"more than {limits['memory_mb']:g} MB of memory", True
        return run

    def _start(self, task: runner.Task, tmp: str, limits: dict[str, float], cpu_left: float) -> tuple[int, _Pipes, bytes]:
        try:
            if self.world.program_pids:
                isolate.new_pid_namespace()
                if not self.world.seccomp:
                    isolate.new_ipc_namespace()
            (report_r, report_w), (out_r, out_w), (err_r, err_w), (key_r, key_w) = os.pipe(), os.pipe(), os.pipe(), os.pipe()
            stdin = _stdin(task.tests[task.start].get("stdin")) if task.tests else _stdin(None)
            pid = os.fork()
        except OSError as error:
            raise Failure(f"no process for the program: {error}") from error
        if pid == 0:
            _become_program(self.world, task, confine.Streams(stdin, out_w, err_w, report_w, key_r), tmp, limits, cpu_left)
        # Made only now: a fork has a copy of our memory, our variables included.
        keys = os.urandom(runner.KEY_BYTES * (task.stop - task.start))
        os.set_blocking(key_w, False)
        os.write(key_w, keys)
        for fd in (report_w, out_w, err_w, key_r, key_w, stdin):
            os.close(fd)
        for fd in (report_r, out_r, err_r):
            os.set_blocking(fd, False)
        return pid, _Pipes(report_r, out_r, err_r), keys

    def _watch(self, pid: int, pipes: _Pipes, reports: Reports, limits: dict[str, float], cpu_left: float, wall_left: float, run: Run) -> None:
        """Follow the program until its first process ends, a limit is passed, or it has nothing left to do."""
        poll = select.poll()
        for fd in (*pipes.all(), self.outside):
            poll.register(fd, select.POLLIN)
        exit_fd = _exit_fd(pid)
        if exit_fd >= 0:
            poll.register(exit_fd, select.POLLIN)
        keep = int(limits["output_kb"]) * 1024
        begun = time.monotonic()
        next_tick = begun + _TICK_MS / 1000
        finished = float("inf")
        try:
            while not run.failure and not run.forged and not run.ended_by:
                now = time.monotonic()
                ready = {fd for fd, _ in poll.poll(max(0.0, (next_tick - now) * 1000))}
                if self.outside in ready:
                    raise OutsideGone
                for fd in pipes.all():
                    if fd in ready and not self._take(fd, pipes, reports, run, keep):
                        poll.unregister(fd)
                if reports.done and finished == float("inf"):
                    finished = time.monotonic()
                if exit_fd in ready or (exit_fd < 0 and _has_ended(pid)):
                    return
                now = time.monotonic()
                if now - finished > _EXIT_GRACE:
                    return
                if now >= next_tick:
                    next_tick = now + _TICK_MS / 1000
                    if self._over_limit(pid, limits, cpu_left, wall_left - (now - begun), run):
                        return
        finally:
            if exit_fd >= 0:
                os.close(exit_fd)
            run.begun = max(run.begun, reports.begun)
            run.waited = _waited(pid)

    def _over_limit(self, pid: int, limits: dict[str, float], cpu_left: float, wall_left: float, run: Run) -> bool:
        cpu, resident = self._measure(pid)
        if cpu > cpu_left:
            run.ended_by, run.detail = "timeout", f"more than {limits['cpu_seconds']:g} s of processor time"
        elif wall_left + min(_waited(pid), (_LONGEST_WAIT - 1) * limits["wall_seconds"]) < 0:
            run.ended_by, run.detail = "timeout", f"more than {limits['wall_seconds']:g} s of wall time"
        elif resident > limits["memory_mb"]:
            run.ended_by, run.detail, run.peak_mb = "memory", f"more than {limits['memory_mb']:g} MB of memory", resident
        return bool(run.ended_by)

    def _take(self, fd: int, pipes: _Pipes, reports: Reports, run: Run, keep: int) -> bool:
        """Read what is there; False at the end of the stream."""
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if fd == pipes.report:
            if not run.ended_by:  # what it still said between passing a limit and its end does not undo that
                reports.feed(data, run)
        else:
            kept = run.stdout if fd == pipes.stdout else run.stderr
            kept += data[: max(0, keep - len(kept))]
        return bool(data)

    def _drain(self, pipes: _Pipes, reports: Reports, run: Run, keep: int) -> None:
        for fd in pipes.all():
            while self._pending(fd) and self._take(fd, pipes, reports, run, keep):
                pass
            os.close(fd)

    @staticmethod
    def _pending(fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

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
        return cpu, resident

    def _members(self, pid: int) -> Iterator[str]:
        if self.world.own_pids:
            ours = {"1", str(os.getpid())}  # the worker and its supervisor
            with contextlib.suppress(OSError):
                for name in os.listdir("/proc"):
                    if name.isdigit() and name not in ours:
                        yield name
        else:
            yield from (str(member) for member in _descendants(os.getpid()))

    def _end_everything(self, pid: int, run: Run) -> None:
        """Kill and reap the program and all it started. Only what belongs to this worker can be hit."""
        reaped: dict[int, tuple[int, float, float]] = {}
        while True:
            if self.world.own_pids and os.getppid() == 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(-1, signal.SIGKILL)  # all of this pid namespace but its first process, the worker, and the caller
            else:
                for member in {pid, *_descendants(os.getpid())} - set(reaped):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(member, signal.SIGKILL)
            try:
                ended, status, usage = os.wait4(-1, 0)
            except ChildProcessError:
                break
            reaped[ended] = (status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
        run.status = reaped[pid][0]
        run.cpu = sum(cpu for _, cpu, _ in reaped.values())
        run.peak_mb = max(run.peak_mb, *(peak for _, _, peak in reaped.values()))

    def _suspect_machine(self) -> None:
        """A kill that we did not order may be the machine running out of memory, which is no fault of the program."""
        before, self.oom_kills = self.oom_kills, oom_kills()
        if self.oom_kills > before:
            raise Failure("the machine ran out of memory while the program ran")


def _become_program(world: World, task: runner.Task, streams: confine.Streams, tmp: str, limits: dict[str, float], cpu_left: float) -> NoReturn:
    try:
        report_fd, key_fd = confine.confine(world, streams, tmp, limits, cpu_left)
        report = runner.reporter(report_fd)
        report(b"R")
    except BaseException as error:
        runner.reporter(streams.report)(b"F", 0, f"confining the program failed: {type(error).__name__}: {error}".encode())
        os._exit(70)
    runner.run(task, report, key_fd)


def _stdin(text: str | None) -> int:
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("stdin")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _exit_fd(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where the kernel, or a filter around all of us, does not give one."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _waited(pid: int) -> float:
    """Seconds that a process was ready to run but had no processor: time the machine took, not the program."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _descendants(pid: int) -> set[int]:
    """All living descendants of `pid`, by /proc; empty where there is none."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            tasks = os.listdir(f"/proc/{current}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{current}/task/{task}/children") as file:
                    children = [int(child) for child in file.read().split()]
            except OSError:
                continue
            waiting += [child for child in children if child not in found]
            found.update(children)
    return found


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
