"""Plain Python data as JSON text and back: how test arguments, expected values and results travel.

JSON has no tuples, sets, bytes, NaN or non-text keys, so these are tagged: {"$tuple": [...]}, {"$set": [...]}, {"$frozenset": [...]},
{"$bytes": "hex"}, {"$float": "nan" | "inf" | "-inf"}, {"$complex": [re, im]}, {"$decimal": "1E-1"}, {"$fraction": [1, 3]}, {"$dict": [[key, value], ...]}.
Decoding builds data only; it never runs code, so text written by a hostile program is safe to decode. Dictionaries keep their order, since a function may
depend on the order of its argument.
The program inside the sandbox carries its own copy of `encode` (it must not import us); a test holds the two equal.
Not here: comparing values (`rrtf.sandbox.compare`).
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import cast

from rrtf.identity import Json

MAX_DEPTH = 200


class NotPlain(ValueError):
    """The value is not plain data, or is nested deeper than `MAX_DEPTH`."""


def encode(value: object, depth: int = 0) -> Json:
    """`value` as JSON data. Subclasses of the plain types are refused: they may lie about equality. Raises `NotPlain`."""
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return cast("Json", value)
    if kind is float:
        number = cast("float", value)
        return number if math.isfinite(number) else {"$float": repr(number)}
    if kind is complex:
        number = cast("complex", value)
        return {"$complex": [encode(number.real), encode(number.imag)]}
    if kind is Decimal:
        return {"$decimal": decimal_text(cast("Decimal", value))}
    if kind is Fraction:
        return {"$fraction": [cast("Fraction", value).numerator, cast("Fraction", value).denominator]}
    if kind is bytes:
        return {"$bytes": cast("bytes", value).hex()}
    if kind is list:
        return [encode(item, depth + 1) for item in cast("list[object]", value)]
    if kind is tuple:
        return {"$tuple": [encode(item, depth + 1) for item in cast("tuple[object, ...]", value)]}
    if kind is set or kind is frozenset:
        items = [encode(item, depth + 1) for item in cast("set[object]", value)]
        return {f"${kind.__name__}": sorted(items, key=lambda item: json.dumps(item, sort_keys=True))}
    if kind is dict:
        mapping = cast("dict[object, object]", value)
        if all(type(key) is str and not key.startswith("$") for key in mapping):
            return {cast("str", key): encode(item, depth + 1) for key, item in mapping.items()}
        return {"$dict": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in mapping.items()]}
    raise NotPlain(f"a value of type {kind.__name__} is not plain data")


def decimal_text(value: Decimal) -> str:
    """A decimal number as text, without the zeros at its end that are no part of its value. Raises `NotPlain` for a signalling NaN: comparing one raises."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        if exponent == "N":
            raise NotPlain("a signalling NaN is not plain data")
        return f"{'-' * sign}{'Infinity' if exponent == 'F' else 'NaN'}"
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    return f"{'-' * sign}{short}E{exponent + len(text) - len(short)}" if short else f"{'-' * sign}0"


def decode(data: Json, depth: int = 0) -> object:
    """The Python value of `encode`d data. Raises `NotPlain` for an unknown or malformed tag, and for a value nested deeper than `MAX_DEPTH`."""
    if depth > MAX_DEPTH:
        raise NotPlain(f"nested deeper than {MAX_DEPTH}")
    if isinstance(data, list):
        return [decode(item, depth + 1) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {key: decode(item, depth + 1) for key, item in data.items()}
    tag, body = next(iter(data.items()))
    try:
        return _tagged(tag, body, depth)
    except NotPlain:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise NotPlain(f"the tagged value {tag} is malformed: {error}") from error


def _tagged(tag: str, body: Json, depth: int) -> object:
    if tag == "$float" and isinstance(body, str) and body in ("nan", "inf", "-inf"):
        return float(body)
    if tag == "$bytes" and isinstance(body, str):
        return bytes.fromhex(body)
    if tag == "$decimal" and isinstance(body, str) and not body.lstrip("+-").lower().startswith("s"):
        return Decimal(body)
    if isinstance(body, list):
        if tag == "$dict" and all(isinstance(pair, list) for pair in body):
            return {decode(key, depth + 1): decode(item, depth + 1) for key, item in cast("list[list[Json]]", body)}
        items = [decode(item, depth + 1) for item in body]
        if tag == "$complex":
            real, imag = cast("list[float]", items)
            return complex(real, imag)
        if tag == "$fraction" and len(items) == 2 and all(type(item) is int for item in items):
            return Fraction(*cast("list[int]", items))
        if tag in ("$tuple", "$set", "$frozenset"):
            return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[tag](items)
    raise NotPlain(f"unknown or malformed tag {tag!r}")


def dumps(value: object) -> str:
    """Encoded value as JSON text: no spaces, order of dictionaries kept, always writable as UTF-8. Raises `NotPlain`."""
    return json_text(encode(value), separators=(",", ":"))


def json_text(data: object, separators: tuple[str, str] | None = None) -> str:
    """JSON text that UTF-8 can hold: non-ASCII text as it is, unless it holds lone surrogates, which are escaped. Raises `NotPlain`."""
    try:
        text = json.dumps(data, separators=separators, ensure_ascii=False, allow_nan=False)
        return text if text.isascii() or _is_unicode(text) else json.dumps(data, separators=separators, allow_nan=False)
    except ValueError as error:  # such as an integer of more digits than Python converts
        raise NotPlain(str(error)) from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def loads(text: str) -> object:
    """The value of `dumps` text. Raises `NotPlain` for any other text."""
    try:
        return decode(json.loads(text))
    except NotPlain:
        raise
    except (ValueError, RecursionError) as error:
        raise NotPlain(f"not JSON that can be read: {error}") from error
