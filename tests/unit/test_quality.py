from __future__ import annotations

import ast
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values
from rrtf.errors import DataError
from rrtf.quality.mutants import mutants
from rrtf.quality.programs import ANY, arity, asked
from rrtf.quality.split import stratified
from rrtf.quality.stubs import stubs
from rrtf.records import AssertTest, CallTest, IOTest, Problem

GRADE = '''def grade(points: int) -> str:
    """Name the result of an exam."""
    if points >= 50:
        return "pass"
    if points >= 40:
        return "resit"
    return "fail"
'''


def call(*args: object, expected: object) -> CallTest:
    return CallTest(args=values.dumps(list(args)), expected=values.dumps(expected))


def problem(
    reference: str | None, *tests: CallTest | AssertTest | IOTest, name: str = "p", instruction: str = "Do it.", entry_point: str | None = "f"
) -> Problem:
    return Problem(name=name, instruction=instruction, prompt="", entry_point=entry_point, tests=tests, reference=reference)


def grade(*tests: CallTest) -> Problem:
    return problem(GRADE, *tests, entry_point="grade")


STRONG = tuple(call(points, expected=name) for points, name in [(50, "pass"), (49, "resit"), (40, "resit"), (39, "fail"), (100, "pass"), (0, "fail")])


# Mutants


def test_each_kind_of_fault_is_made_once_per_place() -> None:
    source = "def f(a, b):\n    'Doc 1.'\n    if not a < b <= 3 and a:\n        a += 1\n    return a % 2 == True\n"
    changes = [mutant.change for mutant in mutants(source, "f")]
    assert Counter(change.split(": ")[1] for change in changes) == Counter(
        [
            *("and became or", "not was dropped", "< became <=", "<= became <", "3 became 4", "+ became -", "1 became 2"),
            *("it returns None", "% became *", "== became !=", "2 became 3", "True became False"),
        ]
    )
    assert all(change.startswith("line ") for change in changes)


def test_every_mutant_is_a_program_that_differs_from_the_reference() -> None:
    made = [mutant.source for mutant in mutants(GRADE, "grade")]
    assert len(made) == 7
    assert len({ast.dump(ast.parse(source)) for source in [*made, GRADE]}) == 8


def test_what_is_outside_of_the_entry_point_is_left_alone() -> None:
    assert not list(mutants("LIMIT = 3\n\ndef other():\n    return 1 + 1\n", "f"))


# Stubs


def test_stubs_of_call_tests_are_pass_the_commonest_result_and_echoes() -> None:
    made = {stub.what: stub.source for stub in stubs(grade(*STRONG))}
    assert list(made) == ["pass", "the constant 'pass'", "echo of argument 1"]
    names: dict[str, object] = {}
    exec(made["echo of argument 1"], names)
    assert names["grade"](7) == 7  # type: ignore[operator]


@given(st.floats() | st.sets(st.integers()) | st.tuples(st.none(), st.binary()))
def test_a_constant_stub_returns_just_that_constant(value: object) -> None:
    (stub,) = (stub for stub in stubs(problem(None, CallTest(args="[]", expected=values.dumps(value)))) if stub.what.startswith("the constant"))
    names: dict[str, object] = {}
    exec(stub.source, names)
    assert values.dumps(names["f"]()) == values.dumps(value)  # type: ignore[operator]


def test_stubs_of_programs_print_nothing_the_commonest_output_and_the_input() -> None:
    assert len(list(stubs(problem(None, IOTest("1\n", "1\n"), entry_point=None)))) == 3


# Arguments


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b=1): pass", (1, 2)),
        ("def f(*a): pass", (0, ANY)),
        ("def f(a, /, b, *, c): pass", (2, 2)),
        ("f = 1", (0, -1)),
        ("def f(): pass\ndef f(a): pass", (1, 1)),
    ],
)
def test_arity_is_read_off_the_signature(source: str, expected: tuple[int, int]) -> None:
    assert arity(source, "f") == expected


def test_problems_that_do_not_call_in_one_way_are_not_compared() -> None:
    assert asked(problem(None, call(1, expected=1), call(1, 2, expected=1))) is None
    assert asked(problem(None, CallTest(args="[]", kwargs='{"a":1}', expected="1"))) is None
    assert asked(problem(None, IOTest("", ""), entry_point=None)) is None
    assert asked(problem("def f(a, b): pass", AssertTest("f(1, 2)"))) == 2


# Splitting

NAMED = st.lists(st.tuples(st.uuids().map(str), st.sampled_from("ab"), st.sampled_from("xyz")), unique_by=lambda item: item[0], max_size=60)


@given(NAMED, st.integers(0, 60), st.randoms())
def test_a_split_is_exact_stratified_and_independent_of_order(named: list[tuple[str, str, str]], train: int, random: object) -> None:
    problems = [
        Problem(name=name, instruction="x", prompt="", entry_point=None, tests=(IOTest("", ""),), level=level, topic=topic) for name, level, topic in named
    ]
    if train > len(problems):
        with pytest.raises(DataError):
            stratified(problems, train)
        return
    chosen = stratified(problems, train)
    assert [item.name for item in chosen] == [item.name for item in problems]
    assert sum(item.split == "train" for item in chosen) == train
    sizes = Counter((item.level, item.topic) for item in chosen)
    for stratum, count in Counter((item.level, item.topic) for item in chosen if item.split == "train").items():
        assert abs(count - sizes[stratum] * train / len(chosen)) < 1
    shuffled = list(problems)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {item.name: item.split for item in stratified(shuffled, train)} == {item.name: item.split for item in chosen}
