"""Values in and out of the box: the same JSON form as `rrtf.values`, kept apart because nothing of ours may be imported here (a test holds the two equal).

One thing differs on purpose. An object of a *subclass* of a plain type (Counter, defaultdict, namedtuple, IntEnum, or a hostile list whose `__eq__` always says True) is
reduced to the plain data it really holds, read through the methods of the plain type itself, which a subclass cannot change. Not here: comparing.
"""

from __future__ import annotations

import json
import math
from typing import cast

MAX_DEPTH = 200
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class NotPlain(ValueError):
    """The value is not plain data, or is nested deeper than `MAX_DEPTH`."""


def encode(value: object, depth: int = 0) -> Json:  # noqa: C901 - one branch a type
    """`value` as JSON data. Raises `NotPlain`."""
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if value is None or kind is bool:
        return cast("bool | None", value)
    if issubclass(kind, int):
        return int.__index__(cast(int, value))
    if issubclass(kind, str):
        return str.__str__(cast(str, value))
    if issubclass(kind, float):
        number = float.__float__(cast(float, value))
        return number if math.isfinite(number) else {"$float": repr(number)}
    if issubclass(kind, complex):
        number = complex.__complex__(cast(complex, value))
        return {"$complex": [encode(number.real), encode(number.imag)]}
    if issubclass(kind, bytes):
        return {"$bytes": bytes.hex(cast(bytes, value))}
    if issubclass(kind, list):
        return [encode(item, depth + 1) for item in list.__iter__(cast("list[object]", value))]
    if issubclass(kind, tuple):
        return {"$tuple": [encode(item, depth + 1) for item in tuple.__iter__(cast("tuple[object, ...]", value))]}
    if issubclass(kind, (set, frozenset)):
        plain = set if issubclass(kind, set) else frozenset
        items = [encode(item, depth + 1) for item in plain.__iter__(cast("set[object]", value))]
        return {f"${plain.__name__}": sorted(items, key=lambda item: json.dumps(item, sort_keys=True))}
    if issubclass(kind, dict):
        pairs = list(dict.items(cast("dict[object, object]", value)))
        if all(type(key) is str and not key.startswith("$") for key, _ in pairs):
            return {cast(str, key): encode(item, depth + 1) for key, item in pairs}
        return {"$dict": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in pairs]}
    raise NotPlain(f"a value of type {kind.__name__} is not plain data")


def decode(data: Json) -> object:
    """The Python value of `encode`d data that we made ourselves (arguments of calls), so malformed tags are not expected."""
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {key: decode(item) for key, item in data.items()}
    tag, body = next(iter(data.items()))
    if tag == "$float":
        return float(cast(str, body))
    if tag == "$bytes":
        return bytes.fromhex(cast(str, body))
    items = cast("list[Json]", body)
    if tag == "$complex":
        return complex(cast(float, decode(items[0])), cast(float, decode(items[1])))
    if tag == "$dict":
        return {decode(key): decode(item) for key, item in cast("list[list[Json]]", items)}
    kinds = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
    if tag not in kinds:
        raise NotPlain(f"unknown tag {tag!r}")
    return kinds[tag](decode(item) for item in items)
