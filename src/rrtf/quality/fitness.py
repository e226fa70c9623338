"""What running says about each problem of a set: does its reference pass, every time; do stubs fail; do the tests notice small faults?

Every program runs in the sandbox and is judged like any answer, so users' problems may be as hostile as they like. Problems go through in groups, and within a
group all programs of a kind are judged at once, over every worker:

1. Each reference and each stub, under the limits that answers get.
2. Each reference again, a few times, unless it ran out of time: with another hash seed, another state of `random`, and its tests in another order.
3. Faulty copies of each reference that passed. They may loop for ever, so each gets `PATIENCE` times the processor seconds of its reference, and at least
   `LEAST_SECONDS`, where that is less than the limit.

Not here: what is good enough (`rrtf.quality.gate`), problems against one another (`rrtf.overlap`).
"""

from __future__ import annotations

import ast
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeVar

from rrtf.answering import reference_response
from rrtf.framing import alone, restored
from rrtf.judging import Tally, open_judge
from rrtf.quality.mutants import Mutant, some_mutants
from rrtf.quality.stubs import stubs
from rrtf.quality.suites import shown
from rrtf.records import Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure

PATIENCE = 10.0
"""How many times as long as its reference a faulty copy may take."""
LEAST_SECONDS = 0.25
"""Processor seconds that every faulty copy gets: fifty times what most references need."""
_LEAST_WALL = 2.0
_GROUP = 64
"""Problems of one group: what a kill can cost."""
_STEADY = {"passed", "wrong", "raised"}
"""What a test says by itself; the others may come from a test before it, which in another order comes after it."""

