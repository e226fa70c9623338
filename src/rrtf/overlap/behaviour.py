"""Which programs do what another problem asks: likeness found by running, which no rewording can hide.

A program *does* another problem when one of its functions, under the name that problem asks for, passes that problem's tests. All pairs are many, so it goes
in steps, each for what the one before left over:

1. Only functions are tried that take as many arguments as the tests give; the entry point, and up to `OTHERS` other functions and methods of the program,
   the same one in `COMMON` programs at most.
2. The entry point only where its own tests call it with the same kinds of arguments (numbers, texts, sequences of these, mappings, sets), as far as they show
any.
3. A probe: one program that holds many functions and calls them all on a few tests of many problems.
4. Whoever survived is judged on all tests, like any answer, and the verdict is kept like any other (`rrtf.judging`).

The probe runs in the sandbox too, but in there the programs share a process: a hostile one could hide the likeness of others, and nothing worse. A function
that takes more than `PATIENCE` processor seconds on a foreign call counts as not doing the problem.

Few and weak tests make chance likenesses: three asserts about lists may be passed by a function about texts. They count all the same, for from outside
nobody can tell chance from borrowing. Not here: likeness on paper (`rrtf.overlap.words`, `rrtf.overlap.trees`).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

from rrtf import values
from rrtf.errors import SandboxFailure
from rrtf.extraction.syntax import parse
from rrtf.judging import Judge
from rrtf.overlap import probe
from rrtf.protocols import Program, Reply, Sandbox
from rrtf.quality.programs import arguments, arity, asked, owner
from rrtf.records import AssertTest, Author, CallTest, Limits, Outcome, Problem, Response, Verdict
from rrtf.sandbox import compare
from rrtf.sandbox.harness import attempt

PATIENCE = 0.02
"""Processor seconds that one function gets for one foreign call."""
OTHERS = 6
"""Functions and methods of a program that are tried beside its entry point: whoever wraps a solution calls it."""
COMMON = 3
"""Programs in which the same helper is tried: a data set's own helpers stand in thousands."""
_BATCH = 40
"""Problems of one probe."""
_HELD = 250
"""Functions of one probe."""
_GROUP = 2000
"""Programs that are looked at together: memory does not grow beyond them."""
_FIRST_TESTS = 2
"""Tests of a problem that the probe tries, with different expected results where there are any."""
_LIMITS = Limits(cpu_seconds=60.0, wall_seconds=600.0, memory_mb=1024)
_LAST_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=100.0, memory_mb=1024)
"""Of a probe of many problems, and of one. Where one does not finish, all functions are judged one by one."""

