"""A sandbox that lets programs import pytest exactly when their tests are pytest files.

All other programs see what they always saw: whether pytest is installed here changes nothing for them. Its workers start with the first such program. Not here:
how tests are run (`inside.suite`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from rrtf.errors import SandboxError
from rrtf.protocols import Execution, Isolation, Program, Sandbox
from rrtf.records import PytestTest


class WithPytest:
    """`rrtf.protocols.Sandbox` over one sandbox, and a second one of the same kind for pytest files."""

    def __init__(self, usual: Sandbox, opened: Callable[[], Sandbox]) -> None:
        """`opened` opens the second one; it raises `SandboxError` where pytest is not installed."""
        self._usual, self._open = usual, opened
        self._other: Sandbox | None = None
        self._lock = threading.Lock()

    def run(self, program: Program) -> Execution:
        """See `rrtf.protocols.Sandbox`. Raises `SandboxError` for pytest files where pytest is not installed."""
        if not any(isinstance(test, PytestTest) for test in program.tests):
            return self._usual.run(program)
        with self._lock:
            if self._other is None:
                self._other = self._opened()
        return self._other.run(program)

    def _opened(self) -> Sandbox:
        try:
            return self._open()
        except SandboxError as error:
            if "'pytest'" not in error.message:
                raise
            raise SandboxError(
                "Some problems' tests are pytest files, and pytest is not installed here.",
                why="pytest itself runs them, inside the sandbox.",
                hint="pip install pytest, or leave those problems out.",
            ) from error

    def isolation(self) -> Isolation:
        """See `rrtf.protocols.Sandbox`."""
        return self._usual.isolation()

    def close(self) -> None:
        """See `rrtf.protocols.Sandbox`."""
        self._usual.close()
        with self._lock:
            if self._other is not None:
                self._other.close()

    def __enter__(self) -> WithPytest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
