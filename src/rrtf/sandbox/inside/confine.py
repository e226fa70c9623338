"""The last steps in a program's own process before the program: its descriptors, limits, rights and environment.

Everything here is inherited by whatever the program starts and cannot be undone by it. Not here: what the whole worker is cut off from (`isolate`).
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
from dataclasses import dataclass

from . import kernel, syscalls
from .isolate import World

_SLACK_MB = 64
"""Private memory that the interpreter itself has mapped, on top of what the program may use."""
_SLACK_PROCESSES = 4
"""The worker's own processes (what waits outside its pid namespace, itself, the supervisor) count against the same user; the program's first does not."""
_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Streams:
    """The child's ends of its pipes."""

    stdin: int
    stdout: int
    stderr: int
    report: int
    key: int


def confine(world: World, streams: Streams, tmp: str, limits: dict[str, float], cpu_left: float) -> tuple[int, int]:
    """Confine this process; returns its report and key descriptors, moved to random numbers. Raises OSError, which is a failure of ours."""
    os.setsid()
    for number, fd in enumerate((streams.stdin, streams.stdout, streams.stderr)):
        os.dup2(fd, number)
    report, key = _only(streams.report, streams.key)
    os.chdir(tmp)
    os.umask(0o077)
    if world.program_user is not None:
        os.setgroups([])
        os.setresgid(world.program_user, world.program_user, world.program_user)
        os.setresuid(world.program_user, world.program_user, world.program_user)
    _limit(world, limits, cpu_left)
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if "no capabilities" in world.granted:
            kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # so that the program can open its own /proc/self
        if world.seccomp:
            kernel.install_filter(world.filter or syscalls.build(os.getpid(), network=world.network, processes=world.program_pids))
    os.environ["HOME"] = os.environ["TMPDIR"] = tmp
    sys.path += world.packages
    random.seed(0)  # a fork gets a random state of its own; a verdict should not depend on luck
    return report, key


def _only(report: int, key: int) -> tuple[int, int]:
    """Close everything but the standard streams and these two, which move to numbers that a program has to search for."""
    chance = os.urandom(2)
    first, second = 64 + chance[0] % 90, 160 + chance[1] % 90
    os.dup2(report, first, inheritable=False)
    os.dup2(key, second, inheritable=False)
    start = 3
    for keep in sorted((first, second)):
        os.closerange(start, keep)
        start = keep + 1
    os.closerange(start, 4096)
    return first, second


def _limit(world: World, limits: dict[str, float], cpu_left: float) -> None:
    megabyte = 1 << 20
    seconds = int(cpu_left) + 2  # a backstop: the supervisor ends it earlier and knows why
    wanted = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: int(limits["file_mb"]) * megabyte,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_DATA: (int(limits["memory_mb"]) + _SLACK_MB) * megabyte,
        resource.RLIMIT_NPROC: int(limits["processes"]) + _SLACK_PROCESSES + (0 if world.own_pids else _processes_of_user()),
    }
    if sys.platform == "linux":
        wanted[resource.RLIMIT_MSGQUEUE] = 0
        wanted[resource.RLIMIT_MEMLOCK] = 0
    for kind, value in wanted.items():
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
