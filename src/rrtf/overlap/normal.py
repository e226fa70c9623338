"""A program as the list of its functions, each written in the one way in which all that do the same alike are written.

What is taken away or made one: docstrings, annotations, decorators, imports (`from math import sqrt` and `math.sqrt` are one name), `if __name__`, the class
around a method and `self`; constants with a name; names used once, in the next statement; `x += 1`; several targets at once; the two ways to write an `if`
that returns; loops that collect, count or look for something (`rrtf.overlap.loops`); expressions (`rrtf.overlap.expressions`); the order of independent
assignments (`rrtf.overlap.order`). Names are left to whoever compares (`rrtf.overlap.flattening`).

The result is for comparing and not for running: what is equal here is the same program as far as people who copy are concerned. Not here: what is shared, and
how much of it (`rrtf.overlap.trees`); likeness of what programs do (`rrtf.overlap.behaviour`).
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import cast

from rrtf.extraction.syntax import bare_text, bound, is_main_guard, loaded, parse
from rrtf.overlap.expressions import Expressions, is_name, negated, turned
from rrtf.overlap.loops import comprehended
from rrtf.overlap.order import ordered

_ROUNDS = 2
"""One rewriting makes room for another; after the second hardly any is left."""
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def normal(source: str) -> list[ast.stmt] | None:
    """The functions of a program, methods among them; of a program without functions its statements. None when it does not parse, or is nested too deeply."""
    tree = parse(source)
    if tree is None:
        return None
    try:
        return _normal(tree)
    except RecursionError:
        return None


def _normal(tree: ast.Module) -> list[ast.stmt]:
    tree = cast("ast.Module", _Resolved(dict(_imported(tree))).visit(tree))
    lifted = list(_lifted(tree.body))
    functions: list[ast.stmt] = [node for node in lifted if isinstance(node, ast.FunctionDef)]
    kept = functions or [ast.FunctionDef("program", _no_arguments(), lifted or [ast.Pass()], [])]
    known = _constants([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], kept) if functions else {}
    for number, node in enumerate(kept):
        made, given = node, known
        for _ in range(_ROUNDS):
            made = cast("ast.stmt", _Placed({**given, **_constants(list(ast.walk(made)), [made])}).visit(made))
            made = _rewritten(cast("ast.stmt", Expressions().visit(made)))
            given = dict[str, ast.expr]()
        kept[number] = cast("ast.stmt", Expressions().visit(made))
    return kept


def _no_arguments() -> ast.arguments:
    return ast.arguments([], [], None, [], [], None, [])


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that stand for a module or something in it -> their full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], alias.name if alias.asname else alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


class _Resolved(ast.NodeTransformer):
    """Full names for what is imported; no annotations, docstrings or decorators."""

    def __init__(self, imported: dict[str, str]) -> None:
        self.imported = imported

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in self.imported:
            return ast.Name(f"{self.imported[node.value.id]}.{node.attr}", node.ctx)
        if is_name(node.value, "self"):
            return ast.Name(node.attr, node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.imported[node.id], node.ctx) if isinstance(node.ctx, ast.Load) and node.id in self.imported else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else ast.Pass()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        return ast.FunctionDef(node.name, node.args, _spoken(node.body), [])

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        return ast.FunctionDef(node.name, node.args, _spoken(node.body), [])


def _spoken(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements that do something."""
    kept = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Global | ast.Nonlocal) and bare_text(node) is None]
    return kept or [ast.Pass()]


