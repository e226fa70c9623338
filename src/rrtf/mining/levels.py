"""The runnable level of a function, after CoderEval (arXiv 2302.00288): what its body needs beyond builtins.

The levels, from least to most; a function has the greatest that any name in its body (without docstring, annotations and decorators) asks for:

self_contained    builtins, its own parameters and locals, and itself.
slib_runnable     a module of the standard library, imported in the file or in the body.
plib_runnable     a module that is neither the standard library's nor the repository's.
class_runnable    its own class: any use of the first parameter of a method that is not static, `super()`, or the class by name.
file_runnable     a name that its file binds otherwise (function, class, constant), or `globals()`, `eval`, `exec`, `vars()`, `__file__` and the like.
project_runnable  a name imported from the repository (relatively, or by one of its top-level names), or one that only a star import from there can bind.

A name that the file binds in several ways (`try: import x; except ImportError: x = None`) has the greatest of their levels. An attribute of `self` that its
class does not itself define or assign has the level of the class's bases, where these are more: an inherited method is found in another file. What a used name
needs in turn does not count. Not here: running anything; attributes of other objects, whose classes no reading of names can tell.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from typing import Literal, get_args

from rrtf.extraction.syntax import FunctionNode, docstring_node

Level = Literal["self_contained", "slib_runnable", "plib_runnable", "class_runnable", "file_runnable", "project_runnable"]
LEVELS: tuple[Level, ...] = get_args(Level)

_BUILTINS = frozenset(dir(builtins))
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_ASKS_THE_FILE = {"globals", "eval", "exec", "vars", "__file__", "__name__", "__doc__", "__package__", "__spec__", "__path__"}


def level(function: FunctionNode, owner: ast.ClassDef | None, module: ast.Module, name: str, package: bool, own: frozenset[str]) -> Level:
    """The level of a function of `module`, whose importable name is `name` (`package`: it is an `__init__.py`); `own`: top-level names of the repository."""
    bindings = _bindings(module, own)
    body = function.body[1:] if docstring_node(function) else function.body
    found: set[Level] = {"self_contained"}
    for used in _free(function, body):
        if used == function.name and owner is None:
            continue
        if owner is not None and used in (owner.name, "super", "__class__"):
            found.add("class_runnable")
        elif used in bindings:
            found |= bindings[used]
        elif used in _ASKS_THE_FILE:
            found.add("file_runnable")
        elif used not in _BUILTINS:
            found |= bindings.get("*", {"file_runnable"})
    for node in _inner_imports(body):
        found |= {_imported(node, alias, own) for alias in node.names}
    if owner is not None:
        found |= _through_instance(function, owner, body, bindings)
    return max(found, key=LEVELS.index)


def _bindings(module: ast.Module, own: frozenset[str]) -> dict[str, set[Level]]:
    """What each name of the file's top level can be; `*`: what star imports can bring."""
    found: dict[str, set[Level]] = {}

    def add(name: str, kind: Level) -> None:
        found.setdefault(name, set()).add(kind)

    for node in _top_level(module.body):
        match node:
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    add("*" if alias.name == "*" else alias.asname or alias.name.partition(".")[0], _imported(node, alias, own))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                add(node.name, "file_runnable")
            case ast.ExceptHandler(name=str(bound)):
                add(bound, "file_runnable")
            case ast.Name(id=bound, ctx=ast.Store()):
                add(bound, "file_runnable")
            case _:
                pass
    return found


def _top_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node outside functions and classes, their definitions included; comprehensions have scopes of their own."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _SCOPES):
            todo += ast.iter_child_nodes(node)


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias, own: frozenset[str]) -> Level:
    top = (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
    if (isinstance(node, ast.ImportFrom) and node.level) or top in own:
        return "project_runnable"
    return "slib_runnable" if top in sys.stdlib_module_names else "plib_runnable"


def _inner_imports(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node


def _free(function: FunctionNode, body: list[ast.stmt]) -> set[str]:
    """Names that the body takes from outside the function."""
    args = function.args
    given = {item.arg for item in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if item is not None}
    return _outer(body, given)


def _outer(body: list[ast.AST] | list[ast.stmt] | list[ast.expr], given: set[str]) -> set[str]:
    """Free names of one scope and of those inside it."""
    used: set[str] = set()
    own = set(given)
    scopes: list[ast.AST] = []
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name):
                own.add(name)
            case ast.alias(name=name, asname=asname):
                own.add(asname or name.partition(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                own.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                own.add(node.name)
                scopes.append(node)
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                scopes.append(node)
            case _:
                pass
        if isinstance(node, ast.AnnAssign):
            todo += [part for part in (node.target, node.value) if part is not None]
        elif node not in scopes:
            todo += ast.iter_child_nodes(node)
    declared = {name for node in ast.walk(ast.Module(list(body), [])) if isinstance(node, ast.Global) for name in node.names}  # type: ignore[arg-type]
    inner = set[str]().union(*(_of_scope(node) for node in scopes))
    return ((used | inner) - own) | (declared & (used | inner | own))


def _of_scope(node: ast.AST) -> set[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            args = node.args
            given = {item.arg for item in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if item is not None}
            before = [*args.defaults, *(item for item in args.kw_defaults if item is not None), *(() if isinstance(node, ast.Lambda) else node.decorator_list)]
            return _outer([node.body] if isinstance(node, ast.Lambda) else node.body, given) | _outer(before, set())
        case ast.ClassDef():
            return _outer(node.body, set()) | _outer([*node.bases, *(word.value for word in node.keywords), *node.decorator_list], set())
        case _:  # a comprehension: what it binds is its own
            return _outer(list(ast.iter_child_nodes(node)), set())


def _through_instance(function: FunctionNode, owner: ast.ClassDef, body: list[ast.stmt], bindings: dict[str, set[Level]]) -> set[Level]:
    """What a method needs by its first parameter."""
    args = [*function.args.posonlyargs, *function.args.args]
    static = any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in function.decorator_list)
    first = args[0].arg if args and not static else None
    nodes = [node for statement in body for node in ast.walk(statement)]
    if first is None or not any(isinstance(node, ast.Name) and node.id == first for node in nodes):
        return set()
    asked = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == first}
    if asked <= _members(owner):
        return {"class_runnable"}
    bases = {node.id for base in owner.bases for node in ast.walk(base) if isinstance(node, ast.Name)}
    return {"class_runnable"}.union(*(bindings.get(name, set[Level]()) for name in bases))  # type: ignore[return-value]


def _members(owner: ast.ClassDef) -> set[str]:
    """What a class defines, or assigns to attributes of anything in its methods."""
    found: set[str] = set()
    for node in ast.walk(owner):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) if node is not owner:
                found.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case _:
                pass
    return found
