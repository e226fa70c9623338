"""The one place where a program may write: an empty directory of its own, of bounded size where the kernel can bound it.

Where it is a mount of its own, one that the last program left as it was is used again: a new mount costs a good part of what a small program does. Not here:
everything else a program sees of the file system (`view`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from . import kernel
from .world import TMP, World

_Mark = tuple[int, ...]


@dataclass(slots=True)
class Directory:
    """The directory of one program after the other."""

    world: World
    _mounted: int = 0
    """Megabytes of what is mounted; 0: nothing is."""
    _mark: _Mark = field(default=())

    def fresh(self, megabytes: int) -> str:
        """An empty directory for the next program. Raises OSError."""
        if not self.world.private_tmp:
            return self._made()
        if self._mounted and (self._mounted != megabytes or self._mark != _mark() or os.listdir(TMP)):
            kernel.unmount(TMP)
            self._mounted = 0
        if not self._mounted:
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOATIME
            kernel.mount("tmpfs", TMP, "tmpfs", flags, f"size={megabytes}m,nr_inodes=8192,mode=0777")
            self._mounted, self._mark = megabytes, _mark()
        return TMP

    def used(self, path: str) -> None:
        """Remove what the program left at `path`, whatever it did to it."""
        if not self.world.private_tmp:
            _remove(path)

    def close(self) -> None:
        """Remove what is ours outside a mount of our own."""
        if self.world.base:
            with contextlib.suppress(OSError):
                os.rmdir(self.world.base)

    def _made(self) -> str:
        import tempfile

        path = tempfile.mkdtemp(prefix="program-", dir=self.world.base)
        if self.world.program_user is not None:
            os.chown(path, self.world.program_user, self.world.program_user)
        return path


def _mark() -> _Mark:
    """What differs after anything was written, renamed, or given other rights or times. Nobody can set the time of the last change; the rest is for a change
    in the same tick of the clock as the mount.
    """
    found = os.stat(TMP)
    attributes = os.listxattr(TMP) if sys.platform == "linux" else []
    return (found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_ctime_ns, found.st_mtime_ns, found.st_atime_ns, len(attributes))


def _remove(path: str) -> None:
    def open_up(function: Callable[..., object], name: str, _error: object) -> None:
        parent = os.path.dirname(name)
        for place in (parent, name):
            try:
                os.chmod(place, 0o700, follow_symlinks=False)
            except (OSError, NotImplementedError):
                continue
        try:
            function(name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                return

    import shutil

    shutil.rmtree(path, onerror=open_up)
    shutil.rmtree(path, ignore_errors=True)
