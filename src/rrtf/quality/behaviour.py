"""Which references do what another problem asks: likeness found by running, which no rewording can hide.

A reference *does* another problem when it passes that problem's tests. Only references that take as many arguments as the tests give are tried. All pairs are
many, so it goes in two steps: a probe, one program that holds every reference of one arity and calls them all on a few tests of many problems; then
whoever survived is judged on all tests, like any answer. The probe runs in the sandbox too, but in there the references share a process: a hostile one
could hide the likeness of others, and nothing worse. A reference that takes more than `PATIENCE` processor seconds on a
foreign call counts as not doing the problem.

Few and weak tests make chance likenesses: three asserts about lists may be passed by a function about texts. They count all the same, for from outside
nobody can tell chance from borrowing. Not here: likeness on paper (`rrtf.quality.likeness`).
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from rrtf import values
from rrtf.protocols import Program, Reply, Sandbox
from rrtf.quality import probe
from rrtf.quality.programs import arity, asked
from rrtf.records import AssertTest, CallTest, Limits, Outcome, Problem
from rrtf.sandbox import compare
from rrtf.sandbox.harness import judge

PATIENCE = 0.02
"""Processor seconds that one reference gets for one foreign call."""
_BATCH = 40
"""Problems of one probe."""
_FIRST_TESTS = 2
"""Tests of a problem that the probe tries, with different expected results where there are any."""
_LIMITS = Limits(cpu_seconds=60.0, wall_seconds=600.0, memory_mb=1024)
_LAST_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=100.0, memory_mb=1024)
"""Of a probe of many problems, and of one. Where one does not finish, all references are judged one by one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and a problem that is not its own."""

    reference: Problem
    exam: Problem


def alike(references: Sequence[Problem], exams: Sequence[Problem], sandbox: Sandbox, threads: int = 1) -> list[Pair]:
    """Every pair in which the reference of one problem passes the tests of another. Problems of the same name are not compared."""
    by_arity: dict[int, list[Problem]] = defaultdict(list)
    for exam in exams:
        count = asked(exam)
        if count is not None:
            by_arity[count].append(exam)
    probes: list[tuple[Sequence[Problem], Sequence[Problem]]] = [
        (fitting, group[start : start + _BATCH])
        for count, group in sorted(by_arity.items())
        if (fitting := [problem for problem in references if _takes(problem, count)])
        for start in range(0, len(group), _BATCH)
    ]
    with ThreadPoolExecutor(threads, thread_name_prefix="probe") as pool:

        def probed(work: tuple[Sequence[Problem], Sequence[Problem]]) -> list[Pair]:
            return list(_probe(*work, sandbox))

        survivors = [pair for pairs in pool.map(probed, probes) for pair in pairs]
        passing = pool.map(partial(_does, sandbox=sandbox), survivors)
        return [pair for pair, passes in zip(survivors, passing, strict=True) if passes]


def _takes(problem: Problem, count: int) -> bool:
    if problem.reference is None or problem.entry_point is None:
        return False
    least, most = arity(problem.reference, problem.entry_point)
    return least <= count <= most


def _probe(references: Sequence[Problem], exams: Sequence[Problem], sandbox: Sandbox) -> Iterator[Pair]:
    """Pairs that a few tests could not tell apart. A probe that did not finish is tried again problem by problem, and then tells nothing apart."""
    for kind in (CallTest, AssertTest):
        chosen = [exam for exam in exams if isinstance(exam.tests[0], kind)]
        questions = [(exam, test) for exam in chosen for test in _questions(exam)]
        if not questions:
            continue
        limits = _LIMITS if len(chosen) > 1 else _LAST_LIMITS
        tests = tuple(test if kind is AssertTest else replace(test, args=f"[{test.args}]", match="near", tolerance=None) for _, test in questions)
        program = Program(_source(references), "examine" if kind is AssertTest else "call", tests, limits)
        execution = sandbox.run(program)
        if not execution.replies or any(reply.status != "passed" for reply in execution.replies):
            if len(chosen) > 1:
                for exam in chosen:
                    yield from _probe(references, [exam], sandbox)
            else:
                yield from (Pair(reference, chosen[0]) for reference in references if reference.name != chosen[0].name)
            continue
        alive = {exam.name: set(range(len(references))) for exam in chosen}
        for (exam, test), reply in zip(questions, execution.replies, strict=True):
            alive[exam.name] &= _places(reply) if kind is AssertTest else _agreeing(test, reply)
        for exam in chosen:
            yield from (Pair(references[place], exam) for place in sorted(alive[exam.name]) if references[place].name != exam.name)


def _questions(exam: Problem) -> list[CallTest]:
    """What the probe is asked about one problem."""
    if isinstance(exam.tests[0], AssertTest):
        codes = [test.code for test in exam.tests if isinstance(test, AssertTest)]
        return [CallTest(args=values.dumps([exam.reference or "", exam.entry_point, codes]), expected="null")]
    calls = [test for test in exam.tests if isinstance(test, CallTest) and test.expected is not None]
    first = calls[:1]
    others = [test for test in calls[1:] if test.expected != first[0].expected] + [test for test in calls[1:] if test.expected == first[0].expected]
    return [*first, *others][:_FIRST_TESTS]


def _places(reply: Reply) -> set[int]:
    return set(cast("list[int]", values.loads(reply.value)))


def _agreeing(test: CallTest, reply: Reply) -> set[int]:
    return {place for place, value in cast("list[tuple[int, object]]", values.loads(reply.value)) if _agrees(test, value)}


def _agrees(test: CallTest, value: object) -> bool:
    """Whether a result is what a test expects, by the test's own rule."""
    return compare.fits(test, values.dumps(bool(value) if test.match == "truth" else value))


def _source(references: Sequence[Problem]) -> str:
    programs = [(problem.reference, problem.entry_point) for problem in references]
    return f"""{inspect.getsource(probe)}

FUNCTIONS = load({programs!r}, {PATIENCE})


def call(arguments):
    return call_all(FUNCTIONS, {PATIENCE}, arguments)


def examine(reference, entry_point, tests):
    return examine_all(FUNCTIONS, {PATIENCE}, reference, entry_point, tests)
"""


def _does(pair: Pair, sandbox: Sandbox) -> bool:
    if isinstance(pair.exam.tests[0], AssertTest):
        return True  # the probe ran every test
    code = f"{pair.reference.reference}"
    if pair.reference.entry_point != pair.exam.entry_point:
        code += f"\n\n{pair.exam.entry_point} = {pair.reference.entry_point}\n"
    return judge(pair.exam, code, sandbox).outcome is Outcome.PASSED
