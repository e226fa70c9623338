from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values
from rrtf.errors import DataError
from rrtf.quality import behaviour, likeness, probe, sets
from rrtf.quality.mutants import mutants
from rrtf.quality.programs import ANY, arity, asked
from rrtf.quality.split import stratified
from rrtf.quality.stubs import stubs
from rrtf.records import AssertTest, CallTest, IOTest, Problem
from rrtf.sandbox import OpenSandbox, open_sandbox

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


@pytest.fixture(scope="module")
def box() -> Iterator[OpenSandbox]:
    with open_sandbox() as sandbox:
        yield sandbox


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


# Likeness on paper


def worded(name: str, text: str, reference: str | None = None) -> Problem:
    return problem(reference, call(1, expected=1), name=name, instruction=text)


LONG = "Return how many of the given books were lent out for longer than the library allows, counting renewals."


def test_statements_reworded_a_little_are_near_duplicates_and_examples_do_not_count() -> None:
    twin = worded("b", LONG.replace("library", "school") + "\n\n>>> f(1)\n1\n")
    other = worded("c", "Tell whether a path rises at every step.\n\n" + "\n".join(f">>> f({n})\n{n}" for n in range(5)))
    found = list(likeness.near_statements([worded("a", LONG), twin, other]))
    assert [(one.name, two.name) for one, two, _ in found] == [("a", "b")]


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=8), max_size=8))
def test_no_near_duplicate_is_missed_by_looking_at_rare_words_only(statements: list[list[str]]) -> None:
    problems = [worded(str(number), " ".join(statement)) for number, statement in enumerate(statements)]
    sets = [likeness.shingles(statement) for statement in statements]
    near = [
        (one, other)
        for one in range(len(sets))
        for other in range(one + 1, len(sets))
        if len(sets[one] & sets[other]) >= likeness.NEAR * len(sets[one] | sets[other])
    ]
    assert [(int(one.name), int(other.name)) for one, other, _ in likeness.near_statements(problems)] == near


def test_a_reference_with_other_names_and_texts_is_the_same_program() -> None:
    one = (
        "def f(books: list[str], limit: int) -> list[str]:\n    '''Doc.'''\n    late = []\n    for book in books:\n"
        "        if len(book) > limit + 2:\n            late.append(book + 'a')\n    return late\n"
    )
    two = one.replace("book", "song").replace("late", "long").replace("'a'", "'xyz'").replace("Doc", "Other").replace("list[str]", "object")
    three = one.replace("limit + 2", "limit + 3")
    problems = [worded("a", "A", one), worded("b", "B", two), worded("c", "C", three)]
    assert [(left.name, right.name) for left, right in likeness.near_references(problems)] == [("a", "b")]


def test_ten_words_in_a_row_overlap_and_nine_do_not() -> None:
    ten = "one two three four five six seven eight nine ten"
    bench = [worded("bench", f"Start {ten} 5 end.")]
    assert [shared for _, _, shared in likeness.overlaps([worded("a", f"Other, {ten.upper()} 7 words.")], bench)] == [ten]
    assert not list(likeness.overlaps([worded("a", "x " + ten.removesuffix(" ten"))], bench))


def test_ten_code_tokens_in_a_row_overlap_whatever_the_punctuation_annotations_and_docstrings() -> None:
    one = "def f(items):\n    total = 0\n    for item in items:\n        total += item * 2\n    return total\n"
    two = "def g(items: list) -> int:\n    '''Doc.'''\n    total: int = 0\n    for (item) in (items):\n        total += (item * 2)\n    return total\n"
    three = one.replace("total", "sum_of_all")
    bench = [problem(one, call([1], expected=2), name="bench")]
    assert len(list(likeness.overlaps([problem(two, call([1], expected=2), entry_point="g")], bench))) == 1
    assert not list(likeness.overlaps([problem(three, call([1], expected=2), instruction="Other.")], bench))


# Likeness by behaviour


def doing(name: str, body: str, *tests: CallTest | AssertTest, arguments: str = "x") -> Problem:
    return problem(f"def {name}({arguments}):\n    return {body}\n", *tests, name=name, entry_point=name)


def pairs(found: list[behaviour.Pair]) -> set[tuple[str, str]]:
    return {(pair.reference.name, pair.exam.name) for pair in found}


def test_a_reference_that_does_another_problem_is_found_whatever_it_looks_like(box: OpenSandbox) -> None:
    double = doing("double", "x * 2", call(2, expected=4), call(5, expected=10), call(0, expected=0))
    twice = doing("twice", "sum([x, x])", call(3, expected=6), call(7, expected=14), call(1, expected=2))
    square = doing("square", "x ** 2", call(2, expected=4), call(0, expected=0), call(3, expected=9))
    assert pairs(behaviour.alike([double, twice, square], [double, twice, square], box)) == {("double", "twice"), ("twice", "double")}


