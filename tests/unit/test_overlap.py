"""Problems that are there twice: within a set, and in a benchmark."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf import values
from rrtf.judging import Judge, Tally, open_judge
from rrtf.overlap import behaviour, probe
from rrtf.overlap.duplicates import NEAR, repeats
from rrtf.overlap.leaks import WAYS, OverlapConfig, by_running, leaks, on_paper
from rrtf.overlap.normal import normal
from rrtf.overlap.trees import form
from rrtf.overlap.words import shingles, words
from rrtf.records import AssertTest, CallTest, Problem
from rrtf.sandbox import OpenSandbox, ProcessConfig, SandboxRuntime, open_sandbox

BOX, RUNTIME = ProcessConfig(), SandboxRuntime(cache="none")


def call(*args: object, expected: object) -> CallTest:
    return CallTest(args=values.dumps(list(args)), expected=values.dumps(expected))


def problem(reference: str | None, *tests: CallTest | AssertTest, name: str = "p", instruction: str = "Do it.", entry_point: str | None = "f") -> Problem:
    return Problem(name=name, instruction=instruction, prompt="", entry_point=entry_point, tests=tests, reference=reference)


def worded(name: str, text: str, reference: str | None = None) -> Problem:
    return problem(reference, call(1, expected=1), name=name, instruction=text)


@pytest.fixture(scope="module")
def box() -> Iterator[OpenSandbox]:
    with open_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with open_judge(BOX, RUNTIME, Tally()) as opened:
        yield opened


# Planted leaks


def test_every_planted_leak_is_found_and_named() -> None:
    plants = planted.plants()
    assert len(plants) >= 40
    assert len({plant.kind for plant in plants}) >= 12
    found: dict[str, set[str]] = {}
    ways: dict[str, int] = dict.fromkeys(WAYS.values(), 0)
    for finding in leaks([plant.problem for plant in plants], planted.benchmark(), OverlapConfig(), BOX, RUNTIME):
        found.setdefault(finding.problem, set()).add(finding.detail.partition(":")[0])
        ways[finding.rule] += 1
    assert [plant.problem.name for plant in plants if plant.task not in found.get(plant.problem.name, ())] == []
    assert all(ways.values())


def test_problems_that_are_no_leaks_are_not_called_leaks() -> None:
    ours = [
        problem("def f(x):\n    return x[::-1] + x[:1]\n", call("abc", expected="cbaa"), instruction="Reverse a text and repeat its first sign at the end."),
        problem(None, call(3, 4, expected=85), name="q", instruction="Give the sum of three times the square and four times the cube, less the numbers."),
    ]
    assert list(leaks(ours, planted.benchmark(), OverlapConfig(), BOX, RUNTIME)) == []


def test_a_way_that_is_off_finds_nothing() -> None:
    (verbatim, *_) = (plant.problem for plant in planted.plants())
    off = OverlapConfig(words="off", program="off", behaviour="off")
    assert not list(leaks([verbatim], planted.benchmark(), off, BOX, RUNTIME))
    assert [finding.rule for finding in on_paper([verbatim], planted.benchmark(), OverlapConfig(words="off"))] == [WAYS["program"]]
    assert not list(by_running([verbatim], planted.benchmark(), "off", BOX, RUNTIME))


# Words


def texts_overlap(one: Problem, other: Problem) -> list[str]:
    return [finding.detail for finding in on_paper([one], [other], OverlapConfig())]


def test_ten_words_in_a_row_overlap_and_nine_do_not() -> None:
    ten = "one two three four five six seven eight nine ten"
    bench = worded("bench", f"Start {ten} 5 end.")
    assert texts_overlap(worded("a", f"Other, {ten.upper()} 7 words."), bench) == [f"bench: {ten!r}"]
    assert not texts_overlap(worded("a", "x " + ten.removesuffix(" ten")), bench)


def test_a_short_text_is_shared_as_a_whole_and_a_very_short_one_is_anyones() -> None:
    assert texts_overlap(worded("a", "Return length of given string!"), worded("bench", "return length of given string\n>>> f('')\n0"))
    assert not texts_overlap(worded("a", "Return length of given string at once"), worded("bench", "return length of given string"))
    assert not texts_overlap(worded("a", "Do the sum"), worded("bench", "do the sum"))


def test_docstrings_count_and_examples_do_not() -> None:
    ten = "one two three four five six seven eight nine ten"
    hidden = replace(worded("a", "Other.", f'def f(x):\n    """{ten}"""\n    return x\n'), prompt="")
    prompted = replace(worded("b", "Other."), prompt=f'def f(x):\n    """{ten}"""\n')
    example = worded("c", f"Other.\n\n>>> f('{ten}')\n1")
    assert [bool(texts_overlap(one, worded("bench", ten))) for one in (hidden, prompted, example)] == [True, True, False]


# Trees


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("for x in a:\n    t = t + x\nreturn t", "for y in a:\n    t += y\nreturn t"),
        ("r = []\nfor x in a:\n    if x > 1:\n        r.append(x * 2)\nreturn r", "return [2 * k for k in a if 1 < k]"),
        ("r = set()\nfor x in a:\n    r.add(x)\nreturn r", "return {x for x in a}"),
        ("r = {}\nfor x in a:\n    r[x] = 1\nreturn r", "return {x: 1 for x in a}"),
        ("s = ''\nfor x in a:\n    s += str(x)\nreturn s", "return ''.join([str(y) for y in a])"),
        ("for x in a:\n    if x in b:\n        return True\nreturn False", "return any(z in b for z in a)"),
        ("for x in a:\n    if x < 0:\n        return False\nreturn True", "return all(0 <= x for x in a)"),
        ("n = 0\nfor x in a:\n    if x:\n        n += 1\nreturn n", "return len([x for x in a if x])"),
        ("i = 0\nwhile i < len(a):\n    print(a[i])\n    i += 1", "for i in range(0, len(a)):\n    print(a[i])"),
        ("if not a:\n    return 1\nelse:\n    return 2", "if a:\n    return 2\nreturn 1"),
        ("if a > b:\n    return True\nreturn False", "return b < a"),
        ("if a:\n    c = 1\nelse:\n    c = 2\nreturn c", "return 1 if a else 2"),
        ("c = len(a)\nd = len(b)\nreturn c * d + c", "d = len(b)\nc = len(a)\nreturn c + c * d"),
        ("LIMIT = 7\nreturn a % LIMIT", "return a % 7"),
        ("c, d = 1, a\nreturn d + c", "return a + 1"),
        ("return list(map(lambda x: x + 1, a))", "return [y + 1 for y in a]"),
        ("return list(filter(lambda x: x > 1, a))", "return [y for y in a if y > 1]"),
        ("total: int = a + b\nreturn total", "'''Doc.'''\nreturn a + b"),
        ("import math\nreturn math.sqrt(a)", "from math import sqrt as root\nreturn root(a)"),
    ],
)
def test_two_ways_to_write_one_thing_are_one_form(one: str, other: str) -> None:
    def program(body: str, name: str) -> str:
        return f"def {name}(a, b):\n" + "".join(f"    {line}\n" for line in body.splitlines())

    left, right = form(program(one, "f")), form(program(other, "g"))
    assert left is not None
    assert left == right


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return a + 2", "return a + 3"),
        ("return max(a)", "return min(a)"),
        ("return a - b", "return b - b"),
        ("return a.lower()", "return a.upper()"),
        ("if a < b:\n        return 1\n    return 2", "if a <= b:\n        return 1\n    return 2"),
        ("a = b\n    b = a\n    return b", "b = a\n    a = b\n    return b"),
        ("r = []\n    for x in a:\n        r.append(len(r))\n    return r", "return [len(a) for x in a]"),
    ],
)
def test_programs_that_differ_have_different_forms(one: str, other: str) -> None:
    left, right = (form(f"def f(a, b):\n    {body}\n") for body in (one, other))
    assert left is not None
    assert right is not None
    assert left.whole != right.whole


NAMES = st.lists(st.sampled_from(["x", "y", "z", "sum", "list", "a1"]), min_size=3, max_size=3, unique=True)


@given(NAMES, NAMES)
def test_names_never_matter(one: Sequence[str], other: Sequence[str]) -> None:
    source = "def {0}({1}):\n    {2} = [{1}[k] for k in range(3)]\n    {2}.sort()\n    return {2}, {0}\n"
    assert form(source.format(*one)) == form(source.format(*other))


def test_what_does_not_parse_or_is_too_deep_has_no_form() -> None:
    assert form("def f(:") is None
    assert normal("x" + " + x" * 20_000) is None
    assert form("") is not None


def test_what_comes_out_still_parses() -> None:
    made = [function for task in planted.benchmark() for function in normal(task.reference or "") or ()]
    assert len(made) >= len(planted.benchmark()), "every solution has a normal form"
    texts = [ast.unparse(ast.fix_missing_locations(function)) for function in made]
    assert [ast.unparse(ast.parse(text)) for text in texts] == texts


# Nearly equal problems of a set

LONG = "Return how many of the given books were lent out for longer than the library allows, counting renewals."


def found(*problems: Problem) -> list[tuple[str, str]]:
    return [(repeat.problem, repeat.of) for repeat in repeats(problems)]


def test_statements_reworded_a_little_repeat_and_examples_do_not_count() -> None:
    twin = worded("b", LONG.replace("library", "school") + "\n\n>>> f(1)\n1\n")
    other = worded("c", "Tell whether a path rises at every step.\n\n" + "\n".join(f">>> f({n})\n{n}" for n in range(5)))
    assert found(worded("a", LONG), twin, other) == [("b", "a")]
    assert "shingles of its statement are those of a" in next(iter(repeats([worded("a", LONG), twin]))).how


def test_alike_statements_of_different_programs_or_about_other_numbers_do_not_repeat() -> None:
    most, least = (f"def f(v):\n    out = v[0]\n    for x in v:\n        out = {name}(out, x)\n    return out\n" for name in ("max", "min"))
    assert found(worded("a", f"{LONG} Greatest.", most), worded("b", f"{LONG} Smallest.", least)) == []
    assert found(worded("a", f"{LONG} Greatest.", most), worded("b", f"{LONG} Largest.", most.replace("out", "most"))) == [("b", "a")]
    assert found(worded("a", f"{LONG} By 3."), worded("b", f"{LONG} By 4.")) == []


def test_a_reference_with_other_names_and_texts_is_the_same_program() -> None:
    one = (
        "def f(books: list[str], limit: int) -> list[str]:\n    '''Doc.'''\n    late = []\n    for book in books:\n"
        "        if len(book) > limit + 2:\n            late.append(book + 'a')\n            late.sort()\n    return late\n"
    )
    two = one.replace("book", "song").replace("late", "long").replace("'a'", "'xyz'").replace("Doc", "Other").replace("list[str]", "object")
    three = one.replace("limit + 2", "limit + 3")
    assert found(worded("a", "A", one), worded("b", "B", two), worded("c", "C", three)) == [("b", "a")]


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=10), max_size=10))
def test_each_repetition_is_near_and_the_first_is_kept(statements: list[list[str]]) -> None:
    problems = [worded(str(number), " ".join(statement)) for number, statement in enumerate(statements)]
    sets = [shingles(words(problem.instruction)) for problem in problems]
    pairs = {(str(other), str(one)) for one, other in combinations(range(len(sets)), 2) if len(sets[one] & sets[other]) >= NEAR * len(sets[one] | sets[other])}
    repeated = found(*problems)
    assert set(repeated) <= pairs
    assert not {of for _, of in repeated} & {name for name, _ in repeated}
    same = {(str(other), str(one)) for one, other in combinations(range(len(sets)), 2) if sets[one] == sets[other]}
    assert {name for name, _ in same} <= {name for name, _ in repeated}  # equal sets have equal signatures: none is missed


# Behaviour


def doing(name: str, body: str, *tests: CallTest | AssertTest, arguments: str = "x") -> Problem:
    return problem(f"def {name}({arguments}):\n    return {body}\n", *tests, name=name, entry_point=name)


def pairs(found: Iterator[behaviour.Pair]) -> set[tuple[str, str]]:
    return {(pair.reference.name, pair.exam.name) for pair in found}


def test_a_reference_that_does_another_problem_is_found_whatever_it_looks_like(box: OpenSandbox, judge: Judge) -> None:
    double = doing("double", "x * 2", call(2, expected=4), call(5, expected=10), call(0, expected=0))
    twice = doing("twice", "sum([x, x])", call(3, expected=6), call(7, expected=14), call(1, expected=2))
    square = doing("square", "x ** 2", call(2, expected=4), call(0, expected=0), call(3, expected=9))
    assert pairs(behaviour.alike([double, twice, square], [double, twice, square], box, judge)) == {("double", "twice"), ("twice", "double")}


def test_rules_of_comparison_hold_for_the_results_of_others_too(box: OpenSandbox, judge: Judge) -> None:
    words = doing("words", "x.split()", replace(call("a b", expected=True), match="truth"), replace(call("", expected=False), match="truth"))
    half = doing("half", "x / 2", CallTest("[3]", "1.4", match="within", tolerance=0.2), CallTest("[1]", "0.5", match="within", tolerance=0.2))
    strip = doing("strip", "x.strip()", call(" a ", expected="a"), call("b", expected="b"))
    divide = doing("divide", "x * 0.5 + 0.01", call(2, expected=1.01), call(4, expected=2.01))
    assert pairs(behaviour.alike([strip, divide], [words, half], box, judge)) == {("strip", "words"), ("divide", "half")}


def test_first_tests_do_not_decide_alone(box: OpenSandbox, judge: Judge) -> None:
    double = doing("double", "x * 2", call(2, expected=4), call(0, expected=0), call(5, expected=10))
    square = doing("square", "x ** 2", call(9, expected=81), call(4, expected=16))
    assert list(behaviour.alike([square], [double], box, judge)) == []


def test_assert_style_problems_are_compared_in_both_directions(box: OpenSandbox, judge: Judge) -> None:
    ours = doing("double", "x * 2", call(2, expected=4), call(5, expected=10))
    theirs = doing("twice", "helper(x)", AssertTest("def check(candidate):\n    assert candidate(3) == helper(3) == 6\n\ncheck(twice)"))
    helper = Problem(
        name="t", instruction="x", prompt="", entry_point="twice", tests=theirs.tests, reference=f"def helper(x):\n    return x + x\n\n\n{theirs.reference}"
    )
    assert pairs(behaviour.alike([ours], [helper], box, judge)) == {("double", "t")}
    assert pairs(behaviour.alike([helper], [ours], box, judge)) == {("t", "double")}


def test_references_that_hang_raise_grow_or_catch_everything_are_passed_over(box: OpenSandbox, judge: Judge) -> None:
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
    assert pairs(behaviour.alike(references, [exam], box, judge)) == {("twice", "double")}


def test_a_probe_that_cannot_finish_leaves_the_decision_to_the_judge(box: OpenSandbox, judge: Judge) -> None:
    exam = doing("double", "x * 2", call(2, expected=4), call(50, expected=100))
    killer = problem("import os\ndef killer(x):\n    os._exit(0)\n", call(1, expected=1), name="killer", entry_point="killer")
    twice = problem("def twice(x):\n    return x + x\n", call(1, expected=1), name="twice", entry_point="twice")
    assert pairs(behaviour.alike([killer, twice], [exam, doing("other", "x", call(1, expected=3))], box, judge)) == {("twice", "double")}


def test_methods_and_helpers_are_tried_under_the_name_that_is_asked_for(box: OpenSandbox, judge: Judge) -> None:
    exam = doing("double", "x * 2", call(2, expected=4), call(5, expected=10))
    method = problem("class Solution:\n    def go(self, x):\n        return x + x\n", call(1, expected=2), name="m", entry_point="Solution().go")
    source = "def inner(x):\n    return x + x\n\ndef outer(x, y):\n    return inner(x) + y\n"
    helper = problem(source, call(1, 1, expected=3), name="h", entry_point="outer")
    found = list(behaviour.alike([method, helper], [exam], box, judge))
    assert [(pair.reference.name, pair.function) for pair in found] == [("m", "Solution().go"), ("h", "inner")]
    twice = doing("twice", "x * 2", call(3, expected=6))
    assert pairs(behaviour.alike([twice], [method], box, judge)) == {("twice", "m")}


def test_a_function_for_other_kinds_of_arguments_is_not_tried(box: OpenSandbox, judge: Judge) -> None:
    exam = doing("first", "x[0]", call([1, 2], expected=1), call([3], expected=3))
    texts = doing("head", "x[0]", call("ab", expected="a"))
    numbers = doing("lead", "x[0]", call([0.5], expected=0.5))
    silent = doing("start", "x[0]", call([], expected=None))
    assert pairs(behaviour.alike([texts, numbers, silent], [exam], box, judge)) == {("lead", "first"), ("start", "first")}


def test_a_problem_without_a_reference_is_tried_the_other_way_round() -> None:
    exam = doing("double", "x * 2", call(2, expected=4), call(5, expected=10))
    bare = problem(None, call(7, expected=14), call(1, expected=2), name="bare")
    assert [finding.detail for finding in by_running([bare], [exam], "drop", BOX, RUNTIME)] == ["double: its solution passes all 2 tests of this one"]


def test_the_probe_copies_arguments_for_each_function() -> None:
    def spoils(items: list[int]) -> int:
        items.clear()
        return 1

    assert probe.call_all([spoils, len], 1.0, [[1, 2]]) == [(0, 1), (1, 2)]
