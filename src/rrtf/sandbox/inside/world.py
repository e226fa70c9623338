"""What a worker has and has not: found out once (`isolate`), needed by everything after it."""

from __future__ import annotations

from dataclasses import dataclass, field

TMP = "/tmp"
"""Where a program's directory is mounted, in a file system of our own."""


@dataclass(slots=True)
class World:
    """What this worker has, as its supervisor needs to know it."""

    granted: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    program_user: int | None = None
    """The user each program becomes; None: it stays what the worker is."""
    private_tmp: bool = False
    """The temporary directory is ours alone, and a new one can be mounted for each program."""
    own_pids: bool = False
    """The worker is the first process of a pid namespace, so that its children may kill every other process they see."""
    program_pids: bool = False
    """Each program can get a pid namespace of its own below that."""
    proc: bool = False
    network: bool = False
    seccomp: bool = False
    packages: list[str] = field(default_factory=list[str])
    """What programs get appended to their module search path."""
    no_capabilities: bool = False
    filter: bytes = b""
    """The system call filter, where it is the same for every program and so inherited by it; empty where each program needs its own."""
    allowed: list[str] = field(default_factory=list[str])
    """The packages that programs may use, by path; without a private file system."""
    base: str = ""
    """Without a private file system: the directory in which each program gets one of its own."""
    landlock: int = 0
    """The version of Landlock that confines programs; 0 for none."""

    def note(self, name: str, error: str) -> bool:
        """Record one step; True when it was granted."""
        if error:
            self.missing.append(f"{name} ({error})")
        else:
            self.granted.append(name)
        return not error
