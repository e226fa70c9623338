"""Every row of guided evolution does what its sentence says, on values worked out by hand."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from rrtf.evolution.guided import kinds
from rrtf.evolution.guided.tables import Row, filled, rows

AFTER: dict[tuple[str, str], tuple[Any, ...]] = {
    ("square", "int"): (-4, 16),
    ("twice_plus_one", "int"): (5, 11),
    ("is_even", "int"): (7, False),
    ("last_digit", "int"): (-37, 7),
    ("digit_sum", "int"): (-192, 12),
    ("digits", "int"): (-305, [3, 0, 5]),
    ("digit_count", "int"): (-120, 3),
    ("binary", "int"): (-5, "-101"),
    ("padded", "int"): (-7, "-007"),
    ("quotient_and_rest", "int"): (-7, (-3, 2)),
    ("divisors", "int"): (-12, [1, 2, 3, 4, 6, 12]),
    ("sign_word", "int"): (-1, "negative"),
    ("one_bits", "int"): (-11, 3),
    ("gap_to_next_ten", "int"): (23, 7),
    ("cut_to_range", "int"): (25, 20),
    ("comma_form", "int"): (-1234567, "-1,234,567"),
    ("parity_word", "int"): (-3, "odd"),
    ("square_pair", "int"): (-3, (-3, 9)),
    ("is_prime", "int"): (49, False),
    ("reversed_digits", "int"): (-120, 21),
    ("counted_label", "int"): (1, "1 item"),
    ("distance_from_ten", "int"): (3, 7),
    ("countdown", "int"): (3, [3, 2, 1]),
    ("digit_histogram", "int"): (-1211, {"1": 3, "2": 1}),
    ("scaled", "int"): (6, -3, -18),
    ("share", "int"): (-7, 2, -4),
    ("rest", "int"): (-7, 3, 2),
    ("is_above_limit", "int"): (5, 5, False),
    ("excess", "int"): (3, 5, 0),
    ("multiples", "int"): (4, 3, [4, 8, 12]),
    ("compared", "int"): (5, 5, "equal"),
    ("rounded_up", "int"): (-7, 5, -5),
    ("base_digits", "int"): (-5, 2, [1, 0, 1, 0, 0, 0, 0, 0]),
    ("whole_part", "float"): (-2.7, -2),
    ("two_decimals", "float"): (2.5, "2.50"),
    ("size", "float"): (-2.5, 2.5),
    ("is_whole", "float"): (2.5, False),
    ("doubled", "float"): (2.5, 5.0),
    ("length", "str"): ("a b", 3),
    ("upper", "str"): ("aB1", "AB1"),
    ("backwards", "str"): ("abc", "cba"),
    ("words", "str"): (" a  bc ", ["a", "bc"]),
    ("vowel_count", "str"): ("Apple pie", 4),
    ("is_palindrome", "str"): ("Aba", False),
    ("sorted_characters", "str"): ("bCa", "Cab"),
    ("swapped_case", "str"): ("aB", "Ab"),
    ("without_vowels", "str"): ("Apple", "ppl"),
    ("distinct_characters", "str"): ("banana", "ban"),
    ("character_counts", "str"): ("aba", {"a": 2, "b": 1}),
    ("letters", "str"): ("a1 b-C", "abC"),
    ("digit_amount", "str"): ("a1b22", 3),
    ("every_second", "str"): ("abcde", "ace"),
    ("starred", "str"): ("ab", "*ab*"),
    ("snake", "str"): ("My Big Cat", "my_big_cat"),
    ("runs", "str"): ("aab", [("a", 2), ("b", 1)]),
    ("word_count", "str"): (" a  bc ", 2),
    ("ends", "str"): ("", ("", "")),
    ("upper_amount", "str"): ("aBC", 2),
    ("longest_word", "str"): ("a bcd efg", "bcd"),
    ("commonest_character", "str"): ("abba", "a"),
    ("first_half", "str"): ("abcde", "ab"),
    ("rotated", "str"): ("abc", "bca"),
    ("repeated", "str"): ("ab", 2, "abab"),
    ("cut", "str"): ("abcd", 3, "abc..."),
    ("letter_amount", "str"): ("banana", "a", 3),
    ("without_letter", "str"): ("banana", "a", "bnn"),
    ("marked", "str"): ("x", "--", "--x--"),
    ("letter_places", "str"): ("aba", "a", [0, 2]),
    ("aligned_right", "str"): ("ab", 4, "  ab"),
    ("pieces", "str"): ("abcde", 2, ["ab", "cd", "e"]),
    ("total", "list[int]"): ([1, -4, 2], -1),
    ("largest", "list[int]"): ([], None),
    ("spread", "list[int]"): ([3, -1, 4], 5),
    ("sorted", "list[int]"): ([3, 1, 3], [1, 3, 3]),
    ("falling", "list[int]"): ([3, 1, 3], [3, 1]),
    ("even_ones", "list[int]"): ([1, 2, -4], [2, -4]),
    ("odd_amount", "list[int]"): ([1, 2, -3], 2),
    ("running_totals", "list[int]"): ([1, 2, -4], [1, 3, -1]),
    ("steps_between", "list[int]"): ([1, 4, 2], [3, -2]),
    ("number_counts", "list[int]"): ([1, 2, 1], {1: 2, 2: 1}),
    ("as_text", "list[int]"): ([1, -2], "1, -2"),
    ("peak_place", "list[int]"): ([1, 5, 5], 1),
    ("is_rising", "list[int]"): ([1, 2, 2], False),
    ("above_average", "list[int]"): ([1, 2, 6], [6]),
    ("total_and_count", "list[int]"): ([1, 5], (6, 2)),
    ("squares", "list[int]"): ([-2, 3], [4, 9]),
    ("alternating_total", "list[int]"): ([5, 2, 1], 4),
    ("small_ones", "list[int]"): ([1, 5, 3], 3, [1, 3]),
    ("large_amount", "list[int]"): ([1, 5, 3], 3, 1),
    ("multiplied", "list[int]"): ([1, -5], 3, [3, -15]),
    ("places", "list[int]"): ([1, 5, 1], 1, [0, 2]),
    ("reaches_total", "list[int]"): ([1, 2], 3, True),
    ("joined", "list[str]"): (["a", "b"], "a, b"),
    ("lengths", "list[str]"): (["a", "", "bcd"], [1, 0, 3]),
    ("alphabetical", "list[str]"): (["b", "a", "C"], ["C", "a", "b"]),
    ("length_order", "list[str]"): (["bb", "a", "cc"], ["a", "bb", "cc"]),
    ("shouted", "list[str]"): (["a", "bC"], ["A", "BC"]),
    ("total_length", "list[str]"): (["a", "bC"], 3),
    ("longest", "list[str]"): (["a", "bb", "cc"], "bb"),
    ("initials", "list[str]"): (["ab", "", "cd"], "ac"),
    ("lengths_by_text", "list[str]"): (["ab", "c"], {"ab": 2, "c": 1}),
    ("initial_groups", "list[str]"): (["ab", "cd", "ax"], {"a": ["ab", "ax"], "c": ["cd"]}),
    ("each_backwards", "list[str]"): (["ab", "c"], ["ba", "c"]),
    ("text_counts", "list[str]"): (["a", "b", "a"], {"a": 2, "b": 1}),
    ("numbered", "list[str]"): (["a", "b"], ["1. a", "2. b"]),
    ("long_ones", "list[str]"): (["ab", "abc"], 2, ["abc"]),
    ("letter_carriers", "list[str]"): (["ab", "bc", "a"], "a", 2),
    ("strung_together", "list[str]"): (["a", "b"], "-", "a-b"),
    ("size", "list"): ([1, 1], 2),
    ("reversed", "list"): ([1, 2], [2, 1]),
    ("as_tuple", "list"): ([1, 2], (1, 2)),
    ("every_other", "list"): ([1, 2, 3], [1, 3]),
    ("indexed", "list"): (["a", "b"], [(0, "a"), (1, "b")]),
    ("without_first", "list"): ([], []),
    ("without_repeats", "list"): ([1, 1, 2, 1], [1, 2, 1]),
    ("distinct", "list"): ([2, 1, 2], [2, 1]),
    ("distinct_amount", "list"): ([2, 1, 2], 2),
    ("has_repeats", "list"): ([2, 1, 2], True),
    ("neighbours", "list"): ([1, 2, 3], [(1, 2), (2, 3)]),
    ("rotated_left", "list"): ([1, 2, 3], [2, 3, 1]),
    ("first_items", "list"): ([1, 2, 3], 2, [1, 2]),
    ("split", "list"): ([1, 2, 3], 1, ([1], [2, 3])),
    ("chunks", "list"): ([1, 2, 3], 2, [[1, 2], [3]]),
    ("opposite", "bool"): (True, False),
    ("yes_or_no", "bool"): (False, "no"),
    ("one_or_zero", "bool"): (True, 1),
    ("chosen", "bool"): (False, "ok", "none"),
    ("keys", "dict"): ({"b": 1, "a": 2}, ["b", "a"]),
    ("entries", "dict"): ({"b": 1}, 1),
    ("values", "dict"): ({"b": 1, "a": 2}, [1, 2]),
    ("sorted_entries", "dict"): ({"b": 1, "a": 2}, [("a", 2), ("b", 1)]),
    ("sum_of_values", "dict[str, int]"): ({"b": 1, "a": 2}, 3),
    ("top_key", "dict[str, int]"): ({"b": 2, "a": 2}, "b"),
    ("ranked_keys", "dict[str, int]"): ({"b": 2, "a": 2, "c": 3}, ["c", "a", "b"]),
    ("keys_by_value", "dict[str, int]"): ({"b": 2, "a": 2, "c": 3}, {2: ["b", "a"], 3: ["c"]}),
    ("high_entries", "dict[str, int]"): ({"b": 2, "a": 1}, 2, {"b": 2}),
    ("raised_values", "dict[str, int]"): ({"b": 2}, 5, {"b": 7}),
    ("swapped", "dict[str, str]"): ({"a": "x", "b": "x"}, {"x": "b"}),
    ("swapped_pair", "pair"): ((1, "a"), ("a", 1)),
    ("part_total", "tuple[int, int]"): ((1, 4), 5),
    ("part_difference", "tuple[int, int]"): ((1, 4), -3),
    ("parts_as_list", "tuple[int, int]"): ((4, 1), [1, 4]),
    ("parts_as_dictionary", "tuple[int, int]"): ((4, 1), {"first": 4, "second": 1}),
    ("sorted_members", "set[str]"): ({"b", "a"}, ["a", "b"]),
    ("member_amount", "set"): ({1, 2}, 2),
    ("or_zero", "int | None"): (None, 0),
    ("or_dash", "str | None"): (None, "-"),
    ("is_none", "int | None"): (3, False),
}
EACH: dict[str, tuple[Any, ...]] = {  # items, results, [x,] expected
    "every": ("ab", [1, 2], [1, 2]),
    "by_argument": ("ab", [1, 2], {"a": 1, "b": 2}),
    "paired": ("ab", [1, 2], [("a", 1), ("b", 2)]),
    "total": ("ab", [1, 2], 3),
    "largest": ("ab", [1, 2], 2),
    "smallest": ("", [], None),
    "best": ("abc", [1, 2, 2], "b"),
    "worst": ("abc", [2, 1, 1], "b"),
    "ordered": ("abc", [2, 1, 2], ["b", "a", "c"]),
    "alphabetical": ("abc", ["y", "x", "y"], ["b", "a", "c"]),
    "grouped": ("abc", [1, 2, 1], {1: ["a", "c"], 2: ["b"]}),
    "different": ("abc", [1, 2, 1], 2),
    "result_counts": ("abc", [1, 2, 1], {1: 2, 2: 1}),
    "commonest": ("abcd", [1, 2, 2, 1], 1),
    "selected": ("abc", [True, False, True], ["a", "c"]),
    "rejected": ("abc", [True, False, True], ["b"]),
    "count": ("abc", [True, False, True], 2),
    "count_not": ("abc", [True, False, True], 1),
    "all": ("abc", [True, False, True], False),
    "none": ("", [], True),
    "first_place": ("abc", [False, True, True], 1),
    "parted": ("abc", [True, False, True], (["a", "c"], ["b"])),
    "joined": ("ab", ["x", "y"], "x y"),
    "longest": ("ab", ["x", "yy"], "yy"),
    "above": ("ab", [3, 4], 3, ["b"]),
    "flattened": ("ab", [[1], [2, 3]], [1, 2, 3]),
    "changes": ("abc", [1, 1, 2], 1),
}
CONDITION: dict[str, tuple[Any, ...]] = {
    "without_negatives": ([1, -1, 0], [1, 0]),
    "only_even": ([1, 2, -4], [2, -4]),
    "only_odd": ([1, 2, -3], [1, -3]),
    "from_minimum": ([1, 2, 3], 2, [2, 3]),
    "without_short": (["ab", "abc"], ["abc"]),
    "not_too_long": (["ab", "abc"], 2, ["ab"]),
    "with_vowel_start": (["Egg", "tea", ""], ["Egg"]),
    "except": (["a", "b", "a"], "a", ["b"]),
    "backwards": ([1, 2], [2, 1]),
    "without_copies": ([2, 1, 2], [2, 1]),
    "every_second": ([1, 2, 3], [1, 3]),
    "without_last": ([], []),
    "sorted_first": ([2, 1], [1, 2]),
    "sorted_texts_first": (["b", "a"], ["a", "b"]),
    "at_most": ([1, 2, 3], 2, [1, 2]),
    "backwards_text": ("ab", "ba"),
    "in_lower_case": ("aB", "ab"),
    "without_spaces": ("a b ", "ab"),
    "without_digits": ("a1b2", "ab"),
    "first_part": ("abc", 2, "ab"),
    "without_zero_values": ({"a": 0, "b": 1}, {"b": 1}),
    "entries_from": ({"a": 0, "b": 1}, 1, {"b": 1}),
    "ignoring_sign": (-3, 3),
    "cut_to": (9, 4, 4),
}


def value(row: Row, names: dict[str, Any]) -> Any:
    scope: dict[str, Any] = {}
    for line in row.imports:
        exec(line, scope)
    return eval(row.expression, {**scope, **names})


@pytest.mark.parametrize("row", rows("after"), ids=lambda row: f"{row.name}-{row.on}")
def test_after(row: Row) -> None:
    given, *x, expected = AFTER[row.name, row.on]
    assert len(x) == (row.extra is not None)
    result = value(row, {"r": given, "x": x[0] if x else None})
    assert result == expected
    assert type(result) is type(expected)
    if row.on not in ("list", "dict", "set", "pair"):
        assert kinds.fits(kinds.concrete(row.gives, row.on), result)


@pytest.mark.parametrize("row", rows("each"), ids=lambda row: row.name)
def test_each(row: Row) -> None:
    items, results, *x, expected = EACH[row.name]
    assert value(row, {"items": list(items), "results": results, "x": x[0] if x else None}) == expected


@pytest.mark.parametrize("row", rows("condition"), ids=lambda row: row.name)
def test_condition(row: Row) -> None:
    given, *x, expected = CONDITION[row.name]
    assert value(row, {"p": given, "x": x[0] if x else None}) == expected


@pytest.mark.parametrize("row", rows("error"), ids=lambda row: row.name)
def test_an_error_is_raised_for_what_is_refused_and_not_for_an_ordinary_value(row: Row) -> None:
    ordinary: dict[str, Any] = {
        "int": 7,
        "str": "tea",
        "list": [1, 2],
        "list[int]": [1, 2],
        "list[str]": ["a", "b"],
        "dict": {"a": 1},
        "dict[str, int]": {"a": 1},
    }
    refused = row.values or ([1, 2, 3, 4, 5, 6, 7],)
    assert all(value(row, {"p": given}) for given in refused)
    assert not value(row, {"p": ordinary[row.on]})


def test_no_example_is_for_a_row_that_is_gone() -> None:
    assert set(AFTER) == {(row.name, row.on) for row in rows("after")}
    assert set(EACH) == {row.name for row in rows("each")}
    assert set(CONDITION) == {row.name for row in rows("condition")}


EVERY = [row for family in ("after", "each", "condition", "error") for row in rows(family)]  # type: ignore[arg-type]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row.family}-{row.name}-{row.on}")
def test_every_sentence_is_whole(row: Row) -> None:
    text = row.text.format(it="the resulting list", p="words", x="limit")
    assert text[0].isupper()
    assert text.endswith(".")
    assert not re.search(r"[{}]|  |\.\.$|\bthe the\b|`{2}|\b(\w+) \1\b", text)
    assert ("`limit`" in text) == (row.extra is not None)
    if row.family in ("condition", "error"):
        assert "`words`" in text
        assert "return" not in text.lower()
    if row.family in ("after", "each"):
        assert "Return " in text or "return " in text
    if row.family == "error":
        assert text.startswith(("Raise a ValueError if `words` ", "Raise a ValueError if any "))
    ast.parse(filled(row.expression, {"p": "words", "r": "result", "x": "limit", "items": "words"}), mode="eval")


def test_names_of_rows_differ_within_a_kind() -> None:
    names = [(row.family, row.name, row.on) for row in EVERY]
    assert len(set(names)) == len(names)
