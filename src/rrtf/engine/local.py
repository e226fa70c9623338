"""Executors on this machine: in this process, or in several.

`inline` opens the work once here, which suits a model that uses every core itself; `processes` opens it once per worker process.
Not here: other machines (`rrtf.engine.ray`), and which executor a recipe asks for (`rrtf.engine.executors`).
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from rrtf.errors import EngineError, RrtfError
from rrtf.protocols import Needs

Item = TypeVar("Item")
Result = TypeVar("Result")


class InlineExecutor:
    """Runs everything in this process, one item after another."""

    def map(
        self, work: Callable[[], AbstractContextManager[Callable[[Item], Result]]], items: Iterable[Item], needs: Needs = "processors"
    ) -> Iterator[tuple[int, Result]]:
        """See `rrtf.protocols.Executor.map`."""
        with work() as apply:
            for position, item in enumerate(items):
                yield position, apply(item)


class ProcessExecutor:
    """Runs items in `workers` processes, each opening the work once. Items and results must survive pickling."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def map(
        self, work: Callable[[], AbstractContextManager[Callable[[Item], Result]]], items: Iterable[Item], needs: Needs = "processors"
    ) -> Iterator[tuple[int, Result]]:
        """See `rrtf.protocols.Executor.map`. Keeps two items per worker in flight, so that memory does not grow with the number of items."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._workers, mp_context=context, initializer=_open, initargs=(work,)) as pool:
            waiting: dict[Future[Any], int] = {}
            source = enumerate(items)
            exhausted = False
            try:
                while waiting or not exhausted:
                    while not exhausted and len(waiting) < 2 * self._workers:
                        try:
                            position, item = next(source)
                        except StopIteration:
                            exhausted = True
                            break
                        waiting[pool.submit(_apply, item)] = position
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        position = waiting.pop(future)
                        yield position, future.result()
            except BrokenExecutor as error:
                raise EngineError(
                    "A worker process died.",
                    why="It was killed, or ran out of memory.",
                    hint="Finished parts are kept: run again, with fewer workers if memory was short.",
                ) from error
            finally:
                for future in waiting:
                    future.cancel()


_opened: list[Callable[[Any], Any] | RrtfError | SystemExit] = []
"""Only ever filled inside a worker process, by its initializer: the one place where a pool lets work be opened once. The last entry counts."""


def _open(work: Callable[[], AbstractContextManager[Callable[[Any], Any]]]) -> None:
    # Ctrl-C reaches the workers too: they leave without a word, since the parent says what there is to say.
    signal.signal(signal.SIGINT, _leave)
    stack = ExitStack()
    try:
        _opened.append(stack.enter_context(work()))
    except RrtfError as error:
        # An initializer that raises breaks the pool and loses the reason: it is given to the parent with the first item.
        _opened.append(error)
    except SystemExit:
        pass  # `_leave` has said it
    Finalize(None, stack.close, exitpriority=10)


def _leave(number: int, frame: object) -> None:
    # The pool takes the exit for the result of this item and goes on to those that wait in its queue: they must end at once, too.
    _opened.append(SystemExit(128 + number))
    sys.exit(128 + number)


def _apply(item: Any) -> Any:
    work = _opened[-1]
    if isinstance(work, BaseException):
        raise work
    return work(item)
