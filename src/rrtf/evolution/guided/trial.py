"""Runs inside the sandbox: many references in one process, each called on its own arguments.

Its text is put behind that of `rrtf.overlap.probe`, whose names it uses, and in front of the references, so it uses the standard library only.
Not here: what the results mean; that is decided outside.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rrtf.overlap.probe import LOADING, Slow, _function, _limited, _size  # pyright: ignore[reportPrivateUsage]

LARGEST = 400
"""Larger results make no good tests."""


def outcomes(source: str, entry_point: str, inputs: list[list[Any]], patience: float) -> list[list[Any]]:
    """For every input `["value", result]`, `["raised", class, message]` or `["none"]`; nothing at all for a program that does not load."""
    function = _limited(LOADING, _function, source, entry_point)
    return [] if function is None else [inside(function, arguments, patience) for arguments in inputs]


def inside(function: Callable[..., Any], arguments: list[Any], patience: float) -> list[Any]:
    """What one call gives within its time."""
    return _limited(patience, called, function, copy.deepcopy(arguments)) or ["none"]


def called(function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    """What one call gives. A function that changes its arguments gives nothing."""
    before = copy.deepcopy(arguments)
    try:
        result = function(*arguments)
    except Slow:
        raise
    except Exception as error:  # noqa: BLE001 - what a program raises is what we want to know
        return ["raised", type(error).__name__, str(error)[:200]]
    return ["value", result] if _size(result, 0) <= LARGEST and arguments == before else ["none"]
