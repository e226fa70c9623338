from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values
from rrtf.records import CallTest, IOTest
from rrtf.sandbox import compare
from rrtf.sandbox.inside import encode as inside

NAN, INF = float("nan"), float("inf")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | st.complex_numbers()
KEYS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.tuples(st.integers(), st.text(max_size=2))
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(KEYS, max_size=4)
        | st.frozensets(KEYS, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        (1, 1.0, True),
        (True, 1, True),
        (0, False, True),
        (0.0, -0.0, True),
        (NAN, NAN, True),
        ([NAN], [NAN], True),
        (INF, INF, True),
        (INF, -INF, False),
        (INF, 1e308, False),
        (NAN, 0.0, False),
        (0.1 + 0.2, 0.3, True),
        (1.0, 1.0 + 1e-8, False),
        (0.0, 1e-13, True),
        (0.0, 1e-9, False),
        (10**20, 10**20 + 1, False),
        (10**400, 10**400, True),
        (10**400, 1.0, False),
        (1.0, 10**400, False),
        (1 + 2j, 1 + 2.0000000000001j, True),
        ([1, 2], (1, 2), False),
        ((1, 2), (1, 2), True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({1, 2}, frozenset({2, 1}), True),
        ({1, 2}, [1, 2], False),
        ({0.1 + 0.2, 5}, {5, 0.3}, True),
        ({(0.1 + 0.2, "a")}, {(0.3, "a")}, True),
        ({1, 2}, {1, 3}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({1: "x"}, {True: "x"}, True),
        ("a", b"a", False),
        ("", None, False),
        (None, None, True),
        (0, None, False),
        ("1", 1, False),
        (1, Decimal("1.00"), True),
        (0.5, Fraction(1, 2), True),
        (0.1, Decimal("0.1"), True),
        (1, Decimal("1.1"), False),
        (Fraction(1, 3), 1 / 3, True),
        ([Decimal(2)], [2], True),
        (NAN, Decimal("NaN"), True),
        (1, Decimal("1e999999999"), False),
        (1, "Decimal(1)", False),
    ],
)
def test_rules(expected, actual, equal):
    assert compare.same(expected, actual) is equal
    assert compare.matches(values.dumps(expected), values.dumps(actual)) is equal


@given(PLAIN)
def test_every_value_matches_itself(value):
    assert compare.matches(values.dumps(value), values.dumps(value))


@given(PLAIN, PLAIN)
def test_what_python_calls_equal_matches_and_the_order_does_not_matter(left, right):
    if type(left) is type(right) and left == right:
        assert compare.same(left, right)
    assert compare.same(left, right) == compare.same(right, left)


@given(PLAIN)
def test_the_inside_writes_values_as_the_outside_does(value):
    assert inside.encode(value) == values.encode(value) or "NaN" in json.dumps(inside.encode(value))
    assert json.dumps(inside.encode(value), sort_keys=True) == json.dumps(values.encode(value), sort_keys=True)
    assert compare.same(value, inside.decode(values.encode(value)))


@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.text(max_size=4) | st.integers(), lambda i: st.lists(i) | st.dictionaries(st.sampled_from(["$set", "$dict", "$float", "a"]), i)
    ).map(json.dumps)
)
def test_no_text_from_inside_breaks_the_comparison(text):
    assert compare.matches("[1,2]", text) in (True, False)
    assert isinstance(compare.shown(text), str)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 4000,
        '{"$set":[[]]}',
        '{"$complex":[1e999999,"x"]}',
        '{"$complex":[' + "9" * 1000 + ",0]}",
        "9" * 4500,
        '{"$dict":[1]}',
        '{"$bytes":"zz"}',
        "",
        "nul",
        "NaN ",
    ],
)
def test_hostile_texts_do_not_match(text):
    assert not compare.matches("[1]", text)


def test_values_written_to_collide_are_refused_unread():
    colliding = json.dumps({"$set": [i * (2**61 - 1) for i in range(100_000)]})
    assert not compare.matches('{"$set":[1,2]}', colliding)


def test_printed_text():
    assert compare.same_output("a\nb\n", "a  \r\nb\n\n\n")
    assert compare.same_output("", "\n")
    assert not compare.same_output("a\nb", "a b")
    assert not compare.same_output("a", " a")
    assert not compare.same_output("a\n\nb", "a\nb")


