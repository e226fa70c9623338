"""Suites of `assert f(arguments) == value`, rewritten as calls whose results are compared outside the sandbox, where that means the same.

A suite is a list of asserts (MBPP), or one function full of them that is called with the entry point (HumanEval, LeetCodeDataset). It is rewritten only as
a whole, and only when every statement is understood from its syntax: `f(..) == constant`, `f(..) is None`, `f(..)`, `not f(..)`,
`abs(f(..) - number) < number`, the sides in either order; constants as in `constants`. Messages, docstrings, asserts of constants that hold, constants that no
assert uses and imports of harmless modules are left out. Anything else (loops, helpers, names, `math.isclose`, sets as arguments, whose order might change)
leaves all of the suite as code.

The same means: a program passes the calls exactly when it passes the asserts, whatever it returns, with the exceptions that docs/formats.md lists (objects with
an equality of their own, arrays). Not here: comparing (`rrtf.sandbox.compare`).
"""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from rrtf import values
from rrtf.benchmarks.constants import BUILTINS, NotConstant, constant
from rrtf.extraction.syntax import bare_text, binds, parse
from rrtf.records import AssertTest, CallMatch, CallTest, Test

_HARMLESS = frozenset({"math", "random", "copy", "string", "typing", "itertools", "collections", "re", "functools", "operator"})
"""Modules that tests import for helpers they then do not need; loading one changes nothing that a program could notice."""
_MOST_TEXT = 2_000_000
"""Characters of arguments and expected values of a suite: the results must fit into what a worker may send back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a suite stays code."""

    reason: str


def suite(code: str, entry_point: str) -> tuple[Test, ...]:
    """The tests that a suite makes: calls where it can be rewritten, else its code as one test."""
    calls = rewritten(code, entry_point)
    return (AssertTest(code),) if isinstance(calls, Kept) else calls


def rewritten(code: str, entry_point: str) -> tuple[CallTest, ...] | Kept:
    """The same suite as calls of the entry point, or why it stays as it is."""
    module = parse(code)
    if module is None:
        return Kept("it does not parse")
    try:
        tests = _suite(module, entry_point)
    except NotConstant as error:
        return Kept(str(error))
    except (values.NotPlain, RecursionError):
        return Kept("a constant that is nested too deeply or too large")
    if not tests:
        return Kept("it asserts nothing")
    if sum(len(test.args) + len(test.kwargs) + len(test.expected or "") for test in tests) > _MOST_TEXT:
        return Kept("its constants are too large")
    return tuple(tests)


def _suite(module: ast.Module, entry_point: str) -> list[CallTest]:
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    if not functions:
        return _tests(module.body, entry_point)
    check = functions[0]
    others = [node for node in module.body if node is not check]
    calls = [node for node in others if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    match check.args:
        case ast.arguments(posonlyargs=[], args=[ast.arg(arg=candidate, annotation=None)], vararg=None, kwonlyargs=[], kwarg=None, defaults=[]):
            pass
        case _:
            raise NotConstant("a function that takes something else than the entry point")
    if len(functions) > 1 or check.decorator_list or len(calls) != 1 or others[-1:] != calls or check.name in (entry_point, candidate):
        raise NotConstant("helper functions")
    match calls[0].value:
        case ast.Call(func=ast.Name(id=name), args=[given], keywords=[]) if name == check.name and ast.unparse(given) in (entry_point, "candidate"):
            pass
        case _:
            raise NotConstant("a call of something else than the entry point")
    if _tests(others[:-1], entry_point):
        raise NotConstant("asserts beside its function")
    return _tests(check.body, candidate, reserved={entry_point, check.name})


def _tests(body: Sequence[ast.stmt], name: str, reserved: set[str] | None = None) -> list[CallTest]:
    tests: list[CallTest] = []
    for statement in body:
        if binds(statement) & ({name, "abs"} | BUILTINS | (reserved or set())):
            raise NotConstant("a name that gets another meaning")
        if isinstance(statement, ast.Assert):
            test = _assertion(statement.test, name)
            tests += [test] if test else []
        elif not _idle(statement):
            raise NotConstant(f"a statement that is no assert ({type(statement).__name__})")
    return tests


def _idle(statement: ast.stmt) -> bool:
    """Whether a statement changes nothing that an assert could see: names that it binds make an assert that uses them no constant."""
    match statement:
        case ast.Pass():
            return True
        case ast.Import(names=names):
            return all(alias.name in _HARMLESS for alias in names)
        case ast.ImportFrom(module=str() as module, level=0, names=names):
            return module in _HARMLESS and all(alias.name != "*" for alias in names)
        case ast.Assign(targets=[ast.Name()], value=value):
            return _is_constant(value)
        case ast.Expr(value=ast.Name(id=name)):
            return hasattr(builtins, name)
        case ast.Expr():
            return bare_text(statement) is not None
        case _:
            return False


def _assertion(test: ast.expr, name: str) -> CallTest | None:
    """The test that an asserted expression makes; None for a constant that holds."""
    if _calls(test, name):
        return _call(test, match="truth", expected=True)
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand) if _calls(operand, name):
            return _call(operand, match="truth", expected=False)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _comparison(op, left, right, name)
        case _:
            pass
    try:
        holds = bool(constant(test))
    except NotConstant:
        raise NotConstant("an assert of another form") from None
    if not holds:
        raise NotConstant("an assert that never holds")
    return None


