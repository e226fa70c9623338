"""Which top-level statements belong to the program of an entry point: what it needs, and what prepares something that it needs.

In front of the entry point much may stay, since the author put it there for a reason. Behind it stand examples, tests and main programs, which may read
standard input or never end; there a statement stays only where it changes what the entry point reads, by a way that neither calls the entry point nor meets
the world. Not here: finding the entry point, and text that does not parse (`rrtf.extraction.programs`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from rrtf.extraction.cutting import Piece
from rrtf.extraction.effects import LIMITS, SHOWS, altered, meets_world, read_outside, read_plainly, root
from rrtf.extraction.syntax import BUILTINS, bare_text, binds, bound, is_main_guard, loaded

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Module:
    """Pieces, with what is asked of them more than once."""

    pieces: list[Piece]
    names: list[set[str]]
    """What each binds."""
    reads: list[set[str]]
    outside: list[set[str]]
    """What each reads of the module: not the variables of its functions."""
    assigned: frozenset[str]
    """Names that assignments bind."""
    binders: dict[str, list[int]]
    """The pieces that bind a name."""
    owned: frozenset[str]
    """Names of functions, classes and variables: not of imports."""
    changes: dict[frozenset[str], set[str] | None] = field(default_factory=dict[frozenset[str], set[str] | None])
    """Remembered answers of `_changes`."""

    def needed(self, roots: set[int]) -> set[str]:
        """Every name the roots read, directly or through pieces that bind what they read."""
        names: set[str] = set()
        seen, todo = set(roots), list(roots)
        while todo:
            for name in self.reads[todo.pop()] - names:
                names.add(name)
                news = [number for number in self.binders.get(name, []) if number not in seen]
                seen.update(news)
                todo.extend(news)
        return names


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the pieces that stay ask for."""

    entry_point: str
    needed: set[str]
    tables: set[str]
    """Needed names that an assignment binds."""
    read: set[str]
    """Names of the module that they read, without what only looks like one because a function has a variable of that name."""
    known: set[str]


def module_of(pieces: list[Piece]) -> Module:
    """The pieces as a module."""
    names = [piece.names for piece in pieces]
    binders: dict[str, list[int]] = {}
    for number, bound_here in enumerate(names):
        for name in bound_here:
            binders.setdefault(name, []).append(number)
    owned = {name for piece in pieces for node in piece.nodes or () if not isinstance(node, ast.Import | ast.ImportFrom) for name in binds(node)}
    assigned = {name for piece in pieces for node in piece.nodes or () if isinstance(node, ast.Assign | ast.AnnAssign) for name in binds(node)}
    reads, outside = [loaded(piece.nodes or ()) for piece in pieces], [read_outside(piece.nodes or ()) for piece in pieces]
    return Module(pieces, names, reads, outside, frozenset(assigned), binders, frozenset(owned))


def belonging(module: Module, anchor: int, entry_point: str) -> set[int]:
    """The numbers of the pieces that belong to the program whose entry point the piece `anchor` defines."""
    found, more = set[int](), {anchor}
    while more - found:
        # A kept statement (a loop that fills a table, say) needs names of its own.
        found |= more
        more = _kept(module, anchor, entry_point, found)
    return found


def _kept(module: Module, anchor: int, entry_point: str, roots: set[int]) -> set[int]:
    needed = module.needed(roots)
    users = roots | {number for name in needed for number in module.binders.get(name, [])}
    read = set[str]().union(*(module.outside[number] for number in users))
    wanted = _Wanted(entry_point, needed, needed & module.assigned, read, module.binders.keys() | BUILTINS)
    # More is wanted each time, so what stayed stays.
    return roots | {number for number in range(len(module.pieces)) if number not in roots and _stays(module, number, anchor, wanted)}


