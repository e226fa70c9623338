"""What goes into the sandbox for an answer, and what comes out of it says: program, comparison, outcome.

What a verdict proves. For call-and-compare and stdin/stdout tests the expected values never enter the sandbox: passing means having computed the results.
Assert-style tests run in the program's own process, where our code reads a one-time key after the last assertion and sends it back; exit codes, printed
claims, exceptions, `os._exit` and objects that call themselves equal to everything do not pass. A program that goes out of its way to find that key among its
open descriptors, to read the tests in the frames below it, or to rewrite our code in its own memory, still can; so prefer the other kinds where there is a
choice. The same holds for pytest files, whose tests the program can also read in its working directory.

Not here: running, retrying, trouble of ours (`harness`), how values compare (`compare`).
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re

from rrtf.errors import DataError
from rrtf.protocols import Execution, Program, Reply
from rrtf.records import AssertTest, CallTest, IOTest, Limits, Outcome, Problem, PytestTest, Test, TestStatus, Verdict
from rrtf.sandbox import compare

_CAUSE_LENGTH = 300
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
"""In `<generator object f at 0x7f03e2abaa40>`: another one in every run, where the same program must give the same verdict."""


def program_of(problem: Problem, code: str, limits: Limits | None = None) -> Program:
    """What goes into the sandbox for this answer. Raises `DataError` for a problem whose tests do not fit together."""
    kinds = {type(test) for test in problem.tests}
    if len(kinds) > 1:
        raise DataError(f"Problem {problem.name} mixes {len(kinds)} kinds of tests.", why="One program is run in one way.", hint="Give it tests of one kind.")
    if CallTest in kinds and problem.entry_point is None:
        raise DataError(f"Problem {problem.name} has tests that call a function, but no entry point.", hint="Name the function in `entry_point`.")
    if AssertTest in kinds:
        _check_parse(problem)
    if PytestTest in kinds:
        _check_files(problem)
    limits = limits or Limits()
    room = sum(len(file.text.encode("utf-8", "surrogateescape")) for file in problem.files) >> 20
    if 2 * room > limits.file_mb:
        limits = dataclasses.replace(limits, file_mb=limits.file_mb + 2 * room)
    longest = max(len(test.stdout) for test in problem.tests if isinstance(test, IOTest)) if IOTest in kinds else 0
    if longest * 4 > limits.output_kb * 1024:
        limits = dataclasses.replace(limits, output_kb=1 << (longest * 8 // 1024).bit_length())  # a right answer must fit
    return Program(code, problem.entry_point, problem.tests, limits, problem.files, problem.module)


def _check_parse(problem: Problem) -> None:
    for number, test in enumerate(problem.tests):
        if isinstance(test, AssertTest):
            try:
                ast.parse(test.code)
            except (SyntaxError, ValueError) as error:
                what = f"The code of test {number} of problem {problem.name} does not parse: {error}."
                raise DataError(what, why="No answer could pass it.", hint="Correct the test.") from error


def _check_files(problem: Problem) -> None:
    paths = {file.path for file in problem.files}
    missing = [test.node for test in problem.tests if isinstance(test, PytestTest) and test.node.partition("::")[0] not in paths]
    if missing:
        raise DataError(f"Problem {problem.name} has a test {missing[0]}, but no such file.", why="Nothing could be run.", hint="Add it to `files`.")


def without_program(problem: Problem, response_id: str, why: str) -> Verdict:
    """The verdict on an answer in which no program was found."""
    return _verdict(problem, response_id, Outcome.COMPILE_ERROR, _not_run(problem), why, None)


def verdict_of(problem: Problem, execution: Execution, response_id: str) -> Verdict:
    """What one execution says: the comparison of every reply with what was expected, and the outcome that follows."""
    if execution.compile_error:
        return _verdict(problem, response_id, Outcome.COMPILE_ERROR, _not_run(problem), execution.compile_error, execution)
    if execution.load_error:
        return _verdict(problem, response_id, Outcome.RUNTIME_ERROR, _not_run(problem), f"before the tests: {execution.load_error}", execution)
    results = [_result(test, reply) for test, reply in zip(problem.tests, execution.replies, strict=True)]
    statuses: tuple[TestStatus, ...] = tuple([status for status, _ in results])
    cause = next((f"test {number}: {why}" for number, (status, why) in enumerate(results) if status != "passed"), "")
    return _verdict(problem, response_id, _outcome(statuses), statuses, cause, execution)


def _not_run(problem: Problem) -> tuple[TestStatus, ...]:
    statuses: list[TestStatus] = ["not-run" for _ in problem.tests]
    return tuple(statuses)


def _outcome(statuses: tuple[TestStatus, ...]) -> Outcome:
    if all(status == "passed" for status in statuses):
        return Outcome.PASSED
    if "passed" in statuses or all(status == "wrong" for status in statuses):
        return Outcome.PARTIAL
    return Outcome.RUNTIME_ERROR


def _result(test: Test, reply: Reply) -> tuple[TestStatus, str]:
    if isinstance(test, CallTest) and test.raises is not None:
        return _expected_exception(test.raises, reply)
    if reply.status != "passed":
        return reply.status, reply.error or reply.status
    match test:
        case CallTest() if not compare.fits(test, reply.value):
            return "wrong", _difference(test, reply.value)
        case IOTest() if not compare.prints(test, reply.value):
            return "wrong", f"printed {_cut(repr(reply.value[:200]))}, expected {_cut(repr(test.stdout[:200]))}"
        case _:
            return "passed", ""


def _difference(test: CallTest, value: str) -> str:
    expected = compare.shown(test.expected or "null")
    if test.match == "truth":
        return f"returned something whose truth is {compare.shown(value)}, expected {expected}"
    near = f" give or take {test.tolerance:g}" if test.match == "within" and test.tolerance is not None else ""
    return f"returned {compare.shown(value)}, expected {expected}{near}"


def _expected_exception(name: str, reply: Reply) -> tuple[TestStatus, str]:
    if reply.status == "passed":
        return "wrong", f"returned {compare.shown(reply.value)}, expected {name} to be raised"
    if reply.status in ("raised", "memory"):
        try:
            classes = json.loads(reply.value)
        except (ValueError, RecursionError):
            classes = []
        if isinstance(classes, list) and name in classes:
            return "passed", ""
    return reply.status, reply.error or reply.status


def _cut(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _verdict(problem: Problem, response_id: str, outcome: Outcome, tests: tuple[TestStatus, ...], cause: str, execution: Execution | None) -> Verdict:
    return Verdict(
        problem_id=problem.id,
        response_id=response_id,
        outcome=outcome,
        tests=tests,
        cause=_cut(_ADDRESS.sub("at 0x...", " ".join(cause.split())), _CAUSE_LENGTH),
        cpu_seconds=execution.cpu_seconds if execution else 0.0,
        wall_seconds=execution.wall_seconds if execution else 0.0,
        peak_mb=execution.peak_mb if execution else 0.0,
    )
