"""The process that programs are forks of, and the orders it takes: begin one, end it.

It never reads a request and never holds anything of a program, so a program finds nothing of the ones before it in its own memory. What is the same for every
program is done here once, before the first: what a fork inherits costs nothing. Not here: watching a program (`supervise`), the last steps in its own process
(`confine`), running it (`runner`).
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, cast

from . import confine, isolate, runner, tasks
from .isolate import World

_BEGIN, _END = b"B", b"E"
_ENDED = struct.Struct("=idd")
_BEGUN = struct.Struct("=i")
_MOST_ORDER = 1 << 16


class Refused(Exception):
    """A program could not be started, for reasons of the machine."""


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
    """The zygote as its supervisor sees it. One program at a time."""

    pid: int
    orders: socket.socket

    def begin(self, limits: dict[str, float], cpu_left: float, tmp: str, descriptors: Sequence[int]) -> int:
        """The process id of a new program, which gets these descriptors (`confine.Streams`, in its order). Raises `Refused`."""
        order = _BEGIN + marshal.dumps((limits, cpu_left, tmp))
        try:
            socket.send_fds(self.orders, [order], descriptors)
            reply = self.orders.recv(_MOST_ORDER)
        except OSError as error:
            raise Refused(f"the process that forks programs does not answer: {error}") from error
        if len(reply) < _BEGUN.size:
            raise Refused("the process that forks programs has ended")
        pid = cast("int", _BEGUN.unpack_from(reply)[0])
        if pid < 0:
            raise Refused(reply[_BEGUN.size :].decode("utf-8", "replace"))
        return pid

    def end(self) -> Ended:
        """Kill and reap the program and everything it started. Raises `Refused`."""
        try:
            self.orders.send(_END)
            reply = self.orders.recv(_MOST_ORDER)
        except OSError as error:
            raise Refused(f"the process that forks programs does not answer: {error}") from error
        if len(reply) != _ENDED.size:
            raise Refused("the process that forks programs has ended")
        return Ended(*_ENDED.unpack(reply))


def start(world: World, pristine: runner.Pristine, not_for_programs: Sequence[int]) -> Zygote:
    """Fork it off. `not_for_programs` are descriptors that it must not hold. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return Zygote(pid, ours)
    try:
        ours.close()
        for fd in not_for_programs:
            os.close(fd)
        confine.beforehand(world)
        runner.prepare()
        gc.collect()
        gc.freeze()  # so that collections in the programs do not touch, and so copy, our pages
        if os.getppid() == supervisor:
            _serve(theirs, world, pristine)
    finally:
        os._exit(0)


def _serve(orders: socket.socket, world: World, pristine: runner.Pristine) -> None:
    program = -1
    while True:
        data, descriptors, _, _ = socket.recv_fds(orders, _MOST_ORDER, 16)
        if not data:
            return
        if data == _END:
            orders.send(_ended(program, world))
            continue
        limits, cpu_left, tmp = cast("tuple[dict[str, float], float, str]", marshal.loads(data[1:]))  # noqa: S302 - written by our own supervisor
        handed = confine.hand_over(confine.Streams(*descriptors))
        try:
            most = confine.most(world, limits, cpu_left)
            os.chdir(tmp)
            if world.program_pids:
                isolate.new_pid_namespace()
                if not world.seccomp:
                    isolate.new_ipc_namespace()
            program = os.fork()
            if program == 0:
                _become_program(world, pristine, handed, most, tmp, orders)
            reply = _BEGUN.pack(program)
        except OSError as error:
            reply = _BEGUN.pack(-1) + f"no process for the program: {error}".encode()
        confine.take_back(handed)
        orders.send(reply)


def _ended(program: int, world: World) -> bytes:
    """Kill and reap the program and all it started. Only what belongs to this worker can be hit."""
    status, cpu, peak = 0, 0.0, 0.0
    reaped: set[int] = set()
    while True:
        # The end of the first process of a pid namespace is the end of everything in it.
        for member in {program, *([] if world.program_pids else isolate.descendants(os.getpid()))} - reaped:
            try:
                os.kill(member, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            ended, how, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return _ENDED.pack(status, cpu, peak)
        reaped.add(ended)
        status = how if ended == program else status
        cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss / 1024)


def _become_program(world: World, pristine: runner.Pristine, handed: confine.Handed, most: confine.Most, tmp: str, orders: socket.socket) -> NoReturn:
    """From here on every page of memory that is touched is copied, which is most of what a small program costs: so as little as possible happens here."""
    try:
        os.close(orders.fileno())
        confine.confine(world, most, tmp)
        task = tasks.read(handed.task)
        report = runner.reporter(handed.report)
    except BaseException as error:
        runner.reporter(handed.report)(b"F", 0, f"confining the program failed: {type(error).__name__}: {error}".encode())
        os._exit(70)
    runner.run(task, pristine, report, handed.key)
