"""Landlock: what a process gives up for itself and everything it starts, with no privilege at all (Linux 5.13; the version decides what it can).

Where there is no private file system it stands in for one: nothing but the interpreter, its libraries and the program's own directory can be opened. Everywhere
it refuses TCP and, where the kernel has these, signals and abstract sockets that lead out. Not here: the same by namespaces (`isolate`, `view`).
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys

from . import kernel, view
from .world import World

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1, 2, 4, 8, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""From which version on which rights on files are known."""
_NET_VERSION, _BIND_AND_CONNECT = 4, 3
_SCOPE_VERSION, _SOCKETS_AND_SIGNALS = 6, 3
_NEEDED = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/proc/meminfo", "/proc/cpuinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("rights", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """What this kernel offers. Raises OSError when it offers nothing."""
    return kernel.landlock_create_ruleset(None, 0, 1)


def restrict(world: World, own: str = "") -> None:
    """Confine this process as `world.landlock` says; nothing when that is 0. `own`: the directory that is its own, where it has no file system of its own.
    Raises OSError.
    """
    if world.landlock:
        _restrict(world, own, world.landlock)


def try_out(world: World) -> None:
    """Find out, in a process that ends afterwards, whether `restrict` leaves the interpreter usable. Raises OSError."""
    _restrict(world, world.base, version())
    with open(os.path.join(os.path.dirname(os.__file__), "this.py"), "rb"):
        pass


def _restrict(world: World, own: str, offered: int) -> None:
    on_files = 0 if world.private_tmp else _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= offered)]
    ruleset = _Ruleset(on_files, _BIND_AND_CONNECT if offered >= _NET_VERSION else 0, _SOCKETS_AND_SIGNALS if offered >= _SCOPE_VERSION else 0)
    size = 24 if offered >= _SCOPE_VERSION else 16 if offered >= _NET_VERSION else 8
    if not (ruleset.files or ruleset.net or ruleset.scoped):
        return
    fd = kernel.landlock_create_ruleset(ctypes.byref(ruleset), size, 0)
    try:
        if on_files:
            for path, rights in _rules(world, own, on_files):
                _allow(fd, path, rights & on_files)
        kernel.landlock_restrict_self(fd)
    finally:
        os.close(fd)


def _rules(world: World, own: str, everything: int) -> list[tuple[str, int]]:
    libraries = [path for path in sys.path if os.path.isdir(path)]
    rules = [(path, _READ) for path in (*_NEEDED, *_beside_packages(libraries), *world.allowed, os.path.realpath(sys.executable))]
    rules += [(path, _READ_DIR) for path in (*libraries, *world.packages)]
    rules += [(path, _READ | _WRITE_FILE) for path in _DEVICES]
    return [*rules, ("/proc/self", _READ | _WRITE_FILE), (own, everything)]


def _beside_packages(libraries: list[str]) -> list[str]:
    """What lies in the interpreter's own directories, but for installed packages: among them may be the answers to a benchmark."""
    return [os.path.join(folder, name) for folder in libraries for name in os.listdir(folder) if name not in view.PACKAGE_FOLDERS]


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this machine
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _ON_FILES
        kernel.landlock_add_rule(ruleset, ctypes.byref(_Beneath(rights, fd)))
    finally:
        os.close(fd)
