"""The order of statements where it provably does not matter: assignments side by side that share nothing and only compute.

Not here: functions of a module, each of which is compared by itself (`rrtf.overlap.trees`).
"""

from __future__ import annotations

import ast

from rrtf.extraction.syntax import bound, loaded
from rrtf.overlap.flattening import flat, nameless

_PURE = {"abs", "bool", "chr", "dict", "divmod", "enumerate", "float", "frozenset", "int", "len", "list"} | {
    *("max", "min", "ord", "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip")
}
"""Builtins that only compute."""


def ordered(block: list[ast.stmt]) -> list[ast.stmt]:
    """The block with each run of independent neighbours in the order of what they look like without their names."""
    out = list(block)
    if sum(_computes(statement) for statement in out) < 2:
        return out
    keys = {id(statement): nameless(flat(statement)) for statement in out if _computes(statement)}
    for end in range(1, len(out)):
        place = end
        while place and _swaps(out[place - 1], out[place]) and keys[id(out[place])] < keys[id(out[place - 1])]:
            out[place - 1], out[place] = out[place], out[place - 1]
            place -= 1
    return out


def _swaps(one: ast.stmt, other: ast.stmt) -> bool:
    if not (_computes(one) and _computes(other)):
        return False
    sets, reads = bound([one]), loaded([one])
    others, read = bound([other]), loaded([other])
    return not (sets & (others | read) or reads & others)


def _computes(statement: ast.stmt) -> bool:
    """Whether it only computes a value for a name."""
    if not (isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets)):
        return False
    return all(
        not isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr)
        and not (isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _PURE))
        for node in ast.walk(statement.value)
    )
