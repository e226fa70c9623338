"""Rewriting suites of asserts: what is understood, what is not, and that a program passes the calls exactly when it passes the asserts."""

from __future__ import annotations

import collections
import enum
import json
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rrtf import values
from rrtf.benchmarks.assertions import Kept, rewritten, suite
from rrtf.benchmarks.constants import NotConstant, constant
from rrtf.extraction.syntax import parse
from rrtf.records import AssertTest, CallTest
from rrtf.sandbox import compare
from rrtf.sandbox.inside import runner
from rrtf.sandbox.worker import _test_inside

NAN, INF = float("nan"), float("inf")


def call(*args: Any, expected: Any, match: Any = "equal", tolerance: float | None = None, **kwargs: Any) -> CallTest:
    return CallTest(args=values.dumps(list(args)), kwargs=values.dumps(kwargs), expected=values.dumps(expected), match=match, tolerance=tolerance)


@pytest.mark.parametrize(
    ("line", "test"),
    [
        ("assert f(1, 'a', k=[2]) == (3, None)", call(1, "a", k=[2], expected=(3, None))),
        ("assert 3 == f()", call(expected=3)),
        ("assert f(-1) == -0.5, f'message {f(2)}'", call(-1, expected=-0.5)),
        ("assert (f(1)) == True", call(1, expected=True)),
        ("assert f(1) is True", call(1, expected=True, match="is")),
        ("assert None is f(1)", call(1, expected=None, match="is")),
        ("assert f(1)", call(1, expected=True, match="truth")),
        ("assert not f(1)", call(1, expected=False, match="truth")),
        ("assert abs(f(1) - 2.0 / 3.0) < 1e-6", call(1, expected=2.0 / 3.0, match="within", tolerance=1e-6)),
        ("assert abs(5 - f(1)) < 1", call(1, expected=5, match="within", tolerance=1.0)),
        ("assert 0.1 > abs(f(1) - 2)", call(1, expected=2, match="within", tolerance=0.1)),
        ("assert f('a' * 3 + 'b', 2 ** 10, 3 * 19) == [0] * 3", call("aaab", 1024, 57, expected=[0, 0, 0])),
        ("assert f(float('inf'), set(), dict(), tuple([1])) == set([1, 2])", call(INF, set(), {}, (1,), expected={1, 2})),
        ("assert f({'a': (1,)}, b'x', 2j) == {1, 'a'}", call({"a": (1,)}, b"x", 2j, expected={1, "a"})),
    ],
)
def test_what_is_understood(line: str, test: CallTest) -> None:
    assert rewritten(line, "f") == (test,)
    method = line.replace("f(", "Solution().f(")
    assert rewritten(method, "Solution().f") == (test,)


CHECK = '''
METADATA = {"author": "x", "n": [1, 2]}


def check(candidate):
    """Words."""
    import math
    assert True, "always"
    assert candidate(1) == 2
    print
'''


