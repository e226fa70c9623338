"""Runs inside the sandbox: many references in one process, called on arguments that were meant for another.

Its text is put in front of a line that names the references (`rrtf.overlap.behaviour`), so it uses the standard library only and imports nothing of ours.
Not here: deciding whether a result is the right one; that happens outside.
"""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

MOST = 10_000
"""Larger results (in values, characters and bits of integers) are not worth sending back, and longer integers cannot be."""


class Slow(BaseException):
    """A call that used up its processor time. Not an `Exception`, so that programs do not catch it."""


LOADING = 0.5
"""Processor seconds that one source gets to load: the first to import a module pays for all."""


def load(references: list[tuple[str, str]]) -> list[Callable[..., Any] | None]:
    """The functions of (source, entry point) pairs; None for a source that does not load here."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise Slow

    signal.signal(signal.SIGVTALRM, stop)
    return [_limited(LOADING, _function, source, entry_point) for source, entry_point in references]


def call_all(functions: list[Callable[..., Any] | None], patience: float, arguments: list[Any]) -> list[tuple[int, Any]]:
    """(place of the function, its result) for each function that returns plain data of a sensible size in time."""
    results: list[tuple[int, Any]] = []
    for place, function in enumerate(functions):
        if function is not None:
            box = _limited(patience, _boxed, function, copy.deepcopy(arguments))
            if box is not None and _size(box[0], 0) <= MOST:
                results.append((place, box[0]))
    return results


def examine_all(functions: list[Callable[..., Any] | None], patience: float, reference: str, entry_point: str, tests: list[str]) -> list[int]:
    """Places of the functions that pass every assert-style test, each run where the examined problem's own reference was loaded, for its helpers."""
    return [place for place, function in enumerate(functions) if function is not None and _limited(patience, _passes, function, reference, entry_point, tests)]


def _limited(patience: float, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns; None when it raises or is slow."""
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, patience, patience)  # again and again, for programs that catch everything
        try:
            return work(*arguments)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except (Exception, Slow, SystemExit):  # noqa: BLE001 - whatever a program raises on foreign arguments means that it does not do this
        return None


def _function(source: str, entry_point: str) -> Any:
    names: dict[str, Any] = {"__name__": "reference"}
    exec(compile(source, "reference", "exec", dont_inherit=True), names)  # noqa: S102 - running it is the point, and it is confined
    owner, _, method = entry_point.partition("().")
    if not method:
        return names[entry_point]

    def called(*arguments: Any) -> Any:
        return getattr(names[owner](), method)(*arguments)  # a new instance for each call

    return called


def _boxed(function: Callable[..., Any], arguments: list[Any]) -> tuple[Any]:
    return (function(*arguments),)


def _passes(function: Callable[..., Any], reference: str, entry_point: str, tests: list[str]) -> bool:
    names: dict[str, Any] = {"__name__": "reference"}
    exec(compile(reference, "reference", "exec", dont_inherit=True), names)  # noqa: S102
    names[entry_point] = function
    for test in tests:
        exec(compile(test, "test", "exec", dont_inherit=True), names)  # noqa: S102
    return True


def _size(value: Any, depth: int) -> int:
    """How many values and characters plain data holds; more than `MOST` for anything else."""
    kind = cast("Any", type(value))
    if value is None or kind in (bool, float, complex):
        return 1
    if kind is int:
        return 1 + value.bit_length()
    if kind in (str, bytes):
        return 1 + len(value)
    if depth > 50 or kind not in (list, tuple, set, frozenset, dict) or len(value) > MOST:
        return MOST + 1
    total = 1
    for part in [*value, *value.values()] if kind is dict else value:
        total += _size(part, depth + 1)
        if total > MOST:
            break
    return total
