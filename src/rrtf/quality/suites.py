"""What can be seen of a problem's tests without running anything: calls that are asked twice, and calls that are asked for two different results.

Tests are read as pairs of a question and the expected answer: arguments and result, input and output, or an assertion that compares a call on literals with a
literal. Whatever else a test asserts says nothing here, and pytest files are not read. Not here: what the tests notice (`rrtf.quality.fitness`).
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from rrtf import values
from rrtf.records import AssertTest, CallTest, IOTest, Problem, PytestTest, Test
from rrtf.sandbox import compare

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Question:
    """What one test asks."""

    test: int
    """Its place among the problem's tests."""
    asked: str
    """Equal texts are the same question."""
    expected: object
    """A value, what must be printed, or the name of an exception in a `Raised`."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception that is expected in the place of a result."""

    name: str


def questions(problem: Problem) -> Iterator[Question]:
    """Every question of the problem's tests."""
    for place, test in enumerate(problem.tests):
        match test:
            case CallTest():
                rule = "" if test.match in ("near", "equal") else f" ({test.match})"  # one result may fit two rules that expect different things
                expected = Raised(test.raises) if test.raises else values.loads(test.expected or "null")
                yield Question(place, shown(test, len(test.args) + len(test.kwargs) + 1) + rule, expected)
            case IOTest():
                yield Question(place, repr(test.stdin), "\n".join(line.rstrip() for line in test.stdout.rstrip().splitlines()))
            case AssertTest():
                yield from (Question(place, asked, expected) for asked, expected in asserted(test.code))
            case PytestTest():
                pass  # its file has them all, and says more than calls


def asserted(code: str) -> Iterator[tuple[str, object]]:
    """Calls on literals that the code asserts to be equal to literals, as they would be written, with those."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Assert(test=ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[right])) if _plain([*call.args, *_values(call)]):
                if _plain([right]):
                    yield ast.unparse(call), ast.literal_eval(right)
            case _:
                pass


def _values(call: ast.Call) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords]


def _plain(nodes: list[ast.expr]) -> bool:
    try:
        for node in nodes:
            ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def size(problem: Problem) -> int:
    """How many tests there are, where code with several assertions counts as so many."""
    return sum(max(1, _assertions(test.code)) if isinstance(test, AssertTest) else 1 for test in problem.tests)


def _assertions(code: str) -> int:
    return sum(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code)))


def repeated(problem: Problem) -> list[str]:
    """What is asked again with the same answer expected, as `test 2 asks [1,2] again, as test 0 does`."""
    return [f"test {again.test} asks {_cut(again.asked)} again, as test {first.test} does" for first, again, agree in _pairs(problem) if agree]


def contradicting(problem: Problem) -> list[str]:
    """What is asked again with another answer expected."""
    return [
        f"tests {first.test} and {again.test} expect {_shown(first)} and {_shown(again)} of {_cut(again.asked)}"
        for first, again, agree in _pairs(problem)
        if not agree
    ]


def _pairs(problem: Problem) -> Iterator[tuple[Question, Question, bool]]:
    """Every question that was asked before, the first time it was, and whether both expect the same."""
    seen: dict[str, list[Question]] = defaultdict(list)
    for question in questions(problem):
        for first in seen[question.asked][:1]:
            yield first, question, _agree(first.expected, question.expected)
        seen[question.asked].append(question)


def _agree(one: object, other: object) -> bool:
    if isinstance(one, Raised) or isinstance(other, Raised):
        return one == other
    return compare.same(one, other)


def shown(test: Test, length: int = _SHOWN) -> str:
    """What a test asks, cut to a readable length."""
    match test:
        case CallTest():
            return _cut(test.args if test.kwargs == "{}" else f"{test.args} {test.kwargs}", length)
        case IOTest():
            return _cut(repr(test.stdin), length)
        case AssertTest():
            return _cut(" ".join(test.code.split()), length)
        case PytestTest():
            return _cut(test.node, length)


def _shown(question: Question) -> str:
    return question.expected.name if isinstance(question.expected, Raised) else _cut(repr(question.expected))


def _cut(text: str, length: int = _SHOWN) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
