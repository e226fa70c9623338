"""One worker process seen from outside: start it, hand it programs, read its replies, end it.

Trouble here is ours: it becomes `SandboxFailure` (this run) or `SandboxError` (no worker can be started). Not here: pools of workers (`process`, `plain`), what
happens inside (`inside`), comparisons.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from rrtf.errors import SandboxError, SandboxFailure
from rrtf.protocols import Execution, Isolation, Program, Reply
from rrtf.records import AssertTest, CallTest, IOTest, Limits, PytestTest, Test, TestStatus

_INSIDE = Path(__file__).parent / "inside"
# The package is given a name of its own, so that nothing of rrtf is imported in there.
_START = """
import sys, types
package = types.ModuleType("inside"); package.__path__ = [sys.argv[1]]; sys.modules["inside"] = package
from inside import server
server.main(int(sys.argv[2]), sys.argv[3]); server.leave()
"""
_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - its own, or replaced by a private directory
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
_LENGTH = struct.Struct("=I")
_PART = 1 << 16
_START_SECONDS = 60.0
_PATIENCE = 8.0
"""How many wall limits a program may take on a machine that keeps it waiting for a processor; as in `inside.supervise`."""
_GRACE_SECONDS = 60.0
"""How much longer than that we wait for a reply. Long, because a loaded machine is no reason to call a worker dead."""
_MAX_REPLY = 256 << 20
"""More than any program can bring about: `inside.reports.MAX_TOTAL` for its results, and what `inside.supervise` passes on of its output."""


@functools.cache
def _compile_inside() -> None:
    """Workers write no bytecode, and compiling what they load is a third of their start. Where it cannot be kept, they compile it."""
    if not sys.dont_write_bytecode:
        import compileall

        compileall.compile_dir(_INSIDE, maxlevels=0, quiet=2)


def replacement(start: Callable[[], Worker]) -> Worker:
    """A worker for a sandbox that has had one before. Raises `SandboxFailure`: what could be started once can be again, perhaps in a moment."""
    try:
        return start()
    except SandboxFailure:
        raise
    except SandboxError as error:
        raise SandboxFailure(error.message, why=error.why, hint=error.hint) from error


class Worker:
    """A running worker. One program at a time, from one thread at a time."""

    isolation: Isolation
    """Known from `ready` on."""

    def __init__(self, *, namespaces: bool, packages: tuple[str, ...] = (), hash_seed: int = 0) -> None:
        """Begin to start it, which goes on beside us until it is `ready`. Raises `SandboxError`."""
        _compile_inside()
        self._tests: tuple[Test, ...] | None = None
        self._greeted = False
        self._socket, theirs = socket.socketpair()
        options = json.dumps({"namespaces": namespaces, "packages": list(packages)})
        command = [sys.executable, "-s", "-S", "-B", "-P", "-X", "utf8", "-c", _START, str(_INSIDE), str(theirs.fileno()), options]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open until it is ready
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(),),
                env={**_ENVIRONMENT, "PYTHONHASHSEED": str(hash_seed)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C in a terminal is for us to handle
            )
        except OSError as error:
            self._socket.close()
            self._errors.close()
            raise SandboxError(f"The sandbox cannot start {sys.executable}: {error.strerror}.", hint="Check that this user may execute it.") from error
        finally:
            theirs.close()

    def ready(self) -> Worker:
        """Wait until it has started, and learn what is isolated. Raises `SandboxError`."""
        if self._greeted:
            return self
        with self._errors as errors:
            try:
                hello = self._receive(time.monotonic() + _START_SECONDS)
            except SandboxFailure as error:
                self._end()
                errors.seek(0)
                last = errors.read()[-500:].decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise SandboxError(
                    f"The sandbox did not start: {error.message} {last}".rstrip(),
                    why="Programs cannot be judged without it.",
                    hint="Run `rrtf check`, or use the backend 'plain'.",
                ) from error
        self._greeted = True
        self.isolation = Isolation(tuple(cast("list[str]", hello["granted"])), tuple(cast("list[str]", hello["missing"])))
        return self

    def run(self, program: Program) -> Execution:
        """Run one program. Raises `SandboxFailure`; after one that is not `self.alive`, the worker is ended."""
        same = program.tests is self._tests
        self._tests = program.tests
        body = json.dumps(_request(program, same)).encode()
        try:
            self._wait_at_most(_GRACE_SECONDS)
            self._socket.sendall(_LENGTH.pack(len(body)) + body)
            reply = self._receive(time.monotonic() + _PATIENCE * program.limits.wall_seconds + _GRACE_SECONDS)
        except OSError as error:
            self.kill()
            raise SandboxFailure(f"A sandbox worker ended before it took the program: {error}.") from error
        return _execution(reply, program)

    @property
    def alive(self) -> bool:
        """False once the worker cannot be used any more."""
        return self._socket.fileno() >= 0

    def leave(self) -> None:
        """Ask it to end, which ends everything it started. To be followed by `close`."""
        self._socket.close()

    def close(self) -> None:
        """Ask it to end, and wait for that; kill it when it does not."""
        self.leave()
        self._errors.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it now. The kernel then ends what runs inside its pid namespace; elsewhere its programs end with it by their parent-death signal."""
        self._end()
        self._errors.close()

    def _end(self) -> None:
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _receive(self, deadline: float) -> dict[str, object]:
        data = self._some(deadline)
        while len(data) < _LENGTH.size:
            data += self._some(deadline)
        (size,) = _LENGTH.unpack_from(data)
        if size > _MAX_REPLY:
            self._end()
            raise SandboxFailure(f"A sandbox worker announced a reply of {size} bytes.")
        parts, missing = [data[_LENGTH.size :]], _LENGTH.size + size - len(data)
        while missing > 0:
            parts.append(self._some(deadline))
            missing -= len(parts[-1])
        reply = cast("dict[str, object]", json.loads(b"".join(parts)))
        if "failure" in reply:
            raise SandboxFailure(f"A sandbox worker failed: {reply['failure']}")
        return reply

    def _some(self, deadline: float) -> bytes:
        """What has come of a reply, at least something. Raises `SandboxFailure`."""
        try:
            self._wait_at_most(deadline - time.monotonic())
            part = self._socket.recv(_PART)
        except TimeoutError as error:
            self._end()
            raise SandboxFailure("A sandbox worker did not answer in time.", hint="It was replaced.") from error
        except OSError as error:
            self._end()
            raise SandboxFailure(f"The connection to a sandbox worker broke: {error}.") from error
        if not part:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            status = self._process.returncode
            self._end()
            raise SandboxFailure(f"A sandbox worker ended unexpectedly (exit status {status}).")
        return part

    def _wait_at_most(self, seconds: float) -> None:
        self._socket.settimeout(max(0.01, seconds))

    @property
    def pid(self) -> int:
        """Process id of the worker's outermost process."""
        return self._process.pid


