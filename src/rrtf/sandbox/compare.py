"""When a result counts as the expected one. Runs outside the sandbox, on plain data.

A call test says by which rule (`rrtf.records.CallMatch`):

- `equal`: what `assert f(args) == expected` means in Python, to the last bit. So a list is not a tuple; 1, 1.0 and True are equal, and so are Decimal(1) and
  Fraction(1); 0.0 and -0.0 are equal; NaN equals nothing; a set equals a frozenset; dictionaries compare without order; text is not bytes.
- `near`, the default: the same with two additions. Where either number is a float, a relative difference of 1e-9 or an absolute one of 1e-12 is allowed
  (results of another order of the same additions), also inside containers; and NaN equals NaN. Keys of dictionaries get no tolerance.
- `is`: the result is that very None, True or False, not something equal to it.
- `truth`: `bool(result)`, taken inside, where the result may be anything; what was expected stays outside.
- `within`: `abs(result - expected) < tolerance`, as Python computes it.

Printed text is compared by the rules of `rrtf.records.IOMatch`. Not here: reading values from inside (`rrtf.values`), verdicts (`verdicts`).
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import cast

from rrtf import values
from rrtf.records import CallTest, IOTest

RELATIVE, ABSOLUTE = 1e-9, 1e-12
TOLERANCE = 1e-6
"""How far numbers of printed text may differ, relative to the expected one or absolutely, where its test says nothing else."""
_LONGER, _FLOOR, _POWER = 16, 4096, 310
_NUMBERS = (int, float, complex, Decimal, Fraction)
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


def fits(test: CallTest, actual: str) -> bool:
    """Whether the encoded value `actual`, written by a hostile program, is what a call test expects."""
    expected = test.expected or "null"
    if test.match in ("is", "truth"):
        return actual == expected
    if actual == expected and (test.match == "near" or (test.match == "equal" and "nan" not in expected.lower())):
        return True  # the same text is the same value, and only NaN is not equal to itself
    value = _read(expected, actual)
    if value is _UNREADABLE:
        return False
    wanted = values.loads(expected)
    try:
        match test.match:
            case "equal":
                return bool(wanted == value)
            case "within":
                return isinstance(value, _NUMBERS) and bool(abs(value - wanted) < (test.tolerance or 0.0))  # type: ignore[operator]
            case _:
                return same(wanted, value)
    except (RecursionError, ArithmeticError, TypeError, ValueError):
        return False


def matches(expected: str, actual: str) -> bool:
    """`fits` for the rule `near`."""
    return fits(CallTest(args="[]", expected=expected), actual)


_UNREADABLE = object()


def _read(expected: str, actual: str) -> object:
    """The value, or `_UNREADABLE`.

    Text many times longer than the expected one is refused unread: no equal value is written so much longer (a large float may equal an integer of 309 digits),
    and sets chosen to collide could cost hours to build.
    """
    if len(actual) > _LONGER * len(expected) + _POWER * expected.count("e+") + _FLOOR:
        return _UNREADABLE
    try:
        return values.loads(actual)
    except (ValueError, TypeError, RecursionError, ArithmeticError, KeyError):
        return _UNREADABLE


def same(expected: object, actual: object) -> bool:
    """Whether two plain values are equal by the rule `near`."""
    if isinstance(expected, _NUMBERS):
        return isinstance(actual, _NUMBERS) and _same_number(cast("complex", expected), cast("complex", actual))
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
    """Whether printed text matches by the rule `lines`."""
    return _lines(expected) == _lines(actual)


def prints(test: IOTest, actual: str) -> bool:
    """Whether what was printed is what a test of standard input and output expects."""
    match test.match:
        case "exact":
            return test.stdout == actual
        case "lines":
            return same_output(test.stdout, actual)
        case "tokens":
            wanted, given = test.stdout.split(), actual.split()
            tolerance = TOLERANCE if test.tolerance is None else test.tolerance
            return len(wanted) == len(given) and all(_same_token(one, other, tolerance) for one, other in zip(wanted, given, strict=True))


def _same_token(expected: str, actual: str, tolerance: float) -> bool:
    """Equal words, or numbers that are near. An expected integer gets no share of its own size: 1000001 is not 1000002."""
    if expected == actual:
        return True
    if not _NUMBER.match(expected) or not _NUMBER.match(actual):
        return False
    if _INTEGER.match(expected) and _INTEGER.match(actual):
        size = expected.lstrip("+-0")  # as text: Python refuses to convert very long ones
        return size == actual.lstrip("+-0") and (not size or (expected[0] == "-") == (actual[0] == "-"))
    return math.isclose(float(expected), float(actual), rel_tol=0.0 if _INTEGER.match(expected) else tolerance, abs_tol=tolerance)


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
