"""A root file system with nothing in it but the interpreter, its standard library, the system's shared libraries and chosen packages, all read-only.

Programs see no home directory, no source tree, no benchmark files with expected answers, no binaries. Not here: the writable /tmp (mounted anew for each
program by `supervise`) and /proc (mounted by `isolate` inside its pid namespace).
"""

from __future__ import annotations

import contextlib
import glob
import os
import sys

from . import kernel

OLD = "/.old"
PACKAGES = "/packages"
_SYSTEM = ("/lib32", "/lib64", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_LIBRARIES = ("/lib", "/usr/lib")
_DEVICES = ("null", "zero", "full", "random", "urandom")
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
_USERS = "sandbox:x:1000:1000::/tmp:/nonexistent\n"


def build(packages: list[str]) -> None:
    """Replace the root of this process's (own, new) mount namespace. Raises OSError; then the namespace is spoilt and the process must not go on in it."""
    executable = os.path.realpath(sys.executable)  # before the root changes: afterwards its links lead nowhere
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    old = "/tmp" + OLD
    os.mkdir(old)
    kernel.pivot_root("/tmp", old)
    os.chdir("/")
    for path in _wanted(executable):
        _bind(path, path)
    for path in packages:
        _bind(path, f"{PACKAGES}/{os.path.basename(path)}")
    _mask_other_packages()
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"/dev/{name}", writable=True)
    _bind("/proc", "/proc", writable=True)  # a new proc may only be mounted where an old one is in full view
    for name, target in {
        "/dev/fd": "/proc/self/fd",
        "/dev/stdin": "/proc/self/fd/0",
        "/dev/stdout": "/proc/self/fd/1",
        "/dev/stderr": "/proc/self/fd/2",
        "/dev/shm": "/tmp",
    }.items():
        os.symlink(target, name)
    os.makedirs("/tmp", exist_ok=True)
    with open("/etc/passwd", "w") as file:
        file.write(_USERS)
    kernel.unmount(OLD)
    os.rmdir(OLD)
    kernel.mount("none", "/", flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)


def _wanted(executable: str) -> list[str]:
    """Existing paths that the interpreter needs, parents before children and none twice."""
    candidates = [*_SYSTEM, *sys.path, executable]
    for folder in _LIBRARIES:
        # Where libraries have a folder for each processor, that is all we need; what else lies in /usr/lib may be anything.
        own = [OLD + folder] if os.path.islink(OLD + folder) else glob.glob(f"{OLD}{folder}/*-linux-*")
        candidates += [path[len(OLD) :] for path in own or [OLD + folder]]
    own = os.path.join(sys.base_prefix, "lib")
    candidates += [path[len(OLD) :] for path in glob.glob(f"{OLD}{own}/libpython*")] if own in ("/usr/lib", "/usr/local/lib") else [own]
    chosen: list[str] = []
    for path in sorted(set(candidates)):
        if path.startswith("/") and os.path.lexists(OLD + path) and not any(path.startswith(parent + "/") for parent in chosen):
            chosen.append(path)
    return chosen


def _bind(source: str, target: str, *, writable: bool = False) -> None:
    old = OLD + source
    if os.path.islink(old):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(old), target)
        return
    if not os.path.exists(old):
        return
    if os.path.isdir(old):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(old, target, flags=kernel.MS_BIND | kernel.MS_REC)
    if not writable:
        kernel.read_only(target)


def _mask_other_packages() -> None:
    """Hide installed packages that lie inside the interpreter's own directories: among them may be the answers to a benchmark."""
    for root in {os.path.join(sys.base_prefix, "lib"), "/usr/lib", "/usr/local/lib"}:
        for path in (found for name in PACKAGE_FOLDERS for found in glob.glob(f"{root}/python*/{name}")):
            with contextlib.suppress(FileNotFoundError):
                kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k")