def test_shown_is_python_and_short():
    assert compare.shown(values.dumps((1, {2}))) == "(1, {2})"
    assert len(compare.shown(values.dumps(list(range(1000))))) <= 120
    assert math.isnan(values.loads(values.dumps(NAN)))


@pytest.mark.parametrize(
    "expected", [0, 1.5, True, 1j, float("nan"), float("inf"), 10**400, "a", b"a", None, [1j], (1.5,), {1j}, frozenset({0.5}), {1: 2.5}, {"a": 1j}]
)
@pytest.mark.parametrize(
    "actual", [10**400, -(10**400), 1e308, 1j, complex("nan+infj"), "\ud800", b"", None, [10**400], (10**400,), {10**400}, {1: 10**400}, {"a": 10**400}]
)
def test_no_value_from_inside_breaks_the_comparison(expected, actual):
    text = json.dumps(inside.encode(actual))
    assert compare.matches(values.dumps(expected), text) is (expected == actual)
    assert isinstance(compare.shown(text), str)


@pytest.mark.parametrize(
    ("match", "expected", "text", "fits"),
    [
        ("equal", 0.3, values.dumps(0.1 + 0.2), False),
        ("near", 0.3, values.dumps(0.1 + 0.2), True),
        ("equal", NAN, values.dumps(NAN), False),
        ("equal", [1, True], "[true,1.0]", True),
        ("equal", 1e300, str(int(1e300)), True),
        ("equal", [1e300] * 50, json.dumps([int(1e300)] * 50), True),
        ("equal", (1, 2), "[1,2]", False),
        ("is", True, "true", True),
        ("is", True, "1", False),
        ("is", None, "null", True),
        ("is", None, "false", False),
        ("truth", True, "true", True),
        ("truth", True, "1", False),
        ("truth", False, "false", True),
    ],
)
def test_rules_of_calls(match, expected, text, fits):
    assert compare.fits(CallTest(args="[]", expected=values.dumps(expected), match=match), text) is fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("0.5", True),
        ("1", True),
        ("0.25", False),
        ("1.25", False),
        ("true", True),
        ('"a"', False),
        ("[1]", False),
        ('{"$float":"nan"}', False),
        ("nonsense", False),
        ('{"$decimal":"1"}', False),
        ('{"$fraction":[3,4]}', True),
        ('{"$complex":[0.75,0.1]}', True),
        ("9" * 400, False),
        ('{"$set":[]}', False),
    ],
)
def test_differences_are_pythons_and_strictly_below(text, fits):
    assert compare.fits(CallTest(args="[]", expected="0.75", match="within", tolerance=0.5), text) is fits


@pytest.mark.parametrize(
    ("match", "tolerance", "expected", "printed", "fits"),
    [
        ("exact", None, "a\n", "a\n", True),
        ("exact", None, "a\n", "a", False),
        ("lines", None, "a b\n", "a b", True),
        ("lines", None, "a b\n", "a  b", False),
        ("tokens", None, "a b\nc", " a\tb c\n\n", True),
        ("tokens", None, "a b", "a", False),
        ("tokens", None, "0.333333", "0.33333333333", True),
        ("tokens", None, "0.3333", "0.33333333333", False),
        ("tokens", 0.001, "0.3333", "0.33333333333", True),
        ("tokens", 0.0, "1.50", "1.5", True),
        ("tokens", None, "1000001", "1000002", False),
        ("tokens", None, "1000001", "1000002.0", False),
        ("tokens", None, "3", "3.0000001", True),
        ("tokens", None, "-0", "0", True),
        ("tokens", None, "+007", "7", True),
        ("tokens", None, "-7", "7", False),
        ("tokens", None, "1" * 5000, "1" * 5000, True),
        ("tokens", None, "1" * 5000, "1" * 4999 + "2", False),
        ("tokens", None, "1e400", "inf", False),
        ("tokens", None, "nan", "nan", True),
        ("tokens", None, "Yes", "YES", False),
        ("tokens", None, "1_000", "1000", False),
    ],
)
def test_rules_of_printed_text(match, tolerance, expected, printed, fits):
    assert compare.prints(IOTest("", expected, match, tolerance), printed) is fits
