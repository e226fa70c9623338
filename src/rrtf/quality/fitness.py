"""Does each problem of a set hold together? Its reference passes, stubs fail, and its tests notice small faults.

Every program runs in the sandbox and is judged like any answer, so users' problems may be as hostile as they like. Not here: problems against one another
(`rrtf.quality.likeness`, `rrtf.quality.behaviour`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from rrtf.errors import SandboxFailure
from rrtf.protocols import Sandbox
from rrtf.quality.findings import Finding
from rrtf.quality.mutants import mutants
from rrtf.quality.stubs import stubs
from rrtf.records import Limits, Outcome, Problem, Verdict
from rrtf.sandbox.harness import judge

KILL_RATE = 0.8
"""Least share of the mutants of a reference that its tests must notice."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One program to be judged, and what it is."""

    problem: Problem
    kind: str
    """`reference`, `stub` or `mutant`."""
    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Fitness:
    """What was found, and how much was tried."""

    findings: tuple[Finding, ...]
    programs: int
    mutants: int
    killed: int


def check_problem(problem: Problem, sandbox: Sandbox, *, limits: Limits | None = None) -> list[Finding]:
    """Why a problem is not fit to teach or to examine; empty when nothing was found."""
    return list(check_problems([problem], sandbox, limits=limits).findings)


def check_problems(
    problems: Sequence[Problem], sandbox: Sandbox, *, threads: int = 1, limits: Limits | None = None, tick: Callable[[], None] = lambda: None
) -> Fitness:
    """The same for a set of problems, `threads` programs at once. `tick` is called after every program (there are as many as `trials` yields).

    A mutant may loop for ever, so `limits` well below the default save much time: what counts is that a right answer stays within them.
    """
    findings: list[Finding] = []
    programs = faulty = killed = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="check") as pool:
        for problem in problems:
            planned = list(trials(problem))
            results = list(pool.map(partial(_judged, sandbox=sandbox, limits=limits, tick=tick), planned))
            findings += _findings(problem, list(zip(planned, results, strict=True)))
            programs += len(planned)
            faulty += sum(trial.kind == "mutant" for trial in planned)
            killed += sum(trial.kind == "mutant" and not _passed(result) for trial, result in zip(planned, results, strict=True))
    return Fitness(tuple(findings), programs, faulty, killed)


def trials(problem: Problem) -> Iterator[Trial]:
    """Every program that is judged to check a problem."""
    for stub in stubs(problem):
        yield Trial(problem, "stub", stub.what, stub.source)
    if problem.reference is not None:
        yield Trial(problem, "reference", "the reference", problem.reference)
        for mutant in mutants(problem.reference, problem.entry_point) if problem.entry_point else ():
            yield Trial(problem, "mutant", mutant.change, mutant.source)


def _judged(trial: Trial, *, sandbox: Sandbox, limits: Limits | None, tick: Callable[[], None]) -> Verdict | SandboxFailure:
    try:
        return judge(trial.problem, trial.source, sandbox, limits=limits)
    except SandboxFailure as error:
        return error
    finally:
        tick()


def _passed(result: Verdict | SandboxFailure) -> bool:
    return isinstance(result, Verdict) and result.outcome is Outcome.PASSED


def _findings(problem: Problem, judged: Sequence[tuple[Trial, Verdict | SandboxFailure]]) -> Iterator[Finding]:
    if problem.reference is None:
        yield Finding(problem.name, "no reference", "its tests cannot be checked, and it has no answer to learn from")
    sound = True
    for trial, result in judged:
        if isinstance(result, SandboxFailure):
            yield Finding(problem.name, "not judged", f"{trial.what}: {result.message}")
        elif trial.kind == "reference" and not _passed(result):
            sound = False  # what its mutants do means nothing then
            yield Finding(problem.name, "its reference fails", f"{result.passed} of {result.total} tests passed; {result.cause}")
        elif trial.kind == "stub" and _passed(result):
            yield Finding(problem.name, "a program that does nothing passes", trial.what)
    faulty = [(trial, result) for trial, result in judged if trial.kind == "mutant" and isinstance(result, Verdict)]
    alive = sorted(trial.what for trial, result in faulty if _passed(result))
    if sound and len(faulty) - len(alive) < KILL_RATE * len(faulty):
        yield Finding(problem.name, "its tests miss small faults", f"{len(faulty) - len(alive)} of {len(faulty)} noticed; missed: {'; '.join(alive)}")
