"""Tests and the modules they lean on, as they were before the program: what pytest runs must be what the problem says, however the program got at it.

The code of each test function is compiled before the program from the problem's own text, and compared when the function is called; then it does not matter
which of the many ways to exchange a test was taken (its file, its module, an import hook, a conftest.py, the parser, a thread that waits for the right
moment). Functions and classes of the modules that were loaded by then are put back after the program was loaded. Not here: pytest's own functions, which nobody
may change (`suite`), files (`surroundings`).
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# The functions below keep these builtins, whatever a program does to the module of that name.
__builtins__ = dict(vars(builtins))

Codes = dict[str, tuple[types.CodeType, ...]]
"""Node of a test function -> what its code may be; a test that is not in here cannot be told from another."""

_LEAVES_IT = "pytest.mark."
"""Decorators that return the function they were given."""
_HOOKED = "enable_assertion_pass_hook"
_KEPT = (types.FunctionType, types.BuiltinFunctionType, type)
_IN_CLASSES = (*_KEPT, classmethod, staticmethod, property, types.WrapperDescriptorType, types.MethodDescriptorType)
_STATE = ("sys", "builtins", "__main__")
"""Modules that hold the state of this process, or are put back elsewhere."""


def codes(rewrite: Callable[..., None], files: dict[str, str], nodes: tuple[str, ...]) -> Codes:
    """The code of these tests, as it is and as `rewrite` (pytest's `rewrite_asserts`) makes it. Tests wrapped by decorators, inherited or made when they are
    loaded are left out, and so are all in a file that does not parse.
    """
    if any(_HOOKED in text or (path.endswith("conftest.py") and ".obj" in text) for path, text in files.items()):
        return {}  # then pytest rewrites in a way of its own; or the problem itself exchanges tests
    found: Codes = {}
    for path in dict.fromkeys(node.partition("::")[0] for node in nodes):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pytest will say it
                source = files[path].encode("utf-8", "surrogateescape")
                tree, rewritten = ast.parse(source, path), ast.parse(source, path)
                rewrite(rewritten, source, path, None)
                modules = [compile(kind, path, "exec", dont_inherit=True) for kind in (tree, rewritten)]
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            continue  # pytest will say this too
        for node in nodes:
            parts = node.split("::")
            if parts[0] == path and _bare(tree.body, parts[1:]):
                candidates = tuple(code for module in modules for code in _called(module, parts[1:]))
                if candidates:
                    found[node] = candidates
    return found


def _bare(body: list[ast.stmt], names: list[str]) -> bool:
    """Whether what a name means is one definition here, undecorated but for marks."""
    for name in names:
        found = [statement for statement in body if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and statement.name == name]
        if len(found) != 1 or not all(ast.unparse(decorator).startswith(_LEAVES_IT) for decorator in found[0].decorator_list):
            return False
        body = found[0].body
    return True


def _called(code: types.CodeType, names: list[str]) -> Iterator[types.CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType) and inner.co_name == names[0]:
            if names[1:]:
                yield from _called(inner, names[1:])
            else:
                yield inner


def is_one_of(function: object, wanted: tuple[types.CodeType, ...]) -> bool:
    """Whether a function or method has one of these codes. What only looks like a function has none."""
    if type(function) is types.MethodType:
        function = function.__func__
    if type(function) is not types.FunctionType:
        return False
    return any(function.__code__ == code for code in wanted)


@dataclass(frozen=True, slots=True)
class Modules:
    """What `remembered` found."""

    names: list[tuple[dict[str, object], dict[str, object]]]
    """Namespaces of modules, each with the functions and classes it held."""
    classes: list[tuple[type, dict[str, object]]]
    functions: list[tuple[types.FunctionType, tuple[Any, ...]]]
    """With what can be changed about them."""


def remembered() -> Modules:
    """Functions and classes of all modules there are now."""
    names: list[tuple[dict[str, object], dict[str, object]]] = []
    classes: dict[int, type] = {}
    functions: dict[int, types.FunctionType] = {}
    for name, module in list(sys.modules.items()):
        if name in _STATE or type(module) is not types.ModuleType:
            continue
        held: dict[str, object] = {key: value for key, value in vars(module).items() if issubclass(type(value), _KEPT)}  # `isinstance` would ask the value
        names.append((vars(module), held))
        for value in held.values():
            if isinstance(value, types.FunctionType):
                functions[id(value)] = value
            elif isinstance(value, type) and value.__flags__ & (1 << 9):  # others are written in C and cannot be changed
                classes[id(value)] = value
    contents: list[tuple[type, dict[str, object]]] = [
        (kind, {key: value for key, value in vars(kind).items() if isinstance(value, _IN_CLASSES)}) for kind in classes.values()
    ]
    for _, held in contents:
        functions.update({id(value): value for value in held.values() if isinstance(value, types.FunctionType)})
    return Modules(names, contents, [(function, _changeable(function)) for function in functions.values()])


def put_back(modules: Modules) -> None:
    """Undo what the program did to them. What it added stays, where nobody asks for it."""
    for namespace, held in modules.names:
        for name, value in held.items():
            if namespace.get(name) is not value:
                namespace[name] = value
    for kind, held in modules.classes:
        now = vars(kind)
        for name, value in held.items():
            if now.get(name) is not value:
                type.__setattr__(kind, name, value)
    for function, before in modules.functions:
        if any(part is not other for part, other in zip(_changeable(function), before, strict=True)):
            function.__code__, function.__defaults__, function.__kwdefaults__ = before


def _changeable(function: types.FunctionType) -> tuple[Any, ...]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


_ENVIRONMENT = os.environ


def clean_environment() -> None:
    """Of what pytest takes options and plugins from."""
    os.environ = _ENVIRONMENT  # noqa: B003 - the object that was there before the program, not a copy of it
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