_Kinds = tuple[frozenset[str], ...]
Helpers = Counter[bytes]
"""How often each function beside the entry points was seen, by a hash of its text."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A program and a problem that is not its own."""

    reference: Problem
    """The problem whose reference is the program."""
    function: str
    """What in the program does it: its entry point, or another function."""
    exam: Problem


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A program of which we could not say what it does, for reasons of ours. That says nothing about it."""

    reference: Problem
    reason: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    pair: Pair
    certain: bool
    """The probe ran all tests, and they passed."""


@dataclass(frozen=True, slots=True)
class _Function:
    problem: Problem
    name: str
    least: int
    most: int
    kinds: _Kinds | None
    """What its own tests give it; None where that is unknown."""


def alike(
    references: Iterable[Problem], exams: Sequence[Problem], sandbox: Sandbox, judge: Judge, threads: int = 1, helpers: Helpers | None = None
) -> Iterator[Pair | Unjudged]:
    """Every pair in which the reference of one problem passes the tests of another, and who could not be judged. Problems of the same name are not compared.

    `helpers` is what was seen of references before these, where they come in several calls.
    """
    groups: dict[tuple[int, _Kinds | None], list[Problem]] = defaultdict(list)
    for exam in exams:
        count = asked(exam)
        if count is not None:
            groups[count, _kinds(exam, count)].append(exam)
    left, seen = iter(references), Counter[bytes]() if helpers is None else helpers
    with ThreadPoolExecutor(threads, thread_name_prefix="probe") as pool:
        while some := list(islice(left, _GROUP)):
            functions = [function for problem in some for function in _functions(problem, seen)]
            work = [
                (fitting[first : first + _HELD], group[start : start + _BATCH])
                for (count, kinds), group in sorted(groups.items(), key=lambda item: repr((item[0][0], [sorted(kind) for kind in item[0][1] or ()])))
                if (fitting := [function for function in functions if _fits(function, count, kinds)])
                for first in range(0, len(fitting), _HELD)
                for start in range(0, len(group), _BATCH)
            ]

            def probed(item: tuple[list[_Function], list[Problem]]) -> list[_Candidate | Unjudged]:
                return list(_probe(*item, sandbox))

            found = [one for several in pool.map(probed, work) for one in several]
            yield from _passing([one for one in found if isinstance(one, _Candidate)], judge)
            yield from {id(one.reference): one for one in found if isinstance(one, Unjudged)}.values()


def _functions(problem: Problem, seen: Helpers) -> Iterator[_Function]:
    """The functions of a program that are tried. `seen` counts those beside entry points: what stands in program after program is nobody's solution."""
    tree = parse(problem.reference) if problem.reference is not None else None
    if tree is None or problem.reference is None:
        return
    names = [problem.entry_point] if problem.entry_point else []
    for node in tree.body:
        parts = [(f"{node.name}().{part.name}", part) for part in node.body if isinstance(part, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
        for name, part in [(node.name, node)] if isinstance(node, ast.FunctionDef) else parts:
            if name not in names and not part.name.startswith("__"):
                text = hashlib.blake2b(ast.unparse(part).encode(errors="surrogatepass"), digest_size=8).digest()
                seen[text] += 1
                names += [name] if seen[text] <= COMMON else []
    for name in list(dict.fromkeys(names))[: OTHERS + 1]:
        least, most = arity(problem.reference, name)
        if most >= 0:
            count = asked(problem) if name == problem.entry_point else None
            yield _Function(problem, name, least, most, None if count is None else _kinds(problem, count))


def _fits(function: _Function, count: int, kinds: _Kinds | None) -> bool:
    if not function.least <= count <= function.most:
        return False
    if kinds is None or function.kinds is None or len(function.kinds) != count:
        return True
    return all(not mine or not theirs or mine & theirs for mine, theirs in zip(function.kinds, kinds, strict=True))


def _kinds(problem: Problem, count: int) -> _Kinds | None:
    """What kinds of values the tests give in each place; no kinds in a place where they show none. None when the tests are code."""
    calls = [arguments(test) for test in problem.tests if isinstance(test, CallTest)]
    if not calls:
        return None
    return tuple(frozenset(kind for given in calls if place < len(given) for kind in [_kind(given[place], 1)] if kind) for place in range(count))


def _kind(value: object, depth: int) -> str:
    """A coarse kind; empty for values that may stand for anything."""
    match value:
        case str() | bytes():
            return "text"
        case int() | float() | complex():
            return "number"
        case list() | tuple():
            items = cast("Sequence[object]", value)
            inner = _kind(items[0], depth - 1) if items and depth else ""
            return f"sequence of {inner}" if inner else "sequence" if items else ""
        case dict():
            return "mapping"
        case set() | frozenset():
            return "set"
        case _:
            return ""


def _probe(functions: Sequence[_Function], exams: Sequence[Problem], sandbox: Sandbox) -> Iterator[_Candidate | Unjudged]:
    """Pairs that a few tests could not tell apart. A probe that did not finish is tried again problem by problem, and then tells nothing apart."""
    for kind in (CallTest, AssertTest):
        chosen = [exam for exam in exams if isinstance(exam.tests[0], kind)]
        questions = [(exam, test) for exam in chosen for test in _questions(exam)]
        if not questions:
            continue
        limits = _LIMITS if len(chosen) > 1 else _LAST_LIMITS
        tests = tuple(test if kind is AssertTest else replace(test, args=f"[{test.args}]", match="near", tolerance=None) for _, test in questions)
        program = Program(_source(functions), "examine" if kind is AssertTest else "call", tests, limits)
        try:
            execution = attempt(program, sandbox)
        except SandboxFailure as failure:
            yield from (Unjudged(function.problem, failure.message) for function in functions)
            continue
        if not execution.replies or any(reply.status != "passed" for reply in execution.replies):
            if len(chosen) > 1:
                for exam in chosen:
                    yield from _probe(functions, [exam], sandbox)
            else:
                yield from _pairs(functions, chosen[0], certain=False)
            continue
        alive = {exam.name: set(range(len(functions))) for exam in chosen}
        for (exam, test), reply in zip(questions, execution.replies, strict=True):
            alive[exam.name] &= _places(reply) if kind is AssertTest else _agreeing(test, reply)
        for exam in chosen:
            # Of asserts the probe ran all, of calls the first few.
            yield from _pairs([functions[place] for place in sorted(alive[exam.name])], exam, certain=kind is AssertTest)


def _pairs(functions: Iterable[_Function], exam: Problem, *, certain: bool) -> Iterator[_Candidate]:
    return (_Candidate(Pair(function.problem, function.name, exam), certain) for function in functions if function.problem.name != exam.name)


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


def _source(functions: Sequence[_Function]) -> str:
    programs = [(function.problem.reference, function.name) for function in functions]
    return f"""{inspect.getsource(probe)}

FUNCTIONS = load({programs!r})


def call(arguments):
    return call_all(FUNCTIONS, {PATIENCE}, arguments)


def examine(reference, entry_point, tests):
    return examine_all(FUNCTIONS, {PATIENCE}, reference, entry_point, tests)
"""


def _passing(candidates: Sequence[_Candidate], judge: Judge) -> Iterator[Pair | Unjudged]:
    """The pairs that stand before all tests, the first function of each program that does."""
    found = [candidate.pair for candidate in candidates]
    answers = {index: _answer(pair) for index, pair in enumerate(found) if not candidates[index].certain}
    asked_of = {(found[index].exam.id, answer.id): index for index, answer in answers.items()}
    passed = {index for index in range(len(found)) if index not in answers}
    unjudged: dict[str, Unjudged] = {}
    for said in judge((found[index].exam, answer) for index, answer in answers.items()):
        pair = found[asked_of[said.problem_id, said.response_id]]
        if not isinstance(said, Verdict):
            unjudged.setdefault(pair.reference.name, Unjudged(pair.reference, said.reason))
        elif said.outcome is Outcome.PASSED:
            passed.add(asked_of[said.problem_id, said.response_id])
    first = {(found[index].reference.name, found[index].exam.name): found[index] for index in sorted(passed, reverse=True)}
    yield from (pair for index, pair in enumerate(found) if index in passed and first[pair.reference.name, pair.exam.name] is pair)
    yield from unjudged.values()


def _answer(pair: Pair) -> Response:
    """The program with its function under the name that the other problem asks for."""
    code, name, wanted = f"{pair.reference.reference}", pair.function, f"{pair.exam.entry_point}"
    if name != wanted:
        kind, method = owner(name), name.partition("().")[2]
        code += f"\n\n_found = {name if kind is None else f'(lambda kind: lambda *arguments: kind().{method}(*arguments))({kind})'}\n"
        kind, method = owner(wanted), wanted.partition("().")[2]
        code += f"{wanted} = _found\n" if kind is None else f"\n\nclass {kind}:\n    def {method}(self, *arguments):\n        return _found(*arguments)\n"
    author = Author("reference", pair.reference.name, "")
    return Response(problem_id=pair.exam.id, author=author, index=0, text=code, code=code, rule="reference", stop="stop", completion_tokens=0)