def test_a_check_function_is_opened() -> None:
    assert rewritten(CHECK + "\ncheck(f)", "f") == (call(1, expected=2),)
    assert rewritten(CHECK + "\ncheck(Solution().f)", "Solution().f") == rewritten(CHECK + "\ncheck(candidate)", "Solution().f") == (call(1, expected=2),)
    assert suite(CHECK + "\ncheck(f)", "f") == (call(1, expected=2),)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "assert True",
        "assert False",
        "assert f(1) == 2; x = f(2)",
        "for i in range(3):\n    assert f(i) == i",
        "assert f(x) == 2",
        "assert f(1) == g(1)",
        "assert f(*[1]) == 2",
        "assert f(**{'a': 1}) == 2",
        "assert f(1) != 2",
        "assert f(1) < 2",
        "assert f(1) == 2 == 2",
        "assert f(1) is 5",
        "assert f(1) == 2 and f(2) == 3",
        "assert f(f(1)) == 2",
        "assert f == 2",
        "assert abs(f(1) - 2) <= 1e-6",
        "assert abs(f(1) - f(2)) < 1e-6",
        "assert abs(f(1)) < 1e-6",
        "assert abs(f(1) - 2) < -1",
        "assert abs(f(1) - True) < 1",
        "import math\nassert math.isclose(f(1), 2)",
        "import os\nassert f(1) == 2",
        "from math import *\nassert f(1) == 2",
        "def abs(x): return 0\nassert abs(f(1) - 2) < 1",
        "abs = 3\nassert f(1) == 2",
        "tuple = 3\nassert f(1) == 2",
        "f = 3\nassert f(1) == 2",
        "assert f({1, 2}) == 2",
        "assert f([[0]] * 2) == 2",
        "assert f([[0] * 2] * 2) == 2",
        "assert f(1) == tuple({1, 2})",
        "assert f('a' * 10 ** 9) == 2",
        "assert f(2 ** 10 ** 9) == 2",
        "assert f(10 ** 5000) == 2",
        "assert f(1 << 10 ** 9) == 2",
        "assert f(1 / 0) == 2",
        "assert f(1e999 - 1e999) == 2",
        "assert f(...) == 2",
        "assert f(" + "[" * 201 + "]" * 201 + ") == 2",
        "def check(candidate):\n    assert candidate(1) == 2",
        "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)\ncheck(f)",
        "def check(candidate):\n    assert candidate(1) == 2\ncheck(g)",
        "def check(candidate, n=1):\n    assert candidate(1) == 2\ncheck(f)",
        "def check(candidate):\n    candidate = g\n    assert candidate(1) == 2\ncheck(f)",
        "def check(candidate):\n    assert f(1) == 2\ncheck(f)",
        "def check(candidate):\n    return\n    assert candidate(1) == 2\ncheck(f)",
        "@g\ndef check(candidate):\n    assert candidate(1) == 2\ncheck(f)",
        "def g(): pass\ndef check(candidate):\n    assert candidate(1) == 2\ncheck(f)",
        "assert f(1) == 2\ndef check(candidate):\n    assert candidate(1) == 2\ncheck(f)",
        "assert f(1) =",
    ],
)
def test_what_is_not_understood_stays_code(code: str) -> None:
    found = rewritten(code, "f")
    assert isinstance(found, Kept), found
    assert found.reason
    assert suite(code, "f") == (AssertTest(code),)


class Small(enum.IntEnum):
    ONE = 1
    TWO = 2


class Text(enum.StrEnum):
    A = "a"


Point = collections.namedtuple("Point", "x y")
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from([0.5, 1.0, -0.0, 1e300, 2**70, "a", "b", "", b"a", 1j, 1 + 0j])
KEYS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b", 0.5, 1.0, (1, 2)])
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(KEYS, max_size=3)
        | st.frozensets(KEYS, max_size=2)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)
NUMBERS = st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from([2**70, 1e300, 10**400, 1j, Decimal("0.5"), Fraction(1, 2), Small.ONE])


