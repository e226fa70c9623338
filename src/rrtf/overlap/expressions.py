"""Expressions that mean the same, written in one way: the side of a comparison, what `not` stands before, `any` and `all`, comprehensions, constant sums.

Only likeness is judged by what comes out, and nothing is run, so equal *for all values anyone means* is enough: `a * b` and `b * a` are taken to be the same.
Not here: statements (`rrtf.overlap.normal`).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import cast

from rrtf.overlap.flattening import flat, nameless

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.NotEq: ast.Eq,
    ast.Eq: ast.NotEq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_SUMS: dict[type[ast.operator], Callable[[int, int], int]] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_LARGE = 10**9
_TAKES_ANY = {"sum", "any", "all", "set", "list", "tuple", "sorted", "max", "min", "frozenset"}


def load(name: str) -> ast.Name:
    """The name, read."""
    return ast.Name(name, ast.Load())


def is_name(node: ast.AST | None, name: str | None = None) -> bool:
    """Whether a node is a name, that one if one is given."""
    return isinstance(node, ast.Name) and name in (None, node.id)


def constant(node: ast.AST | None, value: object) -> bool:
    """Whether a node is that very constant."""
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value


def negated(test: ast.expr) -> ast.expr:
    """The opposite of a test."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return inner
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPPOSITE:
            return ast.Compare(left, [_OPPOSITE[type(op)]()], [right])
        case ast.Compare(left=left, ops=[ast.Lt()], comparators=[right]):
            return ast.Compare(right, [ast.LtE()], [left])
        case ast.Compare(left=left, ops=[ast.LtE()], comparators=[right]):
            return ast.Compare(right, [ast.Lt()], [left])
        case ast.BoolOp(op=op, values=values):
            return ast.BoolOp(ast.And() if isinstance(op, ast.Or) else ast.Or(), [negated(value) for value in values])
        case ast.Constant(value=bool(value)):
            return ast.Constant(not value)
        case _:
            return ast.UnaryOp(ast.Not(), test)


def turned(test: ast.expr) -> bool:
    """Whether the opposite of a test is the one to write."""
    match test:
        case ast.UnaryOp(op=ast.Not()) | ast.Compare(ops=[ast.NotEq() | ast.NotIn() | ast.IsNot() | ast.LtE()]):
            return True
        case _:
            return False


def called(name: str, *args: ast.expr) -> ast.Call:
    """A call of a builtin."""
    return ast.Call(load(name), list(args), [])