def _request(program: Program, same: bool) -> dict[str, object]:
    """The program as it goes inside: never an expected value. `same`: its tests are those that were sent last."""
    kind = _test_inside(program.tests[0])[0] if program.tests else "call"
    tests = None if same else [_test_inside(test)[1] for test in program.tests]
    files = {file.path: file.text for file in program.files}
    surroundings = {"files": files, "module": program.module} if files or kind == "pytest" else {}
    return {"source": program.source, "entry_point": program.entry_point, "kind": kind, "tests": tests, "limits": _limits(program.limits), **surroundings}


@functools.lru_cache(256)
def _limits(limits: Limits) -> dict[str, float]:
    return {name: float(value) for name, value in dataclasses.asdict(limits).items()}


def _test_inside(test: Test) -> tuple[str, dict[str, str]]:
    match test:
        case CallTest(match="truth" | "is"):
            return "call", {"args": test.args, "kwargs": test.kwargs, "view": "truth" if test.match == "truth" else "singleton"}
        case CallTest():
            return "call", {"args": test.args, "kwargs": test.kwargs}
        case IOTest():
            return "io", {"stdin": test.stdin}
        case AssertTest():
            return "assert", {"code": test.code}
        case PytestTest():
            return "pytest", {"node": test.node}


def _execution(reply: dict[str, object], program: Program) -> Execution:
    replies: list[Reply] = []
    for item in cast("list[dict[str, str]]", reply["replies"]):
        status = cast("TestStatus", item["status"])
        replies.append(Reply(status, item.get("value", ""), item.get("error", "")))
    execution = Execution(
        compile_error=cast("str", reply["compile_error"]),
        load_error=cast("str", reply["load_error"]),
        replies=tuple(replies),
        stdout=cast("str", reply["stdout"]),
        stderr=cast("str", reply["stderr"]),
        cpu_seconds=cast("float", reply["cpu_seconds"]),
        wall_seconds=cast("float", reply["wall_seconds"]),
        peak_mb=cast("float", reply["peak_mb"]),
        waited_seconds=cast("float | None", reply["waited_seconds"]),
    )
    if not execution.compile_error and not execution.load_error and len(replies) != len(program.tests):
        raise SandboxFailure(f"A sandbox worker replied to {len(replies)} of {len(program.tests)} tests.")
    return execution
