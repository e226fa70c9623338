"""When a result counts as the expected one. Runs outside the sandbox, on plain data.

A test means what `assert f(args) == expected` means in Python, with two additions. So: a list is not a tuple; 1, 1.0 and True are equal; 0.0 and -0.0 are
equal; a set equals a frozenset; dictionaries compare without order; text is not bytes. The additions: where either number is a float, a relative difference of
1e-9 or an absolute one of 1e-12 is allowed (results of another order of the same additions), also inside containers; and NaN equals NaN. Keys of dictionaries
get no tolerance.

Printed text is compared line by line without trailing white space, and without empty lines at the end. Not here: reading values from inside (`rrtf.values`),
verdicts (`harness`).
"""

from __future__ import annotations

import json
import math
from typing import cast

from rrtf import values

RELATIVE, ABSOLUTE = 1e-9, 1e-12
_LONGER, _FLOOR = 16, 4096


def matches(expected: str, actual: str) -> bool:
    """Whether the encoded value `actual`, written by a hostile program, equals the encoded value `expected`, which is ours.

    Text many times longer than the expected one is refused unread: no equal value is written so much longer, and sets chosen to collide could cost hours to
    build.
    """
    if len(actual) > _LONGER * len(expected) + _FLOOR:
        return False
    try:
        value = values.loads(actual)
    except (ValueError, TypeError, RecursionError, OverflowError, KeyError):
        return False
    try:
        return same(values.loads(expected), value)
    except RecursionError:
        return False


def same(expected: object, actual: object) -> bool:
    """Whether two plain values are equal by the rules above."""
    if isinstance(expected, (bool, int, float, complex)):
        return isinstance(actual, (bool, int, float, complex)) and _same_number(expected, actual)
    if isinstance(expected, (set, frozenset)):
        return isinstance(actual, (set, frozenset)) and _same_set(cast("set[object]", expected), cast("set[object]", actual))
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, (list, tuple)):
        left, right = cast("list[object]", expected), cast("list[object]", actual)
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(expected, dict):
        wanted, given = cast("dict[object, object]", expected), cast("dict[object, object]", actual)
        return len(wanted) == len(given) and all(key in given and same(value, given[key]) for key, value in wanted.items())
    return expected == actual


def _same_number(expected: complex, actual: complex) -> bool:
    if expected == actual:
        return True
    if isinstance(expected, complex) or isinstance(actual, complex):
        try:
            left, right = complex(expected), complex(actual)
        except OverflowError:  # an integer beyond the floats
            return False
        return _close(left.real, right.real) and _close(left.imag, right.imag)
    if isinstance(expected, float) or isinstance(actual, float):
        return _close(expected, actual)
    return False


def _close(expected: float, actual: float) -> bool:
    try:
        return (math.isnan(expected) and math.isnan(actual)) or math.isclose(expected, actual, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except OverflowError:  # an integer beyond the floats
        return False


def _same_set(expected: set[object], actual: set[object]) -> bool:
    if len(expected) != len(actual):
        return False
    left = [item for item in expected if item not in actual]
    right = [item for item in actual if item not in expected]
    for item in left:  # floats that differ in the last digits, alone or in tuples
        partner = next((i for i, other in enumerate(right) if same(item, other)), None)
        if partner is None:
            return False
        del right[partner]
    return not right


def same_output(expected: str, actual: str) -> bool:
    """Whether printed text matches, trailing white space aside."""
    return _lines(expected) == _lines(actual)


def _lines(text: str) -> list[str]:
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip().split("\n")


def shown(encoded: str, limit: int = 120) -> str:
    """An encoded value as Python would write it, cut to `limit` characters, for messages."""
    if len(encoded) > 50 * limit:
        return encoded[:limit] + "…"
    try:
        text = repr(values.loads(encoded))
    except (ValueError, TypeError, RecursionError, OverflowError, KeyError):
        text = json.dumps(encoded)
    return text if len(text) <= limit else text[: limit - 1] + "…"
