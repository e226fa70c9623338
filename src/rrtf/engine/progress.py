"""Progress on everything that takes more than a moment: a bar on a terminal, a plain line now and then elsewhere.

Not here: results. What is printed here may be thrown away.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from typing import Protocol, TextIO

_QUIET_SECONDS = 2.0
_LINE_SECONDS = 15.0


class Bar(Protocol):
    """Counts finished units when it is called."""

    def __call__(self, count: int, /) -> None:
        """So many more are finished."""
        ...

    def expect(self, total: int) -> None:
        """So many there will be in all, as far as is known now."""
        ...


@contextlib.contextmanager
def progress(label: str, total: int, unit: str, stream: TextIO | None = None) -> Generator[Bar]:
    """Yield what counts finished units. Shows rate and time left."""
    out = stream or sys.stderr
    opened = _bar(label, total, unit, out) if out.isatty() else _lines(label, total, unit, out)
    with opened as bar:
        yield bar


@contextlib.contextmanager
def _bar(label: str, total: int, unit: str, out: TextIO) -> Generator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else f"- {unit}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task(label, total=total)

        class Drawn:
            def __call__(self, count: int, /) -> None:
                bar.advance(task, count)

            def expect(self, total: int) -> None:
                bar.update(task, total=total)

        yield Drawn()


class _Said:
    """A line now and then."""

    def __init__(self, label: str, total: int, unit: str, out: TextIO) -> None:
        self._label, self._total, self._unit, self._out = label, total, unit, out
        self._begun = self._last = time.monotonic()
        self._done = 0

    def __call__(self, count: int, /) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last >= _LINE_SECONDS and self._done < self._total:
            self._last = now
            self._say(now, f", about {(self._total - self._done) * (now - self._begun) / max(self._done, 1):.0f} s left")

    def expect(self, total: int) -> None:
        self._total = total

    def end(self) -> None:
        if (now := time.monotonic()) - self._begun >= _QUIET_SECONDS:
            self._say(now, "")

    def _say(self, now: float, left: str) -> None:
        rate = self._done / max(now - self._begun, 1e-9)
        print(f"  {self._label}: {self._done}/{self._total} {self._unit}, {rate:.1f}/s, {now - self._begun:.0f} s{left}", file=self._out, flush=True)


@contextlib.contextmanager
def _lines(label: str, total: int, unit: str, out: TextIO) -> Generator[Bar]:
    said = _Said(label, total, unit, out)
    yield said
    said.end()