class Expressions(ast.NodeTransformer):
    """Rewrites every expression, inner ones first. Raises `RecursionError`."""

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Smaller on the left; equals in one order."""
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        op, right = node.ops[0], node.comparators[0]
        if type(op) in _FLIPPED:
            return ast.Compare(right, [_FLIPPED[type(op)]()], [node.left])
        if isinstance(op, ast.Eq | ast.NotEq):
            first, second = _sorted([node.left, right])
            return ast.Compare(first, [op], [second])
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """One `and` of many, in one order."""
        self.generic_visit(node)
        values: list[ast.expr] = []
        for value in node.values:
            values += value.values if isinstance(value, ast.BoolOp) and type(value.op) is type(node.op) else [value]
        return ast.BoolOp(node.op, _sorted(values))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """`not` where it says most; negative numbers as numbers."""
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            return negated(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant) and type(node.operand.value) in (int, float):
            return ast.Constant(-cast("float", node.operand.value))
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Sums of constants; operands in one order."""
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant) and type(node.op) in _SUMS:
            one, other = left.value, right.value
            if type(one) is int and type(other) is int and abs(one) < _LARGE and abs(other) < _LARGE:
                return ast.Constant(_SUMS[type(node.op)](one, other))
        if isinstance(node.op, ast.Add) and isinstance(left, ast.Name) and is_name(right, left.id):
            right, node.op = ast.Constant(2), ast.Mult()
        if isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr | ast.BitXor):
            left, right = _sorted([left, right])
        return ast.BinOp(left, node.op, right)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """Choices between truths as truths."""
        self.generic_visit(node)
        test, body, orelse = node.test, node.body, node.orelse
        if constant(body, value=True):
            return test if constant(orelse, value=False) else self.visit_shallow(ast.BoolOp(ast.Or(), [test, orelse]))
        if constant(body, value=False):
            return negated(test) if constant(orelse, value=True) else self.visit_shallow(ast.BoolOp(ast.And(), [negated(test), orelse]))
        if constant(orelse, value=False):
            return self.visit_shallow(ast.BoolOp(ast.And(), [test, body]))
        return ast.IfExp(negated(test), orelse, body) if turned(test) else node

    def visit_shallow(self, node: ast.BoolOp) -> ast.expr:
        """A new `and` or `or` of operands that are done."""
        values: list[ast.expr] = []
        for value in node.values:
            values += value.values if isinstance(value, ast.BoolOp) and type(value.op) is type(node.op) else [value]
        return ast.BoolOp(node.op, _sorted(values))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """`range`, `map`, `filter`, `len`, `all` and calls that take any iterable."""
        self.generic_visit(node)
        args = node.args
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[start, stop], keywords=[]) if constant(start, 0):
                return called("range", stop)
            case ast.Call(func=ast.Name(id="range"), args=[start, stop, step], keywords=[]) if constant(step, 1):
                return called("range", stop) if constant(start, 0) else called("range", start, stop)
            case ast.Call(func=ast.Name(id="map"), args=[ast.Lambda(args=ast.arguments(args=[arg]), body=body), values], keywords=[]):
                return ast.GeneratorExp(body, [_over(arg.arg, values)])
            case ast.Call(func=ast.Name(id="map"), args=[ast.Name() as function, values], keywords=[]):
                return ast.GeneratorExp(ast.Call(function, [load("item")], []), [_over("item", values)])
            case ast.Call(func=ast.Name(id="filter"), args=[ast.Lambda(args=ast.arguments(args=[arg]), body=test), values], keywords=[]):
                return ast.GeneratorExp(load(arg.arg), [_over(arg.arg, values, test)])
            case ast.Call(func=ast.Name(id="len"), args=[ast.ListComp(generators=generators)], keywords=[]):
                return called("sum", ast.GeneratorExp(ast.Constant(1), generators))
            case ast.Call(func=ast.Name(id=name)) if name in _TAKES_ANY and len(args) == 1 and isinstance(args[0], ast.ListComp | ast.GeneratorExp):
                return _of_generator(name, ast.GeneratorExp(args[0].elt, args[0].generators), node.keywords)
            case ast.Call(func=ast.Name(id="dict" | "list" | "set" | "str" | "int" as name), args=[], keywords=[]):
                empty: dict[str, ast.expr] = {"dict": ast.Dict([], []), "list": ast.List([], ast.Load()), "str": ast.Constant(""), "int": ast.Constant(0)}
                return empty.get(name, node)
            case ast.Call(func=ast.Attribute(attr="join")) if len(args) == 1 and isinstance(args[0], ast.ListComp):
                return ast.Call(node.func, [ast.GeneratorExp(args[0].elt, args[0].generators)], [])
            case _:
                return node


def _of_generator(name: str, values: ast.GeneratorExp, keywords: list[ast.keyword]) -> ast.expr:
    if name == "list" and not keywords:
        return ast.ListComp(values.elt, values.generators)
    if name == "set" and not keywords:
        return ast.SetComp(values.elt, values.generators)
    if name == "all" and not keywords:
        return ast.UnaryOp(ast.Not(), called("any", ast.GeneratorExp(negated(values.elt), values.generators)))
    return ast.Call(load(name), [values], keywords)


def _over(name: str, values: ast.expr, *tests: ast.expr) -> ast.comprehension:
    return ast.comprehension(ast.Name(name, ast.Store()), values, list(tests), 0)


def _sorted(values: list[ast.expr]) -> list[ast.expr]:
    """Operands whose order does not matter, by what they look like without their names."""
    return sorted(values, key=lambda value: nameless(flat(value)))
