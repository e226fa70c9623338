"""Values in and out of the box: the same JSON form as `rrtf.values`, kept apart because nothing of ours may be imported here (a test holds the two equal).

Two things differ on purpose. An object of a *subclass* of a plain type (Counter, defaultdict, namedtuple, IntEnum, or a hostile list whose `__eq__` always says
True) is reduced to the plain data it really holds, read through the methods of the plain type itself, which a subclass cannot change. And what Python calls
equal to plain data is written as that: keys and items of dictionaries as sets, bytearrays as bytes, numpy's integers and truth values as ours. Not here:
comparing.
"""

# Unbound methods of generic types have no element type.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import builtins
import json
import math
import operator
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import cast

# The functions below keep these builtins, whatever a program does to the module of that name.
__builtins__ = dict(vars(builtins))

MAX_DEPTH = 200
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


# Methods of the plain types themselves: they read what an object holds, whatever its class says.
_Parts = Callable[[object], Iterable[object]]
_list_items = cast("_Parts", list.__iter__)
_tuple_items = cast("_Parts", tuple.__iter__)
_set_items = cast("_Parts", set.__iter__)
_frozenset_items = cast("_Parts", frozenset.__iter__)
_dict_pairs = cast("Callable[[object], Iterable[tuple[object, object]]]", dict.items)
_EMPTY = dict[str, str]()
_DictKeys, _DictItems = cast("tuple[type, type]", (type(_EMPTY.keys()), type(_EMPTY.items())))
_keys_of, _items_of = cast("_Parts", vars(_DictKeys)["__iter__"]), cast("_Parts", vars(_DictItems)["__iter__"])
_NUMPY_INTEGERS = frozenset({f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {"intc", "uintc", "longlong", "ulonglong"})
_intern = sys.intern


class NotPlain(ValueError):
    """The value is not plain data, or is nested deeper than `MAX_DEPTH`."""


def encode(value: object, depth: int = 0) -> Json:
    """`value` as JSON data. Raises `NotPlain`."""
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if value is None or kind is bool:
        return cast("bool | None", value)
    if issubclass(kind, int):
        return int.__index__(cast("int", value))
    if issubclass(kind, str):
        return str.__str__(cast("str", value))
    if issubclass(kind, float):
        number = float.__float__(cast("float", value))
        return number if math.isfinite(number) else {"$float": repr(number)}
    if issubclass(kind, complex):
        number = complex.__complex__(cast("complex", value))
        return {"$complex": [encode(number.real), encode(number.imag)]}
    if issubclass(kind, bytes):
        return {"$bytes": bytes.hex(cast("bytes", value))}
    if issubclass(kind, Decimal):
        return {"$decimal": _decimal_text(cast("Decimal", value))}
    if issubclass(kind, Fraction):
        fraction = cast("Fraction", value)
        return {"$fraction": [int.__index__(fraction.numerator), int.__index__(fraction.denominator)]}
    return _encode_parts(value, kind, depth)


def _encode_parts(value: object, kind: type, depth: int) -> Json:
    if issubclass(kind, list):
        return [encode(item, depth + 1) for item in _list_items(value)]
    if issubclass(kind, tuple):
        return {"$tuple": [encode(item, depth + 1) for item in _tuple_items(value)]}
    if issubclass(kind, set):
        return {"$set": _sorted([encode(item, depth + 1) for item in _set_items(value)])}
    if issubclass(kind, frozenset):
        return {"$frozenset": _sorted([encode(item, depth + 1) for item in _frozenset_items(value)])}
    if issubclass(kind, dict):
        pairs = list(_dict_pairs(value))
        if all(type(key) is str and not key.startswith("$") for key, _ in pairs):
            return {cast("str", key): encode(item, depth + 1) for key, item in pairs}
        return {"$dict": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in pairs]}
    if issubclass(kind, _DictKeys):
        return {"$set": _sorted([encode(item, depth + 1) for item in _keys_of(value)])}
    if issubclass(kind, _DictItems):
        return {"$set": _sorted([encode(item, depth + 1) for item in _items_of(value)])}
    if issubclass(kind, bytearray):
        return {"$bytes": bytearray.hex(cast("bytearray", value))}
    if kind.__module__ == "numpy" and kind.__name__ in _NUMPY_INTEGERS:
        return operator.index(cast("int", value))
    if kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"):
        return bool(value)
    raise NotPlain(f"a value of type {kind.__name__} is not plain data")


def _decimal_text(value: Decimal) -> str:
    sign, digits, exponent = Decimal.as_tuple(value)
    if not isinstance(exponent, int):
        if exponent == "N":
            raise NotPlain("a signalling NaN is not plain data")
        return f"{'-' * sign}{'Infinity' if exponent == 'F' else 'NaN'}"
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    return f"{'-' * sign}{short}E{exponent + len(text) - len(short)}" if short else f"{'-' * sign}0"


def _sorted(items: list[Json]) -> list[Json]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def decode(data: Json) -> object:
    """The Python value of `encode`d data that we made ourselves (arguments of calls), so malformed tags are not expected.

    Equal texts are one object, as the constants of one program are: some answers ask `word is "day"`, and should get the answer that an assert would give them.
    """
    if isinstance(data, str):
        return _intern(data)
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {_intern(key): decode(item) for key, item in data.items()}
    tag, body = next(iter(data.items()))
    return _decode_tagged(tag, body)


def _decode_tagged(tag: str, body: Json) -> object:
    if tag == "$decimal":
        return Decimal(cast("str", body))
    if tag == "$fraction":
        return Fraction(*cast("list[int]", body))
    if tag == "$float":
        return float(cast("str", body))
    if tag == "$bytes":
        return bytes.fromhex(cast("str", body))
    items = cast("list[Json]", body)
    if tag == "$complex":
        return complex(cast("float", decode(items[0])), cast("float", decode(items[1])))
    if tag == "$dict":
        return {decode(key): decode(item) for key, item in cast("list[list[Json]]", items)}
    parts = [decode(item) for item in items]
    if tag == "$tuple":
        return tuple(parts)
    if tag == "$set":
        return set(parts)
    if tag == "$frozenset":
        return frozenset(parts)
    raise NotPlain(f"unknown tag {tag!r}")
