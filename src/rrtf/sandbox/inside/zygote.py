"""The process that programs are forks of, and the orders it takes: begin one, end it.

It never reads a request and never holds anything of a program, so a program finds nothing of the ones before it in its own memory. What is the same for every
program is done here once, before the first: what a fork inherits costs nothing. Not here: watching a program (`supervise`), the last steps in its own process
(`confine`), running it (`runner`).
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, cast

from . import confine, isolate, runner, tasks
from .world import World

_BEGIN, _END, _WHICH = b"B", b"E", b"W"
_ENDED, _REFUSED, _PID = b"E", b"R", b"P"
_RESULT = struct.Struct("=ciddd")
_NUMBER = struct.Struct("=ci")
_MOST = 1 << 16
_NO_PIDFD_MS = 2
"""How often to look whether a program has ended, where the kernel does not say."""


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
    waited: float
    """Seconds that its first process was ready to run but had no processor: time the machine took, not the program."""


@dataclass(frozen=True, slots=True)
class Zygote:
    """The zygote as its supervisor sees it. One program at a time: `begin`, then one `Ended`, by `said` when it ended by itself, or by `end`."""

    pid: int
    orders: socket.socket

    def begin(self, limits: dict[str, float], cpu_left: float, tmp: str, descriptors: Sequence[int]) -> None:
        """Start a program, which gets these descriptors (`confine.Streams`, in its order). Raises `Refused`."""
        self._ask(lambda: socket.send_fds(self.orders, [_BEGIN + marshal.dumps((limits, cpu_left, tmp))], descriptors))

    def end(self) -> Ended:
        """Kill the program and everything it started, and wait for that. Raises `Refused`."""
        self._ask(lambda: self.orders.send(_END))
        refused = ""
        while not isinstance(said := self._heard(), Ended):  # it always comes, and the next program must not meet it
            refused = said if isinstance(said, str) else refused
        if refused:
            raise Refused(refused)
        return said

    def program(self) -> int | Ended:
        """The process id of the program's first process; or how it has ended meanwhile."""
        self._ask(lambda: self.orders.send(_WHICH))
        return self.said()

    def said(self) -> int | Ended:
        """The next thing it says. Raises `Refused`; then `end` is still to be called."""
        heard = self._heard()
        if isinstance(heard, str):
            raise Refused(heard)
        return heard

    def _heard(self) -> int | Ended | str:
        """The next thing it says, a refusal as text. Raises `Refused` when it says nothing any more."""
        try:
            reply = self.orders.recv(_MOST)
        except OSError as error:
            raise Refused(f"the process that forks programs does not answer: {error}") from error
        match reply[:1]:
            case b"E":
                return Ended(*_RESULT.unpack(reply)[1:])
            case b"P":
                return int(_NUMBER.unpack(reply)[1])
            case b"R":
                return reply[1:].decode("utf-8", "replace")
            case _:
                raise Refused("the process that forks programs has ended")

    def _ask(self, question: Callable[[], object]) -> None:
        try:
            question()
        except OSError as error:
            raise Refused(f"the process that forks programs cannot be asked: {error}") from error


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
        runner.rehearse()
        gc.collect()
        gc.freeze()  # so that collections in the programs do not touch, and so copy, our pages
        if os.getppid() == supervisor:
            _serve(theirs, world, pristine)
    finally:
        os._exit(0)


def _serve(orders: socket.socket, world: World, pristine: runner.Pristine) -> None:
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _MOST, 16)
        if not order:
            return
        if order[:1] != _BEGIN:
            continue  # it came after the program had ended, and said so
        handed = confine.hand_over(confine.Streams(*descriptors))
        try:
            program = _fork(world, pristine, handed, order[1:], orders)
        except OSError as error:
            confine.take_back(handed)
            orders.send(_REFUSED + f"no process for the program: {error}".encode())
            orders.send(_RESULT.pack(_ENDED, 0, 0.0, 0.0, 0.0))
            continue
        # While the program lives as little as possible happens here: every page that either of us touches is copied.
        try:
            still_asked = _wait(program, orders, poll)
        finally:
            ended = _reap(program, world)
        confine.take_back(handed)
        if not still_asked:
            return
        orders.send(ended)


def _fork(world: World, pristine: runner.Pristine, handed: confine.Handed, order: bytes, orders: socket.socket) -> int:
    limits, cpu_left, tmp = cast("tuple[dict[str, float], float, str]", marshal.loads(order))  # noqa: S302 - written by our own supervisor
    most = confine.most(world, limits, cpu_left)
    os.chdir(tmp)
    if world.program_pids:
        isolate.new_pid_namespace()
        if not world.seccomp:
            isolate.new_ipc_namespace()
    program = os.fork()
    if program == 0:
        _become_program(world, pristine, handed, most, tmp, orders)
    return program


def _wait(program: int, orders: socket.socket, poll: select.poll) -> bool:
    """Wait until the program ends, or is to be ended; False when nobody is left who asks. `poll` watches the orders."""
    exit_fd = exit_descriptor(program)
    if exit_fd >= 0:
        poll.register(exit_fd, select.POLLIN)
    try:
        while True:
            ready = [fd for fd, _ in poll.poll(None if exit_fd >= 0 else _NO_PIDFD_MS)]
            if exit_fd in ready:
                return True
            if ready:
                order = orders.recv(_MOST)
                if order != _WHICH:
                    return bool(order)
                orders.send(_NUMBER.pack(_PID, program))
            elif exit_fd < 0 and os.waitid(os.P_PID, program, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
    finally:
        if exit_fd >= 0:
            poll.unregister(exit_fd)
            os.close(exit_fd)


def exit_descriptor(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where the kernel, or a filter around all of us, does not give one."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return -1


def _reap(program: int, world: World) -> bytes:
    """Kill and reap the program and all it started. Only what belongs to this worker can be hit."""
    status, cpu, peak, waited = 0, 0.0, 0.0, isolate.waited(program)
    reaped: set[int] = set()
    while True:
        # The end of the first process of a pid namespace is the end of everything in it.
        others = set[int]() if world.own_pids else isolate.descendants(os.getpid())
        everything = {-1} if world.own_pids and not world.program_pids else set[int]()  # all in the namespace but its first process, the supervisor, and us
        for member in ({program, *others} - reaped) | everything:
            try:
                os.kill(member, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            ended, how, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return _RESULT.pack(_ENDED, status, cpu, peak, waited)
        reaped.add(ended)
        status = how if ended == program else status
        cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss / 1024)


def _become_program(world: World, pristine: runner.Pristine, handed: confine.Handed, most: confine.Most, tmp: str, orders: socket.socket) -> NoReturn:
    """From here on every page of memory that is touched is copied, which is most of what a small program costs: so as little as possible happens here.

    A failure of ours is said on the channel of orders, which is closed before the program begins: on its own channel a program could claim one.
    """
    try:
        confine.confine(world, most, tmp)
        task = tasks.read(handed.task)
        library = runner.beforehand(task) if task.files or task.kind == "pytest" else None
        report = runner.reporter(handed.report)
    except BaseException as error:
        orders.send(_REFUSED + f"preparing the program failed: {type(error).__name__}: {error}".encode()[:2000])
        os._exit(70)
    os.close(orders.fileno())
    runner.run(task, library, pristine, report, handed.key)
