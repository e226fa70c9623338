"""What statements do besides binding names: whether they act at all, what they change in place, and which names of the module they depend on.

Read from the syntax alone, so it is a guess with known gaps: a change made by a function that is passed along, through another name for the same object, or
by a method not in `MUTATORS` is not seen. Not here: what follows from it for a program (`rrtf.extraction.serving`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from rrtf.extraction.syntax import bound, loaded

MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "extendleft", "fill", "insert", "intersection_update", "pop", "popitem"}
    | {"popleft", "register", "remove", "reverse", "rotate", "setdefault", "sort", "subtract", "symmetric_difference_update", "update"}
    | {"__setitem__", "__delitem__", "heappush", "heapify", "insort", "insort_left", "insort_right"}
)
"""Methods that change what they are called on, and functions that change their first argument."""

SHOWS = frozenset({"print", "input", "exit", "quit", "help", "breakpoint"})
_LEAVES = SHOWS | {"open", "stdin", "_exit", "sleep"}
LIMITS = frozenset({"setrecursionlimit", "set_int_max_str_digits"})
"""What `sys` offers to raise a limit of the interpreter."""


def acts(node: ast.AST) -> bool:
    """Whether evaluating it may do something: call, await, yield or bind. Attributes and operators with effects of their own do not count."""
    return any(isinstance(part, ast.Call | ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr) for part in ast.walk(node))


def meets_world(nodes: Iterable[ast.AST]) -> bool:
    """Whether the nodes name something that reads, shows, waits or ends the program."""
    parts = [part for node in nodes for part in ast.walk(node)]
    return any((isinstance(part, ast.Name) and part.id in _LEAVES) or (isinstance(part, ast.Attribute) and part.attr in _LEAVES) for part in parts)


def root(node: ast.AST) -> str | None:
    """The name that a chain of attributes and subscripts begins with, as `a` in `a.b[0].c`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def altered(statement: ast.AST) -> set[str]:
    """Names of the module whose content the statement (of a function: a call of it) changes in place, or binds anew with `global`."""
    changed: set[str | None] = set()
    for part in ast.walk(statement):
        match part:
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                changed.add(root(part))
            case ast.Call(func=ast.Attribute(value=owner, attr=name), args=args) if name in MUTATORS:
                changed.add(root(owner))
                changed |= {root(arg) for arg in args[:1]}
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in MUTATORS:
                changed.add(root(first))
            case _:
                pass
    names = {name for name in changed if name is not None}
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return names
    return (names - _locals(statement)) | (_shared(statement) & bound([statement]))


def read_outside(nodes: Iterable[ast.AST]) -> set[str]:
    """Names of the module that the nodes read: of a function, those that are not its own."""
    names: set[str] = set()
    for node in nodes:
        names |= loaded([node]) - (_locals(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else set[str]())
    return names


def read_plainly(node: ast.AST) -> set[str]:
    """Names that the node reads for themselves, not only to reach one of their attributes."""
    bases = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and id(part) not in bases}


def evaluated(statement: ast.stmt) -> set[str]:
    """Names that the statement reads when it is executed itself: not those in the bodies of functions, which are read when they are called."""
    names: set[str] = set()
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        later = {id(part) for part in node.body} if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else set[int]()
        todo += [part for part in ast.iter_child_nodes(node) if id(part) not in later]
    return names


def _shared(function: ast.AST) -> set[str]:
    return {name for part in ast.walk(function) if isinstance(part, ast.Global) for name in part.names}


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names the function binds for itself. Its own name is the module's."""
    return bound([function]) - _shared(function) - {function.name}
