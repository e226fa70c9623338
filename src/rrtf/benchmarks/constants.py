"""The value of a constant expression, found from its syntax alone: nothing is run, and nothing becomes large.

Literals, signs, arithmetic of numbers, repeated and joined sequences, `set()`, `dict()`, `tuple(...)`, `float("inf")` and the like. Not here: what the values
are for (`assertions`).
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any, cast

# Values in this module are of any plain type, and those of `operator` have none at all.
# pyright: reportUnknownMemberType=false

MOST_ITEMS = 100_000
"""Items or characters of a sequence that an expression may make."""
_MOST_BITS = 14_000
"""Of an integer: what Python writes as text by default, and not a digit more."""
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_, ast.Invert: operator.invert}
_MAKERS: dict[str, type] = {"tuple": tuple, "list": list, "set": set, "frozenset": frozenset, "dict": dict, "float": float}
BUILTINS = frozenset(_MAKERS)
"""Names that are understood in constants; where a test gives one of them another meaning, nothing here holds."""


class NotConstant(ValueError):
    """The expression is no constant that is understood here."""


def constant(node: ast.expr) -> Any:
    """The value of a constant expression, of plain types only. Raises `NotConstant`."""
    try:
        return _value(node)
    except (TypeError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        raise NotConstant(str(error)) from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | complex() | str() | bytes() as value):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple([_value(item) for item in items])
        case ast.Set(elts=items):
            return {_value(item) for item in items}
        case ast.Dict(keys=keys, values=items) if None not in keys:
            return {_value(cast("ast.expr", key)): _value(item) for key, item in zip(keys, items, strict=True)}
        case ast.UnaryOp(op=op, operand=operand):
            return _SIGNS[type(op)](_number_or_truth(op, _value(operand)))
        case ast.BinOp(left=left, op=op, right=right):
            return _combined(op, _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _MAKERS and len(args) <= 1:
            return _made(name, *[_value(argument) for argument in args])
        case _:
            raise NotConstant(f"{type(node).__name__} is no constant")


def _number_or_truth(op: ast.unaryop, value: Any) -> Any:
    if isinstance(value, (int, float, complex)) and not (isinstance(op, ast.Invert) and isinstance(value, bool)):  # ~True is on its way out of Python
        return value
    raise NotConstant("a sign before something that is no number")


def _combined(op: ast.operator, left: Any, right: Any) -> Any:
    """Bounded before it is computed: `2 ** 10 ** 10` and `"a" * 10 ** 10` are short expressions."""
    if isinstance(left, (int, float, complex)) and isinstance(right, (int, float, complex)):
        if isinstance(left, int) and isinstance(right, int):
            _require_small(op, int(left), int(right))
        result = _ARITHMETIC[type(op)](left, right)
        if isinstance(result, float) and math.isnan(result):
            raise NotConstant("arithmetic that gives NaN")
        return result
    if isinstance(op, ast.Add) and type(left) is type(right) and isinstance(left, (str, bytes, list, tuple)):
        joined = cast("Any", left) + right
        return _bounded(joined)
    if isinstance(op, ast.Mult):
        sequence, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int) and isinstance(sequence, (str, bytes, list, tuple)):
            parts = cast("list[object]", sequence)
            if len(parts) * max(times, 0) <= MOST_ITEMS and not any(isinstance(part, (list, dict, set, tuple)) for part in parts):
                return cast("Any", sequence) * times
    raise NotConstant("an operation that is not understood, is too large, or repeats one object")  # of [[0]] * 2 the two rows are one list


def _require_small(op: ast.operator, left: int, right: int) -> None:
    if isinstance(op, ast.Pow):
        bits = left.bit_length() * max(right, 1)
    elif isinstance(op, ast.LShift):
        bits = left.bit_length() + max(right, 0)
    elif isinstance(op, ast.Mult):
        bits = left.bit_length() + right.bit_length()
    else:
        bits = max(left.bit_length(), right.bit_length())
    if bits > _MOST_BITS:
        raise NotConstant("a number that is too large")


def _bounded(value: Any) -> Any:
    if len(value) > MOST_ITEMS:
        raise NotConstant("a sequence that is too long")
    return value


def _made(name: str, *given: Any) -> Any:
    if name == "float":
        if len(given) != 1 or not isinstance(given[0], (str, int, float)):
            raise NotConstant("float of something else")
        return float(given[0])
    if given and (isinstance(given[0], (set, frozenset)) and name in ("tuple", "list")):
        raise NotConstant("a sequence in the order of a set, which nobody promises")
    return _MAKERS[name](*given)