def test_rules_of_comparison_hold_for_the_results_of_others_too(box: OpenSandbox) -> None:
    words = doing("words", "x.split()", replace(call("a b", expected=True), match="truth"), replace(call("", expected=False), match="truth"))
    half = doing("half", "x / 2", CallTest("[3]", "1.4", match="within", tolerance=0.2), CallTest("[1]", "0.5", match="within", tolerance=0.2))
    strip = doing("strip", "x.strip()", call(" a ", expected="a"), call("b", expected="b"))
    divide = doing("divide", "x * 0.5 + 0.01", call(2, expected=1.01), call(4, expected=2.01))
    assert pairs(behaviour.alike([strip, divide], [words, half], box)) == {("strip", "words"), ("divide", "half")}


def test_first_tests_do_not_decide_alone(box: OpenSandbox) -> None:
    double = doing("double", "x * 2", call(2, expected=4), call(0, expected=0), call(5, expected=10))
    square = doing("square", "x ** 2", call(9, expected=81), call(4, expected=16))
    assert behaviour.alike([square], [double], box) == []


def test_assert_style_problems_are_compared_in_both_directions(box: OpenSandbox) -> None:
    ours = doing("double", "x * 2", call(2, expected=4), call(5, expected=10))
    theirs = doing("twice", "helper(x)", AssertTest("def check(candidate):\n    assert candidate(3) == helper(3) == 6\n\ncheck(twice)"))
    helper = Problem(
        name="t", instruction="x", prompt="", entry_point="twice", tests=theirs.tests, reference=f"def helper(x):\n    return x + x\n\n\n{theirs.reference}"
    )
    assert pairs(behaviour.alike([ours], [helper], box)) == {("double", "t")}
    assert pairs(behaviour.alike([helper], [ours], box)) == {("t", "double")}


def test_references_that_hang_raise_grow_or_catch_everything_are_passed_over(box: OpenSandbox) -> None:
    exam = doing("double", "x * 2", call(2, expected=4), call(50, expected=100))
    bodies = {
        "hangs": "def hangs(x):\n    while True:\n        pass\n",
        "stubborn": "def stubborn(x):\n    try:\n        while True:\n            pass\n    except BaseException:\n        return None\n",
        "raises": "def raises(x):\n    raise SystemExit\n",
        "grows": "def grows(x):\n    return [x] * 10**6\n",
        "long": "def long(x):\n    return 10 ** 10**5\n",
        "odd": "def odd(x):\n    return object()\n",
        "unloadable": "import no_such_module\ndef unloadable(x):\n    return x * 2\n",
        "twice": "def twice(x):\n    return x + x\n",
    }
    references = [problem(source, call(1, expected=1), name=name, entry_point=name) for name, source in bodies.items()]
    assert pairs(behaviour.alike(references, [exam], box)) == {("twice", "double")}


def test_a_probe_that_cannot_finish_leaves_the_decision_to_the_judge(box: OpenSandbox) -> None:
    exam = doing("double", "x * 2", call(2, expected=4), call(50, expected=100))
    killer = problem("import os\ndef killer(x):\n    os._exit(0)\n", call(1, expected=1), name="killer", entry_point="killer")
    twice = problem("def twice(x):\n    return x + x\n", call(1, expected=1), name="twice", entry_point="twice")
    assert pairs(behaviour.alike([killer, twice], [exam, doing("other", "x", call(1, expected=3))], box)) == {("twice", "double")}


def test_findings_name_both_problems(box: OpenSandbox) -> None:
    double = doing("double", "x * 2", call(2, expected=4), call(5, expected=10))
    twice = doing("twice", "x + x", call(3, expected=6), call(7, expected=14))
    assert [str(finding) for finding in sets.overlap([double], [twice], box)] == [
        "double: overlap by behaviour (its reference passes the tests of twice)",
        "double: overlap by behaviour (the reference of twice passes its tests)",
    ]
    assert {finding.rule for finding in sets.near_duplicates([double, twice], box)} == {"near-duplicate by its statement", "near-duplicate by behaviour"}


def test_the_probe_copies_arguments_for_each_function() -> None:
    def spoils(items: list[int]) -> int:
        items.clear()
        return 1

    assert probe.call_all([spoils, len], 1.0, [[1, 2]]) == [(0, 1), (1, 2)]


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