def _lifted(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements with classes opened: their methods, without the instance, are functions like others."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            for part in _lifted(node.body):
                if isinstance(part, ast.FunctionDef) and part.args.args and part.args.args[0].arg in ("self", "cls"):
                    del part.args.args[0]
                yield part
        elif not isinstance(node, ast.Import | ast.ImportFrom) and bare_text(node) is None and not is_main_guard(node):
            yield node


def _constants(nodes: list[ast.AST] | list[ast.stmt], among: list[ast.stmt]) -> dict[str, ast.expr]:
    """Names that are set once in all, to a constant."""
    stores: Counter[str] = Counter()
    taken: set[str] = set()
    augmented: set[str] = set()
    for root in among:
        for node in ast.walk(root):
            if isinstance(node, ast.Name):
                stores[node.id] += isinstance(node.ctx, ast.Store)
            elif isinstance(node, ast.arg):
                taken.add(node.arg)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                augmented.add(node.target.id)
    found: dict[str, ast.expr] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(target := node.targets[0], ast.Name):
            inside = stores[target.id]
            fixed = _is_constant(node.value) or _is_length(node.value, stores)
            if fixed and target.id not in taken and inside <= 1 and target.id not in found:
                found[target.id] = node.value
    return {name: value for name, value in found.items() if name not in augmented}


def _is_length(node: ast.expr, stores: Counter[str]) -> bool:
    """Whether it is `len` of something that keeps its name: people who write it down once mean the same as those who do not."""
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)], keywords=[]):
            return not stores[name]
        case _:
            return False


def _is_constant(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=ast.Constant()):
            return True
        case ast.Tuple(elts=elts):
            return bool(elts) and all(_is_constant(item) for item in elts)
        case _:
            return False


class _Placed(ast.NodeTransformer):
    """Constants in the place of their names."""

    def __init__(self, known: dict[str, ast.expr]) -> None:
        self.known = known

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and node.targets[0].id in self.known:
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return copy.deepcopy(self.known[node.id]) if isinstance(node.ctx, ast.Load) and node.id in self.known else node


def _rewritten(statement: ast.stmt) -> ast.stmt:
    """A statement with every block inside it rewritten, inner ones first."""
    for field in ("body", "orelse", "finalbody"):
        block = cast("object", getattr(statement, field, None))
        if isinstance(block, list) and block:
            setattr(statement, field, _block([_rewritten(node) for node in cast("list[ast.stmt]", block)], statement))
    for handler in cast("list[ast.ExceptHandler]", getattr(statement, "handlers", [])):
        handler.body = _block([_rewritten(node) for node in handler.body], statement)
    for case in cast("list[ast.match_case]", getattr(statement, "cases", [])):
        case.body = _block([_rewritten(node) for node in case.body], statement)
    return statement


def _block(block: list[ast.stmt], owner: ast.stmt) -> list[ast.stmt]:
    out = [part for statement in block for part in _plain(statement)]
    out = _unnested(out)
    out = comprehended(out)
    out = _returning(out)
    out = _used_once(out, owner)
    return ordered(_spoken(out))


def _plain(statement: ast.stmt) -> Iterator[ast.stmt]:
    """One assignment to one target at a time; `x += y` as `x = x + y`; `if` both of whose branches set one name as a choice of values; a lambda with a name
    as a function.
    """
    match statement:
        case ast.AugAssign(target=target, op=op, value=value):
            read = copy.deepcopy(target)
            read.ctx = ast.Load()
            yield ast.Assign([target], Expressions().visit_BinOp(ast.BinOp(read, op, value)))
        case ast.Assign(targets=[ast.Tuple(elts=names) | ast.List(elts=names)], value=ast.Tuple(elts=values) | ast.List(elts=values)) if _splits(names, values):
            for name, value in zip(names, values, strict=True):
                yield ast.Assign([name], value)
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp(left=left, op=ast.Add() | ast.Mult() as op, right=ast.Name(id=last))) if name == last:
            yield ast.Assign(statement.targets, ast.BinOp(ast.Name(last, ast.Load()), op, left))
        case ast.Assign(targets=[_, _, *_] as targets, value=ast.Constant() as value):
            for target in targets:
                yield ast.Assign([target], value)
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda(args=args, body=body)):
            yield ast.FunctionDef(name, args, [ast.Return(body)], [])
        case ast.If(body=[ast.Assign(targets=[ast.Name(id=one)], value=yes)], orelse=[ast.Assign(targets=[ast.Name(id=two)], value=no)]) if one == two:
            yield ast.Assign([ast.Name(one, ast.Store())], Expressions().visit_IfExp(ast.IfExp(statement.test, yes, no)))
        case _:
            yield statement


