"""`python killed.py COUNT FOLDER ARGUMENTS`: rrtf with these arguments, ended as by `kill -9` at its COUNT-th rename or link to a place under FOLDER.

Renames and links are the moments at which something comes into being; odd counts die just before, even ones just after. With COUNT 0 it runs to its end and
prints how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_done = 0


def counted(real: Callable[..., Any], at: int, folder: str) -> Callable[..., Any]:
    def counting(*arguments: Any, **named: Any) -> Any:
        global _done  # noqa: PLW0603 - one process, one count
        place = os.path.relpath(arguments[1], folder)
        if place.startswith(".."):
            return real(*arguments, **named)
        _done += 1
        if _done == at and at % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if _done == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return counting


if __name__ == "__main__":
    at, folder = int(sys.argv.pop(1)), sys.argv.pop(1)
    for name in ("rename", "replace", "link"):
        setattr(os, name, counted(getattr(os, name), at, folder))
    from rrtf.cli import main

    main()
    print(_done)
