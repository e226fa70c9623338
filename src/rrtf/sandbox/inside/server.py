"""A worker: cuts itself off once, splits into a supervisor and the process that programs are forks of, and serves one request after the other.

Talks with `rrtf.sandbox.worker` over one socket: frames of a four-byte length and JSON. First frame out: what is isolated; then one reply for each request.
Ends when the socket closes. Not here: anything about verdicts.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import site
import socket
import struct
import sys
import traceback
import types
from typing import cast

from . import isolate, kernel, runner, supervise
from .directories import Directory
from .zygote import start

_LENGTH = struct.Struct("=I")
_PART = 1 << 16
_WARM = (
    "abc", "bisect", "collections", "collections.abc", "copy", "dataclasses", "datetime", "enum", "functools", "heapq", "io", "itertools", "json", "math",
    "operator", "random", "re", "string", "time", "typing",
    "decimal", "fractions", "ipaddress", "pathlib", "uuid",
)  # fmt: skip
"""Modules that programs often import, loaded once; every page they make a program touch is copied for it, so the list is not longer. Those in the last line are
here for their classes with an equality written in Python: assertions take it from classes only that were there before the program."""
_TRUSTED = ("builtins", "math", "operator")
"""Modules whose contents are put back before assertions run."""


def main(fd: int, options: str) -> None:
    """Serve requests on the socket `fd` until it closes."""
    outside = socket.socket(fileno=fd)
    settings = cast("dict[str, object]", json.loads(options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        _warm_up()
        kernel.share_code()
        world = isolate.enter(namespaces=bool(settings["namespaces"]), packages=cast("list[str]", settings["packages"]))
        if sys.platform == "linux":
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        modules = {name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in _TRUSTED}
        pristine = runner.Pristine(modules, runner.honest_classes())
        forget_our_modules()
        zygote = start(world, pristine, [outside.fileno()])
    except OSError:
        _send(outside, {"failure": traceback.format_exc(limit=-3)})
        return
    directory = Directory(world)
    supervisor = supervise.Supervisor(world, zygote, outside.fileno(), directory)
    _send(outside, {"granted": world.granted, "missing": world.missing})
    try:
        while (request := _receive(outside)) is not None:
            _send(outside, _served(supervisor, request))
    except (supervise.OutsideGone, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        directory.close()


def _warm_up() -> None:
    """Load what programs often import. Their `random` begins in the same state every time: a verdict should not depend on luck."""
    register, os.register_at_fork = os.register_at_fork, _not_registered
    sys.modules["_uuid"] = cast("types.ModuleType", None)  # two shared libraries for one function of `uuid`: every fork would pay for them
    for name in _WARM:
        importlib.import_module(name)
    del sys.modules["_uuid"]
    os.register_at_fork = register
    sys.modules["random"].seed(0)
    for add_builtins in (site.setquit, site.setcopyright, site.sethelper):  # `exit` and the like: without -S the interpreter starts with them
        add_builtins()


def _not_registered(**hooks: object) -> None:
    """Takes the place of `os.register_at_fork`: a fork of ours shall not change the state of `random`."""


def _served(supervisor: supervise.Supervisor, request: dict[str, object]) -> dict[str, object]:
    try:
        return supervisor.execute(request)
    except supervise.Failure as error:
        return {"failure": str(error)}
    except supervise.OutsideGone:
        raise
    except Exception:
        return {"failure": traceback.format_exc(limit=-6)}


def forget_our_modules() -> None:
    """So that a program does not import us by accident. We go on without: everything of ours is loaded by now."""
    package = __name__.rpartition(".")[0]
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def _send(outside: socket.socket, data: dict[str, object]) -> None:
    body = supervise.dumps(data)
    outside.sendall(_LENGTH.pack(len(body)) + body)


def _receive(outside: socket.socket) -> dict[str, object] | None:
    """The next request; None when there will be none. One comes at a time, so what has come belongs to it."""
    data = bytearray(part := outside.recv(_PART))
    while part and (len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]):
        data += (part := outside.recv(_PART))
    return cast("dict[str, object]", json.loads(data[_LENGTH.size :].decode())) if part else None


def leave() -> None:
    """End this process without running exit handlers of modules that are no longer reachable."""
    os._exit(0)
