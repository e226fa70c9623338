"""Programs that do nothing of what is asked. Tests that let one of them pass say nothing about an answer.

`pass` (no work at all), a constant (the expected result that occurs most often among the tests, which passes more tests than any other constant), and an echo
of each argument. For programs that read stdin: nothing printed, the commonest output, and the input. Not here: running them (`rrtf.quality.fitness`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rrtf import values
from rrtf.quality.programs import arguments, arity
from rrtf.records import CallTest, IOTest, Problem

_USUAL = ("0", "1", "True", "False", "''", "[]")
"""Constants for assert tests, whose expected values cannot be read off."""


@dataclass(frozen=True, slots=True)
class Stub:
    """A program that ignores its task."""

    what: str
    """Such as `echo of argument 1`."""
    source: str


def stubs(problem: Problem) -> Iterator[Stub]:
    """The stubs that a problem's tests must fail."""
    if isinstance(problem.tests[0], IOTest):
        printed = Counter(test.stdout for test in problem.tests if isinstance(test, IOTest)).most_common(1)[0][0]
        yield Stub("pass", "pass\n")
        yield Stub("a constant", f"print({printed!r})\n")
        yield Stub("echo of the input", "import sys\n\nprint(sys.stdin.read())\n")
        return
    yield Stub("pass", _function(problem, "pass"))
    for constant in _constants(problem):
        yield Stub(f"the constant {constant[:60]}", _function(problem, f"return {constant}"))
    for place in range(_arguments(problem)):
        yield Stub(f"echo of argument {place + 1}", _function(problem, f"return args[{place}]"))


def _function(problem: Problem, body: str) -> str:
    return f"from math import inf, nan\n\n\ndef {problem.entry_point}(*args, **kwargs):\n    {body}\n"


def _constants(problem: Problem) -> tuple[str, ...]:
    expected = Counter(test.expected for test in problem.tests if isinstance(test, CallTest) and test.expected is not None)
    if expected:
        return (repr(values.loads(expected.most_common(1)[0][0])),)
    return () if isinstance(problem.tests[0], CallTest) else _USUAL


def _arguments(problem: Problem) -> int:
    counts = [len(arguments(test)) for test in problem.tests if isinstance(test, CallTest)]
    if counts:
        return min(counts)
    return arity(problem.reference, problem.entry_point)[0] if problem.reference is not None and problem.entry_point else 0