def _comparison(op: ast.cmpop, left: ast.expr, right: ast.expr, name: str) -> CallTest:
    if isinstance(op, ast.Gt):
        op, left, right = ast.Lt(), right, left
    if isinstance(op, ast.Lt):
        return _difference(left, right, name)
    if _calls(right, name) and not _calls(left, name):
        left, right = right, left
    if not _calls(left, name) or not isinstance(op, (ast.Eq, ast.Is)):
        raise NotConstant("an assert of another form")
    expected = _constant(right, "an expected value that is no constant")
    if isinstance(op, ast.Eq):
        return _call(left, match="equal", expected=expected)
    if not any(expected is single for single in (None, True, False)):
        raise NotConstant("an assert of another form")  # such as `is 5`
    return _call(left, match="is", expected=expected)


def _difference(left: ast.expr, right: ast.expr, name: str) -> CallTest:
    match left:
        case ast.Call(func=ast.Name(id="abs"), args=[ast.BinOp(left=one, op=ast.Sub(), right=other)], keywords=[]) if _calls(one, name) != _calls(other, name):
            call, number = (one, other) if _calls(one, name) else (other, one)
        case _:
            raise NotConstant("an assert of another form")
    expected, tolerance = _constant(number, "an expected value that is no constant"), _constant(right, "a tolerance that is no constant")
    if type(expected) not in (int, float) or type(tolerance) not in (int, float) or not 0 < tolerance < math.inf:
        raise NotConstant("a difference that is not one of numbers")
    if float(tolerance) != tolerance:
        raise NotConstant("a tolerance that is no float")
    return _call(call, match="within", expected=expected, tolerance=float(tolerance))


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and (ast.unparse(node.func) == name)


def _is_constant(node: ast.expr) -> bool:
    try:
        constant(node)
    except NotConstant:
        return False
    return True


def _constant(node: ast.expr, otherwise: str) -> Any:
    try:
        return constant(node)
    except NotConstant:
        raise NotConstant(otherwise) from None


def _call(node: ast.expr, *, match: CallMatch, expected: object, tolerance: float | None = None) -> CallTest:
    assert isinstance(node, ast.Call)  # noqa: S101 - `_calls` said so
    if any(keyword.arg is None for keyword in node.keywords):
        raise NotConstant("an argument that is no constant")
    args = [_constant(argument, "an argument that is no constant") for argument in node.args]
    kwargs = {str(keyword.arg): _constant(keyword.value, "an argument that is no constant") for keyword in node.keywords}
    if _has_set(args) or _has_set(list(kwargs.values())):
        raise NotConstant("a set as an argument, whose order might change")
    return CallTest(
        args=values.dumps(args),
        kwargs=values.dumps(kwargs),
        expected=values.dumps(expected),
        match=match,
        tolerance=tolerance,
    )


def _has_set(value: object) -> bool:
    """Whether a set of several items is in there: a program can see in which order they were put in."""
    if isinstance(value, (set, frozenset)):
        parts = list(cast("set[object]", value))
        return len(parts) > 1 or any(map(_has_set, parts))
    if isinstance(value, dict):
        return any(_has_set(item) for pair in cast("dict[object, object]", value).items() for item in pair)
    return isinstance(value, (list, tuple)) and any(map(_has_set, cast("list[object]", value)))
