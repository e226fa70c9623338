"""Results that say by themselves what they equal are kept from assertions that run in the program's own process.

Not here: running assertions (`runner`).
"""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Callable, Iterable
from typing import cast

# The functions below keep these builtins, whatever a program does to the module of that name.
__builtins__ = dict(vars(builtins))

Namespace = dict[str, object]
_set_trace = sys.settrace


def guarded(function: object, honest: dict[int, tuple[type, Namespace]]) -> object:
    """The entry point, refusing to hand objects of the program's own making with an `__eq__` of their own to the assertions."""
    if isinstance(function, type):
        return function

    def entry_point(*args: object, **kwargs: object) -> object:
        # A trace function of the program's could jump over the assertions that follow; or, were this more than one line, over taking it away.
        value, _ = cast("Callable[..., object]", function)(*args, **kwargs), _set_trace(None)
        if not _plain_or_honest(value, honest, 0):
            raise TypeError("the result is an object that defines equality or truth by itself")
        return value

    entry_point.__name__ = getattr(function, "__name__", "entry_point")
    vars(entry_point)["__wrapped__"] = function
    entry_point.__doc__ = getattr(function, "__doc__", None)
    return entry_point


_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_CLAIMS = (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__", "__len__", "__contains__", "__sub__", "__rsub__", "__abs__", "__round__",
    "__class__",
)  # fmt: skip
_MADE_BY_CLASS_STATEMENT = 1 << 9
"""Py_TPFLAGS_HEAPTYPE. Types without it are written in C, and cannot be changed from Python."""
_SLOTS = (types.WrapperDescriptorType, types.MethodDescriptorType)
_own_contents = cast("Callable[[type], Namespace]", type.__dict__["__dict__"].__get__)
_dict_pairs = cast("Callable[[object], Iterable[tuple[object, object]]]", dict.items)  # pyright: ignore[reportUnknownMemberType]
_bases = cast("Callable[[type], tuple[type, ...]]", type.__dict__["__mro__"].__get__)
_flags = cast("Callable[[type], int]", type.__dict__["__flags__"].__get__)


def honest_classes() -> dict[int, tuple[type, Namespace]]:
    """What `Pristine.honest` holds, of all classes there are now. Call it before any program ran."""
    found: dict[int, tuple[type, Namespace]] = {}
    waiting: list[type] = [object]
    while waiting:
        kind = waiting.pop()
        if id(kind) not in found:
            contents = _own_contents(kind)
            found[id(kind)] = (kind, {claim: contents[claim] for claim in _CLAIMS if claim in contents})
            waiting += type.__subclasses__(kind)
    return found


def _plain_or_honest(value: object, honest: dict[int, tuple[type, Namespace]], depth: int) -> bool:
    """Whether no class in here, of the program's making or of a module it loaded by itself, says what the value equals."""
    kind = type(value)
    if kind in _ATOMS or depth > 50:
        return True
    bases = _bases(kind)
    if not all(_honest_class(base, honest) for base in bases):
        return False
    parts: list[object] = []
    for plain in (list, tuple, set, frozenset):
        if plain in bases:
            parts += cast("Callable[[object], list[object]]", plain.__iter__)(value)
    if dict in bases:
        for pair in _dict_pairs(value):
            parts += pair
    return all(_plain_or_honest(part, honest, depth + 1) for part in parts)


def _honest_class(kind: type, honest: dict[int, tuple[type, Namespace]]) -> bool:
    if not _flags(kind) & _MADE_BY_CLASS_STATEMENT:
        return True
    contents = _own_contents(kind)
    known = honest[id(kind)][1] if id(kind) in honest else {}
    return all(_honest_method(kind, claim, contents[claim], known) for claim in _CLAIMS if claim in contents)


def _honest_method(kind: type, claim: str, method: object, known: Namespace) -> bool:
    """Nothing, what was there before the program, or what a type written in C has under this name by itself (not another one's, borrowed)."""
    if method is None or (claim in known and known[claim] is method):
        return True
    return type(method) in _SLOTS and cast("types.WrapperDescriptorType", method).__objclass__ is kind and method.__name__ == claim  # type: ignore[attr-defined]
