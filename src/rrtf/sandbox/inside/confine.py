"""The last steps in a program's own process before the program: its descriptors, limits, rights and environment.

Everything here is inherited by whatever the program starts and cannot be undone by it. Not here: what the whole worker is cut off from (`isolate`).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import dataclass

from . import isolate, kernel, landlock, syscalls
from .isolate import World

_SLACK_MB = 64
"""Private memory that the interpreter itself has mapped, on top of what the program may use."""
_SLACK_PROCESSES = 4
"""The worker's own processes (what waits outside its pid namespace, itself, the supervisor) count against the same user; the program's first does not."""
_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Streams:
    """The program's ends of its pipes."""

    stdin: int
    stdout: int
    stderr: int
    report: int
    task: int
    """Where its task is to be read."""
    key: int = -1
    """Where assertions that hold get their one-time keys; -1 for tests that need none."""


def confine(world: World, streams: Streams, tmp: str, limits: dict[str, float], cpu_left: float) -> tuple[int, int, int]:
    """Confine this process; returns its report, key (or -1) and task descriptors, the first two moved to random numbers. Raises OSError, which is a failure
    of ours.
    """
    os.setsid()
    for number, fd in enumerate((streams.stdin, streams.stdout, streams.stderr)):
        os.dup2(fd, number)
    report, key = _moved(streams)
    os.chdir(tmp)
    if world.program_user is not None:
        os.setgroups([])
        os.setresgid(world.program_user, world.program_user, world.program_user)
        os.setresuid(world.program_user, world.program_user, world.program_user)
    _limit(world, limits, cpu_left)
    if sys.platform == "linux":
        if not world.program_pids:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # elsewhere the end of the worker's pid namespace is ours
        if not world.private_tmp:
            landlock.restrict(world, tmp)
        if world.no_capabilities:
            kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # so that the program can open its own /proc/self
        if world.seccomp and not world.filter:
            kernel.install_filter(syscalls.build(os.getpid(), network=world.network, processes=world.program_pids))
    if not world.private_tmp:
        os.environ["HOME"] = os.environ["TMPDIR"] = tmp
    os.register_at_fork(after_in_child=sys.modules["random"].seed)  # as `random` does by itself; ours alone keeps the state it has in the zygote (`server`)
    return report, key, streams.task


def _moved(streams: Streams) -> tuple[int, int]:
    """Close everything but the standard streams, the task and what reports go through, which moves to numbers that a program has to search for."""
    chance = os.urandom(2)
    report, key = 64 + chance[0] % 90, 160 + chance[1] % 90
    os.dup2(streams.report, report, inheritable=False)
    keep = [streams.task, report]
    if streams.key >= 0:
        os.dup2(streams.key, key, inheritable=False)
        keep.append(key)
    start = 3
    for fd in keep:
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, 4096)
    return report, (key if streams.key >= 0 else -1)


def beforehand(world: World) -> None:
    """What every program inherits, done once in the process that they are forks of. Raises OSError."""
    os.umask(0o077)
    if world.private_tmp:
        os.environ["HOME"] = os.environ["TMPDIR"] = isolate.TMP
    sys.path += world.packages
    _allow({resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: _DESCRIPTORS})
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a program leaves behind is for us to reap
        _allow({resource.RLIMIT_MSGQUEUE: 0, resource.RLIMIT_MEMLOCK: 0})
        if world.private_tmp:
            landlock.restrict(world)
        if world.filter:
            kernel.install_filter(world.filter)


def _limit(world: World, limits: dict[str, float], cpu_left: float) -> None:
    megabyte = 1 << 20
    _allow({
        resource.RLIMIT_CPU: int(cpu_left) + 2,  # a backstop: the supervisor ends it earlier and knows why
        resource.RLIMIT_FSIZE: int(limits["file_mb"]) * megabyte,
        resource.RLIMIT_DATA: (int(limits["memory_mb"]) + _SLACK_MB) * megabyte,
        resource.RLIMIT_NPROC: int(limits["processes"]) + _SLACK_PROCESSES + (0 if world.own_pids else _processes_of_user()),
    })  # fmt: skip


def _allow(most: dict[int, int]) -> None:
    for kind, value in most.items():
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _processes_of_user() -> int:
    """Processes and threads that already count against this user, which shares its count with the whole machine."""
    user, count = os.getuid(), 0
    try:
        names = os.listdir("/proc")
    except OSError:
        return 0
    for name in names:
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return count
