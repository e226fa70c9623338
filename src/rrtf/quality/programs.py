"""What can be read off programs and tests without running them: how many arguments are taken and given.

Not here: programs as text to be shown to models (`rrtf.extraction`).
"""

from __future__ import annotations

import ast
from typing import cast

from rrtf import values
from rrtf.records import AssertTest, CallTest, Problem

ANY = 255
"""More positional arguments than anyone writes: what `*args` allows."""


def arity(source: str, entry_point: str) -> tuple[int, int]:
    """The least and the greatest number of positional arguments of a program's function; (0, -1), which fits nothing, when it defines no such function."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == entry_point]
    if not functions:
        return 0, -1
    given = functions[-1].args
    most = len(given.posonlyargs) + len(given.args)
    return most - len(given.defaults), ANY if given.vararg else most


def arguments(test: CallTest) -> list[object]:
    """The positional arguments of a call."""
    return cast("list[object]", values.loads(test.args))


def asked(problem: Problem) -> int | None:
    """With how many positional arguments a problem's tests call; None when they do not call, use keywords, or do not agree."""
    first = problem.tests[0]
    if isinstance(first, CallTest):
        counts = {len(arguments(test)) for test in problem.tests if isinstance(test, CallTest) and test.kwargs == "{}"}
        return counts.pop() if len(counts) == 1 else None
    if isinstance(first, AssertTest) and problem.reference is not None and problem.entry_point is not None:
        least, most = arity(problem.reference, problem.entry_point)
        return least if 0 <= least <= most else None
    return None
