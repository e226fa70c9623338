"""Programs that do nothing of what is asked. Tests that let one of them pass say nothing about an answer.

`pass` (no work at all), a constant (the expected result that occurs most often among the tests, which passes more tests than any other constant), and an echo
of each argument. For programs that read stdin: nothing printed, the commonest output, and the input. For one function of a file (`Problem.frame`): no work,
NotImplementedError, and constants. Not here: running them (`rrtf.quality.fitness`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from rrtf import values
from rrtf.framing import body_indent
from rrtf.quality.programs import arguments, arity, functions, owner
from rrtf.quality.suites import questions
from rrtf.records import AssertTest, CallTest, Frame, IOTest, Problem

_USUAL = ("0", "1", "True", "False", "''", "[]")
"""Constants for assert tests, where not every expected value can be read off."""


@dataclass(frozen=True, slots=True)
class Stub:
    """A program that ignores its task."""

    what: str
    """Such as `echo of argument 1`."""
    source: str


def stubs(problem: Problem) -> Iterator[Stub]:
    """The stubs that a problem's tests must fail."""
    entry_point = problem.entry_point
    if problem.frame is not None:
        for body in ("pass", "raise NotImplementedError", *(f"return {constant}" for constant in _USUAL)):
            yield Stub(body, stubbed(problem.frame, body))
        return
    if isinstance(problem.tests[0], IOTest):
        printed = Counter(test.stdout for test in problem.tests if isinstance(test, IOTest)).most_common(1)[0][0]
        yield Stub("pass", "pass\n")
        yield Stub("a constant", f"print({printed!r})\n")
        yield Stub("echo of the input", "import sys\n\nprint(sys.stdin.read())\n")
        return
    if entry_point is None:
        names = functions(problem.reference or "")
        yield Stub("pass", "\n\n".join(f"def {name}(*args, **kwargs):\n    pass\n" for name in names) or "pass\n")
        return
    yield Stub("pass", _function(entry_point, "pass"))
    for constant in _constants(problem):
        yield Stub(f"the constant {constant[:60]}", _function(entry_point, f"return {constant}"))
    for place in range(_arguments(problem)):
        yield Stub(f"echo of argument {place + 1}", _function(entry_point, f"return args[{place}]"))
    for name in _keywords(problem):
        yield Stub(f"echo of argument {name}", _function(entry_point, f"return kwargs[{name!r}]"))


def stubbed(frame: Frame, body: str) -> str:
    """The program of a file whose function is its header and this one line."""
    header = frame.header.rstrip("\n")
    return f"{frame.before}{header}\n{body_indent(frame)}{body}\n{frame.after}"


def _function(entry_point: str, body: str) -> str:
    start = "from decimal import Decimal\nfrom fractions import Fraction\nfrom math import inf, nan\n\n\n"
    if (name := owner(entry_point)) is not None:
        return f"{start}class {name}:\n    def {entry_point.partition('().')[2]}(self, *args, **kwargs):\n        {body}\n"
    return f"{start}def {entry_point}(*args, **kwargs):\n    {body}\n"


def _constants(problem: Problem) -> tuple[str, ...]:
    """The expected value that occurs most often; where it cannot be read off every test, the usual ones too."""
    if isinstance(problem.tests[0], CallTest):
        expected = Counter(test.expected for test in problem.tests if isinstance(test, CallTest) and test.expected is not None)
        return tuple(repr(values.loads(text)) for text, _ in expected.most_common(1))
    asserted = Counter(repr(question.expected) for question in questions(problem))
    return tuple(dict.fromkeys([*(text for text, _ in asserted.most_common(1)), *_USUAL]))


def _arguments(problem: Problem) -> int:
    if isinstance(problem.tests[0], CallTest):
        return min((len(arguments(test)) for test in problem.tests if isinstance(test, CallTest)), default=0)
    calls = isinstance(problem.tests[0], AssertTest) and problem.reference is not None and problem.entry_point
    return arity(problem.reference or "", problem.entry_point or "")[0] if calls else 0


def _keywords(problem: Problem) -> list[str]:
    """Names of the keyword arguments that every call gives."""
    given = [cast("dict[str, object]", values.loads(test.kwargs)) for test in problem.tests if isinstance(test, CallTest)]
    return [name for name in given[0] if all(name in keywords for keywords in given)] if given else []
