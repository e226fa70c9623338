"""Cut a worker off from the machine, as far as the kernel allows, one named step at a time; say what was granted and what was not.

Every step that can spoil a process half-way is tried in a forked child first. As root the worker becomes an ordinary, otherwise unused user before anything
else; programs never run as root where that can be helped. Not here: what each program gets on top (`confine`, `supervise`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable

from . import kernel, landlock, syscalls, view
from .world import TMP, World

_FIRST_ID = 1_600_000_000
"""As root, worker processes run under this user id plus their process id: a user that owns nothing, and whose process count is its own."""
_INSIDE_ID = 1000
_STANDARD_LIBRARY = os.path.dirname(os.__file__)
_SEPARATE = (("ipc namespace", kernel.NEWIPC), ("uts namespace", kernel.NEWUTS), ("network namespace", kernel.NEWNET), ("cgroup namespace", kernel.NEWCGROUP))


def attempt(step: Callable[[], object]) -> str:
    """Why `step` fails, found out in a forked child so that nothing changes here; empty when it works."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, (_error_of(step) or "").encode()[:2000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    return text or ("" if status == 0 else f"wait status {status}")


def _error_of(step: Callable[[], object]) -> str:
    try:
        step()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def enter(*, namespaces: bool, packages: list[str]) -> World:
    """Isolate this process. May return in a child of the calling process (the first of a new pid namespace); the caller then only waits for it, and never
    returns from here.
    """
    world = World()
    root = os.geteuid() == 0
    user = _FIRST_ID + os.getpid() if root else os.geteuid()
    if namespaces:
        _separate(world, root, user, packages)
    else:
        world.missing += ["namespaces (not used by this backend)", "private file system (not used by this backend)"]
        _without_user_namespace(world, root, user)
    if packages and not world.packages:
        world.packages, world.allowed = sorted({os.path.dirname(path) for path in packages}), packages
    _last_checks(world)
    if world.allowed and not world.landlock:
        world.missing.append("a choice of packages (all that lie beside the chosen ones can be imported)")
    return world


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # changing user cleared it, and with it the right to write our own id maps


def _own_user_namespace(user: int, group: int) -> None:
    kernel.unshare(kernel.NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{_INSIDE_ID} {user} 1"), ("gid_map", f"{_INSIDE_ID} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _separate(world: World, root: bool, user: int, packages: list[str]) -> None:
    has_users, has_view = _users_and_files(world, root, user, packages)
    for name, flag in _SEPARATE:
        granted = world.note(name, _error_of(lambda flag=flag: kernel.unshare(flag)))
        world.network = world.network or (granted and flag == kernel.NEWNET)
        if granted and flag == kernel.NEWUTS:
            socket.sethostname("sandbox")
    if not has_view:
        world.missing.append("pid namespace (its /proc could not be mounted, and in another's nothing can be measured)")
    elif world.note("pid namespace", _error_of(lambda: kernel.unshare(kernel.NEWPID))):
        world.own_pids = True
        _follow_first_process()
    if has_view:
        _mount_proc(world)
        world.private_tmp = world.note("private temporary directory of bounded size", attempt(lambda: kernel.mount("tmpfs", TMP, "tmpfs", 0, "size=64k")))
    if has_users:
        world.granted.append("unprivileged user")
    else:
        _without_user_namespace(world, root, user)


def _users_and_files(world: World, root: bool, user: int, packages: list[str]) -> tuple[bool, bool]:
    """Whether this process got a user namespace of its own, and a file system of its own."""
    group = user if root else os.getegid()
    has_users = has_view = False

    def user_namespace() -> None:
        if root:
            _become(user)
        _own_user_namespace(user, group)
        if root and not has_view:
            os.listdir(_STANDARD_LIBRARY)

    def new_view() -> None:
        kernel.unshare(kernel.NEWNS)
        view.build(packages)

    # An ordinary user may only mount in a user namespace of its own. Root mounts before it becomes another user, who may be unable to read what is mounted.
    if not root:
        has_users = world.note("user namespace", attempt(user_namespace))
        if has_users:
            user_namespace()
    has_view = world.note("private read-only file system", attempt(new_view))
    if has_view:
        new_view()
        world.packages = [view.PACKAGES] if packages else []
    if root:
        has_users = world.note("user namespace", attempt(user_namespace))
    if has_users and root:
        user_namespace()
        if has_view:
            # The mounts made as root belong to the machine's user namespace; a copy of our own is needed to add a /tmp and a /proc to it.
            kernel.unshare(kernel.NEWNS)
    return has_users, has_view


def _follow_first_process() -> None:
    """Fork; the child returns as process 1 of the new namespace. The parent stays to end with it, and the child ends with the parent."""
    pid = os.fork()
    if pid:
        for fd in range(3, 64):
            try:
                os.close(fd)
            except OSError:
                continue
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0x7F)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _mount_proc(world: World) -> None:
    def mount() -> None:
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)

    error = _error_of(mount) if world.own_pids else "there is no pid namespace to show: programs see that other processes exist"
    world.proc = world.note("private /proc", error)
    if not world.own_pids:
        _error_of(lambda: kernel.read_only("/proc"))  # that of the machine: measuring a program and ending what it started need one
    elif error:
        kernel.mount("tmpfs", "/proc", "tmpfs", kernel.MS_RDONLY, "size=4k")


