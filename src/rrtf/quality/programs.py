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


def owner(entry_point: str) -> str | None:
    """The class of an entry point such as `Solution().add`; None for a plain function."""
    name, call, method = entry_point.partition("().")
    return name if call and method else None


def functions(source: str) -> list[str]:
    """Names of the functions and classes that a program defines at its top level."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return list(dict.fromkeys(node.name for node in ast.parse(source).body if isinstance(node, kinds)))


def arity(source: str, entry_point: str) -> tuple[int, int]:
    """The least and the greatest number of positional arguments of a program's function; (0, -1), which fits nothing, when it defines no such function."""
    body, name, own = ast.parse(source).body, entry_point, owner(entry_point)
    if own is not None:
        classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == own]
        body, name = classes[-1].body if classes else [], entry_point.partition("().")[2]
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not functions:
        return 0, -1
    given = functions[-1].args
    bound = own is not None and not any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in functions[-1].decorator_list)
    most = len(given.posonlyargs) + len(given.args) - bound
    return most - len(given.defaults), ANY if given.vararg else most


def arguments(test: CallTest) -> list[object]:
    """The positional arguments of a call."""
    return cast("list[object]", values.loads(test.args))


def asked(problem: Problem) -> int | None:
    """With how many positional arguments a problem's tests call; None when they call nothing, use keywords, or do not agree."""
    first = problem.tests[0] if problem.tests else None
    if isinstance(first, CallTest):
        counts = {len(arguments(test)) for test in problem.tests if isinstance(test, CallTest) and test.kwargs == "{}"}
        return counts.pop() if len(counts) == 1 else None
    if isinstance(first, AssertTest) and problem.reference is not None and problem.entry_point is not None and owner(problem.entry_point) is None:
        least, most = arity(problem.reference, problem.entry_point)
        return least if 0 <= least <= most else None
    return None
