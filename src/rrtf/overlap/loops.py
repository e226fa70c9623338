"""Loops that only collect, count, sum or look for something, as the comprehension that does the same; and counting `while` loops as `for` loops.

Not here: comprehensions in different words (`rrtf.overlap.expressions`), everything else about statements (`rrtf.overlap.normal`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from rrtf.extraction.syntax import bound, loaded
from rrtf.overlap.expressions import called, constant, is_name, negated

Generators = list[ast.comprehension]


def comprehended(block: list[ast.stmt]) -> list[ast.stmt]:
    """A block with its collecting loops rewritten."""
    out: list[ast.stmt] = []
    rest = list(block)
    while rest:
        statement = rest.pop(0)
        if isinstance(statement, ast.While):
            statement = _counting(statement, out)
        if isinstance(statement, ast.For) and not statement.orelse:
            if found := _searching(statement, rest[0] if rest else None):
                out.append(found)
                rest.pop(0)
                continue
            if _collecting(statement, out):
                continue
        out.append(statement)
    return out


def _counting(loop: ast.While, before: list[ast.stmt]) -> ast.stmt:
    """`i = 0; while i < n: ...; i = i + 1` as `for i in range(n)`; takes its first statement from `before`."""
    match loop:
        case ast.While(test=ast.Compare(left=ast.Name(id=name), ops=[ast.Lt()], comparators=[end]), body=[*body, last], orelse=[]) if body:
            pass
        case _:
            return loop
    start = _start(name, before)
    jumps = any(isinstance(node, ast.Continue) for node in ast.walk(loop))
    if start is None or jumps or name in bound(body) or (loaded([end]) & bound(body)) or not _adds(last, name, lambda value: constant(value, 1)):
        return loop
    before.remove(start)
    from_zero = constant(start.value, 0)
    span = called("range", end) if from_zero else called("range", start.value, end)
    return ast.For(ast.Name(name, ast.Store()), span, body, [])


def _start(name: str, before: list[ast.stmt]) -> ast.Assign | None:
    """The last statement before that sets a name, when nothing in between has to do with it."""
    for statement in reversed(before):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and is_name(statement.targets[0], name):
            return statement
        if name in bound([statement]) | loaded([statement]):
            return None
    return None


def _adds(statement: ast.stmt, name: str, fits: Callable[[ast.expr], bool]) -> bool:
    """Whether it is `name = name + value`, the sides in either order."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=ast.BinOp(left=left, op=ast.Add(), right=right)) if target == name:
            return (is_name(left, name) and fits(right)) or (is_name(right, name) and fits(left))
        case _:
            return False


def _inner(loop: ast.For) -> tuple[Generators, ast.stmt] | None:
    """The loops and conditions around the one statement that does something."""
    generators: Generators = []
    body: list[ast.stmt] = [loop]
    while len(body) == 1:
        match body[0]:
            case ast.For(target=target, iter=values, orelse=[]) as inner:
                generators.append(ast.comprehension(target, values, [], 0))
                body = inner.body
            case ast.If(test=test, orelse=[]) as condition if generators:
                generators[-1].ifs.append(test)
                body = condition.body
            case statement:
                return generators, statement
    return None


def _searching(loop: ast.For, after: ast.stmt | None) -> ast.stmt | None:
    """`for ..: if c: return True` and then `return False`, or the other way round."""
    found = _inner(loop)
    if found is None or not isinstance(found[1], ast.Return) or not isinstance(after, ast.Return) or not found[0][-1].ifs:
        return None
    generators, first, last = found[0], found[1].value, after.value
    if not ((constant(first, value=True) and constant(last, value=False)) or (constant(first, value=False) and constant(last, value=True))):
        return None
    *others, test = generators[-1].ifs
    generators[-1].ifs = others
    some = called("any", ast.GeneratorExp(test, generators))
    return ast.Return(some if constant(first, value=True) else negated(some))


def _collecting(loop: ast.For, before: list[ast.stmt]) -> bool:
    """Rewrites the statement in `before` that starts what the loop collects."""
    found = _inner(loop)
    if found is None:
        return False
    generators, statement = found
    name, parts = _collected(statement)
    start = _start(name, before) if name else None
    used = loaded([*(part for part in parts), *(item for each in generators for item in [each.iter, *each.ifs])])
    if start is None or name in used:
        return False
    value = _comprehension(statement, start.value, parts, generators)
    if value is None:
        return False
    before.remove(start)
    before.append(ast.Assign([ast.Name(name, ast.Store())], value))
    return True


def _collected(statement: ast.stmt) -> tuple[str, list[ast.expr]]:
    """The name that a statement adds to, and what it adds."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "add"), args=[item], keywords=[])):
            return name, [item]
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=key)], value=item):
            return name, [key, item]
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp(left=left, op=ast.Add(), right=right)):
            if is_name(left, name):
                return name, [right]
            return (name, [left]) if is_name(right, name) else ("", [])
        case _:
            return "", []


def _comprehension(statement: ast.stmt, start: ast.expr, parts: list[ast.expr], generators: Generators) -> ast.expr | None:
    item = parts[-1]
    empty_list, empty_set = isinstance(start, ast.List) and not start.elts, isinstance(start, ast.Call) and is_name(start.func, "set") and not start.args
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"))) if empty_list:
            return ast.ListComp(item, generators)
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="add"))) if empty_set:
            return ast.SetComp(item, generators)
        case ast.Assign(targets=[ast.Subscript()]) if isinstance(start, ast.Dict) and not start.keys:
            return ast.DictComp(parts[0], item, generators)
        case ast.Assign(targets=[ast.Name()]) if constant(start, 0):
            return called("sum", ast.GeneratorExp(item, generators))
        case ast.Assign(targets=[ast.Name()]) if constant(start, ""):
            return ast.Call(ast.Attribute(ast.Constant(""), "join", ast.Load()), [ast.GeneratorExp(item, generators)], [])
        case ast.Assign(targets=[ast.Name()]) if empty_list and isinstance(item, ast.List) and len(item.elts) == 1:
            return ast.ListComp(item.elts[0], generators)
        case _:
            return None