def _splits(names: list[ast.expr], values: list[ast.expr]) -> bool:
    if len(names) != len(values) or any(isinstance(item, ast.Starred) for item in [*names, *values]):
        return False
    later = bound(names)
    return len(later) == len(names) and not loaded(values) & later


def _unnested(block: list[ast.stmt]) -> list[ast.stmt]:
    """No `else` where the `if` before it ends the block, and no `not` before a condition that has one."""
    out: list[ast.stmt] = []
    for statement in block:
        if not isinstance(statement, ast.If):
            out.append(statement)
            continue
        test, body, orelse = statement.test, statement.body, statement.orelse
        if orelse and not isinstance(body[-1], _ENDS) and (isinstance(orelse[-1], _ENDS) or turned(test)):
            test, body, orelse = negated(test), orelse, body
        if orelse and isinstance(body[-1], _ENDS):
            out += [ast.If(test, body, []), *orelse]
        elif not orelse and len(body) == 1 and isinstance(inner := body[0], ast.If) and not inner.orelse:
            out.append(ast.If(Expressions().visit_shallow(ast.BoolOp(ast.And(), [test, inner.test])), inner.body, []))
        else:
            out.append(ast.If(test, body, orelse))
    return out


def _returning(block: list[ast.stmt]) -> list[ast.stmt]:
    """`if c: return a` and then `return b` as `return a if c else b`."""
    out = list(block)
    while len(out) > 1:
        match out[-2:]:
            case [ast.If(test=test, body=[ast.Return(value=ast.expr() as yes)], orelse=[]), ast.Return(value=ast.expr() as no)]:
                out[-2:] = [ast.Return(Expressions().visit_IfExp(ast.IfExp(test, yes, no)))]
            case _:
                break
    return out


def _used_once(block: list[ast.stmt], owner: ast.stmt) -> list[ast.stmt]:
    """Values in the place of names that are set once and read once, by the next statement and not again and again."""
    if not isinstance(owner, ast.FunctionDef) or not any(isinstance(statement, ast.Assign) for statement in block):
        return block
    everywhere = Counter(node.id for statement in block for node in ast.walk(statement) if isinstance(node, ast.Name))
    out: list[ast.stmt] = []
    for statement in block:
        before = out[-1] if out else None
        if isinstance(before, ast.Assign) and len(before.targets) == 1 and isinstance(name := before.targets[0], ast.Name) and everywhere[name.id] == 2:
            reads = [node for part in _at_once(statement) for node in ast.walk(part) if is_name(node, name.id)]
            if len(reads) == 1:
                out.pop()
                statement = cast("ast.stmt", _Placed({name.id: before.value}).visit(statement))  # noqa: PLW2901 - it goes on being this statement
        out.append(statement)
    return out


def _at_once(statement: ast.stmt) -> list[ast.AST]:
    """The parts of a statement that are computed exactly once, first thing: nothing in a loop, a function or a comprehension."""
    match statement:
        case ast.Return(value=ast.expr() as value) | ast.Expr(value=value) | ast.Assign(value=value):
            parts: list[ast.expr] = [value]
        case ast.For(iter=value):
            parts = [value]
        case ast.If(test=test):
            parts = [test]
        case _:
            return []
    repeated = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    out: list[ast.AST] = []
    while parts:
        part = parts.pop()
        if isinstance(part, repeated):
            if not isinstance(part, ast.Lambda):
                parts.append(part.generators[0].iter)
            continue
        out += [part] if isinstance(part, ast.Name) else []
        parts += [node for node in ast.iter_child_nodes(part) if isinstance(node, ast.expr)]
        parts += [node.value for node in ast.iter_child_nodes(part) if isinstance(node, ast.keyword)]
    return out
