"""A worker: isolates itself once, then forks a supervisor for each program, which takes the request, runs it, replies and ends.

Talks with `rrtf.sandbox.worker` over one socket: frames of a four-byte length and JSON. First frame out: what is isolated; then one reply for each request.
Ends when the socket closes. The worker itself never reads a request or holds a reply: a program is a fork of a fork of it, and would find in its own memory
what the worker's heap still held of earlier programs and their results. Not here: anything about verdicts.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import site
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import cast

from . import isolate, kernel, runner, supervise

_LENGTH = struct.Struct("=I")
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
        for name in _WARM:
            importlib.import_module(name)
        for add_builtins in (site.setquit, site.setcopyright, site.sethelper):  # `exit` and the like: without -S the interpreter starts with them
            add_builtins()
        world = isolate.enter(namespaces=bool(settings["namespaces"]), packages=cast("list[str]", settings["packages"]))
        if sys.platform == "linux":
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    except OSError:
        _send(outside, {"failure": traceback.format_exc(limit=-3)})
        return
    modules = {name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in _TRUSTED}
    pristine = runner.Pristine(modules, runner.honest_classes())
    supervisor = supervise.Supervisor(world, outside.fileno(), pristine)
    forget_our_modules()
    gc.collect()
    gc.freeze()  # so that collections in the programs do not touch, and so copy, our pages
    _send(outside, {"granted": world.granted, "missing": world.missing})
    while _is_asked(outside):
        if _in_a_fork(lambda: _serve_one(outside, supervisor)) != 0:
            return  # it may have died in the middle of a frame: the other side sees the end of the stream and takes a new worker


def _is_asked(outside: socket.socket) -> bool:
    """Wait for a request, without reading more of it than that it is there; False when the other side is gone."""
    try:
        return bool(outside.recv(1, socket.MSG_PEEK))
    except ConnectionError:
        return False


def _in_a_fork(step: Callable[[], None]) -> int:
    """Do `step` in a child that ends with this process, and wait for it; its wait status, or -1 when there is no process to be had."""
    worker = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        return -1
    if pid:
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        if sys.platform == "linux":
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a program leaves behind is for its supervisor to reap
        if os.getppid() == worker:
            step()
            status = 0
    finally:
        os._exit(status)


def _serve_one(outside: socket.socket, supervisor: supervise.Supervisor) -> None:
    request = _receive(outside)
    if request is None:
        return
    try:
        _send(outside, supervisor.execute(request))
    except supervise.Failure as error:
        _send(outside, {"failure": str(error)})
    except (supervise.OutsideGone, BrokenPipeError):
        return
    except Exception:
        _send(outside, {"failure": traceback.format_exc(limit=-6)})


def forget_our_modules() -> None:
    """So that a program does not import us by accident. We go on without: everything of ours is loaded by now."""
    package = __name__.rpartition(".")[0]
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def _send(outside: socket.socket, data: dict[str, object]) -> None:
    body = supervise.dumps(data)
    outside.sendall(_LENGTH.pack(len(body)) + body)


def _receive(outside: socket.socket) -> dict[str, object] | None:
    header = _exactly(outside, _LENGTH.size)
    body = _exactly(outside, _LENGTH.unpack(header)[0]) if header else None
    return cast("dict[str, object]", json.loads(body)) if body else None


def _exactly(outside: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = outside.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def leave() -> None:
    """End this process without running exit handlers of modules that are no longer reachable."""
    os._exit(0)
