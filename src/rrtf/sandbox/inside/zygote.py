"""The process that programs are forks of, and the orders it takes: begin one, end it.

It never reads a request and never holds anything of a program, so a program finds nothing of the ones before it in its own memory. What is the same for every
program is done here once, before the first: what a fork inherits costs nothing. Not here: watching a program (`supervise`), the last steps in its own process
(`confine`), running it (`runner`).
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import select
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, cast

from . import confine, isolate, runner, tasks
from .world import World

_ENDED, _REFUSED = b"E", b"R"
_RESULT = struct.Struct("=cidd")
_PID = struct.Struct("=i")
_NOBODY = _PID.pack(0)
_MOST, _MOST_DESCRIPTORS = 1 << 16, socket.CMSG_SPACE(16 * 4)
_SMALL = 480
"""Bytes of an order that names no directory: less than what the interpreter asks the system for anew."""
_PATIENCE_SECONDS = 0.002
"""How long an order that met no program is left before it is given again."""


class Refused(Exception):
    """A program could not be started or ended, for reasons of the machine."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What the kernel says of a program and all it started."""

    status: int
    """Wait status of its first process."""
    cpu: float
    """Processor seconds of all."""
    peak_mb: float
    """Of the largest process."""


@dataclass(frozen=True, slots=True)
class Zygote:
    """The zygote as its supervisor sees it. One program at a time: `begin`, then one `Ended`, by `said` when it ended by itself, or by `end`.

    While a program lives the zygote sleeps until its end, and hears nothing: whatever it did would copy pages. So it is the supervisor who ends programs.
    """

    pid: int
    orders: socket.socket
    running: int
    """A file that holds the process id of the program's first process, 0 before it begins."""

    def begin(self, most: confine.Most, tmp: str, descriptors: Sequence[int]) -> None:
        """Start a program in the directory `tmp`, under these limits; it gets these descriptors (`confine.hand_over`). Raises `Refused`."""
        try:
            os.pwrite(self.running, _NOBODY, 0)
            socket.send_fds(self.orders, [marshal.dumps((most, tmp))], descriptors)
        except OSError as error:
            raise Refused(f"the process that forks programs cannot be asked: {error}") from error

    def program(self) -> int:
        """The process id of the program's first process; 0 before it begins."""
        return cast("int", _PID.unpack(os.pread(self.running, _PID.size, 0))[0])

    def end(self) -> Ended:
        """Kill the program and everything it started, and wait for that. Raises `Refused`."""
        refused = ""
        while True:  # the end always comes, and the next program must not meet it
            if not _readable(self.orders, 0.0):
                self._kill()
                if not _readable(self.orders, _PATIENCE_SECONDS):
                    continue  # it was about to begin
            said = self._heard()
            if isinstance(said, Ended):
                if refused:
                    raise Refused(refused)
                return said
            refused = said

    def said(self) -> Ended:
        """How the program ended by itself. Raises `Refused`; then `end` is still to be called."""
        heard = self._heard()
        if isinstance(heard, str):
            raise Refused(heard)
        return heard

    def _kill(self) -> None:
        """Kill the program's first process, if there is one. The zygote, which waits for that, sees to what it started."""
        if pid := self.program():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _heard(self) -> Ended | str:
        """The next thing it says, a refusal as text. Raises `Refused` when it says nothing any more."""
        try:
            reply = self.orders.recv(_MOST)
        except OSError as error:
            raise Refused(f"the process that forks programs does not answer: {error}") from error
        match reply[:1]:
            case b"E":
                return Ended(*_RESULT.unpack(reply)[1:])
            case b"R":
                return reply[1:].decode("utf-8", "replace")
            case _:
                raise Refused("the process that forks programs has ended")


def _readable(orders: socket.socket, seconds: float) -> bool:
    return bool(select.select([orders], [], [], seconds)[0])


def start(world: World, pristine: runner.Pristine, not_for_programs: Sequence[int]) -> Zygote:
    """Fork it off. `not_for_programs` are descriptors that it must not hold. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    running = tasks.memory_file(_NOBODY)
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return Zygote(pid, ours, running)
    try:
        ours.close()
        for fd in not_for_programs:
            os.close(fd)
        confine.beforehand(world)
        runner.prepare()
        runner.rehearse()
        gc.collect()
        gc.freeze()  # so that collections in the programs do not touch, and so copy, our pages
        if os.getppid() == supervisor:
            _serve(theirs, running, world, pristine)
    finally:
        os._exit(0)


def _serve(orders: socket.socket, running: int, world: World, pristine: runner.Pristine) -> None:
    """From the first program on every page that is touched here is copied, for each program again: so as little as possible happens."""
    own_pids = isolate.own_pid_namespace() if world.program_pids else -1
    ends = [end for end in (orders.fileno(), running, own_pids) if end >= 0]
    size = _SMALL if world.private_tmp else _MOST
    handed = None
    while True:
        order, ancillary, _, _ = orders.recvmsg(size, _MOST_DESCRIPTORS)
        if not order:
            return
        data = ancillary[0][2]
        handed = confine.hand_over(struct.unpack(f"={len(data) // 4}i", data), handed)
        try:
            if world.program_pids:
                isolate.new_pid_namespace(own_pids)
                if not world.seccomp:
                    isolate.new_ipc_namespace()
            program = os.fork()
        except OSError as error:
            orders.send(_REFUSED + f"no process for the program: {error}".encode())
            orders.send(_RESULT.pack(_ENDED, 0, 0.0, 0.0))
            continue
        if program == 0:
            _become_program(world, pristine, handed, order, orders, ends)
        os.pwrite(running, _PID.pack(program), 0)
        orders.send(_end_of(program, world))


def _end_of(program: int, world: World) -> bytes:
    """Sleep until the program ends, by itself or by the supervisor's hand; reap it, kill and reap all it started. Only what is this worker's can be hit."""
    _, status, usage = os.wait4(program, 0)
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
    while not world.program_pids:  # where it had a namespace of its own, its end was the end of everything in it
        # All in the namespace but its first process, the supervisor, and us; or whatever descends from us.
        for member in {-1} if world.own_pids else isolate.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss)
    return _RESULT.pack(_ENDED, status, cpu, peak / 1024)


def _become_program(world: World, pristine: runner.Pristine, handed: confine.Handed, order: bytes, orders: socket.socket, ends: Sequence[int]) -> NoReturn:
    """A failure of ours is said on the channel of orders, which is closed before the program begins: on its own channel a program could claim one."""
    try:
        most, tmp = cast("tuple[confine.Most, str]", marshal.loads(order))  # noqa: S302 - written by our own supervisor
        os.chdir(tmp)
        confine.confine(world, most, tmp)
        task = tasks.read(handed.task)
        library = runner.beforehand(task) if task.files or task.kind == "pytest" else None
        report = runner.reporter(handed.report)
    except BaseException as error:
        orders.send(_REFUSED + f"preparing the program failed: {type(error).__name__}: {error}".encode()[:2000])
        os._exit(70)
    for end in ends:
        os.close(end)
    runner.run(task, library, pristine, report, handed.key)
