"""Small faults put into a reference, one at a time: tests that do not notice them would not notice them in a student's answer either.

Six kinds: a comparison swapped, an operator swapped, `and` for `or` and back, an integer one higher, a truth value or a `not` turned round, and a
`return` that gives None. Where the entry point is a function, only statements after its docstring are changed, nested functions included; where it is a method,
such as `Solution().add`, every statement of its class; in a program without an entry point, every statement but `if __name__ == "__main__"` itself. A mutant
may be equivalent to the reference, so a share of survivors is normal. Not here: running them (`rrtf.quality.fitness`).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from rrtf.extraction.syntax import is_main_guard
from rrtf.quality.programs import owner

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


def mutants(source: str, entry_point: str | None) -> Iterator[Mutant]:
    """Every mutant of a program, each once; none when it does not define `entry_point` at its top level."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for node in _sites(tree, entry_point):
        for variant in range(_variants(node)):
            before = {name: list(cast("list[object]", value)) if isinstance(value, list) else value for name, value in ast.iter_fields(node)}
            change = f"line {getattr(node, 'lineno', 0)}: {_mutate(node, variant)}"
            mutant = Mutant(change, ast.unparse(tree))
            for name, value in before.items():  # the fault is taken out again: a copy of the tree for each would cost five times as much
                setattr(node, name, value)
            if mutant.source not in seen:
                seen.add(mutant.source)
                yield mutant


def some_mutants(source: str, entry_point: str | None, most: int) -> list[Mutant]:
    """At most so many mutants, in the order of the program. Which ones follows from their text, so it is the same everywhere and says nothing about them."""
    every = list(mutants(source, entry_point))
    chosen = {mutant.source for mutant in sorted(every, key=lambda mutant: hashlib.sha256(mutant.source.encode()).digest())[:most]}
    return [mutant for mutant in every if mutant.source in chosen]


def _sites(tree: ast.Module, entry_point: str | None) -> list[ast.AST]:
    return [node for statement in _changed(tree, entry_point) for node in ast.walk(statement) if _variants(node)]


def _changed(tree: ast.Module, entry_point: str | None) -> list[ast.stmt]:
    """The statements that may be changed."""
    if entry_point is None:
        return [part for statement in tree.body for part in (cast("ast.If", statement).body if is_main_guard(statement) else _body(statement))]
    if (name := owner(entry_point)) is not None:
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
        return [part for statement in classes[-1].body for part in _body(statement)] if classes else []
    found = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == entry_point]
    return _body(found[-1]) if found else []


def _body(statement: ast.stmt) -> list[ast.stmt]:
    """What a function does: neither its docstring nor its signature. Of another statement, itself."""
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [statement]
    return statement.body[1:] if ast.get_docstring(statement) is not None else statement.body


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
