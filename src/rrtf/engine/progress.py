"""Progress on everything that takes more than a moment: a bar on a terminal, a plain line now and then elsewhere.

Not here: results. What is printed here may be thrown away.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from typing import TextIO

from rrtf.engine.stage import Tick

_QUIET_SECONDS = 2.0
_LINE_SECONDS = 15.0


@contextlib.contextmanager
def progress(label: str, total: int, unit: str, stream: TextIO | None = None) -> Generator[Tick]:
    """Yield a function that counts finished units. Shows rate and time left."""
    out = stream or sys.stderr
    opened = _bar(label, total, unit, out) if out.isatty() else _lines(label, total, unit, out)
    with opened as tick:
        yield tick


@contextlib.contextmanager
def _bar(label: str, total: int, unit: str, out: TextIO) -> Generator[Tick]:
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
        yield lambda count: bar.advance(task, count)


@contextlib.contextmanager
def _lines(label: str, total: int, unit: str, out: TextIO) -> Generator[Tick]:
    begun = time.monotonic()
    done, last = 0, begun

    def say(now: float, left: str) -> None:
        rate = done / max(now - begun, 1e-9)
        print(f"  {label}: {done}/{total} {unit}, {rate:.1f}/s, {now - begun:.0f} s{left}", file=out, flush=True)

    def tick(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= _LINE_SECONDS and done < total:
            last = now
            say(now, f", about {(total - done) * (now - begun) / max(done, 1):.0f} s left")

    yield tick
    if (now := time.monotonic()) - begun >= _QUIET_SECONDS:
        say(now, "")
