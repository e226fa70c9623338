"""A syntax tree as a sequence of words, in which a name is only its place: equal for trees that are equal but for names and texts.

Kept as they are: the shape, numbers and other constants that are no texts, operators, names of attributes and keywords, and names that a program does not
bind itself (builtins, what it imports). Texts all look the same. Not here: making different programs alike first (`rrtf.overlap.normal`).
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections.abc import Iterable
from typing import cast

from rrtf.extraction.syntax import bound

_KNOWN = frozenset(dir(builtins))
_LOCAL = "\0"
Span = tuple[int, int, int]
"""Where a subtree begins and ends in the sequence, and of how many nodes it is."""


def own_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Names of builtins that a program uses for something of its own."""
    return frozenset(bound(nodes)) & _KNOWN


def flat(node: ast.AST, own: frozenset[str] = frozenset(), spans: list[Span] | None = None) -> list[str]:
    """The words of a tree, names with a mark; `spans` takes the place of every statement and expression, outer ones last. Raises `RecursionError`."""
    words: list[str] = []
    _flatten(node, own, words, spans)
    return words


def _flatten(node: ast.AST, own: frozenset[str], words: list[str], spans: list[Span] | None) -> int:
    start, size = len(words), 1
    match node:
        case ast.Name(id=name):
            words.append(name if "." in name or (name in _KNOWN and name not in own) else _LOCAL + name)
        case ast.arg(arg=name):
            words.append(_LOCAL + name)
        case ast.Constant(value=value):
            words.append(_constant(value))
        case _:
            words.append(type(node).__name__)
            for field in node._fields:
                size += _part(node, field, own, words, spans)
    if spans is not None and isinstance(node, ast.stmt | ast.expr):
        spans.append((start, len(words), size))
    return size


def _part(node: ast.AST, field: str, own: frozenset[str], words: list[str], spans: list[Span] | None) -> int:
    value = cast("object", getattr(node, field, None))
    if value is None or field in ("ctx", "type_comment", "kind", "lineno"):
        return 0
    if isinstance(value, ast.AST):
        return _flatten(value, own, words, spans)
    if isinstance(value, list):
        words.append("[")
        size = sum(_flatten(item, own, words, spans) for item in cast("list[object]", value) if isinstance(item, ast.AST))
        words.append("]")
        return size
    named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and field == "name"
    words.append(f"{_LOCAL if named else ''}{value}")
    return 0


def _constant(value: object) -> str:
    if isinstance(value, str | bytes):
        return "text"
    return hex(value) if type(value) is int else repr(value)  # Python does not print whole numbers of more than 4300 digits


def nameless(words: Iterable[str]) -> tuple[str, ...]:
    """The words with each name replaced by the order in which it first occurs."""
    places: dict[str, str] = {}
    return tuple(word if not word.startswith(_LOCAL) else places.setdefault(word, f"{_LOCAL}{len(places)}") for word in words)


def fingerprint(words: Iterable[str]) -> int:
    """64 bits that stand for the words, whatever their names; the same in every process."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(nameless(words)).encode("utf-8", "backslashreplace"), digest_size=8).digest(), "big")
