"""A backend without namespaces: one new interpreter for each program, limits on what it uses, and nothing kept between programs.

Slower than `process` and weaker: a hostile program can read what its user can read. For machines that allow nothing better, and to hold the seam honest with a
second way of doing it. Not here: what happens inside the process (`inside`).
"""

from __future__ import annotations

import threading
from types import TracebackType

from rrtf.errors import SandboxError
from rrtf.protocols import Execution, Isolation, Program
from rrtf.sandbox.worker import Worker, replacement


class PlainSandbox:
    """`rrtf.protocols.Sandbox` with a process started anew for every program."""

    def __init__(self, *, workers: int = 1, packages: tuple[str, ...] = (), hash_seed: int = 0) -> None:
        """Start one worker to learn what is there. Raises `SandboxError`."""
        self._packages, self._hash_seed = packages, hash_seed
        self._slots = threading.BoundedSemaphore(workers)
        self._closed = threading.Event()
        worker = self._start()
        self._isolation = worker.isolation
        worker.close()

    def run(self, program: Program) -> Execution:
        """See `rrtf.protocols.Sandbox`."""
        with self._slots:
            if self._closed.is_set():
                raise SandboxError("The sandbox is closed.")
            worker = replacement(self._start)
            try:
                return worker.run(program)
            finally:
                worker.close()

    def isolation(self) -> Isolation:
        """See `rrtf.protocols.Sandbox`."""
        return self._isolation

    def close(self) -> None:
        """Nothing is kept between runs, so there is only the flag to set."""
        self._closed.set()

    def __enter__(self) -> PlainSandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> Worker:
        return Worker(namespaces=False, packages=self._packages, hash_seed=self._hash_seed).ready()
