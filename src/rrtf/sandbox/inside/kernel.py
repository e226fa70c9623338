"""The few system calls that Python's standard library does not offer, through ctypes. Linux only; elsewhere every call raises OSError(ENOSYS).

Not here: any decision about what to call (`isolate`, `view`, `confine`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 1024, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 36, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_MOUNT_SETATTR = 442
_LANDLOCK = 444
"""The first of its three calls; they have the same numbers on every processor."""
_AT_RECURSIVE = 0x8000
_PROT_READ, _PROT_WRITE, _PROT_EXEC, _MADV_POPULATE_READ = 1, 2, 4, 22

_NUMBERS = {"x86_64": {"capset": 126, "pivot_root": 155}, "aarch64": {"capset": 91, "pivot_root": 41}}

_libc: ctypes.CDLL | None = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _library(what: str) -> ctypes.CDLL:
    library: ctypes.CDLL | None = _libc
    if not library:
        raise OSError(errno.ENOSYS, f"{what}: only Linux has it")
    return library


def _number(name: str) -> int:
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        raise OSError(errno.ENOSYS, f"{name}: its number on {platform.machine()} is not known here")
    return numbers[name]


def unshare(flags: int) -> None:
    """Leave the named namespaces for new ones."""
    _check(_library("unshare").unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter (for pid namespaces: let children enter) the namespace behind `fd`."""
    _check(_library("setns").setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """The system call of this name."""
    result = _library("mount").mount(source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach the mount at `target`; it is gone when nothing uses it."""
    _check(_library("umount2").umount2(target.encode(), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and keep the old one at `old`."""
    _check(_library("syscall").syscall(ctypes.c_long(_number("pivot_root")), new.encode(), old.encode()), "pivot_root")


class _MountAttr(ctypes.Structure):
    _fields_ = [("attr_set", ctypes.c_uint64), ("attr_clr", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("userns_fd", ctypes.c_uint64)]


def read_only(target: str) -> None:
    """Make the mount at `target` and everything mounted below it read-only and without set-user-id programs (Linux 5.12); on older kernels the top mount
    alone.
    """
    attributes = _MountAttr(MS_RDONLY | MS_NOSUID, 0, 0, 0)  # MOUNT_ATTR_RDONLY and MOUNT_ATTR_NOSUID have the values of the MS_ flags
    result = _library("mount_setattr").syscall(
        ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(-100), target.encode(), ctypes.c_uint(_AT_RECURSIVE), ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    if result < 0 and ctypes.get_errno() == errno.ENOSYS:
        status = os.statvfs(target).f_flag & (MS_NODEV | MS_NOEXEC)  # flags that a user namespace may not clear
        mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | status)
        return
    _check(result, f"read-only {target}")


def prctl(option: int, value: int) -> None:
    """The system call of this name, with one argument."""
    _check(_library("prctl").prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), f"prctl {option}")


def bound_capabilities() -> None:
    """No program started from here on can gain a capability that this process does not hand on."""
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM):  # past the last capability; or none held, so none can be passed on
                break
            raise


_NO_CAPABILITIES = ((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())
_CAPSET = _NUMBERS.get(platform.machine(), {}).get("capset", -1)
_system_call = getattr(_libc, "syscall", None)
_process_control = getattr(_libc, "prctl", None)
_DUMPABLE = (ctypes.c_int(PR_SET_DUMPABLE), *[ctypes.c_ulong(value) for value in (1, 0, 0, 0)])


def drop_capabilities() -> None:
    """Give up every capability this process holds. Each program does this, so all that can be is prepared: what is touched in a fork is copied."""
    if _system_call is None or _CAPSET < 0:
        raise OSError(errno.ENOSYS, "capset: only Linux has it, and its number must be known here")
    if _system_call(_CAPSET, *_NO_CAPABILITIES) < 0:
        _check(-1, "capset")


def make_dumpable() -> None:
    """Let this process open its own files in /proc, and others of its user with no fewer capabilities too. Prepared as `drop_capabilities` is."""
    if _process_control is None or _process_control(*_DUMPABLE) < 0:
        _check(-1, "prctl")


def share_code() -> None:
    """Let forks of this process begin with the interpreter's code mapped, where the system allows it.

    A fork copies the page table of a mapping only when it holds a page that was written; else every process has to look up again, one fault after the other,
    each page of code it runs. So a byte in each mapping of the interpreter's code and constants is written, as it is.
    """
    if _libc is None:
        return
    inside = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value or 0
    try:
        with open("/proc/self/maps") as file:
            mappings = [line.split(maxsplit=5) for line in file]
    except OSError:
        return
    places = [([int(end, 16) for end in fields[0].split("-")], fields[1], fields[5:]) for fields in mappings]
    names = [name for (start, end), _, name in places if start <= inside < end]
    for (start, end), rights, name in places:
        if name in names and rights in ("r-xp", "r--p"):
            before = _PROT_READ | (_PROT_EXEC if "x" in rights else 0)
            address, size = ctypes.c_void_p(start), ctypes.c_size_t(end - start)
            if _libc.mprotect(address, size, before | _PROT_WRITE) == 0:
                ctypes.memset(start, ctypes.c_ubyte.from_address(start).value, 1)
                _libc.mprotect(address, size, before)
                _libc.madvise(address, size, _MADV_POPULATE_READ)


def landlock_create_ruleset(attributes: object, size: int, flags: int) -> int:
    """The system call of this name: a descriptor, or with flag 1 the version of Landlock."""
    result = _library("landlock").syscall(ctypes.c_long(_LANDLOCK), attributes, ctypes.c_size_t(size), ctypes.c_uint32(flags))
    _check(result, "landlock_create_ruleset")
    return result


def landlock_add_rule(ruleset: int, rule: object) -> None:
    """The system call of this name, for what lies beneath a path."""
    _check(_library("landlock").syscall(ctypes.c_long(_LANDLOCK + 1), ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)), "landlock_add_rule")


def landlock_restrict_self(ruleset: int) -> None:
    """The system call of this name. Needs no_new_privs."""
    _check(_library("landlock").syscall(ctypes.c_long(_LANDLOCK + 2), ctypes.c_int(ruleset), ctypes.c_uint32(0)), "landlock_restrict_self")


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def install_filter(code: bytes) -> None:
    """Install a seccomp filter: `code` is the BPF program, eight bytes an instruction. Needs no_new_privs."""
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Filter(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    result = _library("seccomp").prctl(
        ctypes.c_int(PR_SET_SECCOMP), ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    _check(result, "seccomp")
