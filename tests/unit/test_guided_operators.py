"""Operators of guided evolution: what their new references compute, and what their new statements say. References run here: we wrote them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values
from rrtf.benchmarks.starter import starter
from rrtf.evolution.guided import inputs, kinds
from rrtf.evolution.guided.forms import Form, arguments, computing, instruction, program, prompt, read, speakable
from rrtf.evolution.guided.operators import after, condition, each, error, generalise, pipe, single
from rrtf.evolution.guided.tables import rows
from rrtf.evolution.guided.wording import as_step, named, plural, short
from rrtf.records import CallTest, Problem

LUCK = random.Random(0)


def problem(reference: str, *tests: tuple[list[Any], Any]) -> Problem:
    name = reference.partition("def ")[2].partition("(")[0]
    text = reference.partition('"""')[2].partition('"""')[0]
    made = tuple(CallTest(args=values.dumps(args), expected=values.dumps(expected)) for args, expected in tests)
    return Problem(name=name, instruction=text, prompt="", entry_point=name, tests=made, reference=reference)


def form(reference: str, *tests: tuple[list[Any], Any]) -> Form:
    found = read(problem(reference, *tests))
    assert found is not None
    return found


def call(made: Form) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(program(made), scope)
    return scope[made.name]


def row(family: Any, name: str, on: str = "") -> Any:
    return next(one for one in rows(family) if one.name == name and on in ("", one.on))


AT_LEAST = form(
    'def at_least(numbers: list[int], low: int) -> list[int]:\n    """Return the numbers that are at least low."""\n'
    "    return [n for n in numbers if n >= low]\n",
    *(([[3, 1, 2], low], [n for n in (3, 1, 2) if n >= low]) for low in range(4)),
    ([[], 1], []),
)
SIGN = form(
    'def sign(n: int) -> str:\n    """Return "minus" if n is below zero, otherwise "plus"."""\n    if n < 0:\n        return "minus"\n    return "plus"\n',
    *(([n], "minus" if n < 0 else "plus") for n in range(-4, 5)),
)
HALVED = form(
    'def halved(total: int) -> int:\n    """Return half of total, rounded down, plus 12."""\n    half = total // 2\n    return half + 12\n',
    *(([n], n // 2 + 12) for n in range(-4, 40, 3)),
)
IS_LONG = form(
    'def is_long(word: str) -> bool:\n    """Tell whether the word has more than 3 letters."""\n    return len(word) > 3\n',
    *(([word], len(word) > 3) for word in ("tea", "water", "", "milk", "a b", "oranges", "x", "no")),
)


def test_a_result_is_worked_on() -> None:
    made = after(AT_LEAST, row("after", "total"), LUCK)
    assert made is not None
    assert made.method == "after:total"
    assert made.form.name == "total_of_at_least"
    assert made.form.result == "int"
    assert made.form.text == "Determine the numbers that are at least low. Return the sum of the resulting list; 0 if it is empty."
    assert call(made.form)([5, 1, 4], 2) == 9
    assert made.form.outputs == ()


def test_a_result_is_worked_on_with_one_more_parameter() -> None:
    made = after(SIGN, row("after", "cut"), LUCK)
    assert made is not None
    assert [one.name for one in made.form.parameters] == ["n", "width"]
    assert call(made.form)(-1, 3) == "min..."
    assert call(made.form)(1, 4) == "plus"
    assert made.form.text.startswith('Take "minus" if n is below zero, otherwise "plus". Return the resulting text as it is')
    assert {arguments(text)[1] for text in made.form.inputs} <= set(row("after", "cut").extra.values)


def test_nothing_is_done_with_a_result_of_another_kind_or_beside_a_parameter_of_that_name() -> None:
    assert after(AT_LEAST, row("after", "square"), LUCK) is None
    taken = form('def f(limit: int) -> int:\n    """Return limit plus 1."""\n    return limit + 1\n', ([1], 2))
    assert after(taken, row("after", "excess"), LUCK) is None


def test_a_task_is_done_for_each_item() -> None:
    made = each(IS_LONG, row("each", "rejected"), LUCK)
    assert made is not None
    assert made.form.name == "rejected_by_is_long"
    assert [(one.name, one.kind) for one in made.form.parameters] == [("words", "list[str]")]
    assert made.form.text == (
        "For each item `word` of the list `words`, do the following. Determine whether the word has more than 3 letters.\n\n"
        "Return the items of `words` for which the result is False, in their order."
    )
    assert call(made.form)(["tea", "water", "a"]) == ["tea", "a"]
    assert arguments(made.form.inputs[1])[0] != []
    assert any(arguments(text) == [[]] for text in made.form.inputs)


def test_a_condition_comes_before_the_task_and_only_where_it_is_allowed() -> None:
    numbers = AT_LEAST.parameters[0]
    made = condition(AT_LEAST, row("condition", "only_odd"), numbers, LUCK)
    assert made is not None
    assert call(made.form)([1, 2, 3], 2) == [3]
    assert made.form.text.endswith("From then on, `numbers` stands for the changed list.\n\nReturn the numbers that are at least low.")
    never_empty = replace(AT_LEAST, inputs=AT_LEAST.inputs[:4], outputs=AT_LEAST.outputs[:4])
    assert condition(never_empty, row("condition", "only_odd"), numbers, LUCK) is None
    in_order = form(
        'def first(items: list[int]) -> int:\n    """Return the first of the sorted numbers, or 0."""\n    return items[0] if items else 0\n',
        *(([[n, n + 1, n + 5]], n) for n in range(4)),
        ([[]], 0),
    )
    assert condition(in_order, row("condition", "backwards"), in_order.parameters[0], LUCK) is None


def test_an_error_case_is_stated_raised_and_tested() -> None:
    made = error(AT_LEAST, row("error", "filled"), AT_LEAST.parameters[0], LUCK)
    assert made is not None
    assert made.form.text == "Raise a ValueError if `numbers` is empty. Return the numbers that are at least low."
    assert made.form.messages == {"numbers is empty"}
    with pytest.raises(ValueError, match="numbers is empty"):
        call(made.form)([], 1)
    assert call(made.form)([5], 1) == [5]
    assert any(arguments(text)[0] == [] for text in made.form.inputs)
    says = replace(AT_LEAST, text="Return the numbers that are at least low. An empty list gives an empty list.")
    assert error(says, row("error", "filled"), says.parameters[0], LUCK) is None


def test_a_constant_becomes_a_parameter() -> None:
    (made,) = generalise(HALVED, LUCK)
    assert made.form.text == "Return half of total, rounded down, plus `k`."
    assert [one.name for one in made.form.parameters] == ["total", "k"]
    assert call(made.form)(7, 100) == 103


def test_a_text_that_is_looked_for_stays_a_constant() -> None:
    tail = 'def tail(line: str) -> str:\n    """Return what follows the first ":" of the line."""\n    return line.split(":")[1]\n'
    assert list(generalise(form(tail, (["a:b"], "b")), LUCK)) == []
    assert [made.form.text for made in generalise(SIGN, LUCK)] == [
        'Return `mark` if n is below zero, otherwise "plus".',
        'Return "minus" if n is below zero, otherwise `mark`.',
    ]


def test_one_number_of_several_that_are_asked_for_stays_a_constant() -> None:
    medal = 'def medal(place: int) -> int:\n    """Return 50 for place 2 and 20 for place 3."""\n    return 50 if place == 2 else 20\n'
    assert [made.form.text for made in generalise(form(medal, ([2], 50)), LUCK)] == [
        "Return `k` for place 2 and 20 for place 3.",
        "Return 50 for place 2 and `k` for place 3.",
    ]


def test_one_task_feeds_another() -> None:
    made = pipe(HALVED, SIGN, SIGN.parameters[0], LUCK)
    assert made is None, "12 and more is not what sign is known to take"
    wide = replace(SIGN, inputs=tuple(values.dumps([n]) for n in range(-50, 50)), outputs=tuple(values.dumps("plus") for _ in range(100)))
    made = pipe(HALVED, wide, SIGN.parameters[0], LUCK)
    assert made is not None
    assert made.form.text == (
        "Determine half of total, rounded down, plus 12.\n\nThen use the resulting number as `n` in the next step. "
        'Return "minus" if n is below zero, otherwise "plus".'
    )
    assert call(made.form)(-30) == "minus"
    assert call(made.form)(-24) == "plus"


@given(st.integers(-1000, 1000))
def test_piping_is_composition(n: int) -> None:
    wide = replace(HALVED, name="again", parameters=(replace(HALVED.parameters[0], name="start"),), body=HALVED.body.replace("total", "start"))
    made = pipe(HALVED, wide, wide.parameters[0], random.Random(0))
    assert made is not None
    assert call(made.form)(n) == call(wide)(call(HALVED)(n))


@given(st.lists(st.integers(-50, 50)))
def test_for_each_item_is_map(numbers: list[int]) -> None:
    made = each(HALVED, row("each", "every"), random.Random(0))
    assert made is not None
    assert call(made.form)(numbers) == [call(HALVED)(n) for n in numbers]
    short_circuit = each(SIGN, row("each", "grouped"), random.Random(0))
    assert short_circuit is not None
    assert call(short_circuit.form)(numbers) == {sign: [n for n in numbers if call(SIGN)(n) == sign] for sign in map(call(SIGN), numbers)}


@given(st.integers(-50, 50))
def test_computing_leaves_the_result_in_a_variable_whether_a_body_runs_through_or_not(n: int) -> None:
    for one in (HALVED, SIGN):
        scope: dict[str, Any] = {one.parameters[0].name: n}
        exec(computing(one, "result"), scope)
        assert scope["result"] == call(one)(n)


@given(
    st.text(alphabet="abc .,\n", max_size=40),
    st.sampled_from(["Return the {} now.", "Count {}, and return how many.", "Return True if {}.", "Take {}; return it."]),
)
def test_a_step_never_returns(words: str, pattern: str) -> None:
    step = as_step(pattern.format(words))
    assert step is None or "return" not in step.lower()


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("Return the sum.", "Determine the sum."),
        ("Return True if n is odd.", "Determine whether n is odd."),
        ("Tell whether n is odd.", "Determine whether n is odd."),
        ("Return a pair of both.", "Make a pair of both."),
        ("Return -1 for a gap.", "Take -1 for a gap."),
        ("Look it up. Return the price. Return an empty list if nothing is left.", "Look it up. Determine the price. Take an empty list if nothing is left."),
        ("Add them up, and return how many there are.", "Add them up, and determine how many there are."),
        ("For 0 days, return start.", "For 0 days, take start."),
        ("The text is returned unchanged.", "The text stays unchanged."),
        ("The list that is returned is sorted.", None),
    ],
)
def test_steps(text: str, step: str | None) -> None:
    assert as_step(text) == step


def test_names() -> None:
    assert [plural(name) for name in ("word", "entry", "box", "degrees", "n", "max_step")] == [
        "words",
        "entries",
        "boxes",
        "all_degrees",
        "n_values",
        "all_max_step",
    ]
    assert named("total_of", "a" * 20 + "_of_" + "b" * 30) == "total_of_" + "a" * 20
    assert short("count_words_of_length_and_more") == "count_words"


def test_kinds() -> None:
    assert kinds.parts("dict[str, list[tuple[int, int]]]") == ["str", "list[tuple[int, int]]"]
    assert kinds.concrete("list[tuple[int, {0}]]", "list[str]") == "list[tuple[int, str]]"
    assert kinds.concrete("list[{1}]", "list[str]") == ""
    assert kinds.head("int | None") == ""
    assert not kinds.fits("list[int]", [True])
    assert kinds.fits("tuple[str, ...]", ("a", "b", "c"))
    assert read(problem('def f(a, b: int) -> int:\n    """Add."""\n    return a + b\n', ([1, 2], 3))) is None


def test_new_inputs_keep_to_what_known_ones_have_in_common() -> None:
    between = form(
        'def between(low: int, high: int, names: list[str], ages: list[int]) -> int:\n    """Count."""\n    return low + high\n',
        *(([n, n + n % 3, ["a"] * n, [1] * n], 2 * n + n % 3) for n in range(9)),
    )
    made = inputs.more(between, random.Random(1))
    assert len(made) > 9
    assert all(row[0] <= row[1] and len(row[2]) == len(row[3]) for row in made)  # type: ignore[operator, arg-type]
    assert inputs.related(between, "names")


@pytest.mark.parametrize(
    ("value", "known", "fits"),
    [
        ("2024-05-17", ["2020-01-02", "1999-12-31"], False),
        ("late show", ["tea is hot", "what", "a cold day", "go", "green"], True),
        ("ab@c", ["tea is hot", "what", "a cold day", "go", "green"], False),
        ("tea", ["| tea |", "| a | b |", "| milk | x | y |", "||", "| seven |"], False),
    ],
)
def test_a_text_must_be_of_the_form_that_is_known(value: str, known: list[str], fits: bool) -> None:
    assert inputs.within(value, known, "str") == fits


def test_a_list_must_be_sorted_where_all_known_ones_are() -> None:
    known = [[1, 2, 3], [0, 5], [2, 9], []]
    assert inputs.within([1, 4], known, "list[int]")
    assert not inputs.within([4, 1], known, "list[int]")
    assert not inputs.within([4, 100], known, "list[int]")
    assert not inputs.within([], known[:3], "list[int]")


TRAIN = [found for one in starter("train").problems() if (found := read(one)) is not None]


def test_most_starter_problems_can_be_taken_apart_and_put_together_again() -> None:
    assert len(TRAIN) >= 230
    for one in TRAIN:
        run = call(one)
        assert [values.dumps(run(*arguments(text))) for text in one.inputs] == list(one.outputs) or one.result.startswith(("float", "set"))


@pytest.mark.parametrize("one", TRAIN[::12], ids=lambda one: one.name)
def test_what_operators_make_of_starter_problems_is_whole(one: Form) -> None:
    for draft in single(one, random.Random(3)):
        made = draft.form
        asked = instruction(made, [])
        if speakable(made, asked):
            compile(program(made, asked), "reference", "exec")
            assert prompt(made, asked) in program(made, asked)
        assert len({parameter.name for parameter in made.parameters}) == len(made.parameters)
        assert not any(mark in made.text for mark in ("{", "  ", "``", "..  ")) or "{" in one.text
        assert all(len(arguments(text)) == len(made.parameters) for text in made.inputs)
        assert made.text.rstrip()[-1] in ".\"')"
