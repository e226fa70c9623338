"""Small faults put into a reference, one at a time: tests that do not notice them would not notice them in a student's answer either.

Six kinds: a comparison swapped, an operator swapped, `and` for `or` and back, an integer one higher, a truth value or a `not` turned round, and a
`return` that gives None. Only statements after the docstring of the entry point are changed, nested functions included. A mutant may be equivalent to
the reference, so a share of survivors is normal. Not here: running them (`rrtf.quality.fitness`).
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
_SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A program with one fault."""

    change: str
    """What was changed and where, such as `line 7: < became <=`."""
    source: str


def mutants(source: str, entry_point: str) -> Iterator[Mutant]:
    """Every mutant of a program that defines `entry_point` at its top level; none when it does not."""
    tree = ast.parse(source)
    places = range(len(_sites(tree, entry_point)))
    for place in places:
        for variant in range(_variants(_sites(tree, entry_point)[place])):
            changed = copy.deepcopy(tree)
            node = _sites(changed, entry_point)[place]
            line = getattr(node, "lineno", 0)
            change = _mutate(node, variant)
            yield Mutant(f"line {line}: {change}", ast.unparse(ast.fix_missing_locations(changed)))


def _sites(tree: ast.Module, entry_point: str) -> list[ast.AST]:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point]
    if not functions:
        return []
    body = functions[-1].body[1:] if ast.get_docstring(functions[-1]) is not None else functions[-1].body
    return [node for statement in body for node in ast.walk(statement) if _variants(node)]


def _variants(node: ast.AST) -> int:
    """In how many ways a node can be mutated."""
    if isinstance(node, ast.Compare):
        return len(node.ops)
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        return int(type(node.op) in _OPERATORS)
    if isinstance(node, ast.Constant):
        return int(type(node.value) in (int, bool))
    if isinstance(node, ast.Return):
        return int(node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None))
    return int(isinstance(node, ast.BoolOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)))


def _mutate(node: ast.AST, variant: int) -> str:
    if isinstance(node, ast.Compare):
        was = node.ops[variant]
        node.ops[variant] = _COMPARISONS[type(was)]()
        return f"{_sign(was)} became {_sign(node.ops[variant])}"
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        was = node.op
        node.op = _OPERATORS[type(was)]()
        return f"{_sign(was)} became {_sign(node.op)}"
    if isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"{'and' if isinstance(node.op, ast.Or) else 'or'} became {'or' if isinstance(node.op, ast.Or) else 'and'}"
    if isinstance(node, ast.Constant):
        was = node.value
        node.value = (not was) if isinstance(was, bool) else cast("int", was) + 1
        return f"{was!r} became {node.value!r}"
    if isinstance(node, ast.UnaryOp):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)
        return "not was dropped"
    if isinstance(node, ast.Return):
        node.value = ast.Constant(None)
        return "it returns None"
    raise TypeError(f"{type(node).__name__} cannot be mutated")


def _sign(operator: ast.AST) -> str:
    return _SIGNS[type(operator)]