_Key = TypeVar("_Key")
Tick = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried."""

    stubs: bool = True
    mutants: int = 40
    """Most faulty copies of one reference."""
    repeats: int = 4
    """How often each reference is run again."""


@dataclass(slots=True, kw_only=True)
class Fitness:
    """What was seen of one problem. Filled while it is tried; whoever is handed one finds it finished."""

    problem: Problem
    programs: int = 0
    reference: Verdict | None = None
    """None when there is no reference, or it could not be judged."""
    flaky: list[str] = field(default_factory=list[str])
    """Tests that did not say the same every time."""
    passing_stubs: list[str] = field(default_factory=list[str])
    mutants: int = 0
    """Faulty copies that were judged."""
    survivors: list[str] = field(default_factory=list[str])
    """Those that passed every test."""
    failures: list[str] = field(default_factory=list[str])
    """Programs that could not be judged, for reasons of ours."""

    @property
    def killed(self) -> int:
        """Faulty copies that the tests noticed."""
        return self.mutants - len(self.survivors)

    @property
    def sound(self) -> bool:
        """Whether the reference passed at first."""
        return self.reference is not None and self.reference.outcome is Outcome.PASSED


def measure(problems: Iterable[Problem], sandbox: SandboxConfig, runtime: SandboxRuntime, effort: Effort, tick: Tick = lambda count: None) -> Iterator[Fitness]:
    """What running says about each problem, in order, a group at a time. `tick` counts finished problems. Problems must differ in their ids."""
    for group in _groups(list(problems)):
        seen = {problem.id: Fitness(problem=problem) for problem in group}
        _first(seen, sandbox, runtime, effort)
        for repeat in range(1, effort.repeats + 1):
            _again(seen, sandbox, runtime, repeat)
        _faulty(seen, sandbox, runtime, effort, tick)
        yield from seen.values()


def _groups(problems: list[Problem]) -> Iterator[list[Problem]]:
    return (problems[start : start + _GROUP] for start in range(0, len(problems), _GROUP))


def _first(seen: dict[str, Fitness], sandbox: SandboxConfig, runtime: SandboxRuntime, effort: Effort) -> None:
    def programs() -> Iterator[tuple[tuple[Fitness, str], Problem, str]]:
        for fitness in seen.values():
            for stub in stubs(fitness.problem) if effort.stubs else ():
                yield (fitness, stub.what), fitness.problem, stub.source
            if fitness.problem.reference is not None:
                yield (fitness, ""), fitness.problem, fitness.problem.reference

    for (fitness, stub), found in _judged(programs(), sandbox, runtime):
        fitness.programs += 1
        if isinstance(found, JudgingFailure):
            fitness.failures.append(f"{stub or 'the reference'}: {found.reason}")
        elif not stub:
            fitness.reference = found
        elif found.outcome is Outcome.PASSED:
            fitness.passing_stubs.append(stub)
    for fitness in seen.values():
        fitness.passing_stubs.sort()


def _again(seen: dict[str, Fitness], sandbox: SandboxConfig, runtime: SandboxRuntime, repeat: int) -> None:
    """Every reference once more, where nothing but luck differs."""
    limits = sandbox.limits
    slowest = max((fitness.reference.cpu_seconds for fitness in seen.values() if fitness.sound and fitness.reference), default=0.0)
    ample = _limited(sandbox, max(limits.cpu_seconds, limits.slow_factor * slowest)).model_copy(update={"hash_seed": repeat})

    def programs() -> Iterator[tuple[tuple[Fitness, list[int]], Problem, str]]:
        for fitness in seen.values():
            problem = fitness.problem
            if fitness.reference is not None and not _late(fitness.reference):
                order = _order(len(problem.tests), repeat)
                yield (fitness, order), replace(problem, tests=tuple(problem.tests[place] for place in order)), _reseeded(problem.reference or "", repeat)

    for (fitness, order), found in _judged(programs(), ample, runtime):
        fitness.programs += 1
        if isinstance(found, JudgingFailure):
            fitness.failures.append(f"the reference with hash seed {repeat}: {found.reason}")
        elif not fitness.flaky and fitness.reference is not None:
            fitness.flaky += _differences(fitness.problem, fitness.reference, found, order, repeat)


def _order(tests: int, repeat: int) -> list[int]:
    """Another order of the tests: backwards the first time, shuffled later."""
    order = list(range(tests))
    if repeat == 1:
        return order[::-1]
    random.Random(repeat).shuffle(order)  # noqa: S311 - any order will do, as long as it is the same everywhere
    return order


def _reseeded(source: str, seed: int) -> str:
    """The same program with another state of `random`, whose state is fixed otherwise."""
    tree = ast.parse(source)
    place = 0
    while place < len(tree.body) and _must_come_first(tree.body[place]):
        place += 1
    tree.body[place:place] = ast.parse(f"__import__('random').seed({seed})").body
    return ast.unparse(ast.fix_missing_locations(tree))


def _must_come_first(statement: ast.stmt) -> bool:
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return docstring or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__")


def _differences(problem: Problem, first: Verdict, again: Verdict, order: Sequence[int], repeat: int) -> Iterator[str]:
    where = f"with hash seed {repeat} and {'its tests backwards' if repeat == 1 else 'its tests shuffled'}"
    statuses = dict(zip(order, again.tests, strict=True))
    for place, status in enumerate(first.tests):
        other = statuses[place]
        steady = status in _STEADY and other in _STEADY
        if (status == "passed") != (other == "passed") and (steady or first.outcome is Outcome.PASSED or again.outcome is Outcome.PASSED):
            yield f"test {place} ({shown(problem.tests[place])}): {status} at first, {other} {where}"


def _faulty(seen: dict[str, Fitness], sandbox: SandboxConfig, runtime: SandboxRuntime, effort: Effort, tick: Tick) -> None:
    by_limit: dict[float, list[Fitness]] = defaultdict(list)
    for fitness in seen.values():
        if fitness.sound and fitness.reference is not None and effort.mutants:
            needed = fitness.reference.cpu_seconds
            by_limit[_seconds(needed, max(sandbox.limits.cpu_seconds, sandbox.limits.slow_factor * needed))].append(fitness)
    tick(len(seen) - sum(map(len, by_limit.values())))
    for seconds, group in sorted(by_limit.items()):
        _mutants(group, _limited(sandbox, seconds), runtime, effort.mutants, tick)


def _limited(sandbox: SandboxConfig, cpu_seconds: float) -> SandboxConfig:
    """The sandbox with the same limits for every problem, and wall time in proportion."""
    limits = sandbox.limits
    wall = max(limits.wall_seconds * cpu_seconds / limits.cpu_seconds, min(limits.wall_seconds, _LEAST_WALL))
    return sandbox.model_copy(update={"limits": limits.model_copy(update={"cpu_seconds": cpu_seconds, "wall_seconds": wall, "reference_factor": 0.0})})


def _late(verdict: Verdict) -> bool:
    return "timeout" in verdict.tests or verdict.cause.startswith("before the tests: timeout:")


def _mutants(group: Sequence[Fitness], sandbox: SandboxConfig, runtime: SandboxRuntime, most: int, tick: Tick) -> None:
    owed: Counter[str] = Counter()

    def programs() -> Iterator[tuple[tuple[Fitness, str], Problem, str]]:
        for fitness in group:
            problem = fitness.problem
            made = _faulty_copies(problem, most)
            owed[problem.id] = len(made)
            if not made:
                tick(1)
            yield from (((fitness, mutant.change), problem, mutant.source) for mutant in made)

    for (fitness, change), found in _judged(programs(), sandbox, runtime):
        fitness.programs += 1
        if isinstance(found, JudgingFailure):
            fitness.failures.append(f"{change}: {found.reason}")
        else:
            fitness.mutants += 1
            if found.outcome is Outcome.PASSED:
                fitness.survivors.append(change)
        owed[fitness.problem.id] -= 1
        tick(int(owed[fitness.problem.id] == 0))
    for fitness in group:
        fitness.survivors.sort()


def _faulty_copies(problem: Problem, most: int) -> list[Mutant]:
    """Of one function of a file, that function is what gets the faults."""
    own, frame = alone(problem), problem.frame
    made = some_mutants(own.reference or "", own.entry_point, most)
    return made if frame is None else [Mutant(mutant.change, restored(frame, mutant.source) or "") for mutant in made]


def _seconds(reference: float, limit: float) -> float:
    """Processor seconds for the faulty copies of a reference: one of few steps, so that many are judged together."""
    seconds = LEAST_SECONDS
    while seconds < PATIENCE * reference:
        seconds *= 2
    return min(seconds, limit)


def _judged(programs: Iterator[tuple[_Key, Problem, str]], sandbox: SandboxConfig, runtime: SandboxRuntime) -> Iterator[tuple[_Key, Verdict | JudgingFailure]]:
    """The verdict on each program, in no particular order, with the key it was given. Nothing is opened for no programs."""
    keys: dict[str, _Key] = {}

    def answers(begun: Iterable[tuple[_Key, Problem, str]]) -> Iterator[tuple[Problem, Response]]:
        for number, (key, problem, source) in enumerate(begun):
            response = replace(reference_response(problem), author=Author("reference", "check", ""), index=number, text="", code=source)
            keys[response.id] = key
            yield problem, response

    first = next(programs, None)
    if first is not None:
        with open_judge(sandbox, runtime, Tally()) as judge:  # many small openings: what each of them ran is not worth a line
            for found in judge(answers(chain([first], programs))):
                yield keys.pop(found.response_id), found
