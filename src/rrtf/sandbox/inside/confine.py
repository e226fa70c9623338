"""What a program's own process is and may do: its descriptors, limits, rights and environment.

Whatever is the same for every program is done once in the zygote, and what differs is prepared there before each fork, where it costs next to nothing; only
what must not be done to the zygote itself is left to the program's process. Everything is inherited by whatever the program starts and cannot be undone by it.
Not here: what the whole worker is cut off from (`isolate`).
"""

from __future__ import annotations

import functools
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

from . import kernel, landlock, syscalls
from .world import TMP, World

_SLACK_MB = 64
"""Private memory that the interpreter itself has mapped, on top of what the program may use."""
_SLACK_PROCESSES = 4
"""The worker's own processes (what waits outside its pid namespace, its supervisor, its zygote) count against the same user; the program's first does not."""
_DESCRIPTORS = 256
_TASK = 63
_WITHOUT_KEYS = 5
"""Descriptors that every program gets."""

Most = list[tuple[int, tuple[int, int]]]
"""Kinds of resources, each with its soft and hard limit."""


class Handed(NamedTuple):
    """Where the descriptors of ours are in the program's process. The numbers that matter are such that a program has to search for them."""

    report: int
    task: int
    """Where its task is to be read."""
    key: int
    """Where assertions that hold get their one-time keys; -1 for tests that need none."""


def beforehand(world: World) -> None:
    """What every program inherits. Raises OSError."""
    os.umask(0o077)
    if world.private_tmp:
        os.environ["HOME"] = os.environ["TMPDIR"] = TMP
    sys.path += world.packages
    _set(_possible({resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: _DESCRIPTORS}))
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a program leaves behind is for us to reap
        _set(_possible({resource.RLIMIT_MSGQUEUE: 0, resource.RLIMIT_MEMLOCK: 0, resource.RLIMIT_RTPRIO: 0, resource.RLIMIT_NICE: 0}))
        if world.private_tmp:
            landlock.restrict(world)
        if world.filter:
            kernel.install_filter(world.filter)


def hand_over(given: Sequence[int], last: Handed | None) -> Handed:
    """Put the program's ends of its pipes where it will find them, in place of those of the last one. `given`: its three standard streams, where it reports,
    its task, and where its keys come from if it has any.
    """
    for fd in last or ():
        if fd >= 0:
            os.close(fd)
    chance = os.urandom(2)
    handed = Handed(64 + chance[0] % 90, _TASK, 160 + chance[1] % 90 if len(given) > _WITHOUT_KEYS else -1)
    for fd, place in zip(given, (0, 1, 2, *handed), strict=False):
        os.dup2(fd, place, place < 3)
        os.close(fd)
    return handed


def most(world: World, limits: dict[str, float], cpu_left: float) -> Most:
    """The limits of the next program, for `confine`."""
    megabyte = 1 << 20
    return _possible({
        resource.RLIMIT_CPU: int(cpu_left) + 2,  # a backstop: the supervisor ends it earlier and knows why
        resource.RLIMIT_FSIZE: int(limits["file_mb"]) * megabyte,
        resource.RLIMIT_DATA: (int(limits["memory_mb"]) + _SLACK_MB) * megabyte,
        resource.RLIMIT_NPROC: int(limits["processes"]) + _SLACK_PROCESSES + (0 if world.own_pids else _processes_of_user()),
    })  # fmt: skip


def confine(world: World, limits: Most, tmp: str) -> None:
    """The program's own process gives up what is left to give up. Raises OSError, which is a failure of ours."""
    os.setsid()
    _set(limits)
    if world.filter and world.private_tmp and world.program_user is None:  # the rest is inherited
        kernel.drop_capabilities()
        # So that it can open its own /proc/self. The zygote never does this: its files there, which every later program inherits from, would be open too.
        kernel.make_dumpable()
        return
    if world.program_user is not None:
        os.setgroups([])
        os.setresgid(world.program_user, world.program_user, world.program_user)
        os.setresuid(world.program_user, world.program_user, world.program_user)
    if not world.private_tmp:
        os.environ["HOME"] = os.environ["TMPDIR"] = tmp
    if sys.platform == "linux":
        if not world.program_pids:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # elsewhere the end of the worker's pid namespace is the program's
        if not world.private_tmp:
            landlock.restrict(world, tmp)
        if world.no_capabilities:
            kernel.drop_capabilities()
        kernel.make_dumpable()
        if world.seccomp and not world.filter:
            kernel.install_filter(syscalls.build(os.getpid(), network=world.network, processes=world.program_pids))


def _set(limits: Most) -> None:
    for kind, pair in limits:
        resource.setrlimit(kind, pair)


def _possible(wanted: dict[int, int]) -> Most:
    """These limits, hard and soft; never more than was allowed before."""
    found: Most = []
    for kind, value in wanted.items():
        hard = _hard(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        found.append((kind, (allowed, allowed)))
    return found


@functools.cache
def _hard(kind: int) -> int:
    return resource.getrlimit(kind)[1]


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
