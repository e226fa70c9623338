"""Further tests for a problem whose answers are known to be right as far as its tests go: new inputs, made of those in the tests, with the results of its
reference.

Nothing says which arguments a task allows but those it is tested with, so new ones keep to what these show: numbers between theirs, orders, equal lengths
(`rrtf.evolution.guided.inputs`), texts of their kinds of characters. A result becomes a test where every program that is given agrees on it, none raises, and
the reference, run again in a process of its own, gives it again. Rare results come first. (EvalPlus, arXiv 2305.01210, widens tests by mutating inputs, too;
there people wrote down what is allowed.)

Not here: whether the tests are sharp now (`rrtf.quality.gate`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from rrtf import values
from rrtf.errors import SandboxFailure
from rrtf.evolution.guided.forms import Form, Parameter, arguments
from rrtf.evolution.guided.inputs import always_sorted, relations, within
from rrtf.evolution.guided.running import Outcome, Trial, run_all
from rrtf.identity import derive_seed
from rrtf.protocols import Program, Sandbox
from rrtf.records import CallTest, Limits, Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime, compare, open_sandbox
from rrtf.sandbox.harness import attempt

_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=60.0, memory_mb=512)
_NEW, _NEAR = 0.8, 0.5
"""Share of the values that are new, and of the new ones that are close to a known one."""
_GROUP = 128
_TRIES = 6
"""Attempts at each input that is wanted: many come out as known ones, or do not keep to what holds between arguments."""


@dataclass(frozen=True, slots=True)
class Widening:
    """How much is tried."""

    inputs: int = 24
    """New inputs to try."""
    tests: int = 8
    """Tests to add at most."""


def widened(
    problems: Sequence[tuple[Problem, Sequence[str]]], effort: Widening, sandbox: Sandbox, threads: int, seed: int = 0
) -> Iterator[tuple[CallTest, ...] | str]:
    """For every problem and programs that solve it, the reference first: the tests to add, perhaps none; or, as text, why we could not run them."""
    new = [_inputs(problem, effort.inputs, derive_seed(seed, problem.id, "widen")) if programs else () for problem, programs in problems]
    trials = [
        Trial(program, problem.entry_point or "", inputs) for (problem, programs), inputs in zip(problems, new, strict=True) if inputs for program in programs
    ]
    try:
        outcomes = iter(run_all(trials, sandbox, threads))
    except SandboxFailure as failure:
        yield from (failure.message if inputs else () for inputs in new)
        return
    for (problem, programs), inputs in zip(problems, new, strict=True):
        try:
            yield _tests(problem, inputs, [next(outcomes) for _ in programs], effort.tests, sandbox) if inputs else ()
        except SandboxFailure as failure:
            yield failure.message


def _form(problem: Problem) -> Form | None:
    """As much of the problem as new inputs need; None where it is not tested by calls, or not always by as many arguments."""
    calls = [
        test for test in problem.tests if isinstance(test, CallTest) and test.kwargs == "{}" and test.raises is None and test.match in ("near", "equal", "is")
    ]
    rows = [arguments(test.args) for test in calls]
    if (
        not calls
        or len(calls) != len(problem.tests)
        or len({len(row) for row in rows}) != 1
        or not rows[0]
        or not problem.entry_point
        or "." in problem.entry_point
    ):
        return None
    parameters = tuple(Parameter(f"a{place}", _kind([row[place] for row in rows])) for place in range(len(rows[0])))
    return Form(name=problem.entry_point, parameters=parameters, result="", text="", imports=(), body="pass", inputs=tuple(test.args for test in calls))


def _kind(column: Sequence[object]) -> str:
    """The kind of a parameter, as `rrtf.evolution.guided.kinds` writes it, by its values; empty where they are of several."""
    kinds = {_kind_of(value) for value in column}
    named = kinds - {"list"}  # an empty list may be of any kind of list
    kind = named.pop() if len(named) == 1 else ""
    return kind if kind.startswith("list[") or "list" not in kinds else ""


def _kind_of(value: object) -> str:
    if isinstance(value, list):
        items = cast("list[object]", value)
        inner = _kind(items)
        return f"list[{inner}]" if inner else "" if items else "list"
    return type(value).__name__ if isinstance(value, (bool, int, float, str)) else ""


def with_more_tests(
    problems: Sequence[Problem], effort: Widening, sandbox: SandboxConfig, runtime: SandboxRuntime, tick: Callable[[int], object] = lambda count: None
) -> Iterator[Problem]:
    """The problems with the tests that their references alone give; those without a reference as they are. Raises `SandboxFailure` when one cannot be run."""
    with open_sandbox(sandbox, runtime) as box:
        for start in range(0, len(problems), _GROUP):
            some = problems[start : start + _GROUP]
            known = [(problem, [] if problem.reference is None else [problem.reference]) for problem in some]
            for problem, tests in zip(some, widened(known, effort, box, runtime.count()), strict=True):
                if isinstance(tests, str):
                    raise SandboxFailure(f"New inputs for {problem.name} could not be tried: {tests}", hint="Run it again.")
                tick(1)
                yield replace(problem, tests=(*problem.tests, *tests))


def _inputs(problem: Problem, most: int, seed: int) -> tuple[str, ...]:
    """New arguments, encoded; none where the problem shows too little."""
    form = _form(problem)
    if form is None:
        return ()
    rng = random.Random(seed)  # noqa: S311 - any will do that are always the same
    known, rules = set(form.inputs), relations(form)
    columns = [form.column(parameter.name) for parameter in form.parameters]
    found: dict[str, None] = {}
    for _ in range(_TRIES * most):
        row = [_value(column, parameter.kind, rng) for column, parameter in zip(columns, form.parameters, strict=True)]
        text = values.dumps(row)
        if text not in known and all(rule(row) for rule in rules):
            found[text] = None
        if len(found) == most:
            break
    return tuple(found)


def _value(column: Sequence[object], kind: str, rng: random.Random) -> object:
    """A value like the known ones, often one of them."""
    value = rng.choice(column)
    if not kind or rng.random() > _NEW:
        return value
    made = _changed(value, column, kind, rng)
    return made if within(made, column, kind) else value


def _changed(value: object, column: Sequence[object], kind: str, rng: random.Random) -> object:
    if kind == "int":
        numbers = cast("Sequence[int]", column)
        near = cast("int", value) + rng.choice((-1, 1))
        return near if rng.random() < _NEAR else rng.randint(min(numbers), max(numbers))
    if kind == "bool":
        return rng.random() < _NEAR
    if isinstance(value, str) and kind == "str":
        other = cast("str", rng.choice(column))
        return value[: rng.randint(0, len(value))] + other[rng.randint(0, len(other)) :]
    if isinstance(value, list) and kind.startswith("list["):
        return _rearranged(cast("list[object]", value), cast("Sequence[list[object]]", column), kind[5:-1], rng)
    return value  # pyright: ignore[reportUnknownVariableType] - a list of a kind we cannot name


def _rearranged(value: list[object], column: Sequence[list[object]], kind: str, rng: random.Random) -> list[object]:
    """A list with an item left out, added or exchanged, or in another order, as far as the known ones show that order and repetitions are free."""
    items, pool = list(value), [item for one in column for item in one]
    for _ in range(rng.randint(1, 2)):
        what = rng.choice(("less", "more", "other", "shuffled"))
        if what == "more" or not items:
            items.insert(rng.randint(0, len(items)), _value(pool, kind, rng))
        elif what == "less":
            items.pop(rng.randrange(len(items)))
        elif what == "other":
            items[rng.randrange(len(items))] = _value(pool, kind, rng)
        else:
            rng.shuffle(items)
    return sorted(cast("list[Any]", items)) if always_sorted(column) else items


def _tests(problem: Problem, inputs: Sequence[str], outcomes: Sequence[Sequence[Outcome]], most: int, sandbox: Sandbox) -> tuple[CallTest, ...]:
    agreed: list[CallTest] = []
    for place, args in enumerate(inputs):
        results = [program[place].value if place < len(program) else "" for program in outcomes]
        test = CallTest(args=args, expected=results[0])
        if all(results) and all(compare.fits(test, value) for value in results):
            agreed.append(test)
    return _repeatable(problem, _rarest(problem, agreed, most), sandbox)


def _rarest(problem: Problem, agreed: Sequence[CallTest], most: int) -> list[CallTest]:
    """Tests whose results are rare among the known and the chosen ones: ten more that expect True would tell little."""
    counts = Counter(test.expected for test in problem.tests if isinstance(test, CallTest))
    left, chosen = list(agreed), list[CallTest]()
    while left and len(chosen) < most:
        best = min(left, key=lambda test: counts[test.expected])
        left.remove(best)
        counts[best.expected] += 1
        chosen.append(best)
    return chosen


def _repeatable(problem: Problem, tests: Sequence[CallTest], sandbox: Sandbox) -> tuple[CallTest, ...]:
    """Those that the reference passes in a process of its own. Raises `SandboxFailure`."""
    if not tests:
        return ()
    execution = attempt(Program(problem.reference or "", problem.entry_point, tuple(tests), _LIMITS), sandbox)
    return tuple(test for test, reply in zip(tests, execution.replies, strict=False) if reply.status == "passed" and compare.fits(test, reply.value))