def _without_user_namespace(world: World, root: bool, user: int) -> None:
    """Programs of a root worker become another user, provided that user could read the standard library."""
    if not root:
        world.missing.append("unprivileged user (the programs run as the user who started this)")
        return

    def become() -> None:
        _become(user)
        os.listdir(_STANDARD_LIBRARY)

    error = attempt(become)
    if world.note("unprivileged user", error and f"{error}: other users cannot read {sys.base_prefix}"):
        world.program_user = user


def _last_checks(world: World) -> None:
    if not os.path.isdir("/proc/self/task"):
        world.missing.append("memory limit over several processes (no /proc)")
    if os.getpid() == 1 and world.own_pids:
        world.program_pids = world.note("pid namespace for each program", attempt(lambda: new_pid_namespace(own_pid_namespace())))
    else:
        world.own_pids = False
    if sys.platform == "linux":
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if world.note("no new privileges", _error_of(lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1))):
        world.seccomp = world.note("system call filter", attempt(lambda: kernel.install_filter(syscalls.build(os.getpid(), network=True, processes=True))))
    else:
        world.missing.append("system call filter (it needs no new privileges)")
    world.no_capabilities = world.note("no capabilities", attempt(kernel.drop_capabilities))
    if world.no_capabilities:
        kernel.bound_capabilities()
    if world.seccomp and world.program_pids and world.no_capabilities:
        world.filter = syscalls.build(1, network=world.network, processes=True, forks_namespaces=True)
    if not world.private_tmp:
        import tempfile  # only here: a worker with a /tmp of its own never needs it

        world.base = tempfile.mkdtemp(prefix="rrtf-programs-")
        tempfile.tempdir = None  # programs are forks of this process, and find out anew where theirs is
        os.chmod(world.base, 0o711)  # noqa: S103 - programs may be another user, and must reach their own
    if sys.platform == "linux":
        error = attempt(lambda: landlock.try_out(world))
        refused = "TCP, and signals and sockets that lead out" if world.private_tmp else "every file but the interpreter's and its own, TCP"
        world.landlock = landlock.version() if world.note(f"Landlock ({refused})" if not error else "Landlock", error) else 0
    if world.seccomp and not world.network:
        world.granted.append("no sockets (by the system call filter)")
    world.granted += ["limits on processor time, wall time, memory, processes, file size and output", "own session", "empty environment"]


def own_pid_namespace() -> int:
    """A descriptor of the pid namespace of this process. Raises OSError."""
    return os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


def new_pid_namespace(own: int) -> None:
    """The next child of this process begins a pid namespace. Entering our own (`own_pid_namespace`) first lets a process do this more than once."""
    kernel.setns(own, kernel.NEWPID)
    kernel.unshare(kernel.NEWPID)


def new_ipc_namespace() -> None:
    """Leave behind the shared memory, semaphores and queues of earlier programs. The system call filter refuses them anyway; this is for where it is
    missing.
    """
    kernel.unshare(kernel.NEWIPC)


def descendants(pid: int) -> set[int]:
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


def waited(pid: int) -> float:
    """Seconds that a process was ready to run but had no processor; 0 where the kernel does not say."""
    try:
        fd = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)  # asked for every program: a file object costs more than the rest
        try:
            return int(os.read(fd, 200).split()[1]) / 1e9
        finally:
            os.close(fd)
    except (OSError, IndexError):
        return 0.0
