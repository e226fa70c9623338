"""The default backend: warm workers behind namespaces, a fresh process for each program.

Not here: what a worker does (`worker`, `inside`), retrying and verdicts (`harness`).
"""

from __future__ import annotations

import contextlib
import queue
import threading
from types import TracebackType

from rrtf.errors import SandboxError
from rrtf.protocols import Execution, Isolation, Program
from rrtf.sandbox.worker import Worker, replacement


class ProcessSandbox:
    """`rrtf.protocols.Sandbox` over `workers` long-lived processes. Up to that many calls of `run` go on at once; more wait."""

    def __init__(self, *, workers: int = 1, packages: tuple[str, ...] = (), namespaces: bool = True, hash_seed: int = 0) -> None:
        """Start the workers, and wait for the first, to learn what is isolated.

        `packages`: files and directories that programs may import, shown to them read-only. `namespaces=False` asks for less than the machine offers (for tests
        of that case). Raises `SandboxError`.
        """
        self._options = (namespaces, packages, hash_seed)
        self._closed = threading.Event()
        self._workers = workers
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        try:
            started = [self._started() for _ in range(workers)]
            self._isolation = started[0].ready().isolation
        except BaseException:
            self._kill_idle()
            raise

    def run(self, program: Program) -> Execution:
        """See `rrtf.protocols.Sandbox`. A worker that failed is replaced at its next use. Raises `SandboxError` once it is closed."""
        worker = self._idle.get()
        try:
            self._refuse_closed()
            worker = replacement(self._fresh if worker is None else worker.ready)
            return worker.run(program)
        except BaseException:  # a failure, also one it survived, or an interrupt in the middle of an exchange: only a fresh worker has no history
            if worker is not None:
                worker.kill()
                worker = None
            raise
        finally:
            self._idle.put(worker)

    def isolation(self) -> Isolation:
        """See `rrtf.protocols.Sandbox`."""
        return self._isolation

    def close(self) -> None:
        """End the workers; calls of `run` in other threads are waited for."""
        if self._closed.is_set():
            return
        self._closed.set()
        workers = [self._idle.get() for _ in range(self._workers)]
        for worker in filter(None, workers):
            worker.leave()
        for worker in filter(None, workers):
            worker.close()
        for _ in range(self._workers):
            self._idle.put(None)  # wakes callers that wait in `run`, who then learn that it is closed

    def __enter__(self) -> ProcessSandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            self._kill_idle()

    def _kill_idle(self) -> None:
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if worker is not None:
                worker.kill()

    def _refuse_closed(self) -> None:
        if self._closed.is_set():
            raise SandboxError("The sandbox is closed.")

    def _started(self) -> Worker:
        """One more worker among the idle ones."""
        worker = self._start()
        self._idle.put(worker)
        return worker

    def _fresh(self) -> Worker:
        return self._start().ready()

    def _start(self) -> Worker:
        namespaces, packages, hash_seed = self._options
        return Worker(namespaces=namespaces, packages=packages, hash_seed=hash_seed)
