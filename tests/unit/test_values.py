from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values

HASHABLE = st.recursive(
    st.fractions()
    | st.decimals(allow_nan=False)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False)
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=8,
)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(HASHABLE, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=20,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "$tuple", "$set", "$dict", "$float", "$bytes", "$complex", "$what"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=15,
)


def same(left: object, right: object) -> bool:
    """Equal in value, type and order, all the way down."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        assert isinstance(right, dict)
        return all(same(a, b) for a, b in zip(left.items(), right.items(), strict=True))
    if isinstance(left, (list, tuple)):
        assert isinstance(right, (list, tuple))
        return all(same(a, b) for a, b in zip(left, right, strict=True))
    return math.copysign(1, left) == math.copysign(1, right) if isinstance(left, float) and isinstance(right, float) else True


@given(PLAIN)
def test_every_plain_value_survives_the_round_trip(value: object) -> None:
    text = values.dumps(value)
    assert same(values.loads(text), value)
    assert values.dumps(values.loads(text)) == text


@given(PLAIN)
def test_text_is_strict_json_that_utf8_can_hold(value: object) -> None:
    text = values.dumps(value)
    assert json.loads(text.encode().decode(), parse_constant=pytest.fail) == json.loads(text)


@given(JSON)
def test_decoding_any_json_gives_plain_data_or_not_plain(data: object) -> None:
    try:
        value = values.decode(data)  # type: ignore[arg-type]
    except values.NotPlain:
        return
    assert values.dumps(values.loads(values.dumps(value))) == values.dumps(value)


@given(st.text())
def test_loading_any_text_gives_plain_data_or_not_plain(text: str) -> None:
    try:
        value = values.loads(text)
    except values.NotPlain:
        return
    assert values.dumps(values.loads(values.dumps(value))) == values.dumps(value)


def test_order_of_dictionaries_is_kept_since_functions_may_depend_on_it() -> None:
    value = values.loads(values.dumps([{"b": 1, "a": 2}]))
    assert isinstance(value, list)
    assert list(value[0]) == ["b", "a"]


def test_sets_have_one_text_whatever_their_order_of_insertion() -> None:
    assert values.dumps({"x", "y", "z"}) == values.dumps({"z", "y", "x"}) == '{"$set":["x","y","z"]}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, [2]), '{"$tuple":[1,[2]]}'),
        ({1: "a"}, '{"$dict":[[1,"a"]]}'),
        ({"$set": [1]}, '{"$dict":[["$set",[1]]]}'),
        (math.inf, '{"$float":"inf"}'),
        (-math.inf, '{"$float":"-inf"}'),
        (b"\x00\xff", '{"$bytes":"00ff"}'),
        (1 + 2j, '{"$complex":[1.0,2.0]}'),
        (frozenset({1}), '{"$frozenset":[1]}'),
        ("ä", '"ä"'),
        ("\ud800ä", '"\\ud800\\u00e4"'),
        (True, "true"),
        (1, "1"),
        (1.0, "1.0"),
        (Fraction(-1, 3), '{"$fraction":[-1,3]}'),
        (Decimal("-0.10"), '{"$decimal":"-1E-1"}'),
        (Decimal(0), '{"$decimal":"0"}'),
        (Decimal("-Infinity"), '{"$decimal":"-Infinity"}'),
    ],
)
def test_written_forms(value: object, text: str) -> None:
    assert values.dumps(value) == text
    assert same(values.loads(text), value)


def test_nan_travels() -> None:
    value = values.loads(values.dumps(math.nan))
    assert isinstance(value, float)
    assert math.isnan(value)


class Sneaky(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize("value", [object(), Sneaky(1), [Sneaky(1)], {"a": Sneaky(1)}, {Sneaky(1): 1}, range(3), len, [10**5000], Decimal("sNaN")])
def test_what_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(values.NotPlain):
        values.dumps(value)


def test_depth_is_bounded_both_ways() -> None:
    deep: object = 1
    for _ in range(values.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(values.NotPlain, match="nested deeper"):
        values.dumps(deep)
    with pytest.raises(values.NotPlain, match="nested deeper"):
        values.loads("[" * 300 + "]" * 300)
    with pytest.raises(values.NotPlain):
        values.loads("[" * 100_000)


def test_the_deepest_value_that_can_be_written_can_be_read() -> None:
    deep: object = 1
    for _ in range(values.MAX_DEPTH):
        deep = {(): deep}
    assert values.loads(values.dumps(deep)) == deep


@pytest.mark.parametrize(
    "text",
    [
        '{"$tuple": 1}',
        '{"$set": [[1]]}',
        '{"$dict": [1]}',
        '{"$dict": ["ab"]}',
        '{"$dict": [[1, 2, 3]]}',
        '{"$dict": [[[], 1]]}',
        '{"$float": "1.5"}',
        '{"$float": []}',
        '{"$bytes": "zz"}',
        '{"$complex": [1]}',
        '{"$complex": ["a", 1]}',
        '{"$unknown": []}',
        '{"$decimal": "x"}',
        '{"$decimal": "sNaN"}',
        '{"$decimal": 1}',
        '{"$fraction": [1, 0]}',
        '{"$fraction": [1, 2.5]}',
        '{"$fraction": [1]}',
        '{"$fraction": ["1", 2]}',
        "nonsense",
        "9" * 5000,
    ],
)
def test_malformed_text_is_not_plain(text: str) -> None:
    with pytest.raises(values.NotPlain):
        values.loads(text)