def _stays(module: Module, number: int, anchor: int, wanted: _Wanted) -> bool:
    nodes = module.pieces[number].nodes
    if not nodes:
        return False
    if wanted.entry_point in module.names[number]:
        # `entry = cache(entry)` behind the definition wraps it; any other binding of the name is a definition that was not chosen.
        return number > anchor and isinstance(nodes[0], ast.Assign) and wanted.entry_point in module.reads[number]
    if number == 0 and bare_text(nodes[0]) is not None:
        return True
    before = number < anchor
    if before and any(wanted.entry_point in altered(node) for node in nodes if not isinstance(node, _Definition)):
        # It belongs to an earlier definition, which was not chosen.
        return False
    if any(_serves(node, before, wanted) for node in nodes):
        return True
    # What only prepares must not bring an example along that shares its line.
    others = [node for node in nodes if not isinstance(node, ast.Import | ast.ImportFrom)]
    return bool(others) and all(_prepares(module, node, before, wanted) for node in others)


def _serves(node: ast.stmt, before: bool, wanted: _Wanted) -> bool:
    """Whether a top-level statement binds what the program needs, or handles one of its tables."""
    if isinstance(node, ast.Import | ast.ImportFrom | _Definition):
        return before or bool(binds(node) & wanted.needed)
    if is_main_guard(node) or isinstance(node, ast.Assert | ast.Return):
        return False
    if binds(node) & wanted.needed or (before and isinstance(node, ast.Assign) and _is_literal(node.value)):
        return True
    if wanted.entry_point in loaded([node]):
        return False
    touched = loaded([node]) - BUILTINS
    if isinstance(node, ast.Expr):
        if not isinstance(node.value, ast.Call) or (isinstance(node.value.func, ast.Name) and node.value.func.id in SHOWS):
            return False
        # `sys.setrecursionlimit(...)` before the function stays; a line of prose that happens to parse as a call does not.
        return bool(touched & wanted.tables) or (before and touched <= wanted.known)
    return bool((touched | bound([node])) & wanted.tables)


def _prepares(module: Module, node: ast.stmt, before: bool, wanted: _Wanted) -> bool:
    """Whether a statement changes what the program reads: `f.memo = {}`, `sieve()`, `@f.register`, and the recursion limit."""
    owners = wanted.read & module.owned | (set[str]() if before else {wanted.entry_point})
    if isinstance(node, _Definition):
        return any(_enters(module, decorator, owners, wanted) for decorator in node.decorator_list)
    if is_main_guard(node) or isinstance(node, ast.Assert | ast.Return) or _changes(module, node, wanted) is None:
        return False
    call = node.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    if call is not None and isinstance(call.func, ast.Name | ast.Attribute):
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
        if name in LIMITS:
            return loaded([node]) <= wanted.known
        if isinstance(call.func, ast.Name) and name in module.owned:
            return bool((_changes(module, node, wanted) or set[str]()) & wanted.read)
    return bool(altered(node) & owners)


def _enters(module: Module, decorator: ast.expr, owners: set[str], wanted: _Wanted) -> bool:
    """Whether the decorator puts what it decorates somewhere the program looks: `@f.register`, or `@handler("add")` that fills a table."""
    maker = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(maker, ast.Attribute):
        return root(maker) in owners and maker.attr in ("register", "append", "add")
    changed = _changes(module, decorator, wanted) if isinstance(maker, ast.Name) and maker.id in module.owned else None
    return bool((changed or set[str]()) & wanted.read)


def _changes(module: Module, node: ast.AST, wanted: _Wanted) -> set[str] | None:
    """The names of the module that functions change which the node may call; None when it uses the entry point or meets the world on the way."""
    start = frozenset(read_plainly(node))
    if wanted.entry_point in start or meets_world([node]):
        return None
    if start not in module.changes:
        module.changes[start] = _changes_from(module, start, wanted.entry_point)
    return module.changes[start]


def _changes_from(module: Module, start: frozenset[str], entry_point: str) -> set[str] | None:
    numbers = {number for name in start for number in module.binders.get(name, [])}
    names = module.needed(numbers) | start
    numbers |= {number for name in names for number in module.binders.get(name, [])}
    nodes = [node for number in numbers for node in module.pieces[number].nodes or ()]
    if entry_point in names or meets_world(nodes):
        return None
    return set[str]().union(*(altered(node) for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)))


def _is_literal(node: ast.expr) -> bool:
    """Whether the value is written out, so that binding it can do no harm."""
    return not any(isinstance(part, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.BinOp) for part in ast.walk(node))