def relatives(value: Any) -> st.SearchStrategy[Any]:
    """Results that equal the value, or nearly, or look as if they did."""
    found: list[Any] = [value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found += [float(value) if abs(value) < 1e300 else value, value + 1]
    if isinstance(value, float) and math.isfinite(value):
        found += [math.nextafter(value, INF), value * (1 + 1e-12), Decimal(value), Fraction(value), Decimal(repr(value)), complex(value)]
        found += [int(value)] if value == int(value) else []
    if type(value) is int:
        found += [Decimal(value) * Decimal("1.00"), Fraction(value), complex(value) if abs(value) < 1e300 else value]
        found += [bool(value), Small(value)] if value in (1, 2) else []
    if isinstance(value, list):
        found += [tuple(value), value[:-1], [*value, None], collections.UserList(value), collections.deque(value), iter(value), list(reversed(value))]
    if isinstance(value, tuple):
        found += [list(value), Point(*value) if len(value) == 2 else value]
    if isinstance(value, (set, frozenset)):
        found += [set(value), frozenset(value), dict.fromkeys(value).keys(), sorted(value, key=repr), dict.fromkeys(value, 1).items()]
    if isinstance(value, dict):
        found += [collections.OrderedDict(reversed(value.items())), collections.defaultdict(int, value), {**value, "z": 1}, value.items(), dict(value).keys()]
        found += [collections.Counter(value)] if all(type(held) is int for held in value.values()) else []
    if isinstance(value, bytes):
        found += [bytearray(value)]
    if value == "a":
        found += [Text.A, b"a", "a "]
    return st.sampled_from(found)


EXPECTED_AND_RESULT = PLAIN.flatmap(lambda value: st.tuples(st.just(value), relatives(value) | PLAIN))


def source(value: Any) -> str:
    """Python source of a constant that is folded."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, list):
        return f"[{', '.join(map(source, value))}]"
    if isinstance(value, tuple):
        return f"({''.join(source(item) + ',' for item in value)})"
    if isinstance(value, (set, frozenset)):
        inner = f"[{', '.join(map(source, value))}]"
        return f"{type(value).__name__}({inner})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{source(key)}: {source(item)}' for key, item in value.items())}}}"
    return repr(value)


def passes_assert(code: str, result: Any) -> bool:
    try:
        exec(code, {"f": lambda: result})
    except (AssertionError, TypeError, ValueError, ArithmeticError):
        return False
    return True


def passes_calls(code: str, result: Any) -> bool:
    tests = rewritten(code, "f")
    assert not isinstance(tests, Kept), tests
    (test,) = tests
    try:
        text = json.dumps(runner._viewed(result, _test_inside(test)[1].get("view", "")), sort_keys=True)
    except ValueError:
        return False  # refused: no plain data
    return compare.fits(test, text)


OWN_EQUALITY = (collections.UserList,)
"""Classes whose equality is written in Python: the stated exception."""


@given(EXPECTED_AND_RESULT, st.sampled_from(["assert f() == {}", "assert {} == f()"]))
def test_equality_means_what_python_means(pair: tuple[Any, Any], form: str) -> None:
    expected, result = pair
    assume(not isinstance(result, OWN_EQUALITY))
    code = form.format(source(expected))
    assert passes_calls(code, result) == passes_assert(code, result)


@given(st.sampled_from(["True", "False", "None"]), PLAIN.flatmap(relatives))
def test_identity_means_what_python_means(single: str, result: Any) -> None:
    assert passes_calls(f"assert f() is {single}", result) == passes_assert(f"assert f() is {single}", result)


@given(st.sampled_from(["assert f()", "assert not f()"]), PLAIN.flatmap(relatives))
def test_truth_means_what_python_means(code: str, result: Any) -> None:
    assert passes_calls(code, result) == passes_assert(code, result)


@given(st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([1e-6, 0.5, 1, 1e300, 2**80]), PLAIN | NUMBERS, st.booleans())
def test_differences_mean_what_python_means(number: Any, tolerance: Any, result: Any, turned: bool) -> None:
    inner = f"{source(number)} - f()" if turned else f"f() - {source(number)}"
    code = f"assert abs({inner}) < {tolerance!r}"
    for value in (result, number, number + tolerance, number - tolerance, math.nextafter(number + tolerance, number)):
        assert passes_calls(code, value) == passes_assert(code, value)


@given(PLAIN)
def test_constants_are_what_python_makes_of_them(value: Any) -> None:
    module = parse(f"x = {source(value)}")
    assert module is not None
    found = constant(module.body[0].value)  # type: ignore[attr-defined]
    assert values.dumps(found) == values.dumps(value)


@given(st.recursive(st.integers(-9, 9).map(str) | st.sampled_from(["'ab'", "[1, 2]", "(3,)", "1.5", "True", "2 ** 70"]), lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<<", "|"]), inner).map(lambda p: f"({' '.join(p)})"), max_leaves=6))  # fmt: skip  # noqa: E501
def test_arithmetic_is_pythons_or_refused(text: str) -> None:
    module = parse(text)
    assert module is not None
    try:
        found = constant(module.body[0].value)  # type: ignore[attr-defined]
    except NotConstant:
        return
    assert values.dumps(found) == values.dumps(eval(text))  # small: what is large was refused


class Truthless:
    def __bool__(self) -> bool:
        raise ValueError("neither")


@pytest.mark.parametrize("make", [object, Truthless, lambda: (_ for _ in ()), lambda: print])
def test_truth_of_anything_travels(make: Callable[[], Any]) -> None:
    assert passes_calls("assert f()", make()) == passes_assert("assert f()", make())


class Agrees:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


class AgreesAsList(list[int]):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__  # type: ignore[assignment]


@pytest.mark.parametrize("result", [Agrees(), AgreesAsList(), [Agrees()], collections.UserList([1])])
def test_objects_with_an_equality_of_their_own_do_not_pass(result: Any) -> None:
    assert passes_assert("assert f() == [1]", result)
    assert not passes_calls("assert f() == [1]", result)
